"""Both models' figures on the same scored rows, by category, by event and by part of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from triage import metrics
from triage.measure.comparison import Compared, Curve, Sliced
from triage.measure.evaluate import ANY, any_label
from triage.measure.paired import Difference, paired
from triage.measure.table import Slice, Table
from triage.metrics import Measure, ppv_at_prevalence
from triage.policy.model import Policy
from triage.records import Doubles
from triage.reliability import reliability

LEAST_SLICE = 30  # rows of a slice that is measured
LEAST_OF_EACH = 5  # of either label among them
SLICE_REPEATS = 200
POINTS = 200  # of a curve
FPR = 0.01

ALWAYS: Mapping[str, Measure] = {
    "auprc": metrics.average_precision,
    "recall at 1 % false alarms": metrics.recall_at_1pct_fpr,
    "calibration error": metrics.expected_calibration_error,
}


def compared(
    table: Table, policy: Policy | None, prevalence: float, repeats: int
) -> Iterator[Compared]:
    """Both models on each category or event that any row labels.

    Args:
        table: The scored rows.
        policy: Whose thresholds are taken; None for events, which have none.
        prevalence: Share of recordings that are cases, for the PPV.
        repeats: Bootstrap resamples behind each interval.
    """
    for column, name in enumerate(table.names):
        known = ~np.isnan(table.labels[:, column])
        if known.any():
            yield _one(
                name,
                table.labels[known, column],
                (table.champion[known, column], table.challenger[known, column]),
                table.groups[known],
                threshold_of(policy, name) if policy else None,
                prevalence,
                repeats,
            )


def threshold_of(policy: Policy, name: str) -> float:
    """Where a policy flags a category, one that it doesn't know included."""
    known = policy.categories.get(name)
    return known.threshold if known else policy.fallbacks.unknown_category.threshold


def sliced(
    table: Table, parts: Mapping[Slice, NDArray[np.int64]]
) -> tuple[tuple[Sliced, ...], dict[str, int]]:
    """AUPRC of every category, and of any, on every part of the rows.

    Args:
        table: Of categories.
        parts: Which rows each part holds.

    Returns:
        The figures, and the parts with too few rows of either label for any, with their rows.
    """
    whole = _with_any(table)
    found: list[Sliced] = []
    thin: dict[str, int] = {}
    for part, places in parts.items():
        before = len(found)
        for column, name in enumerate(whole.names):
            at = places[~np.isnan(whole.labels[places, column])]
            positives = int(whole.labels[at, column].sum())
            negatives = len(at) - positives
            if len(at) >= LEAST_SLICE and min(positives, negatives) >= LEAST_OF_EACH:
                scores = whole.champion[at, column], whole.challenger[at, column]
                auprc = paired(
                    metrics.average_precision,
                    whole.labels[at, column],
                    *scores,
                    whole.groups[at],
                    SLICE_REPEATS,
                )
                found.append(
                    Sliced(
                        kind=part[0],
                        slice=part[1],
                        category=name,
                        positives=positives,
                        negatives=negatives,
                        auprc=auprc,
                    )
                )
        if len(found) == before:
            thin[f"{part[0]}: {part[1]}"] = len(places)
    return tuple(found), thin


def _with_any(table: Table) -> Table:
    """With a column more: any known label being 1, against the highest score."""
    return Table(
        (*table.names, ANY),
        np.column_stack([table.labels, any_label(table.labels)]),
        np.column_stack([table.champion, table.champion.max(axis=1, initial=0)]),
        np.column_stack([table.challenger, table.challenger.max(axis=1, initial=0)]),
        table.groups,
    )


def _one(
    name: str,
    labels: Doubles,
    scores: tuple[Doubles, Doubles],
    groups: NDArray[np.int64],
    threshold: float | None,
    prevalence: float,
    repeats: int,
) -> Compared:
    measures = dict(ALWAYS)
    if threshold is not None:
        measures["recall"] = partial(_flagged, threshold=threshold, of=1)
        measures["false alarms"] = partial(_flagged, threshold=threshold, of=0)
    both = 0 < labels.sum() < len(labels)
    differences = (
        {key: paired(one, labels, *scores, groups, repeats) for key, one in measures.items()}
        if both
        else {}
    )
    negatives = int((labels == 0).sum())
    ppv = ppv_at_1pct_fpr = None
    if both:
        recall = differences["recall at 1 % false alarms"]
        ppv_at_1pct_fpr = _ppv(recall, (FPR, FPR), negatives, prevalence)
    if both and threshold is not None:
        alarms = differences["false alarms"]
        told = alarms.champion, alarms.challenger
        ppv = _ppv(differences["recall"], told, negatives, prevalence)
    return Compared(
        kind="event" if threshold is None else "category",
        name=name,
        positives=int(labels.sum()),
        negatives=negatives,
        groups=len(np.unique(groups[labels == 1])),
        threshold=threshold,
        differences=differences,
        ppv=ppv,
        ppv_at_1pct_fpr=ppv_at_1pct_fpr,
        curves=tuple(_curve(labels, one) for one in scores),
    )


def _ppv(
    recall: Difference, alarms: tuple[float, float], negatives: int, prevalence: float
) -> tuple[float | None, float | None]:
    """Of the champion and of the challenger; None of one that flags nothing.

    No rate is taken under that of one false alarm: these rows can't tell of a smaller one.
    """

    def of(found: float, wrong: float) -> float | None:
        if found + wrong == 0:
            return None
        return ppv_at_prevalence(found, max(wrong, 1 / negatives), prevalence)

    return of(recall.champion, alarms[0]), of(recall.challenger, alarms[1])


def _flagged(
    labels: Doubles, scores: Doubles, *, weights: Doubles | None, threshold: float, of: int
) -> Doubles:
    """Share of the rows of one label that are flagged."""
    mine = np.asarray(labels) == of
    flagged = mine & (np.asarray(scores) >= threshold)
    weight = np.ones(len(mine)) if weights is None else weights
    with np.errstate(invalid="ignore"):
        share: Doubles = (weight * flagged).sum(axis=-1) / (weight * mine).sum(axis=-1)
    return share


def _curve(labels: Doubles, scores: Doubles) -> Curve:
    order = np.argsort(-scores, kind="stable")
    true = np.cumsum(labels[order])
    cases = np.flatnonzero(labels[order])  # where the curve turns
    if len(cases) > POINTS:
        cases = cases[np.linspace(0, len(cases) - 1, POINTS).astype(int)]
    recall = [float(true[n] / true[-1]) for n in cases]
    precision = [float(true[n] / (n + 1)) for n in cases]
    return Curve(
        recall=tuple(recall),
        precision=tuple(precision),
        reliability=reliability(labels, scores),
    )
