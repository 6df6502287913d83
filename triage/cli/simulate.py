"""`triage policy simulate`: which thresholds fit the reviewers' time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triage.cli.exits import Exit
from triage.cli.progress import progress
from triage.cli.replayed import Replayed
from triage.cli.tables import plain_console
from triage.labels.rows import YES, Labelled
from triage.measure.simulate import Item, left_out, simulate
from triage.measure.stored import Stored
from triage.policy.loading import read_policy
from triage.policy.model import parse_policy
from triage.settings import settings

MOST = 5_000  # recordings that are decided anew, at some hundred thresholds


def run(
    policy: Path | None,
    scores: Sequence[Path],
    labels: Sequence[Path],
    *,
    since: str,
    a_day: float,
    capacity: int | None,
    minutes: float,
    report: Path | None,
) -> Exit:
    """Tells what each queue's thresholds come to.

    Args:
        policy: Its file; that of the settings if None.
        scores: Files of answers, as `triage score --jsonl` prints them; else the store's.
        labels: Labelled rows, joined by id; where there are none, probabilities are expected cases.
        since: How far back the store is read.
        a_day: Recordings a day that the scores stand for.
        capacity: Reviews a day per queue; the policy's own if None.
        minutes: That a review takes.
        report: Where to write the page.

    Returns:
        `Exit.INCOMPLETE` if some lines held no scores.

    Raises:
        PolicyRefused: It isn't a policy.
        BadField: There are no scores.
        LabelsRefused: The labels can't be read.
    """
    data = read_policy(policy or settings().policy)
    known = parse_policy(data)
    rows = _labels(labels)
    replayed = Replayed(scores, since)
    stored = list(replayed)
    if not stored:
        raise replayed.nothing()
    count = min(len(stored), MOST)  # taken evenly, so that the times are spread as they were
    some = [stored[place * len(stored) // count] for place in range(count)]
    items = [_item(one, rows.get(one.recording)) for one in some]
    with progress() as told_of:
        curves = simulate(data, items, a_day, capacity, minutes, told_of)
    from triage.report.simulation import UNTOLD, page, told

    console = plain_console()
    for curve in curves:
        console.print(told(curve))
    if missing := left_out(known, curves):
        console.print(UNTOLD.format(", ".join(missing)))
    if labels:
        found = sum(bool(item.labelled) for item in items)
        console.print(f"{found:,} of {len(items):,} recordings are labelled.")
    if report:
        from triage.report.page import write_page

        write_page(page(known, curves, len(items), a_day).decode(), report)
    return Exit.INCOMPLETE if replayed.unusable else Exit.DONE


def _labels(paths: Sequence[Path]) -> dict[str, Labelled]:
    if not paths:
        return {}
    from triage.labels.read import read_labels

    return {row.id: row for row in read_labels(list(paths)).rows}


def _item(stored: Stored, row: Labelled | None) -> Item:
    if row is None:
        return Item(stored, stored.scores.categories)
    sure = {name: float(share >= YES) for name, share in row.labels.items()}
    return Item(stored, {**stored.scores.categories, **sure}, frozenset(sure), row.weight)
