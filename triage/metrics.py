"""How good scores are, and how sure one may be of it.

Each measure takes one set of weights, shape (n,), or many at once, shape (repeats, n), and
sorts once for all of them. A bootstrap resample is nothing but weights (how often a row was
drawn), so a thousand resamples cost little more than one. On one set of weights the measures
equal scikit-learn's, which sort anew at every call; the tests hold them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from triage.errors import LabelsRefused
from triage.records import Doubles

Columns = tuple[Doubles, Doubles, Doubles]
Measure = Callable[..., Doubles]  # (labels, scores, *, weights), as those below

CELLS = 1_000_000  # weights held at once; 8 MB an array


class OperatingPoint(NamedTuple):
    """Recall, and the score at or over which a recording is flagged to reach it."""

    recall: Doubles
    threshold: Doubles


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Metric:
    """How well one category or event is told from the rest.

    Attributes:
        name: The category or event.
        positives, negatives: Rows whose label is known.
        auprc, auroc, recall_at_1pct_fpr: None without both positives and negatives.
        ece: None without any row.
    """

    name: str
    positives: int
    negatives: int
    auprc: Estimate | None
    auroc: Estimate | None
    recall_at_1pct_fpr: Estimate | None
    ece: Estimate | None


# Measures ---------------------------------------------------------------------------------


def average_precision(
    labels: ArrayLike, scores: ArrayLike, *, weights: ArrayLike | None = None
) -> Doubles:
    """Area under the precision-recall curve, as a sum of steps without interpolation.

    Args:
        labels: 0 or 1, shape (n,).
        scores: Shape (n,), higher for what is likelier 1.
        weights: 0 or more, shape (n,) or (repeats, n); 1 if not given.

    Returns:
        Shape () or (repeats,), in 0..1; not a number where no positive has weight.

    Raises:
        LabelsRefused: There are no rows, shapes differ, or something isn't a usable number.
    """
    true, false, _ = _curve(labels, scores, weights)
    with np.errstate(invalid="ignore"):
        gained = np.diff(true, prepend=0, axis=-1) / true[..., -1:]
        precision = true / (true + false)
    # Where nothing has weight yet, precision is 0/0 and nothing is gained.
    return _sum(np.where(gained == 0, 0, gained * precision))


def roc_auc(labels: ArrayLike, scores: ArrayLike, *, weights: ArrayLike | None = None) -> Doubles:
    """Chance that a positive scores over a negative; a tie counts half.

    Takes, returns and raises what `average_precision` does; not a number without both classes.
    """
    true, false, _ = _curve(labels, scores, weights)
    beaten_by = true - np.diff(true, prepend=0, axis=-1) / 2
    with np.errstate(invalid="ignore"):
        share = np.diff(false, prepend=0, axis=-1) / false[..., -1:]
        return _sum(share * beaten_by / true[..., -1:])


def recall_at_fpr(
    labels: ArrayLike, scores: ArrayLike, fpr: float = 0.01, *, weights: ArrayLike | None = None
) -> OperatingPoint:
    """The highest recall at a threshold that flags no more than `fpr` of the negatives.

    The threshold is one of the scores, and rows of equal score are flagged together or not at
    all, so the limit is kept, never rounded up. Where even the highest score breaks it, recall
    is 0 and the threshold infinite.

    Takes and raises what `average_precision` does; not a number without both classes.
    """
    true, false, thresholds = _curve(labels, scores, weights)
    both = (true[..., -1] > 0) & (false[..., -1] > 0)
    with np.errstate(invalid="ignore"):
        kept = false / false[..., -1:] <= fpr
        recall = np.where(kept, true, 0).max(axis=-1) / true[..., -1]
    lowest = np.where(kept, thresholds, np.inf).min(axis=-1)
    return OperatingPoint(*(np.where(both, found, np.nan)[()] for found in (recall, lowest)))


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = 15, *, weights: ArrayLike | None = None
) -> Doubles:
    """Mean distance between what was promised and what came true, over equal-mass bins.

    Each bin holds equally many rows (Nguyen and O'Connor 2015): nearly all recordings score close
    to 0, and bins of equal width would put them into one. Rows of equal probability share a bin;
    weights don't move its edges. Noise alone makes the error positive, the more so on few rows.

    Takes, returns and raises what `average_precision` does, and refuses what is not in 0..1.
    """
    y, p, weight = _checked(labels, probabilities, weights)
    if p.min() < 0 or p.max() > 1:
        raise LabelsRefused(
            f"Probabilities run from {p.min():.3g} to {p.max():.3g}; they have to lie in 0..1. "
            "Calibrate the scores first."
        )
    order = np.argsort(p, kind="stable")
    ranked = p[order]
    starts = np.unique(np.searchsorted(ranked, ranked[np.arange(bins) * len(p) // bins]))
    gaps = np.add.reduceat((weight * (y - p))[..., order], starts, axis=-1)
    with np.errstate(invalid="ignore"):
        return _sum(np.abs(gaps)) / _sum(weight)


def ppv_at_prevalence(recall: float, fpr: float, prevalence: float) -> float:
    """Share of flagged recordings that are rightly flagged, by Bayes' rule.

    A test set rich in cases says nothing of a queue that is fed from the field; this does.

    Args:
        recall, fpr: Shares of the cases and of all others that are flagged, in 0..1.
        prevalence: Share of recordings that are cases, in 0..1.

    Returns:
        In 0..1; not a number where nothing is flagged.
    """
    right, wrong = recall * prevalence, fpr * (1 - prevalence)
    return right / (right + wrong) if right + wrong > 0 else float("nan")


# Intervals --------------------------------------------------------------------------------


def bootstrap_interval(
    measure: Measure,
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    repeats: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """A measure of this module with its percentile bootstrap interval.

    Whole groups are drawn (Field and Welsh 2007): rows of one speaker are not independent, and
    drawing rows would promise too narrow an interval. Resamples that don't define the measure
    are left out. The percentiles are moved by the bootstrap's estimate of bias (Efron and
    Tibshirani 1993, chapter 10), or a calibration error would lie below its own interval.

    Args:
        measure, labels, scores: What to measure, and on what.
        groups: The name of each row's group, shape (n,); without it each row is its own.
        repeats, seed: How many resamples, and where their randomness starts.
        level: Share of them inside the interval, between 0 and 1.

    Returns:
        The value on all rows and the interval, in 0..1; all of 0..1 if no resample defines it.
    """
    value = float(measure(labels, scores, weights=None))
    rows = np.arange(np.size(labels)) if groups is None else np.asarray(groups)
    drawings = resamples(rows, repeats, np.random.default_rng(seed))
    drawn = np.concatenate([measure(labels, scores, weights=weights) for weights in drawings])
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Estimate(value, 0.0, 1.0)
    unbiased = drawn - drawn.mean() + value
    low, high = np.quantile(unbiased, [(1 - level) / 2, (1 + level) / 2]).clip(0, 1)
    return Estimate(value, float(low), float(high))


def evaluate(
    labels: ArrayLike,
    scores: ArrayLike,
    names: Sequence[str],
    groups: ArrayLike | None = None,
    repeats: int = 1_000,
    seed: int = 0,
) -> list[Metric]:
    """Every measure of every category or event, with 95 % intervals.

    Args:
        labels: 0, 1, or not a number where the label is unknown, shape (n, len(names)).
        scores: Calibrated probabilities, the same shape.
        names: Of the columns; the rows that are returned keep their order.
        groups, repeats, seed: See `bootstrap_interval`.

    Raises:
        LabelsRefused: Shapes differ, or something isn't a usable number.
    """
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    codes = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    if y.shape != p.shape or y.shape != (len(codes), len(names)):
        raise LabelsRefused(
            f"There are labels of shape {y.shape}, scores of shape {p.shape}, {len(names)} names "
            f"and {len(codes)} groups; each row takes a label and a score for every name."
        )
    found = []
    for k, name in enumerate(names):
        known = ~np.isnan(y[:, k])
        rows = {"labels": y[known, k], "scores": p[known, k], "groups": codes[known]}
        estimate = partial(bootstrap_interval, **rows, repeats=repeats, seed=seed)
        found.append(_metric(name, rows["labels"], estimate))
    return found


def _metric(name: str, labels: Doubles, estimate: Callable[[Measure], Estimate]) -> Metric:
    positives = int(labels.sum())
    both = 0 < positives < len(labels)
    return Metric(
        name=name,
        positives=positives,
        negatives=len(labels) - positives,
        auprc=estimate(average_precision) if both else None,
        auroc=estimate(roc_auc) if both else None,
        recall_at_1pct_fpr=estimate(recall_at_1pct_fpr) if both else None,
        ece=estimate(expected_calibration_error) if len(labels) else None,
    )


def recall_at_1pct_fpr(labels: Doubles, scores: Doubles, *, weights: Doubles | None) -> Doubles:
    return recall_at_fpr(labels, scores, 0.01, weights=weights).recall


def resamples(groups: NDArray[Any], repeats: int, rng: np.random.Generator) -> Iterator[Doubles]:
    """How often each row was drawn, shape (some repeats, n), until there are `repeats` in all."""
    names, of = np.unique(groups, return_inverse=True)
    for start in range(0, repeats, at_once := max(1, CELLS // len(of))):
        draws = rng.integers(len(names), size=(min(at_once, repeats - start), len(names)))
        counts = [np.bincount(draw, minlength=len(names)) for draw in draws]
        yield np.stack(counts).astype(np.float64)[:, of]


def _curve(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None) -> Columns:
    """Weight of positives and of negatives at or over each distinct score, and these scores.

    The scores fall, shape (k,); the weights have shape (k,) or (repeats, k), their totals last.
    """
    y, score, weight = _checked(labels, scores, weights)
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # ties stand together
    true = np.cumsum((weight * y)[..., order], axis=-1)[..., ends]
    false = np.cumsum((weight * (1 - y))[..., order], axis=-1)[..., ends]
    return true, false, ranked[ends]


def _checked(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None) -> Columns:
    y, score = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    weight = np.ones(y.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if y.ndim != 1 or y.size == 0 or y.shape != score.shape or y.shape != weight.shape[-1:]:
        raise LabelsRefused(
            f"Labels, scores and weights have the shapes {y.shape}, {score.shape} and "
            f"{weight.shape}; there has to be one of each for every row, and a row at least."
        )
    usable = np.isin(y, (0, 1)) & np.isfinite(score)
    if not usable.all() or not (weight >= 0).all():
        raise LabelsRefused(
            f"{np.sum(~usable)} of {len(y)} rows have a label that is not 0 or 1 or a score that "
            "is not finite, or a weight is under 0. Leave them out."
        )
    return y, score, weight


def _sum(values: Doubles) -> Doubles:
    total: Doubles = values.sum(axis=-1)
    return total
