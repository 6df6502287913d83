"""Fitting the linear heads: masked, balanced by source, calibrated on rows not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triage.calibrate import fit_calibrator
from triage.classifier import Head
from triage.errors import LabelsRefused
from triage.records import Floats

FOLDS = 5
LEAST_POSITIVES = 10  # fewer can't be split into folds that each have some

Strings = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a head is fitted on.

    Attributes:
        vectors: Shape (rows, width).
        labels: Shape (rows, names): 0, 1, or NaN for unknown.
        sources, groups: Of each row, shape (rows,).
        weights: Of each row, shape (rows,); a clip's windows share one clip's weight.
        item: Index of the clip or text that a row is a part of, shape (rows,).
        served: True for rows like those that are scored in service; only these calibrate.
    """

    vectors: Floats
    labels: Floats
    sources: Strings
    groups: Strings
    weights: Floats
    item: NDArray[np.int64]
    served: NDArray[np.bool_]


def fit_head(
    rows: Rows, names: Sequence[str], regularisation: float, report: Callable[[int, int], None]
) -> tuple[Head, dict[str, Floats]]:
    """Fits one logistic regression for each name, and its calibration.

    Rows whose label is unknown take no part. Each source weighs the square root of what it
    brings, and both labels weigh the same, so that no source's habits become the category
    (docs/decisions/0004). Calibration is fitted on out-of-fold log-odds, folds by group; an
    item's log-odds are the highest of its rows, as in service.

    Args:
        rows: Training rows.
        names: In the order of the labels' columns.
        regularisation: scikit-learn's C.
        report: Told how many of the names are done.

    Returns:
        The head, and by name the out-of-fold probabilities of all items, shape (items,), NaN
        for items with unknown label.

    Raises:
        LabelsRefused: A name has fewer than ten positive or negative items.
    """
    weights, biases, calibrators = [], [], []
    held_out: dict[str, Floats] = {}
    for column, name in enumerate(names):
        known = ~np.isnan(rows.labels[:, column])
        part, labels = _only(rows, known), rows.labels[known, column]
        _check(name, labels, part.item)
        logits = _out_of_fold(part, labels, regularisation)
        items, highest, truth = _by_item(part, logits, labels)
        calibrator = fit_calibrator(highest, truth)
        weight, bias = _fit(part, labels, regularisation)
        weights.append(weight)
        biases.append(bias)
        calibrators.append(calibrator)
        held_out[name] = np.full(int(rows.item.max()) + 1, np.nan, np.float32)
        held_out[name][items] = calibrator.apply(highest)
        report(column + 1, len(names))
    head = Head(
        tuple(names),
        np.array(weights, np.float32),
        np.array(biases, np.float32),
        tuple(calibrators),
    )
    return head, held_out


def balance(labels: Floats, sources: Strings, weights: Floats) -> Floats:
    """Row weights with each source at the square root of its mass and both labels at half.

    Args:
        labels: 0 or 1, shape (n,).
        sources: Shape (n,).
        weights: What each row weighs by itself, shape (n,).

    Returns:
        Shape (n,), adding up to what `weights` add up to.
    """
    out = weights.astype(np.float64)
    for label in (0, 1):
        for source in np.unique(sources):
            mine = (sources == source) & (labels == label)
            if mine.any():
                out[mine] /= np.sqrt(out[mine].sum())
        out[labels == label] *= 0.5 / out[labels == label].sum()
    total: Floats = (out * weights.sum()).astype(np.float32)
    return total


def _fit(rows: Rows, labels: Floats, regularisation: float) -> tuple[Floats, float]:
    """Weights and bias over unscaled vectors; scaling to unit deviation is folded into them."""
    from sklearn.linear_model import LogisticRegression

    mean = rows.vectors.mean(axis=0)
    scale = np.maximum(rows.vectors.std(axis=0), 1e-6)
    model = LogisticRegression(C=regularisation, max_iter=300, tol=1e-3)
    model.fit(
        (rows.vectors - mean) / scale,
        labels,
        sample_weight=balance(labels, rows.sources, rows.weights),
    )
    weight = (model.coef_[0] / scale).astype(np.float32)
    return weight, float(model.intercept_[0] - weight @ mean)


def _out_of_fold(rows: Rows, labels: Floats, regularisation: float) -> Floats:
    from sklearn.model_selection import StratifiedGroupKFold

    logits = np.empty(len(labels), np.float32)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for fitted, left_out in folds.split(rows.vectors, labels, rows.groups):
        part = np.zeros(len(labels), bool)
        part[fitted] = True
        weight, bias = _fit(_only(rows, part), labels[fitted], regularisation)
        logits[left_out] = rows.vectors[left_out] @ weight + bias
    return logits


def _by_item(
    rows: Rows, logits: Floats, labels: Floats
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Each served item with its highest log-odds and its label."""
    items, first = np.unique(rows.item[rows.served], return_index=True)
    highest = np.full(int(rows.item.max()) + 1, -np.inf, np.float32)
    np.maximum.at(highest, rows.item[rows.served], logits[rows.served])
    return items, highest[items], labels[rows.served][first]


def _only(rows: Rows, keep: NDArray[np.bool_]) -> Rows:
    return Rows(
        rows.vectors[keep],
        rows.labels[keep],
        rows.sources[keep],
        rows.groups[keep],
        rows.weights[keep],
        rows.item[keep],
        rows.served[keep],
    )


def _check(name: str, labels: Floats, item: NDArray[np.int64]) -> None:
    for label, word in ((1, "positive"), (0, "negative")):
        found = len(np.unique(item[labels == label]))
        if found < LEAST_POSITIVES:
            raise LabelsRefused(
                f"{name} has {found} {word} items, {LEAST_POSITIVES} is the least that can be "
                "split into folds. Label more, or leave the name out.",
                limit=LEAST_POSITIVES,
            )
