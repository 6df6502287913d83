"""What both models say of the same rows, as arrays.

A scored row with its names and mappings takes kilobytes, its figures tens of bytes; so rows are
taken in chunk by chunk, and only their figures are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from triage.labels.rows import YES, Kind, label_matrix
from triage.measure.evaluate import Scored
from triage.measure.slices import slices
from triage.records import Doubles

Slice = tuple[str, str]  # kind and name


class Pair(NamedTuple):
    """A row as both models score it."""

    champion: Scored
    challenger: Scored


@dataclass(frozen=True, slots=True)
class Table:
    """Labels and scores of one kind.

    Attributes:
        names: Of the columns: categories or events that both models score.
        labels: 0, 1, or not a number where it is unknown, shape (n, names).
        champion, challenger: Probabilities, the same shape.
        groups: A number for each row's group, shape (n,).
    """

    names: tuple[str, ...]
    labels: Doubles
    champion: Doubles
    challenger: Doubles
    groups: NDArray[np.int64]


class Gathered:
    """Takes rows in and keeps their figures.

    Args:
        categories, events: That both models score.
    """

    def __init__(self, categories: Sequence[str], events: Sequence[str]) -> None:
        self.rows = 0
        self._names: Mapping[Kind, tuple[str, ...]] = {
            "labels": tuple(categories),
            "events": tuple(events),
        }
        self._tables: dict[Kind, list[Table]] = {kind: [] for kind in self._names}
        self._codes: dict[str, int] = {}
        self._places: dict[Slice, list[NDArray[np.int64]]] = {}

    def add(self, pairs: Sequence[Pair]) -> None:
        """Takes in some rows more."""
        places: dict[Slice, list[int]] = {}
        for place, pair in enumerate(pairs, self.rows):
            for part in slices(pair.champion):
                places.setdefault(part, []).append(place)
        for part, those in places.items():
            self._places.setdefault(part, []).append(np.array(those))
        for kind in self._names:
            scored = [pair for pair in pairs if all(_of(one, kind) for one in pair)]
            self._tables[kind].append(self._table(scored, kind))
        self.rows += len(pairs)

    def table(self, kind: Kind) -> Table:
        """All rows that have scores of a kind: every row of categories, every clip of events."""
        parts = self._tables[kind]
        return Table(
            self._names[kind],
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.champion for part in parts]),
            np.concatenate([part.challenger for part in parts]),
            np.concatenate([part.groups for part in parts]),
        )

    def slices(self) -> dict[Slice, NDArray[np.int64]]:
        """Which rows of the categories' table each part of the rows holds, in order of name."""
        return {part: np.concatenate(self._places[part]) for part in sorted(self._places)}

    def _table(self, pairs: Sequence[Pair], kind: Kind) -> Table:
        names = self._names[kind]
        rows = [pair.champion.row for pair in pairs]
        shares = label_matrix(rows, kind, names).astype(np.float64)
        champion, challenger = (
            np.array([[_of(pair[side], kind)[name] for name in names] for pair in pairs])
            for side in (0, 1)
        )
        return Table(
            names,
            np.where(np.isnan(shares), np.nan, shares >= YES),
            champion.reshape(shares.shape),
            challenger.reshape(shares.shape),
            np.array([self._codes.setdefault(r.group, len(self._codes)) for r in rows], np.int64),
        )


def _of(scored: Scored, kind: Kind) -> Mapping[str, float]:
    return scored.categories if kind == "labels" else scored.events
