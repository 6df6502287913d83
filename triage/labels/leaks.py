"""Rows to measure on that the rows to fit on give away.

A figure on such a row says how well a model remembers, not how well it will do. Two ways are
looked for: a group on both sides of the split, and the same thing under another id.

Words are nearly the same when the pairs of words that follow each other are, by their Jaccard
similarity (Broder 1997, "On the resemblance and containment of documents"). Every such pair of
rows is found, by prefix filtering (Chaudhuri, Ganti and Kaushik 2006; Bayardo, Ma and Srikant
2007): at a similarity of 0.8, two sets share one of the rarest fifth of their members. MinHash
finds most: with 64 permutations it missed 28 of 166, and took no less time.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from triage.errors import LabelsRefused
from triage.labels.resolve import same_sound
from triage.labels.rows import Labelled
from triage.records import Report
from triage.text import spoken_words

NEAR = Fraction(4, 5)  # Jaccard similarity; of twenty words one may be another

# Below it, sameness is no leak: people say the same. Of 26 corpora with 148,802 different texts,
# 14 % of those that had a near twin and 2 to 7 words had it in another corpus, where it can't have
# been copied from; of those of 8 words and more, 0.2 % (4 of 1,736).
LEAST_WORDS = 8

BUCKETS = 2**20  # in which pairs of words are counted; more makes the rare ones rarer
MOST_TOLD = 5  # ids in a message
STEP = 4096  # rows between two reports of the progress


@dataclass(frozen=True, slots=True)
class Leaks:
    """What training rows give away.

    Attributes:
        groups: Those that are on both sides of the split, in the order of the rows.
        grouped: Ids of their val rows.
        near: Ids of a val row and of the first train row that has nearly the same words, or
            exactly the same sound; each val row once, in their order.
    """

    groups: tuple[str, ...]
    grouped: tuple[str, ...]
    near: tuple[tuple[str, str], ...]

    def __bool__(self) -> bool:
        return bool(self.groups or self.near)


def leaks(rows: Sequence[Labelled], report: Report) -> Leaks:
    """Finds the val rows that train rows give away.

    Args:
        rows: Each id once (`triage.labels.resolve`).
        report: Told of the progress.
    """
    training = {row.group for row in rows if row.split == "train"}
    grouped = [row for row in rows if row.split == "val" and row.group in training]
    near = _near(rows, report) | _copies(rows)
    return Leaks(
        groups=tuple(dict.fromkeys(row.group for row in grouped)),
        grouped=tuple(row.id for row in grouped),
        near=tuple((rows[val].id, rows[train].id) for val, train in sorted(near.items())),
    )


def drop(rows: Sequence[Labelled], leaks: Leaks) -> list[Labelled]:
    """The rows without the val rows that leak."""
    leaking = {*leaks.grouped, *(val for val, _ in leaks.near)}
    return [row for row in rows if row.id not in leaking]


def refuse(leaks: Leaks) -> None:
    """Refuses rows that leak; names some, but no group, which may be the name of a speaker.

    Raises:
        LabelsRefused: There is a leak.
    """
    told = []
    if leaks.groups:
        told.append(
            f"{len(leaks.grouped):,} val rows are of {len(leaks.groups):,} groups that have train "
            f"rows too ({_first(leaks.grouped)})"
        )
    if leaks.near:
        pairs = [f"{val} like {train}" for val, train in leaks.near]
        told.append(f"{len(pairs):,} val rows are nearly the same as a train row ({_first(pairs)})")
    if told:
        raise LabelsRefused(
            f"Training rows give val rows away: {'; '.join(told)}. Take those val rows out with "
            "--leaks drop, or correct `group` and `split`: what belongs together goes to one side."
        )


def _first(told: Sequence[str]) -> str:
    return ", ".join([*told[:MOST_TOLD], "…"] if len(told) > MOST_TOLD else told)


def _copies(rows: Sequence[Labelled]) -> dict[int, int]:
    """The first train row with the same sound, by val row."""
    found: dict[int, int] = {}
    for places in same_sound(rows):
        train = next((place for place in places if rows[place].split == "train"), None)
        if train is not None:
            found |= {place: train for place in places if rows[place].split == "val"}
    return found


def _near(rows: Sequence[Labelled], report: Report) -> dict[int, int]:
    """The first train row with nearly the same words, by val row.

    Only the val rows' pairs of words are held in memory; the train rows pass by.
    """
    held = _Held(
        (place, _pairs(row, LEAST_WORDS)) for place, row in enumerate(rows) if row.split == "val"
    )
    found: dict[int, int] = {}
    for place, row in enumerate(rows):
        if row.split == "train":
            found |= dict.fromkeys(held.taken(_pairs(row)), place)
        if place % STEP == 0 or place + 1 == len(rows):
            report("looking for leaks", place + 1, len(rows))
    return found


class _Held:
    """Rows by the rarest of their pairs of words.

    Args:
        rows: Places of rows and their pairs of words.
    """

    def __init__(self, rows: Iterable[tuple[int, frozenset[int]]]) -> None:
        self._counts = array("L", bytes(array("L").itemsize * BUCKETS))
        self._places: defaultdict[int, list[int]] = defaultdict(list)  # of rows with equal pairs
        self._pairs: dict[int, array[int]] = {}
        for place, pairs in rows:
            if not pairs:
                continue
            key = hash(pairs)
            self._places[key].append(place)
            self._pairs[key] = array("q", pairs)
            for pair in pairs:
                self._counts[pair % BUCKETS] += 1
        self._by_pair: defaultdict[int, list[int]] = defaultdict(list)
        for key, those in self._pairs.items():
            for pair in self._rarest(those):
                self._by_pair[pair].append(key)

    def taken(self, pairs: frozenset[int]) -> list[int]:
        """The places of the rows that are near to this one; they aren't held any longer."""
        near: set[int] = set()
        for pair in self._rarest(pairs):
            if pair in self._by_pair:
                keys = [key for key in self._by_pair[pair] if key in self._pairs]
                near |= {key for key in keys if _are_near(pairs, self._pairs[key])}
                self._by_pair[pair] = keys
        for key in near:
            del self._pairs[key]
        return [place for key in near for place in self._places.pop(key)]

    def _rarest(self, pairs: Collection[int]) -> list[int]:
        """As many that two sets which are near must share one of them."""
        counts = self._counts
        ranked = sorted(pairs, key=lambda pair: (counts[pair % BUCKETS], pair))
        shared_at_least = -(-len(ranked) * NEAR.numerator // NEAR.denominator)
        return ranked[: len(ranked) - shared_at_least + 1]


def _are_near(one: frozenset[int], other: Collection[int]) -> bool:
    shared = sum(map(one.__contains__, other))
    # shared / (len(one) + len(other) - shared) >= NEAR, in whole numbers
    both = NEAR.numerator + NEAR.denominator
    return shared * both >= NEAR.numerator * (len(one) + len(other))


def _pairs(row: Labelled, least_words: int = 2) -> frozenset[int]:
    """The pairs of neighbouring words, as hashes; none for a row of fewer words."""
    if row.text is None or len(words := spoken_words(row.text)) < least_words:
        return frozenset()
    return frozenset(map(hash, pairwise(words)))
