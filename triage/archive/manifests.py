"""Manifests: files with one recording a row, and text with one transcript a line.

    id       the caller's own name for the recording; needed
    audio    path of an audio file, or a URL; a relative one counts from the manifest's folder
    text     the caller's transcript; audio, text or both
    context  an object for the caller's policy; may be left out

A `.jsonl` file has one object a line. A `.csv` file has a header, `context` as JSON or in columns
like `context.locale`, and an empty cell is none. A `.parquet` file has the same columns, and
`context` as a struct, a map or JSON.

What a labelled row says about itself besides (`triage.archive.rows.IGNORED`) is not read, so a
labelled file can be scored as it is. Any other field is an error: a misspelt one would go
unscored without a word.

Whatever can't be read becomes an `Unreadable` in its place, and reading goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, BinaryIO

from triage.archive import tables
from triage.archive.entries import Entry, Row, Unreadable, plain
from triage.archive.kinds import suffix_of
from triage.archive.rows import from_row
from triage.archive.stores import opened, reason
from triage.errors import (
    BadEncoding,
    BadField,
    InputError,
    SetupError,
    TooLarge,
)
from triage.records import Recording

LONGEST_LINE = 8 * 2**20  # bytes; the longest transcript allowed by default takes 1.2 MB at most


def entries(manifest: str) -> Iterator[Entry]:
    """The rows of a manifest in their order, without opening any audio."""
    try:
        if suffix_of(manifest) == ".jsonl":
            with opened(manifest) as stream:
                for place, line in _lines(stream, plain(manifest)):
                    yield line if isinstance(line, Unreadable) else _row(line, place, manifest)
        else:
            for place, row in tables.rows(manifest):
                yield row if isinstance(row, Unreadable) else from_row(row, place, manifest)
    except SetupError:
        raise
    except InputError as error:
        yield Unreadable(plain(manifest), error)
    except Exception as error:  # each store has errors of its own
        message = f"The manifest can't be read to its end: {reason(error)}."
        yield Unreadable(plain(manifest), BadEncoding(message))


def check(manifest: str) -> None:
    """Refuses a table whose columns aren't those of a manifest, before any row is read.

    Raises:
        BadField: Columns are missing or not known.
    """
    if suffix_of(manifest) != ".jsonl":
        tables.check(manifest)


def count_rows(manifest: str) -> int:
    """How many rows it has, whatever is in them."""
    if suffix_of(manifest) != ".jsonl":
        return tables.count_rows(manifest)
    with opened(manifest) as stream:
        return sum(1 for _ in _lines(stream, ""))


def read_lines(stream: BinaryIO, name: str) -> Iterator[Row]:
    """Reads each line of UTF-8 as one transcript; blank lines are left out.

    Args:
        stream: What to read; not closed.
        name: Of the stream. A line's id is this, a colon and its number, from 1.
    """
    for place, line in _lines(stream, name):
        if isinstance(line, Unreadable):
            yield line
            continue
        try:
            yield Recording(place, transcript=line.decode().strip())
        except UnicodeDecodeError:
            yield Unreadable(place, BadEncoding("The line is not UTF-8. Convert the text."))


def _lines(stream: BinaryIO, name: str) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Each line that isn't blank, with its place; one that is too long is passed over."""
    for number in count(1):
        line = stream.readline(LONGEST_LINE + 1)
        if not line:
            return
        place, long = f"{name}:{number}", len(line) > LONGEST_LINE
        while long and line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
        if long:
            message = f"The line is longer than {LONGEST_LINE} bytes. Send less text in one line."
            yield place, Unreadable(place, TooLarge(message, limit=LONGEST_LINE))
        elif line.strip():
            yield place, line


def _row(line: bytes, place: str, manifest: str) -> Entry:
    try:
        return from_row(_object(line), place, manifest)
    except InputError as error:
        return Unreadable(place, error)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):  # the text that a parser leaves out would go unscored
        raise BadField("The line has a name twice in one object. Give each once.")
    return found


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        row = json.loads(line, object_pairs_hook=_each_once)
    except (ValueError, RecursionError):
        raise BadEncoding("The line is not JSON in UTF-8. Write one object a line.") from None
    if not isinstance(row, dict):
        raise BadField("The line is not an object. Write one object a line.")
    return row
