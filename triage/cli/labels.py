"""`triage labels check`, `import` and `export`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from triage.cli.exits import Exit
from triage.cli.progress import progress
from triage.cli.tables import plain_console, plain_table, printable
from triage.errors import InputError, LabelsRefused
from triage.labels.given import given
from triage.labels.label_studio import Asked, config, document_root, tasks
from triage.labels.leaks import Leaks, leaks
from triage.labels.resolve import Conflict, resolve
from triage.labels.rows import YES, Labelled, Problem, Reading
from triage.labels.store import Store
from triage.labels.write import whole, write_problems, write_rows
from triage.pipeline import Triage
from triage.records import Recording, Report, Scores
from triage.settings import settings
from triage.taxonomy import CATEGORIES, EVENTS, EVIDENCE_EVENTS

MOST_SHOWN = 20  # problems, and conflicts, that are printed


def check(paths: Sequence[Path], asked: Sequence[str], report: Path | None) -> Exit:
    """Prints what labelled rows hold and what is wrong with them.

    Args:
        paths, asked: See `triage.labels.read`.
        report: File for every problem, conflict and leak, one JSON object a line.

    Returns:
        `Exit.INCOMPLETE` if a row is bad, or a val row is given away by a training row.

    Raises:
        LabelsRefused: A path can't be read from, or no row of any is good.
    """
    with progress() as told:
        reading = _read(paths, asked, told)
        resolved = resolve(reading.rows)
        found = leaks(resolved.rows, told)
    console = plain_console()
    console.print(_sources(reading.rows, console.width))
    console.print(_labels(reading.rows, console.width))
    _print_first(console, "Problems", reading.problems)
    _print_first(console, "Conflicts", resolved.conflicts)
    console.print(
        f"Leaks: {len(found.grouped):,} val rows of {len(found.groups):,} groups that are in "
        f"training too; {len(found.near):,} val rows that are nearly the same as a training row"
    )
    if report is not None:
        write_problems(reading.problems, report, _lines(resolved.conflicts, found))
    return Exit.INCOMPLETE if reading.problems or found else Exit.DONE


def take_in(
    paths: Sequence[Path], asked: Sequence[str], annotator: str, report: Path | None
) -> Exit:
    """Takes labelled rows into the store.

    Args:
        paths, asked, report: As for `check`.
        annotator: Pseudonym for rows that don't say who labelled them; empty leaves it unsaid.

    Returns:
        `Exit.INCOMPLETE` if a row was bad; the others are taken in.

    Raises:
        LabelsRefused: A path can't be read from, or no row of any is good.
    """
    with progress() as told:
        reading = _read(paths, asked, told)
    rows = (replace(r, annotator=r.annotator or annotator or None) for r in reading.rows)
    taken = Store(settings().labels_url).put(rows)
    console = plain_console()
    console.print(
        f"Taken in: {taken.new:,} new, {taken.changed:,} changed, {taken.same:,} that were there"
    )
    _print_first(console, "Problems", reading.problems)
    if report is not None:
        write_problems(reading.problems, report)
    return Exit.INCOMPLETE if reading.problems else Exit.DONE


def give_out(out: Path, paths: Sequence[Path], format: str, *, predictions: bool) -> Exit:
    """Writes labelled rows, or projects for Label Studio.

    Args:
        out: The file. A project's labelling interface is put beside it (`….config.xml`); rows
            with and without sound become projects of their own.
        paths: Labelled rows; without any, those of the store.
        format: One of `triage.cli.learning.Format`.
        predictions: Whether to score the rows, for pre-annotations.

    Returns:
        `Exit.INCOMPLETE` if a row was bad or couldn't be scored.

    Raises:
        LabelsRefused: There is no row, or the file can't be written.
        SetupError: There is no model to score with.
    """
    if predictions and format != "label-studio":
        raise LabelsRefused("Only --format label-studio has a place for predictions.")
    scores: dict[str, Scores] = {}
    with progress() as told:
        reading = _read(paths, (), told)
        if predictions:
            scores = _scores(reading.rows, told)
    console = plain_console()
    if format == "label-studio":
        _write_projects(console, out, reading.rows, scores)
    else:
        write_rows(reading.rows, out, format)  # type: ignore[arg-type]
        console.print(f"{out.name}: {len(reading.rows):,} rows")
    _print_first(console, "Problems", reading.problems)
    missed = len({row.id for row in reading.rows} - scores.keys()) if predictions else 0
    if missed:
        console.print(f"Without predictions, for they can't be scored: {missed:,}", style="red")
    return Exit.INCOMPLETE if reading.problems or missed else Exit.DONE


def _read(paths: Sequence[Path], asked: Sequence[str], told: Report) -> Reading:
    told("reading the rows", 0, 0)
    reading = given(paths, settings().labels_url, asked)
    told("reading the rows", len(reading.rows), len(reading.rows))
    return reading


def _scores(rows: Sequence[Labelled], told: Report) -> dict[str, Scores]:
    """The model's scores by row id, for the rows that can be scored."""
    triage = Triage.load(settings())

    def scored(row: Labelled) -> Scores | None:
        try:
            return triage.score(Recording(row.id, row.audio, row.text))
        except InputError:
            return None

    once = list({row.id: row for row in rows}.values())
    found: dict[str, Scores] = {}
    pool = ThreadPoolExecutor(settings().cores)
    try:
        for done, (row, scores) in enumerate(zip(once, pool.map(scored, once), strict=True), 1):
            if scores is not None:
                found[row.id] = scores
            told("scoring", done, len(once))
    finally:
        pool.shutdown(cancel_futures=True)  # or an interrupt would wait for every row
    return found


def _write_projects(
    console: Console, out: Path, rows: Sequence[Labelled], scores: Mapping[str, Scores]
) -> None:
    if out.suffix != ".json":
        raise LabelsRefused(f"{out.name} is no name for Label Studio's tasks. Let it end in .json.")
    parts = {
        "audio": [row for row in rows if row.audio is not None],
        "text": [row for row in rows if row.audio is None],
    }
    for kind, part in parts.items():
        if not part:
            continue
        file = out if len(part) == len(rows) else out.with_suffix(f".{kind}.json")
        asked, root = _asked(part, sound=kind == "audio"), document_root(part)
        made = tasks(part, asked, root, scores)
        interface = file.with_suffix(".config.xml")
        with whole(interface) as stream:
            stream.write(config(asked, audio=kind == "audio").encode())
        with whole(file) as stream:
            stream.write(json.dumps(made, ensure_ascii=False, indent=1).encode())
        console.print(f"{file.name}: {len(made):,} tasks; labelling interface: {interface.name}")
        if kind == "audio":
            console.print(
                "Label Studio serves the sound with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true"
                f" and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root}"
            )


def _asked(rows: Iterable[Labelled], *, sound: bool) -> Asked:
    """The taxonomy's categories and evidence events, and what else the rows have labels of."""
    labels = sorted({name for row in rows for name in row.labels} - set(CATEGORIES))
    events = sorted({name for row in rows for name in row.events} - set(EVENTS))
    return Asked((*CATEGORIES, *labels), (*EVIDENCE_EVENTS, *events) if sound else ())


# Tables -------------------------------------------------------------------------------------


def _sources(rows: Sequence[Labelled], width: int) -> Table:
    counts = Counter((row.source, row.licence, row.split) for row in rows)
    table = plain_table(f"Rows: {len(rows):,}", "source", "licence", ">train", ">val", width=width)
    for source, licence in sorted({key[:2] for key in counts}):
        splits = (f"{counts[source, licence, split]:,}" for split in ("train", "val"))
        table.add_row(printable(source), printable(licence), *splits)
    return table


def _labels(rows: Sequence[Labelled], width: int) -> Table:
    counts = Counter(
        (kind, name, share >= YES)
        for row in rows
        for kind, shares in (("category", row.labels), ("event", row.events))
        for name, share in shares.items()
    )
    table = plain_table("Labels", "kind", "name", ">yes", ">no", ">unknown", width=width)
    for kind, name in sorted({key[:2] for key in counts}):
        yes, no = counts[kind, name, True], counts[kind, name, False]
        numbers = (f"{count:,}" for count in (yes, no, len(rows) - yes - no))
        table.add_row(kind, printable(name), *numbers)
    return table


def _print_first(console: Console, what: str, found: Sequence[Problem | Conflict]) -> None:
    console.print(f"{what}: {len(found):,}", style="bold red" if found else "")
    for one in found[:MOST_SHOWN]:
        console.print(printable(f"  {one}"))
    if (left := len(found) - MOST_SHOWN) > 0:
        console.print(f"  and {left:,} more; `triage labels check --report` writes them all")


def _lines(conflicts: Sequence[Conflict], found: Leaks) -> Iterator[Mapping[str, object]]:
    """What a report tells besides problems."""
    for one in conflicts:
        values = {"values": dict(one.values), "alike": one.alike}
        yield {"kind": "conflict", "ids": one.ids, "name": one.name, **values}
    yield from ({"kind": "leak", "by": "group", "val": id} for id in found.grouped)
    yield from ({"kind": "leak", "by": "likeness", "val": v, "train": t} for v, t in found.near)
