"""Labelled rows from files."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from triage.errors import LabelsRefused
from triage.labels.rows import Labelled, Problem, Reading

SUFFIXES = (".jsonl", ".jsonl.gz")

_KNOWN_SPLITS = ("train", "val")


def read_labels(paths: Sequence[Path]) -> Reading:
    """Reads `.jsonl` or `.jsonl.gz`, one row a line; audio paths count from the file's folder.

    Args:
        paths: Files, or folders, of which every such file below is read.

    Raises:
        LabelsRefused: A file can't be read at all, or no row of any is good.
    """
    rows: list[Labelled] = []
    problems: list[Problem] = []
    for file in _files(paths):
        for number, line in _lines(file):
            try:
                rows.append(_row(json.loads(line), file.parent))
            except _Wrong as error:
                problems.append(Problem(file.name, number, error.field, error.reason))
            except (ValueError, RecursionError):
                problems.append(Problem(file.name, number, "row", "is not JSON"))
    if not rows:
        raise LabelsRefused(f"Not one good row among {len(problems)}.")
    return Reading(rows, problems)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES))
        else:
            yield path


class _Wrong(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    opened = gzip.open if file.suffix == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8") as stream:
            yield from ((n, line) for n, line in enumerate(stream, 1) if line.strip())
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise LabelsRefused(
            f"{file.name} can't be read to its end ({type(error).__name__}). It must be UTF-8 "
            "JSON lines, plain or gzip."
        ) from None


def _row(raw: Any, folder: Path) -> Labelled:
    if not isinstance(raw, dict):
        raise _Wrong("row", "is no object")
    audio, text = raw.get("audio"), raw.get("text")
    if audio is None and text is None:
        raise _Wrong("audio", "is missing, and so is text")
    split = raw.get("split", "val")
    if split not in _KNOWN_SPLITS:
        raise _Wrong("split", f"is none of {', '.join(_KNOWN_SPLITS)}")
    return Labelled(
        id=_text(raw, "id"),
        source=_text(raw, "source", "unknown"),
        licence=_text(raw, "licence", "unknown"),
        group=_text(raw, "group", _text(raw, "id")),
        split=split,
        labels=_flags(raw, "labels"),
        events=_flags(raw, "events"),
        text=_text(raw, "text") if text is not None else None,
        audio=folder / _text(raw, "audio") if audio is not None else None,
    )


def _text(raw: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = raw.get(name, default)
    if not isinstance(value, str) or not value:
        raise _Wrong(name, "is not a text")
    return value


def _flags(raw: Mapping[str, Any], name: str) -> dict[str, int]:
    value = raw.get(name, {})
    if not isinstance(value, dict) or any(label not in (0, 1) for label in value.values()):
        raise _Wrong(name, "is not an object of 0 and 1")
    return {key: int(label) for key, label in value.items()}
