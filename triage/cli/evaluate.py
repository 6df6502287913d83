"""`triage evaluate`."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from rich.console import Console

from triage.artefact import seen
from triage.cli.exits import Exit
from triage.cli.progress import progress
from triage.cli.tables import metrics, plain_console
from triage.errors import LabelsRefused
from triage.labels.read import read_labels
from triage.labels.resolve import resolve
from triage.labels.rows import Labelled, row_digest
from triage.measure.evaluate import Evaluation, evaluate
from triage.pipeline import Triage
from triage.settings import settings


def run(paths: Sequence[Path], split: str, out: TextIO | None, *, limit: int, repeats: int) -> Exit:
    """Scores the rows, prints the table, and writes the figures to `out`.

    Returns:
        `Exit.INCOMPLETE` if any row couldn't be used or scored.
    """
    with progress() as report:
        report("reading the rows", 0, 0)
        reading = read_labels(paths, unsplit="val")
        triage = Triage.load(settings())
        kept = chosen(resolve(reading.rows).rows, split, limit)
        known = seen(triage.artefact.folder) if split != "train" else frozenset()
        rows = [row for row in kept if row_digest(row) not in known]
        report("reading the rows", len(rows), len(rows))
        found = evaluate(triage, rows, workers=settings().cores, repeats=repeats, report=report)
    if out is not None:
        out.write(json.dumps(found.as_json(), indent=2) + "\n")
    if out is None or out.name != "<stdout>":
        show(found, plain_console())
    if len(rows) < len(kept):
        sys.stderr.write(f"{len(kept) - len(rows):,} rows left out: the model was fitted on them\n")
    if reading.problems:
        told = f"{len(reading.problems):,} problems in the rows; triage labels check names them."
        sys.stderr.write(told + "\n")
    return Exit.INCOMPLETE if found.failed or reading.problems else Exit.DONE


def chosen(rows: Sequence[Labelled], split: str, limit: int) -> list[Labelled]:
    """The rows of a split ("all" for every one); with a limit, that many drawn at random.

    The draw is seeded, so the same file gives the same rows. Taking the first ones would take
    them from one source, for files are written source by source.

    Raises:
        LabelsRefused: The split has no row.
    """
    kept = [row for row in rows if split in ("all", row.split)]
    if not kept:
        raise LabelsRefused(f"None of the {len(rows)} rows is of split {split}.")
    return random.Random(0).sample(kept, limit) if 0 < limit < len(kept) else kept  # noqa: S311


def show(found: Evaluation, console: Console) -> None:
    """Prints an evaluation: what was scored, what wasn't, and a table of each kind of figure."""
    done = found.rows - sum(found.failed.values())
    console.print(f"{found.model}: {done:,} of {found.rows:,} rows scored")
    for slug, count in found.failed.items():
        console.print(f"  {count:,} not scored: {slug}", style="red")
    if found.unknown:
        console.print(f"  labelled, but not known to the model: {', '.join(found.unknown)}")
    for title, rows in (("Categories", found.categories), ("Events", found.events)):
        if rows:
            console.print(metrics(title, [asdict(row) for row in rows], console.width))
    console.print(
        f"95 % intervals by {found.repeats:,} bootstrap resamples of whole groups.", style="dim"
    )
