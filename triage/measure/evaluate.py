"""How well a model does on labelled rows that it wasn't fitted on.

Rows are scored as in service, whole and through every stage, but nothing is decided and nothing
goes to the audit: nobody will be sent anywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from triage import metrics
from triage.errors import InputError, LabelsRefused
from triage.labels.rows import Labelled, label_matrix
from triage.metrics import Metric
from triage.records import Doubles, Floats, Recording, Report, Scores

ANY = "any category"
STAGE_FAILED = "stage-failed"


class Scorer(Protocol):
    """What scores one recording; `triage.pipeline.Triage` does."""

    def score(self, recording: Recording) -> Scores: ...


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out, without a row's text or id.

    Attributes:
        model: Name and version of the model.
        rows: How many were to be scored.
        failed: How many couldn't be, by the slug of the error; they take no part in the figures.
        unknown: Labels in the rows that the model has no score for.
        repeats: Resamples behind each interval.
        categories: One row for each category that any row labels, and `ANY`: any known label
            of a row being 1, against the highest score of all categories.
        events: One row for each event that any clip labels.
    """

    model: str
    rows: int
    failed: Mapping[str, int]
    unknown: tuple[str, ...]
    repeats: int
    categories: tuple[Metric, ...]
    events: tuple[Metric, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Scored(NamedTuple):
    """A labelled row with what the model says of it: probabilities by category and by event.

    Flags and measurements are of the recording, whatever the model.
    """

    row: Labelled
    model: str
    categories: Mapping[str, float]
    events: Mapping[str, float]
    flags: Mapping[str, bool]
    measurements: Mapping[str, float]


def evaluate(
    scorer: Scorer, rows: Sequence[Labelled], *, workers: int, repeats: int, report: Report
) -> Evaluation:
    """Scores labelled rows and measures the scores.

    Args:
        scorer: The model.
        rows: With labels of categories, of events, or of both.
        workers: Rows scored side by side.
        repeats: Bootstrap resamples for each interval; whole groups are drawn.
        report: Told of the progress: stage, done, of how many.

    Raises:
        LabelsRefused: Not one row could be scored.
    """
    scored, failed = score_rows(scorer, rows, workers, report)
    if not scored:
        slugs = ", ".join(sorted(failed)) or "there was none"
        raise LabelsRefused(f"Not one of {len(rows)} rows could be scored ({slugs}).")
    heard = [one for one in scored if one.events]
    return Evaluation(
        model=scored[0].model,
        rows=len(rows),
        failed=dict(sorted(failed.items())),
        unknown=_unknown(scored),
        repeats=repeats,
        categories=_categories(scored, repeats, report),
        events=_events(heard, repeats, report),
    )


def score_rows(
    scorer: Scorer, rows: Sequence[Labelled], workers: int, report: Report
) -> tuple[list[Scored], Counter[str]]:
    """Scores labelled rows; one that can't be scored doesn't stop the others.

    Takes what `evaluate` takes.

    Returns:
        The rows that could be scored, in their order, and how many couldn't by the slug of what
        stood in the way. A clip without labelled categories has no words' share in its scores.
    """
    scored: list[Scored] = []
    failed: Counter[str] = Counter()
    pool = ThreadPoolExecutor(workers)
    try:
        for done, result in enumerate(pool.map(partial(_score, scorer), rows), 1):
            if isinstance(result, str):
                failed[result] += 1
            else:
                scored.append(result)
            report("scoring", done, len(rows))
    finally:
        pool.shutdown(cancel_futures=True)  # or an interrupt would wait for every row
    return scored, failed


def _score(scorer: Scorer, row: Labelled) -> Scored | str:
    """The scores of a row, or the slug of what stood in the way."""
    # Where only sounds are labelled, an empty transcript spares the time that the words would take.
    words = row.text if row.text is not None or row.labels else ""
    try:
        scores = scorer.score(Recording(row.id, row.audio, words))
    except InputError as error:
        return error.slug
    if scores.failures:
        return STAGE_FAILED
    return Scored(
        row,
        scores.model,
        scores.categories,
        scores.event_scores,
        scores.flags,
        scores.measurements,
    )


def any_label(labels: Doubles | Floats) -> Doubles:
    """The label of `ANY`: each row's highest known one, shape (n,); NaN where none is known.

    Args:
        labels: Shape (n, names): 0..1, or NaN for unknown.
    """
    highest = np.where(np.isnan(labels), -np.inf, labels).max(axis=1, initial=-np.inf)
    return np.where(np.isinf(highest), np.nan, highest).astype(np.float64)


def _categories(scored: Sequence[Scored], repeats: int, report: Report) -> tuple[Metric, ...]:
    names = tuple(scored[0].categories)
    labels = label_matrix([one.row for one in scored], "labels", names)
    scores = np.array([[one.categories[name] for name in names] for one in scored], np.float32)
    return _measured(
        np.column_stack([labels, any_label(labels)]),
        np.column_stack([scores, scores.max(axis=1)]),
        [*names, ANY],
        [one.row.group for one in scored],
        repeats,
        partial(report, "measuring categories"),
    )


def _events(heard: Sequence[Scored], repeats: int, report: Report) -> tuple[Metric, ...]:
    if not heard:
        return ()
    names = tuple(heard[0].events)
    labels = label_matrix([one.row for one in heard], "events", names)
    scores = np.array([[one.events[name] for name in names] for one in heard], np.float32)
    groups = [one.row.group for one in heard]
    return _measured(labels, scores, names, groups, repeats, partial(report, "measuring events"))


def _measured(
    labels: Floats,
    scores: Floats,
    names: Sequence[str],
    groups: Sequence[str],
    repeats: int,
    report: Callable[[int, int], None],
) -> tuple[Metric, ...]:
    """The figures of every name that any row labels."""
    found = []
    for column, name in enumerate(names):
        of = [column]
        found += metrics.evaluate(labels[:, of], scores[:, of], [name], groups, repeats)
        report(column + 1, len(names))
    return tuple(one for one in found if one.positives + one.negatives > 0)


def _unknown(scored: Sequence[Scored]) -> tuple[str, ...]:
    labelled = {name for one in scored for name in (*one.row.labels, *one.row.events)}
    named = {name for one in scored for name in (*one.categories, *one.events)}
    return tuple(sorted(labelled - named))
