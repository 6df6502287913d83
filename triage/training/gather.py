"""The labelled rows of a training: read, joined, checked for leaks, and told apart by use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from triage.errors import LabelsRefused
from triage.labels.given import given
from triage.labels.leaks import drop, leaks, refuse
from triage.labels.resolve import resolve
from triage.labels.rows import YES, Labelled, Problem, row_digest
from triage.records import Report
from triage.training.joint import Strengths


@dataclass(frozen=True, slots=True)
class Gathered:
    """Rows by what they are good for; one may be in both lists.

    Attributes:
        texts: With labels of categories, and words: written down, or still to be heard.
        clips: With sound, and labels of acoustic events, of categories, or of both.
        problems: Rows that couldn't be used.
        digests: By id, what stands for the row with its labels.
        conflicts: How often annotators or rows contradict each other.
        dropped: Rows of split "val" left out because training rows give them away.
    """

    texts: list[Labelled] = field(repr=False)
    clips: list[Labelled] = field(repr=False)
    problems: tuple[Problem, ...]
    digests: Mapping[str, int] = field(repr=False)
    conflicts: int
    dropped: int


def gather(
    data: Sequence[Path],
    store: str,
    licences: Sequence[str],
    sources: Sequence[str],
    categories: Sequence[str],
    strengths: Strengths,
    report: Report,
    *,
    drop_leaks: bool,
) -> Gathered:
    """Reads rows and takes them apart.

    Args:
        data: Files and folders; none for the rows of the store.
        store: The store's URL.
        licences: Rows whose licence holds one of these words, case ignored, stay out.
        sources: Rows of these sources stay out.
        categories: The only ones to keep labels of; none for all.
        strengths: Which sounds explain which categories.
        report: Told of the progress.
        drop_leaks: Whether rows of split "val" that leak are left out, rather than refused.

    Raises:
        LabelsRefused: Nothing is left, or rows leak from one split to the other.
    """
    report("reading the rows", 0, 0)
    reading = given(data, store)
    resolved = resolve(reading.rows)
    _all_there(sources, resolved.rows)
    rows = [
        row
        for row in resolved.rows
        if permitted(row.licence, licences) and row.source not in sources
    ]
    if not any(row.split == "train" for row in rows):
        raise LabelsRefused(
            f"Of {len(resolved.rows)} rows none is left to train on after licences "
            f"{list(licences)} and sources {list(sources)} were left out. Label more, or leave "
            "out less."
        )
    report("reading the rows", len(rows), len(rows))
    found = leaks(rows, report)
    if not drop_leaks:
        refuse(found)
    kept = drop(rows, found)
    wanted = [_wanted(row, categories) for row in kept]
    return Gathered(
        texts=[_in_words(row, strengths) for row in wanted if row.labels],
        clips=[row for row in wanted if row.audio is not None and (row.events or row.labels)],
        problems=tuple(reading.problems),
        digests={row.id: row_digest(row) for row in wanted if row.labels or row.events},
        conflicts=len(resolved.conflicts),
        dropped=len(rows) - len(kept),
    )


def _all_there(sources: Sequence[str], rows: Sequence[Labelled]) -> None:
    """A source that is misspelt would be trained on.

    Raises:
        LabelsRefused: One that is to be left out isn't there.
    """
    known = {row.source for row in rows}
    if missing := sorted(set(sources) - known):
        raise LabelsRefused(
            f"There is no row of source {', '.join(missing)} to leave out. There are: "
            f"{', '.join(sorted(known))}."
        )


def permitted(licence: str, excluded: Sequence[str]) -> bool:
    """Whether a licence holds none of the excluded words, case ignored."""
    return not any(word.lower() in licence.lower() for word in excluded)


def _wanted(row: Labelled, categories: Sequence[str]) -> Labelled:
    if not categories:
        return row
    return replace(row, labels={n: label for n, label in row.labels.items() if n in categories})


def _in_words(row: Labelled, strengths: Strengths) -> Labelled:
    """The row as its words are labelled.

    A recording is labelled as a whole. Where a sound in it already accounts for a category,
    nobody knows whether the words do, so for the words that label is unknown.
    """
    explained = {
        category
        for event, share in row.events.items()
        if share >= YES
        for category, strength in strengths.get(event, {}).items()
        if strength > 0
    }
    if not explained:
        return row
    labels = {n: one for n, one in row.labels.items() if one < YES or n not in explained}
    return replace(row, labels=labels)
