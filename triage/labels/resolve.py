"""Rows of one recording become one row; what contradicts itself is told of."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from triage.labels.rows import YES, Kind, Labelled, Split
from triage.labels.schema import SPREAD
from triage.text import spoken_words
from triage.weights import sha256

FIELD: Mapping[Kind, str] = {kind: word for word, kind in SPREAD.items()}  # label.…, event.…
HIDDEN = frozenset({"text", "audio", "group"})  # tell what was said, or by whom


@dataclass(frozen=True, slots=True)
class Conflict:
    """Rows that can't all be right.

    Attributes:
        ids: The one id that they have; or, where it is different rows that are alike, the first
            of them that says 0 and the first that says 1.
        name: The field; for an answer, as in `label.violence` and `event.scream`.
        values: How many rows say what; empty for a text, a path and a group, which may tell what
            was said or by whom.
        alike: What makes them one: their id, their words or their sound.
    """

    ids: tuple[str, ...]
    name: str
    values: Mapping[str, int]
    alike: Literal["id", "words", "sound"] = "id"

    def __str__(self) -> str:
        told = ", ".join(f"{count} × {value}" for value, count in self.values.items())  # noqa: RUF001
        among = "" if self.alike == "id" else f" for the same {self.alike}"
        return f"{' and '.join(self.ids)}, {self.name}{among}: {told or 'differ'}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """One row for each id, and what had to be decided on the way."""

    rows: list[Labelled]
    conflicts: list[Conflict]


def resolve(rows: Sequence[Labelled]) -> Resolved:
    """Makes one row of the rows of one id, and finds labels that contradict each other.

    An answer is the share of the rows' votes, each row counting the same; where a row is golden,
    the golden rows' answer is taken and no other. What no row answers stays unknown. Of anything
    else that should be the same the first is kept, with two exceptions: the largest weight, and
    the split "train" if there are both, for nothing may be measured on what was fitted on.
    "unknown" is no source and no licence, and a row's own id no group, when another row has one.

    Different ids with the same words, or with the same sound, and opposite answers are told of
    and left: to a logistic loss, a row with 0 and one with 1 are what two with 0.5 are.

    Args:
        rows: Of any number of annotators.

    Returns:
        The rows in the order in which their ids first came; one whose id is its own is the same
        object. The conflicts by id, then by words, then by sound.
    """
    first: dict[str, int] = {}
    more: dict[int, list[Labelled]] = {}
    for place, row in enumerate(rows):
        at = first.setdefault(row.id, place)
        if at != place:
            more.setdefault(at, [rows[at]]).append(row)
    conflicts: list[Conflict] = []
    joined = [_joined(more[at], conflicts) if at in more else rows[at] for at in first.values()]
    conflicts += _opposed(joined, same_words(joined), "words")
    conflicts += _opposed(joined, same_sound(joined), "sound")
    return Resolved(joined, conflicts)


def same_words(rows: Sequence[Labelled]) -> list[list[int]]:
    """Places of rows that are nothing but words, and the same ones as a transcriber writes them.

    Returns:
        At least two places each, rising. Words are told apart by 64 bits of hash.
    """
    spoken = (
        (place, hash(" ".join(words)))
        for place, row in enumerate(rows)
        if row.text is not None and row.audio is None and (words := spoken_words(row.text))
    )
    return _repeated(spoken)


def same_sound(rows: Sequence[Labelled]) -> list[list[int]]:
    """Places of rows whose audio files are the same byte by byte (by SHA-256).

    Only files of the same size are read. One that can't be is like no other: nothing can be
    fitted on it either.

    Returns:
        At least two places each, rising.
    """
    sizes = ((place, _size(row.audio)) for place, row in enumerate(rows) if row.audio is not None)
    alike = sorted(place for places in _repeated(sizes) for place in places)
    return _repeated((place, _digest(file)) for place in alike if (file := rows[place].audio))


def _repeated(keys: Iterable[tuple[int, int | str | None]]) -> list[list[int]]:
    """Places of equal keys, where there are two or more; None equals nothing."""
    first: dict[int | str, int] = {}
    found: dict[int, list[int]] = {}
    for place, key in keys:
        if key is not None and (at := first.setdefault(key, place)) != place:
            found.setdefault(at, [at]).append(place)
    return list(found.values())


def _size(file: Path) -> int | None:
    try:
        return os.stat(file).st_size
    except OSError:
        return None


def _digest(file: Path) -> str | None:
    try:
        return sha256(file)
    except OSError:
        return None


def _joined(rows: Sequence[Labelled], conflicts: list[Conflict]) -> Labelled:
    return replace(
        rows[0],
        **{name: _agreed(rows, name, conflicts) for name in ("text", "audio", "source", "licence")},
        group=_agreed(rows, "group", conflicts),
        split=_split(rows, conflicts),
        labels=_answers(rows, "labels", conflicts),
        events=_answers(rows, "events", conflicts),
        annotator=None,
        golden=any(row.golden for row in rows),
        weight=max(row.weight for row in rows),
    )


def _agreed(rows: Sequence[Labelled], name: str, conflicts: list[Conflict]) -> Any:
    """The first value that a row gives; what any row has if none gives one."""
    nothing = (None, rows[0].id) if name == "group" else (None, "unknown")
    given = Counter(value for row in rows if (value := getattr(row, name)) not in nothing)
    if len(given) > 1:
        conflicts.append(Conflict((rows[0].id,), name, {} if name in HIDDEN else given))
    return next(iter(given), getattr(rows[0], name))


def _split(rows: Sequence[Labelled], conflicts: list[Conflict]) -> Split:
    given: Counter[str] = Counter(row.split for row in rows)
    if len(given) > 1:
        conflicts.append(Conflict((rows[0].id,), "split", given))
    return "train" if "train" in given else "val"


def _answers(rows: Sequence[Labelled], kind: Kind, conflicts: list[Conflict]) -> dict[str, float]:
    answers: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    for row in rows:
        for name, share in getattr(row, kind).items():
            answers[name].append((row.golden, share))
    found = {}
    for name, told in answers.items():
        shares = [share for golden, share in told if golden] or [share for _, share in told]
        if len(votes := Counter(_vote(share) for share in shares)) > 1:
            conflicts.append(Conflict((rows[0].id,), f"{FIELD[kind]}.{name}", votes))
        mean = sum(shares) / len(shares)
        found[name] = int(mean) if mean in (0, 1) else mean
    return found


def _opposed(
    rows: Sequence[Labelled], alike: Sequence[Sequence[int]], how: Literal["words", "sound"]
) -> Iterator[Conflict]:
    """Of rows that are alike, every name to which they give opposite answers."""
    for places in alike:
        votes: dict[str, dict[str, list[str]]] = {}
        for row in (rows[place] for place in places):
            for kind, field in FIELD.items():
                for name, share in getattr(row, kind).items():
                    by_vote = votes.setdefault(f"{field}.{name}", {"0": [], "1": []})
                    by_vote[_vote(share)].append(row.id)
        for name, ids in votes.items():
            if ids["0"] and ids["1"]:
                counts = {vote: len(said) for vote, said in ids.items()}
                yield Conflict((ids["0"][0], ids["1"][0]), name, counts, how)


def _vote(share: float) -> str:
    return "1" if share >= YES else "0"
