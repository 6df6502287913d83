"""Manifests as tables: CSV and Parquet, a batch of rows in memory at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Self

from triage.archive.entries import Unreadable, plain
from triage.archive.kinds import suffix_of
from triage.archive.rows import DEEPEST_CONTEXT, FIELDS, IGNORED
from triage.archive.stores import BLOCK, opened
from triage.errors import BadEncoding, BadField, InputError, TooLarge

LONGEST_CELL = 2**23  # characters; a quote that nobody closed swallows no more than that
LONGEST_ROW = 2**23  # characters, of CSV; one row may have any number of cells and lines
BATCH = 256  # rows of Parquet in memory; each may hold a transcript of 1.2 MB
TEXTS = ("id", "audio", "text")
PREFIX = "context."  # of a column for one name of the context

Raw = tuple[str, Mapping[str, Any] | Unreadable]


def rows(table: str) -> Iterator[Raw]:
    """Each row with its place, as an object of a `.jsonl` manifest would have it.

    Raises:
        BadField: Its columns are not those of a manifest.
        OSError: It can't be read to its end.
    """
    with opened(table) as stream:
        yield from (_csv if suffix_of(table) == ".csv" else _parquet)(stream, plain(table))


def check(table: str) -> None:
    """Refuses a table by its columns.

    Raises:
        BadField: Columns are missing or not known.
        OSError: It can't be read.
    """
    with opened(table) as stream:
        if suffix_of(table) == ".csv":
            _header(_reader(stream)[1])
        else:
            with _open_parquet(stream) as parquet:
                check_columns(parquet.schema_arrow.names)


def count_rows(table: str) -> int:
    """How many rows it has, whatever is in them."""
    if suffix_of(table) == ".csv":
        return sum(1 for _ in rows(table))
    with opened(table) as stream, _open_parquet(stream) as parquet:
        return int(parquet.metadata.num_rows)


def check_columns(names: Sequence[str]) -> None:
    """Refuses columns that a manifest doesn't have, and the lack of those that it needs.

    Raises:
        BadField: No name of the caller's is told, only those that are known.
    """
    known = f"Known are {', '.join(FIELDS)} and {PREFIX}NAME."
    limit = [*FIELDS, f"{PREFIX}NAME"]
    if len(set(names)) < len(names):
        raise BadField(f"Two columns of the manifest have the same name. {known}", limit=limit)
    if "id" not in names:
        raise BadField(f"The manifest has no column id. {known}", limit=limit)
    if not {"audio", "text"} & set(names):
        raise BadField(f"The manifest has neither a column audio nor text. {known}", limit=limit)
    for number, name in enumerate(names, 1):
        in_context = name.startswith(PREFIX) and name != PREFIX
        if name not in FIELDS and name not in IGNORED and not in_context:
            message = f"Column number {number} of the manifest is not known. {known}"
            raise BadField(message, limit=limit)


def _as_object(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without what isn't given or isn't read, and the context in one.

    Raises:
        BadField: The context is not an object.
    """
    found = {name: row[name] for name in FIELDS if row.get(name) is not None}
    if isinstance(found.get("id"), int) and not isinstance(found["id"], bool):
        found["id"] = str(found["id"])
    context = _context(found.get("context"))
    for name, value in row.items():
        if name.startswith(PREFIX) and value is not None:
            context[name.removeprefix(PREFIX)] = _plain(value)
    if context:
        found["context"] = context
    else:
        found.pop("context", None)
    return found


def _context(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BadField("The column context is not JSON.") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadField("The column context is not an object.")
    found: dict[str, Any] = _plain({name: one for name, one in value.items() if one is not None})
    return found


def _plain(value: Any, depth: int = 0) -> Any:
    """Times and the like as JSON would have them, as policies are written for that."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    # What is deeper than that is refused with every row of any format.
    if isinstance(value, list) and depth <= DEEPEST_CONTEXT:
        return [_plain(one, depth + 1) for one in value]
    named = isinstance(value, dict) and all(isinstance(name, str) for name in value)
    if named and depth <= DEEPEST_CONTEXT:
        return {name: _plain(one, depth + 1) for name, one in value.items()}
    raise BadField("The column context holds what JSON has no kind for, or is nested too deep.")


def _told(place: str, row: Mapping[str, Any]) -> Raw:
    try:
        return place, _as_object(row)
    except InputError as error:
        id = row.get("id")
        return place, Unreadable(id if isinstance(id, str) and id else place, error)


# CSV -----------------------------------------------------------------------------------------


def _reader(stream: io.BufferedReader) -> tuple[_Lines, Any]:
    # Not pyarrow's: it ends with the first row that is no CSV, or leaves that out unsaid.
    csv.field_size_limit(LONGEST_CELL)
    lines = _Lines(io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline=""))
    return lines, csv.reader(lines, strict=True)


class _Lines:
    """Lines of a table, none longer than a row may be; nor may a row of many lines be."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.number = 0  # of those read
        self.left = LONGEST_ROW  # characters that may still be of the row that is read

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self.left + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > self.left:
            while line and not line.endswith(("\n", "\r")):
                line = self._text.readline(BLOCK)
            raise TooLarge(
                f"The row is longer than {LONGEST_ROW} characters. Send less text in one row.",
                limit=LONGEST_ROW,
            )
        self.left -= len(line)
        return line


def _header(reader: Any) -> list[str]:
    try:
        header = list(next(reader, []))
    except csv.Error:
        raise BadEncoding("The first line of the manifest is no header of CSV.") from None
    check_columns(header)
    return header


def _csv(stream: io.BufferedReader, name: str) -> Iterator[Raw]:
    """Rows by the line on which they begin; bytes that are no UTF-8 spoil only their own row."""
    lines, reader = _reader(stream)
    header = _header(reader)
    while True:
        place = f"{name}:{lines.number + 1}"
        lines.left = LONGEST_ROW
        try:
            cells = next(reader, None)
        except TooLarge as error:
            yield place, Unreadable(place, error)
            continue
        except csv.Error:
            message = "The row is no CSV: a quote is left open, or stands inside a cell."
            yield place, Unreadable(place, BadEncoding(message))
            continue
        if cells is None:
            return
        if not cells:
            continue
        if len(cells) != len(header):
            message = f"The row has {len(cells)} cells, the header has {len(header)}."
            yield place, Unreadable(place, BadField(message))
            continue
        yield _told(place, {name: cell or None for name, cell in zip(header, cells, strict=True)})


# Parquet -------------------------------------------------------------------------------------


def _open_parquet(stream: io.BufferedReader) -> Any:
    """The file of a stream.

    Raises:
        BadEncoding: It is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Text of which many rows have the same isn't written out for each: a file of kilobytes
        # could fill the memory.
        names = pq.ParquetFile(stream, pre_buffer=False).schema_arrow.names
        stream.seek(0)
        texts = [one for one in TEXTS if one in names]
        return pq.ParquetFile(stream, pre_buffer=False, read_dictionary=texts)
    except (pa.ArrowException, OSError):
        raise _damaged() from None


def _damaged() -> BadEncoding:
    return BadEncoding("The manifest breaks off, is damaged, encrypted, or is no Parquet file.")


def _parquet(stream: io.BufferedReader, name: str) -> Iterator[Raw]:
    import pyarrow as pa

    number = 0
    with _open_parquet(stream) as table:
        names = table.schema_arrow.names
        check_columns(names)
        wanted = [one for one in names if one in FIELDS or one.startswith(PREFIX)]
        try:
            for batch in table.iter_batches(BATCH, columns=wanted):
                for at in range(batch.num_rows):
                    number += 1
                    yield _from_batch(f"{name}:{number}", batch.slice(at, 1))
        except (pa.ArrowException, OSError):
            raise _damaged() from None


def _from_batch(place: str, batch: Any) -> Raw:
    """A row by itself, so that what is wrong with it is no matter of the others."""
    try:
        (row,) = batch.to_pylist(maps_as_pydicts="strict")
    except (ValueError, KeyError):  # of which neither says what a caller wrote
        message = "The row has text that isn't UTF-8, or a map with a name twice."
        return place, Unreadable(place, BadEncoding(message))
    if any(isinstance(one, str) and len(one) > LONGEST_CELL for one in row.values()):
        message = f"The row has a text longer than {LONGEST_CELL} characters. Send less."
        return place, Unreadable(place, TooLarge(message, limit=LONGEST_CELL))
    return _told(place, row)
