"""Labelled rows from files: JSON lines, CSV, Parquet and Label Studio's export."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from triage.errors import LabelsRefused
from triage.labels.label_studio import read_export
from triage.labels.rows import Labelled, Problem, Reading, Split
from triage.labels.schema import FIELDS, Schema, Wrong, spread, unusable

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet", ".json")
LONGEST_CELL = 2**24  # characters of CSV; a quote that nobody closed swallows no more than that
BATCH = 4096  # rows of Parquet in memory besides those that are kept
MOST_TOLD = 3  # problems in the message that refuses the whole
TRUE_FALSE = {"true": True, "1": True, "false": False, "0": False}

# A row's number with what it holds, as JSON would have it, or with what is wrong with it.
Raw = tuple[int, Any]


def read_labels(
    paths: Sequence[Path], asked: Sequence[str] = (), unsplit: Split | None = None
) -> Reading:
    """Reads labelled rows, one at a time; a row that can't be used is told of and left out.

    Args:
        paths: Files whose names end in one of `SUFFIXES`, or folders, of which every such file
            below is read, by name. What a row holds is told in `triage.labels.schema`.
        asked: Names that every annotator of a Label Studio project was asked for, for tasks that
            don't say it themselves.
        unsplit: The split of rows that don't say theirs; by their group if not given.

    Returns:
        The good rows in their order, and everything that is wrong with the others. A file that
        breaks off has its rows up to there.

    Raises:
        LabelsRefused: A path can't be read from, or no row of any is good.
    """
    schema, rows, problems = Schema(unsplit), list[Labelled](), list[Problem]()
    files = [file for path in paths for file in _files(path)]
    for file in files:
        for number, raw in _raw_rows(file, asked):
            found = raw if isinstance(raw, tuple) else schema.row(raw, file.parent)
            if isinstance(found, Labelled):
                rows.append(found)
            else:
                problems += [Problem(file.name, number, *one) for one in found]
    if not rows:
        told = "".join(f"\n  {problem}" for problem in problems[:MOST_TOLD])
        raise LabelsRefused(
            f"There is no good row in {len(files)} files. Problems: {len(problems):,}{told}"
        )
    return Reading(rows, problems)


def _files(path: Path) -> list[Path]:
    """The file, or those of a folder that may hold labelled rows, except for hidden ones."""
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if _is_labels(file))
    else:
        found = [path] if path.is_file() and _is_labels(path) else []
    if not found:
        raise LabelsRefused(
            f"{path.name} is neither a file of labelled rows nor a folder of such files. Their "
            f"names end in {', '.join(SUFFIXES)}.",
            limit=list(SUFFIXES),
        )
    return found


def _is_labels(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES) and not file.name.startswith(".")


def _raw_rows(file: Path, asked: Sequence[str]) -> Iterator[Raw]:
    """What a file holds up to where it breaks off, which is told as the row after the last."""
    number = 0
    try:
        for number, raw in _parquet(file) if file.suffix == ".parquet" else _streamed(file, asked):
            yield number, raw
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        kind = type(error).__name__
        yield number + 1, (("row", f"and all after it can't be read: the file is cut or damaged, "
                            f"or not what its name says ({kind})"),)  # fmt: skip


def _streamed(file: Path, asked: Sequence[str]) -> Iterator[Raw]:
    readers: dict[str, Callable[[BinaryIO], Iterator[Raw]]] = {
        ".jsonl": _json_lines,
        ".csv": _csv,
        ".json": partial(read_export, asked=asked),
    }
    zipped = file.suffix.lower() == ".gz"
    kind = (file.with_suffix("") if zipped else file).suffix.lower()
    with gzip.open(file) if zipped else file.open("rb") as stream:
        yield from readers[kind](stream)  # type: ignore[arg-type]


def _json_lines(stream: BinaryIO) -> Iterator[Raw]:
    for number, line in enumerate(stream, 1):
        if line.isspace():
            continue
        try:
            yield number, json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError:
            yield number, (("row", "is not UTF-8"),)
        except (ValueError, RecursionError):
            yield number, (("row", "is not JSON"),)


def _csv(stream: BinaryIO) -> Iterator[Raw]:
    """Rows by the line on which they begin. Bytes that are no UTF-8 spoil only their own cell."""
    csv.field_size_limit(LONGEST_CELL)
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, strict=True)
    header: list[str] | None = None
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error:
            yield number, (("row", "is no CSV: a quote is left open, or stands inside a cell"),)
            continue
        if cells is None:
            break
        if header is None:
            header = cells
            if wrong := unusable(header):
                yield number, wrong
                return
        elif cells:
            yield number, _from_cells(header, cells)
    if header is None:
        yield 1, unusable([])


def _from_cells(header: Sequence[str], cells: Sequence[str]) -> dict[str, Any] | Wrong:
    """A row of CSV as one of JSON; a cell that isn't what it should be stays the text it is."""
    if len(cells) != len(header):
        return (("row", f"has {len(cells)} cells, the header has {len(header)}"),)
    row: dict[str, Any] = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    for name, cell in row.items():
        if name in ("labels", "events"):
            row[name] = _unfolded(cell)
        elif name == "golden":
            row[name] = TRUE_FALSE.get(cell.lower(), cell)
        elif name == "weight" or spread(name):
            row[name] = _number(cell)
    return row


def _unfolded(cell: object) -> object:
    """The object that a cell spells as JSON."""
    try:
        return json.loads(cell) if isinstance(cell, str) else cell
    except (ValueError, RecursionError):
        return cell


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _parquet(file: Path) -> Iterator[Raw]:
    """Rows of Parquet; labels as a struct, a map, a text of JSON, or columns of their own.

    Raises:
        OSError: The file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(file, pre_buffer=False) as table:
            names = table.schema_arrow.names
            if wrong := unusable(names):
                yield 1, wrong
                return
            wanted = [name for name in names if name in FIELDS or spread(name)]
            for batch in table.iter_batches(BATCH, columns=wanted):
                for row in batch.to_pylist(maps_as_pydicts="lossy"):
                    number += 1
                    yield number, row | {k: _unfolded(row.get(k)) for k in ("labels", "events")}
    except pa.ArrowException as error:
        raise OSError(type(error).__name__) from None
