"""Labelled rows and their features as what is fitted on and what is measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from triage.artefact import SourceNote
from triage.classifier import Head
from triage.errors import LabelsRefused
from triage.labels.rows import Labelled, label_matrix
from triage.records import Doubles, Floats
from triage.training.features import SoundFeatures
from triage.training.fit import FOLDS, LEAST_POSITIVES, Rows

NOT_SCORED = frozenset({"directed"})  # labelled, but no category: it tells whom somebody spoke to

Kind = Literal["labels", "events"]


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows held out from fitting and calibration, as they are served.

    Attributes:
        vectors: Shape (rows, width).
        item: Of each row, counted from 0, shape (rows,).
        labels: Shape (items, names).
        groups: Shape (items,).
    """

    vectors: Floats = field(repr=False)
    item: NDArray[np.int64] = field(repr=False)
    labels: Floats = field(repr=False)
    groups: NDArray[np.str_] = field(repr=False)

    def scores(self, head: Head) -> Doubles:
        """Each item's highest probability over its rows, shape (items, names)."""
        highest = np.full((len(self.groups), len(head.names)), -np.inf, np.float32)
        np.maximum.at(highest, self.item, head.logits(self.vectors))
        return head.calibrated(highest)


def permitted(
    rows: Sequence[Labelled], excluded: Sequence[str], kind: Literal["text", "audio"]
) -> list[Labelled]:
    """The rows of one kind whose licence holds none of the excluded words, case ignored.

    Raises:
        LabelsRefused: An audio file is missing, or nothing is left to train on.
    """
    words = [word.lower() for word in excluded]
    kept = [row for row in rows if not any(word in row.licence.lower() for word in words)]
    kept = [row for row in kept if (row.text if kind == "text" else row.audio) is not None]
    missing = [row for row in kept if row.audio is not None and not row.audio.is_file()]
    if missing:
        raise LabelsRefused(
            f"{len(missing)} of {len(kept)} audio files are missing, row {missing[0].id}'s first. "
            "Restore them, or take their rows out."
        )
    if not any(row.split == "train" for row in kept):
        raise LabelsRefused(
            f"No {kind} row to train on is left after the licences {list(excluded)} were left out."
        )
    return kept


def named(rows: Sequence[Labelled], kind: Kind, first: Sequence[str]) -> tuple[str, ...]:
    """Every name in the rows' labels: the taxonomy's in its order, then others by the alphabet."""
    found = {name for row in rows for name in getattr(row, kind)} - NOT_SCORED
    return (*(n for n in first if n in found), *sorted(found - set(first)))


def trainable(labelled: Sequence[Labelled], kind: Kind, names: Sequence[str]) -> tuple[str, ...]:
    """The names with enough of both labels among the training items, in enough groups for folds.

    Raises:
        LabelsRefused: Not one name has.
    """
    fitted = [row for row in labelled if row.split == "train"]
    enough = tuple(name for name in names if _least(fitted, kind, name))
    if not enough:
        raise LabelsRefused(
            f"No name in {kind} has {LEAST_POSITIVES} items of each label in {FOLDS} groups. "
            "Label more.",
            limit=LEAST_POSITIVES,
        )
    return enough


def _least(rows: Sequence[Labelled], kind: Kind, name: str) -> bool:
    for label in (0, 1):
        groups = [row.group for row in rows if getattr(row, kind).get(name) == label]
        if len(groups) < LEAST_POSITIVES or len(set(groups)) < FOLDS:
            return False
    return True


def text_rows(texts: Sequence[Labelled], vectors: Floats) -> Rows:
    """One row for each text; labels are still to be put in by `split`."""
    count = len(texts)
    return Rows(
        vectors=vectors,
        labels=np.empty((count, 0), np.float32),
        sources=np.array([row.source for row in texts]),
        groups=np.array([row.group for row in texts]),
        weights=np.ones(count, np.float32),
        item=np.arange(count),
        served=np.ones(count, bool),
    )


def sound_rows(clips: Sequence[Labelled], sound: SoundFeatures) -> Rows:
    """All rows of all clips; a clip's rows share its weight, only unvaried windows are served."""
    per_clip = np.bincount(sound.clip, minlength=len(clips))
    return Rows(
        vectors=sound.vectors,
        labels=np.empty((len(sound.clip), 0), np.float32),
        sources=np.array([row.source for row in clips])[sound.clip],
        groups=np.array([row.group for row in clips])[sound.clip],
        weights=(1 / per_clip[sound.clip]).astype(np.float32),
        item=sound.clip,
        served=(sound.variant == 0) & ~sound.whole,
    )


def split(
    rows: Rows, labelled: Sequence[Labelled], kind: Kind, names: Sequence[str]
) -> tuple[Rows, Measured]:
    """The labelled rows to fit on, and those to measure on.

    Args:
        rows: Without labels.
        labelled: By item.
        kind: Which of their labels.
        names: The columns that the labels are to have.
    """
    labels = label_matrix(labelled, kind, names)
    fitted = np.array([row.split == "train" for row in labelled])[rows.item]
    part = Rows(
        rows.vectors[fitted],
        labels[rows.item[fitted]],
        rows.sources[fitted],
        rows.groups[fitted],
        rows.weights[fitted],
        rows.item[fitted],
        rows.served[fitted],
    )
    held = ~fitted & rows.served
    items, first, index = np.unique(rows.item[held], return_index=True, return_inverse=True)
    return part, Measured(rows.vectors[held], index, labels[items], rows.groups[held][first])


def lineage(rows: Sequence[Labelled], kind: str) -> list[SourceNote]:
    counts = Counter((row.source, row.licence, row.split) for row in rows)
    return [
        SourceNote(
            kind=kind,
            source=source,
            licence=licence,
            train=counts[source, licence, "train"],
            val=counts[source, licence, "val"],
        )
        for source, licence in sorted({(s, l) for s, l, _ in counts})  # noqa: E741
    ]
