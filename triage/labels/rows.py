"""Labelled rows: what people said is in a text or a recording.

A label is 1, 0 or absent. Absent is unknown, not 0: whoever labelled the source wasn't asked.
Between 0 and 1 it is the share of annotators who said 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from triage.records import Floats

Kind = Literal["labels", "events"]
Split = Literal["train", "val"]

YES = 0.5  # from here on a share of votes counts as 1: a tie fails towards a human look


@dataclass(frozen=True, slots=True)
class Labelled:
    """One labelled row.

    Attributes:
        id: Of the recording or text; the same id may come from several annotators.
        source, licence: Where it comes from and on which terms.
        group: What belongs together stays on one side of a split.
        split: "train" or "val".
        labels: 0..1 by category, for what was labelled.
        events: 0..1 by acoustic event, likewise.
        text: What was said or written, if the row has words.
        audio: The file, if the row has sound.
        annotator: Pseudonym of who labelled it; None if the source doesn't say.
        golden: Whether the answer is known beforehand, to measure annotators by.
        weight: Recordings that it stands for, over 0: 1 / its chance of having been sampled.
    """

    id: str
    source: str
    licence: str
    group: str
    split: Split
    labels: Mapping[str, float]
    events: Mapping[str, float]
    text: str | None = field(default=None, repr=False)
    audio: Path | None = field(default=None, repr=False)
    annotator: str | None = None
    golden: bool = False
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with one row.

    Attributes:
        file: Name of the file, without its folder.
        row: Counted from 1: the line of JSON lines and CSV, the row of Parquet, the task of
            Label Studio.
        field: Its name; "row" where the whole row is wrong.
        reason: What is wrong and what would be right. Never what the field holds.
    """

    file: str
    row: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}, field {self.field}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and every row that couldn't be.

    Attributes:
        rows: The good rows, in their order; ids may repeat, one row for each annotator.
        problems: The bad ones.
    """

    rows: list[Labelled]
    problems: list[Problem]


def row_digest(row: Labelled) -> int:
    """64 bits that stand for a row with its labels; another label makes it another row."""
    told = (row.id, row.text, sorted(row.labels.items()), sorted(row.events.items()))
    return int.from_bytes(hashlib.sha256(repr(told).encode()).digest()[:8])


def label_matrix(rows: Sequence[Labelled], kind: Kind, names: Sequence[str]) -> Floats:
    """Labels as an array of shape (rows, names): 0..1, or NaN for unknown."""
    found = [[getattr(row, kind).get(name, np.nan) for name in names] for row in rows]
    return np.array(found, np.float32).reshape(len(rows), len(names))
