"""Labelled rows: what people said is in a text or a recording, read from JSON lines.

A label is 1, 0 or absent. Absent is unknown, not 0: whoever labelled the source wasn't asked.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from triage.errors import LabelsRefused

MOST_PROBLEMS = 20  # told in one report; the rest are counted
_KNOWN_SPLITS = ("train", "val")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One labelled row.

    Attributes:
        id: Of the row.
        source, licence: Where it comes from and on which terms.
        group: What belongs together stays on one side of a split.
        split: "train" or "val".
        labels: 0 or 1 by category, for what was labelled.
        events: 0 or 1 by acoustic event, likewise.
        text: What was said or written, if the row has words.
        audio: The file, if the row has sound.
    """

    id: str
    source: str
    licence: str
    group: str
    split: Literal["train", "val"]
    labels: Mapping[str, int]
    events: Mapping[str, int]
    text: str | None = field(default=None, repr=False)
    audio: Path | None = field(default=None, repr=False)


def read_labels(file: Path) -> list[Labelled]:
    """Reads `.jsonl` or `.jsonl.gz`, one row a line; audio paths count from the file's folder.

    Raises:
        LabelsRefused: Any row is wrong. The report names line, field and reason for the first
            twenty, never a text.
    """
    rows: list[Labelled] = []
    problems: list[str] = []
    seen: set[str] = set()
    for number, line in _lines(file):
        try:
            row = _row(json.loads(line), file.parent)
            if row.id in seen:
                raise _Wrong("id", "is there twice")
            seen.add(row.id)
            rows.append(row)
        except _Wrong as error:
            problems.append(f"line {number}, {error}")
        except (ValueError, RecursionError):
            problems.append(f"line {number} is not JSON")
    if problems or not rows:
        told = "; ".join(problems[:MOST_PROBLEMS]) or "no row"
        more = (
            f"; and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        )
        raise LabelsRefused(f"{file.name}: {told}{more}. Correct these rows.")
    return rows


def label_matrix(
    rows: Sequence[Labelled], kind: Literal["labels", "events"], names: Sequence[str]
) -> NDArray[np.float32]:
    """Labels as an array of shape (rows, names): 0, 1, or NaN for unknown."""
    found = [[getattr(row, kind).get(name, np.nan) for name in names] for row in rows]
    return np.array(found, np.float32).reshape(len(rows), len(names))


class _Wrong(Exception):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"field {name}: {reason}")


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
