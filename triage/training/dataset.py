"""Labelled rows and their features as what is fitted on and what is measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from triage.classifier import Head
from triage.errors import LabelsRefused
from triage.labels.rows import YES, Kind, Labelled, label_matrix
from triage.manifest import SourceNote
from triage.records import Doubles, Floats
from triage.taxonomy import ADDRESSED, CATEGORIES, EVENTS
from triage.training.features import SoundFeatures
from triage.training.fit import CHUNK, FOLDS, LEAST_POSITIVES, Integers, Rows

TAXONOMY: Mapping[Kind, tuple[str, ...]] = {"labels": CATEGORIES, "events": EVENTS}


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows held out from fitting and calibration, as they are served.

    Attributes:
        vectors: Shape (vectors, width).
        at: Which vector each row has, shape (rows,).
        item: Of each row, counted from 0, shape (rows,).
        items: Which of the labelled items each is, rising, shape (items,).
        labels: Shape (items, names): 0, 1, or NaN for unknown.
        groups: Shape (items,).
    """

    vectors: Floats = field(repr=False)
    at: Integers = field(repr=False)
    item: Integers = field(repr=False)
    items: Integers = field(repr=False)
    labels: Doubles = field(repr=False)
    groups: Integers = field(repr=False)

    def scores(self, head: Head) -> Doubles:
        """Each item's highest probability over its rows, shape (items, names)."""
        highest = np.full((len(self.groups), len(head.names)), -np.inf, np.float32)
        for start in range(0, len(self.at), CHUNK):
            some = slice(start, start + CHUNK)
            np.maximum.at(highest, self.item[some], head.logits(self.vectors[self.at[some]]))
        return head.calibrated(highest)


def named(rows: Iterable[Labelled], kind: Kind) -> tuple[str, ...]:
    """Every name in the rows' labels: the taxonomy's in its order, then others by the alphabet."""
    found = {name for row in rows for name in getattr(row, kind)} - {ADDRESSED}
    first = TAXONOMY[kind]
    return (*(n for n in first if n in found), *sorted(found - set(first)))


def trainable(labelled: Sequence[Labelled], kind: Kind, names: Sequence[str]) -> tuple[str, ...]:
    """The names with enough of both labels among the training items, in enough groups for folds.

    Raises:
        LabelsRefused: Not one name has; says what each has.
    """
    fitted = [row for row in labelled if row.split == "train"]
    counts = {name: _counted(fitted, kind, name) for name in names}
    enough = tuple(name for name in names if _enough(counts[name]))
    if not enough:
        has = "; ".join(f"{name} has {_told(counts[name])}" for name in names) or "none is labelled"
        raise LabelsRefused(
            f"No name in {kind} has {LEAST_POSITIVES} items of each label in {FOLDS} groups to "
            f"train on: {has}. Label more.",
            limit=LEAST_POSITIVES,
        )
    return enough


def text_rows(
    texts: Sequence[Labelled], vectors: Floats, tuned: NDArray[np.bool_] | None = None
) -> Rows:
    """One row for each text; labels are still to be put in by `split`.

    Args:
        texts: The rows.
        vectors: Of each, shape (texts, width); not a number where there are no words after all.
        tuned: Which texts the encoder was tuned on, shape (texts,); none if not given.
    """
    count = len(texts)
    rows = Rows(
        vectors=vectors,
        at=np.arange(count),
        labels=np.empty((count, 0), np.float32),
        sources=codes(row.source for row in texts),
        groups=codes(row.group for row in texts),
        weights=np.ones(count, np.float32),
        stands=np.array([row.weight for row in texts], np.float32),
        item=np.arange(count),
        served=np.ones(count, bool),
        fresh=np.ones(count, bool) if tuned is None else ~tuned,
    )
    return rows.only(~np.isnan(vectors[:, 0]))


def sound_rows(clips: Sequence[Labelled], sound: SoundFeatures) -> Rows:
    """All rows of all clips; a clip's rows share its weight, only unvaried windows are served."""
    per_clip = np.bincount(sound.clip, minlength=len(clips))
    return Rows(
        vectors=sound.vectors,
        at=np.arange(len(sound.clip)),
        labels=np.empty((len(sound.clip), 0), np.float32),
        sources=codes(row.source for row in clips)[sound.clip],
        groups=codes(row.group for row in clips)[sound.clip],
        weights=(1 / per_clip[sound.clip]).astype(np.float32),
        stands=np.array([row.weight for row in clips], np.float32)[sound.clip],
        item=sound.clip,
        served=(sound.variant == 0) & ~sound.whole,
        fresh=np.ones(len(sound.clip), bool),
    )


def split(
    rows: Rows,
    labelled: Sequence[Labelled],
    kind: Kind,
    names: Sequence[str],
    measured: Sequence[str],
    fit: NDArray[np.bool_],
) -> tuple[Rows, Measured]:
    """The labelled rows to fit on, and those to measure on.

    Args:
        rows: Without labels.
        labelled: By item.
        kind: Which of their labels.
        names: The columns that the labels to fit on are to have.
        measured: The columns that the labels to measure on are to have.
        fit: Which items of split "train" are fitted on, shape (items,).
    """
    training = np.array([row.split == "train" for row in labelled], bool)
    fitted = rows.only((training & fit)[rows.item])
    labels = label_matrix(labelled, kind, names)[fitted.item]
    held = rows.only(~training[rows.item] & rows.served)
    items, first, index = np.unique(held.item, return_index=True, return_inverse=True)
    truth = label_matrix([labelled[item] for item in items], kind, measured).astype(np.float64)
    hard = np.where(np.isnan(truth), np.nan, truth >= YES)
    return (
        replace(fitted, labels=labels),
        Measured(rows.vectors, held.at, index, items, hard, held.groups[first]),
    )


def lineage(
    texts: Sequence[Labelled], clips: Sequence[Labelled], before: Sequence[SourceNote]
) -> tuple[SourceNote, ...]:
    """What went in: these rows, and what a base was made from."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for kind, rows in (("text", texts), ("audio", clips)):
        counts.update((kind, row.source, row.licence, row.split) for row in rows)
    for note in before:
        counts[note.kind, note.source, note.licence, "train"] += note.train
        counts[note.kind, note.source, note.licence, "val"] += note.val
    kinds = sorted({one[:3] for one in counts}, key=lambda one: (one[0] != "text", one))
    return tuple(
        SourceNote(
            kind=kind,
            source=source,
            licence=licence,
            train=counts[kind, source, licence, "train"],
            val=counts[kind, source, licence, "val"],
        )
        for kind, source, licence in kinds
    )


def _counted(rows: Sequence[Labelled], kind: Kind, name: str) -> dict[bool, list[str]]:
    """The groups of the rows with either label, one for each row."""
    groups: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        if (label := getattr(row, kind).get(name)) is not None:
            groups[label >= YES].append(row.group)
    return groups


def _enough(counted: Mapping[bool, Sequence[str]]) -> bool:
    return all(
        len(groups) >= LEAST_POSITIVES and len(set(groups)) >= FOLDS for groups in counted.values()
    )


def _told(counted: Mapping[bool, Sequence[str]]) -> str:
    parts = ((True, "positives"), (False, "negatives"))
    return " and ".join(
        f"{len(counted[label])} {word} in {len(set(counted[label]))} groups"
        for label, word in parts
    )


def codes(values: Iterable[str]) -> Integers:
    """A number for each distinct text, in the order in which they appear."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(value, len(known)) for value in values], np.int64)
