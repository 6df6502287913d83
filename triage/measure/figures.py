"""Both models' figures on the same scored rows, by category, by event and by part of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from triage import metrics
from triage.labels.rows import YES, Kind, label_matrix
from triage.measure.comparison import Compared, Curve, Sliced
from triage.measure.evaluate import Scored
from triage.measure.paired import paired
from triage.measure.slices import slices
from triage.metrics import ppv_at_prevalence
from triage.policy.model import Policy
from triage.records import Doubles
from triage.reliability import reliability

LEAST_SLICE = 10  # of either label, for a slice to be measured
SLICE_REPEATS = 200
POINTS = 200  # of a curve


class Pair(NamedTuple):
    """A row as both models score it."""

    champion: Scored
    challenger: Scored


def compared(
    pairs: Sequence[Pair],
    kind: Kind,
    names: Sequence[str],
    policy: Policy,
    prevalence: float,
    repeats: int,
) -> Iterator[Compared]:
    """Both models on each category or event.

    Args:
        pairs: The scored rows.
        kind: "labels" for categories.
        names: That both models score; none gives nothing.
        policy: Whose thresholds are taken.
        prevalence: Share of recordings that are cases, for the PPV.
        repeats: Bootstrap resamples behind each interval.
    """
    if not names:
        return
    heard = [pair for pair in pairs if _of(pair.champion, kind) and _of(pair.challenger, kind)]
    labels, one, two, groups = _arrays(heard, kind, names)
    for column, name in enumerate(names):
        known = ~np.isnan(labels[:, column])
        threshold = threshold_of(policy, name) if kind == "labels" else None
        yield _one(
            "category" if kind == "labels" else "event",
            name,
            labels[known, column],
            (one[known, column], two[known, column]),
            groups[known],
            threshold,
            prevalence,
            repeats,
        )


def threshold_of(policy: Policy, name: str) -> float:
    """Where a policy flags a category, one that it doesn't know included."""
    known = policy.categories.get(name)
    return known.threshold if known else policy.fallbacks.unknown_category.threshold


def sliced(pairs: Sequence[Pair], names: Sequence[str]) -> Iterator[Sliced]:
    """AUPRC of every category, and of any, on every part that holds enough of both labels."""
    labels, one, two, groups = _arrays(pairs, "labels", names[:-1])
    codes = np.unique(groups, return_inverse=True)[1]
    known = ~np.isnan(labels)
    highest = np.where(known, labels, -np.inf).max(axis=1, initial=-np.inf)
    labels = np.column_stack([labels, np.where(np.isinf(highest), np.nan, highest)])
    one, two = (np.column_stack([x, x.max(axis=1, initial=0)]) for x in (one, two))
    members: dict[tuple[str, str], list[int]] = {}
    for place, pair in enumerate(pairs):
        for part in slices(pair.champion):
            members.setdefault(part, []).append(place)
    for part, places in sorted(members.items()):
        for column, name in enumerate(names):
            at = np.array(places)[~np.isnan(labels[places, column])]
            positives = int(labels[at, column].sum())
            if min(positives, len(at) - positives) >= LEAST_SLICE:
                yield Sliced(
                    kind=part[0],
                    slice=part[1],
                    category=name,
                    positives=positives,
                    negatives=len(at) - positives,
                    auprc=paired(
                        metrics.average_precision,
                        labels[at, column],
                        one[at, column],
                        two[at, column],
                        codes[at],
                        SLICE_REPEATS,
                    ),
                )


def names_of(pairs: Sequence[Pair], kind: Kind) -> tuple[str, ...]:
    """The categories or events that both models score, and any row labels."""
    first = next((pair for pair in pairs if _of(pair.champion, kind)), pairs[0])
    labelled = {name for pair in pairs for name in getattr(pair.champion.row, kind)}
    return tuple(
        name
        for name in _of(first.champion, kind)
        if name in _of(first.challenger, kind) and name in labelled
    )


def _of(scored: Scored, kind: Kind) -> Mapping[str, float]:
    return scored.categories if kind == "labels" else scored.events


def _arrays(
    pairs: Sequence[Pair], kind: Kind, names: Sequence[str]
) -> tuple[Doubles, Doubles, Doubles, NDArray[np.str_]]:
    """Labels, both models' scores, each of shape (rows, names), and groups, shape (rows,)."""
    shares = label_matrix([pair.champion.row for pair in pairs], kind, names).astype(np.float64)
    labels = np.where(np.isnan(shares), np.nan, shares >= YES)
    one, two = (
        np.array([[_of(pair[side], kind)[name] for name in names] for pair in pairs])
        for side in (0, 1)
    )
    return labels, one, two, np.array([pair.champion.row.group for pair in pairs])


def _one(
    kind: str,
    name: str,
    labels: Doubles,
    scores: tuple[Doubles, Doubles],
    groups: NDArray[np.str_],
    threshold: float | None,
    prevalence: float,
    repeats: int,
) -> Compared:
    measures: dict[str, Callable[..., Doubles]] = {
        "auprc": metrics.average_precision,
        "recall at 1 % false alarms": metrics.recall_at_1pct_fpr,
        "calibration error": metrics.expected_calibration_error,
    }
    if threshold is not None:
        measures["recall"] = partial(_flagged, threshold=threshold, of=1)
        measures["false alarms"] = partial(_flagged, threshold=threshold, of=0)
    codes = np.unique(groups, return_inverse=True)[1]
    both = 0 < labels.sum() < len(labels)
    differences = (
        {key: paired(one, labels, *scores, codes, repeats) for key, one in measures.items()}
        if both
        else {}
    )
    ppv = None
    if both and threshold is not None:
        recall, alarms = differences["recall"], differences["false alarms"]
        ppv = (
            _ppv(recall.champion, alarms.champion, prevalence),
            _ppv(recall.challenger, alarms.challenger, prevalence),
        )
    return Compared(
        kind=kind,
        name=name,
        positives=int(labels.sum()),
        negatives=int((labels == 0).sum()),
        groups=len(np.unique(codes[labels == 1])),
        threshold=threshold,
        differences=differences,
        ppv=ppv,
        curves=tuple(_curve(labels, one) for one in scores),
    )


def _ppv(recall: float, alarms: float, prevalence: float) -> float | None:
    return ppv_at_prevalence(recall, alarms, prevalence) if recall + alarms > 0 else None


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
