"""`triage cases labels` and `export`: what others make of cases."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from triage.cli.exits import Exit
from triage.cli.monitor import duration
from triage.cli.tables import plain_console
from triage.errors import BadField
from triage.escalate.neighbours import osprey
from triage.escalate.opening import casebook
from triage.escalate.outcomes import Labelling, ended
from triage.escalate.records import State
from triage.escalate.roster import OspreyFormat
from triage.escalate.shown import shown
from triage.escalate.telling import ESCALATED, about, moment
from triage.labels.read import read_labels
from triage.labels.write import write_rows
from triage.safeguards.pseudonym import Pseudonymiser, load_key
from triage.settings import settings

FORMATS = ("triage", "osprey")


def run(recordings: Path, out: Path) -> Exit:
    """Writes recordings with the labels that follow from how their cases ended.

    Returns:
        `Exit.INCOMPLETE` if a row was bad.

    Raises:
        LabelsRefused: The recordings can't be read, or the labels not written.
        StoreFailed: The store can't be read.
    """
    book, console = casebook(settings()), plain_console()
    pseudonym = Pseudonymiser(load_key(settings())).pseudonym
    labelling = Labelling(ended(book.opened), pseudonym)
    reading = read_labels([recordings])
    found = list(labelling.rows(reading.rows))
    for why, count in labelling.left_out.items():
        console.print(f"{count:,} without labels: {why}.")
    if not found:
        console.print("No recording got labels, so nothing was written.")
        return Exit.INCOMPLETE
    write_rows(found, out, "jsonl")
    console.print(f"{len(found):,} recordings got labels. `triage labels import` takes them in.")
    return Exit.INCOMPLETE if reading.problems else Exit.DONE


def export(format: str, since: str) -> Exit:
    """Prints cases, a JSON object a line, in the order in which they were raised.

    Raises:
        BadField: There is no such format, or no such time.
        StoreFailed: The store can't be read.
    """
    if format not in FORMATS:
        raise BadField(f"--format is one of {', '.join(FORMATS)}.", limit=list(FORMATS))
    book, console = casebook(settings()), plain_console()
    now = book.now()
    begin = now - duration(since) / timedelta(seconds=1)
    for case in sorted(book.cases(tuple(State)), key=lambda one: one.at):
        if case.at < begin:
            continue
        told = shown(case, now)
        if format == "osprey":
            told = dict(
                osprey(about(case, ESCALATED, book.roster()), moment(case.at), OspreyFormat())
            )
        console.print(json.dumps(told), soft_wrap=True)
    return Exit.DONE
