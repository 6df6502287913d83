"""Labelled rows to files, in the schema of `triage.labels.schema`; whole or not at all."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Literal

from triage import files
from triage.errors import LabelsRefused
from triage.labels.rows import Labelled, Problem

Format = Literal["jsonl", "csv", "parquet"]
SUFFIXES: Mapping[Format, tuple[str, ...]] = {
    "jsonl": (".jsonl", ".jsonl.gz"),
    "csv": (".csv", ".csv.gz"),
    "parquet": (".parquet",),
}

# Each field's order and what it means to leave it out; None where it can't be left out.
LEFT_OUT: Mapping[str, Any] = {
    "id": None,
    "text": None,
    "audio": None,
    "labels": {},
    "events": {},
    "source": None,
    "licence": None,
    "group": None,
    "split": None,
    "annotator": None,
    "golden": False,
    "weight": 1.0,
}
BATCH = 4096  # rows of Parquet that are gathered in memory


def write_rows(rows: Iterable[Labelled], out: Path, format: Format) -> None:
    """Writes rows so that `read_labels` reads the same ones.

    Args:
        rows: Any number; they are not held in memory.
        out: Its name must end as `SUFFIXES` has it for the format. Audio that lies below its
            folder is named from there, so that both may be moved together.
        format: How.

    Raises:
        LabelsRefused: The name doesn't fit, or the file can't be written.
    """
    if not out.name.endswith(SUFFIXES[format]):
        raise LabelsRefused(
            f"{out.name} would not be read as {format}. Let its name end in "
            f"{' or '.join(SUFFIXES[format])}, or choose another format.",
            limit=list(SUFFIXES[format]),
        )
    folder = out.absolute().parent
    raw = (as_json(row, folder) for row in rows)
    with whole(out) as stream:
        if out.suffix == ".gz":
            with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as zipped:
                WRITERS[format](raw, zipped)
        else:
            WRITERS[format](raw, stream)


@contextmanager
def whole(out: Path) -> Iterator[BinaryIO]:
    """A stream to a file that is there when all of it is written, and as it was before until then.

    Only its owner may read it, for most of what is written here holds what was said.

    Raises:
        LabelsRefused: It can't be written.
    """
    try:
        with files.whole(out) as stream:
            yield stream
    except OSError as error:
        raise LabelsRefused(
            f"{out.name} can't be written ({error.strerror or type(error).__name__}); what was "
            "there before still is. Make room, or choose another place."
        ) from None


def write_problems(
    problems: Iterable[Problem], out: Path, more: Iterable[Mapping[str, object]] = ()
) -> None:
    """Writes problems as JSON lines of their own kind, "problem".

    Args:
        problems: What was wrong with which row.
        out: The file.
        more: Lines to write after them.

    Raises:
        LabelsRefused: The file can't be written.
    """
    told = ({"kind": "problem", **asdict(problem)} for problem in problems)
    with whole(out) as stream:
        _json_lines(chain(told, more), stream)


def as_json(row: Labelled, folder: Path) -> dict[str, Any]:
    """A row as an object of the schema, without what need not be said.

    Args:
        row: The row.
        folder: Of the file that it goes to, absolute; audio below it is named from there.
    """
    raw = {name: getattr(row, name) for name in LEFT_OUT}
    if row.audio is not None:
        audio = row.audio.absolute()
        raw["audio"] = str(audio.relative_to(folder) if audio.is_relative_to(folder) else audio)
    return {name: value for name, value in raw.items() if value != LEFT_OUT[name]}


def _json_lines(rows: Iterator[Mapping[str, Any]], stream: BinaryIO) -> None:
    for row in rows:
        stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _csv(rows: Iterator[Mapping[str, Any]], stream: BinaryIO) -> None:
    text = io.TextIOWrapper(stream, "utf-8", newline="")
    writer = csv.DictWriter(text, LEFT_OUT)
    writer.writeheader()
    for row in rows:
        folded = {
            name: json.dumps(row[name], ensure_ascii=False)
            for name in ("labels", "events", "golden")
            if name in row
        }
        writer.writerow({**row, **folded})
    text.detach()


def _parquet(rows: Iterator[Mapping[str, Any]], stream: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = dict.fromkeys(LEFT_OUT, pa.string())
    kinds |= dict.fromkeys(("labels", "events"), pa.map_(pa.string(), pa.float64()))
    schema = pa.schema(kinds | {"golden": pa.bool_(), "weight": pa.float64()})
    with pq.ParquetWriter(stream, schema) as writer:
        while batch := list(islice(rows, BATCH)):
            mapped = [
                {**row, **{k: list(row[k].items()) for k in ("labels", "events") if k in row}}
                for row in batch
            ]
            writer.write_batch(pa.RecordBatch.from_pylist(mapped, schema=schema))


WRITERS: Mapping[Format, Callable[[Iterator[Mapping[str, Any]], Any], None]] = {
    "jsonl": _json_lines,
    "csv": _csv,
    "parquet": _parquet,
}
