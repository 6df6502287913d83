"""`triage labels quality`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from rich.console import Console
from rich.table import Table

from triage.artefact import seen
from triage.cli.exits import Exit
from triage.cli.progress import progress
from triage.cli.tables import NONE, plain_console, plain_table, printable, shortened
from triage.errors import LabelsRefused
from triage.labels.given import given
from triage.labels.quality import (
    Agreement,
    GoldenScore,
    LikelyError,
    agreement,
    golden_scores,
    likely_errors,
)
from triage.labels.resolve import FIELD, resolve
from triage.labels.rows import Labelled, label_matrix, row_digest
from triage.manifest import Manifest
from triage.measure.evaluate import Scored, score_rows
from triage.metrics import Estimate
from triage.pipeline import Triage
from triage.records import Floats, Report
from triage.settings import settings

TOP = 0.05  # share of the unseen rows that the list may be long, for them to be ranked alone
LONGEST_ID = 48  # characters in a table


@dataclass(frozen=True, slots=True)
class Quality:
    """What was found, without a row's text.

    Attributes:
        model: That doubts the labels.
        rows: After those of one id were joined.
        seen: Of them that the model was fitted on: it repeats their errors instead of finding
            them. None if the model doesn't say on which rows it was fitted.
        ranked: Whose labels were ranked; the unseen ones, or all where too few are unseen.
        failed: How many of those couldn't be scored, by the slug of what stood in the way.
        errors: The likeliest first.
        agreement: By answer.
        golden: By annotator and answer.
    """

    model: str
    rows: int
    seen: int | None
    ranked: int
    failed: Mapping[str, int]
    errors: list[LikelyError]
    agreement: list[Agreement]
    golden: list[GoldenScore]


def run(paths: Sequence[Path], most: int, out: TextIO | None) -> Exit:
    """Ranks likely errors, prints the tables, and writes the figures to `out`.

    Args:
        paths: Labelled rows; without any, those of the store.
        most: Likely errors to list.
        out: For JSON, if wanted.
    """
    with progress() as report:
        report("reading the rows", 0, 0)
        rows = given(paths, settings().labels_url).rows
        report("reading the rows", len(rows), len(rows))
        found = judged(rows, most, Triage.load(settings()), report)
    if out is not None:
        out.write(json.dumps(asdict(found), indent=2) + "\n")
    if out is None or out.name != "<stdout>":
        show(found, plain_console())
    return Exit.DONE


def judged(rows: Sequence[Labelled], most: int, triage: Triage, report: Report) -> Quality:
    """Judges rows with a model; only those it wasn't fitted on, where they are enough.

    Raises:
        LabelsRefused: Not one row could be scored.
    """
    resolved = resolve(rows).rows
    known = seen(triage.artefact.folder)
    unseen = [row for row in resolved if row_digest(row) not in known]
    ranked = unseen if most <= TOP * len(unseen) else resolved
    scored, failed = score_rows(triage, ranked, settings().cores, report)
    if not scored:
        slugs = ", ".join(sorted(failed))
        raise LabelsRefused(f"Not one of {len(ranked)} rows could be scored ({slugs}).")
    return Quality(
        model=triage.artefact.manifest.name,
        rows=len(resolved),
        seen=len(resolved) - len(unseen) if known else None,
        ranked=len(ranked),
        failed=dict(sorted(failed.items())),
        errors=_errors(scored, triage.artefact.manifest, most),
        agreement=agreement(rows),
        golden=golden_scores(rows),
    )


def _errors(scored: Sequence[Scored], manifest: Manifest, most: int) -> list[LikelyError]:
    rows = [one.row for one in scored]
    names = [f"{FIELD['labels']}.{name}" for name in manifest.categories]
    names += [f"{FIELD['events']}.{name}" for name in manifest.events]
    labels = [
        label_matrix(rows, "labels", manifest.categories),
        label_matrix(rows, "events", manifest.events),
    ]
    probabilities = [
        _matrix([one.categories for one in scored], manifest.categories),
        _matrix([one.events for one in scored], manifest.events),
    ]
    ids = [row.id for row in rows]
    return likely_errors(names, np.hstack(labels), np.hstack(probabilities), ids, most)


def _matrix(scores: Sequence[Mapping[str, float]], names: Sequence[str]) -> Floats:
    found = [[one.get(name, np.nan) for name in names] for one in scores]
    return np.array(found, np.float32).reshape(len(scores), len(names))


# For people ---------------------------------------------------------------------------------


def show(found: Quality, console: Console) -> None:
    """Prints what was judged, and a table each of errors, agreement and golden items."""
    ranked = found.ranked - sum(found.failed.values())
    console.print(f"{found.model}: {ranked:,} of {found.rows:,} rows ranked")
    for slug, count in found.failed.items():
        console.print(f"  {count:,} not scored: {slug}", style="red")
    console.print(_hidden(found), style="bold red" if _hides_errors(found) else "dim")
    for table in (_error_table(found, console), _alphas(found, console), _golden(found, console)):
        if table.row_count:
            console.print(table)
    if not found.agreement:
        console.print("Agreement: no row says who labelled it.")
    if not found.golden:
        console.print("Golden items: no annotator has answered one.")


def _hides_errors(found: Quality) -> bool:
    return found.seen is None or (found.seen > 0 and found.ranked == found.rows)


def _hidden(found: Quality) -> str:
    if found.seen is None:
        return (
            "The model doesn't say on which rows it was fitted. If it was on these, it repeats "
            "their errors instead of finding them."
        )
    told = f"The model was fitted on {found.seen:,} of the {found.rows:,} rows"
    if _hides_errors(found):
        return (
            f"{told}. It repeats their errors instead of finding them; too few others are here to "
            "rank those alone."
        )
    return f"{told}; the others are ranked." if found.seen else f"{told}."


def _error_table(found: Quality, console: Console) -> Table:
    table = plain_table(
        "Likely errors", "row", "label", ">given", ">model says", width=console.width
    )
    for one in found.errors:
        table.add_row(
            shortened(one.id, LONGEST_ID),
            printable(one.name),
            f"{one.given:g}" if one.given in (0, 1) else f"{one.given:.2f}",
            f"{one.probability:.3f}",
        )
    return table


def _alphas(found: Quality, console: Console) -> Table:
    table = plain_table(
        "Agreement", "answer", ">items", ">votes", ">alpha", ">95 %", width=console.width
    )
    for one in found.agreement:
        table.add_row(printable(one.name), f"{one.items:,}", f"{one.votes:,}", *_cells(one.alpha))
    return table


def _golden(found: Quality, console: Console) -> Table:
    names = ("annotator", "answer", ">items", ">right", ">95 %")
    table = plain_table("Golden items", *names, width=console.width)
    for one in found.golden:
        annotator = shortened(one.annotator, LONGEST_ID)
        table.add_row(annotator, printable(one.name), f"{one.items:,}", *_cells(one.share))
    return table


def _cells(estimate: Estimate | None) -> tuple[str, str]:
    if estimate is None:
        return NONE, NONE
    return f"{estimate.value:.3f}", f"{estimate.low:.2f} to {estimate.high:.2f}"
