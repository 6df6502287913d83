"""Fitting the linear heads: masked, balanced by source, calibrated on rows not fitted on."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from triage.classifier import Head, Scaling
from triage.errors import LabelsRefused
from triage.labels.rows import YES
from triage.records import Doubles, Floats
from triage.training.calibration import calibrator_of, is_thin

FOLDS = 5
LEAST_POSITIVES = 10  # fewer can't be split into folds that each have some
MOST_ROWS = 200_000  # that one name is fitted on at most; what bounds the memory of a million
CHUNK = 65_536  # vectors scored at once

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a head is fitted on.

    Attributes:
        vectors: Shape (vectors, width); may be a memory map that is larger than the memory.
        at: Which vector each row has, shape (rows,).
        labels: Shape (rows, names): 0..1, or NaN for unknown.
        sources, groups: Of each row as numbers, shape (rows,).
        weights: Of each row, shape (rows,); a clip's windows share one clip's weight.
        stands: How many recordings each row's item stands for, shape (rows,).
        item: Index of the clip or text that a row is a part of, shape (rows,).
        served: True for rows like those that are scored in service.
        fresh: False for rows whose labels their encoder has seen. In service no row is as easy, so
            of those that are served only the fresh ones calibrate.
    """

    vectors: Floats = field(repr=False)
    at: Integers = field(repr=False)
    labels: Floats = field(repr=False)
    sources: Integers = field(repr=False)
    groups: Integers = field(repr=False)
    weights: Floats = field(repr=False)
    stands: Floats = field(repr=False)
    item: Integers = field(repr=False)
    served: NDArray[np.bool_] = field(repr=False)
    fresh: NDArray[np.bool_] = field(repr=False)

    def only(self, keep: NDArray[np.bool_] | Integers) -> Rows:
        """Some of the rows, over the same vectors."""
        return replace(
            self,
            at=self.at[keep],
            labels=self.labels[keep],
            sources=self.sources[keep],
            groups=self.groups[keep],
            weights=self.weights[keep],
            stands=self.stands[keep],
            item=self.item[keep],
            served=self.served[keep],
            fresh=self.fresh[keep],
        )


@dataclass(frozen=True, slots=True)
class Prior:
    """Where a fit starts from, and how strongly it is held there.

    Attributes:
        head: Of the base model, with the names that it knows more of than the rows do.
        regularisation: As scikit-learn's C, of the distance from the base's weights.
    """

    head: Head
    regularisation: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came out of a fit.

    Attributes:
        head: The names that were fitted.
        held_out: By name, out-of-fold probabilities of all items, shape (items,); NaN for items
            whose label is unknown.
        recalibrated: The names that did not keep a base's calibration.
    """

    head: Head
    held_out: Mapping[str, Doubles] = field(repr=False)
    recalibrated: tuple[str, ...]


def fit_head(
    rows: Rows,
    names: Sequence[str],
    scaling: Scaling,
    regularisation: float,
    report: Callable[[int, int], None],
    prior: Prior | None = None,
) -> Fitted:
    """Fits one logistic regression for each name, and its calibration.

    Rows whose label is unknown take no part; a share of votes counts for both labels. Each source
    weighs the square root of what it brings, and both labels weigh the same, so that no source's
    habits become the category (docs/decisions/0004). Calibration is fitted on out-of-fold
    log-odds, folds by group; an item's log-odds are the highest of its rows, as in service.

    With a prior, the penalty is on the distance from its weights: the most probable head given
    the base and the rows (maximum a posteriori with a Gaussian around the base). Its calibration
    is kept where the rows are too few to better it. Rows that come to a base without weights are
    calibrated for `ASSUMED_PREVALENCE`, by shifting the odds (Saerens et al. 2002).

    Args:
        rows: Training rows.
        names: In the order of the labels' columns.
        scaling: What makes the vectors' values alike in size.
        regularisation: scikit-learn's C, of names that the prior doesn't have.
        report: Told how many of the names are done.
        prior: The base's head.

    Raises:
        LabelsRefused: A name has fewer than ten positive or negative items.
    """
    heads, held_out, recalibrated = [], {}, []
    for column, name in enumerate(names):
        part = rows.only(~np.isnan(rows.labels[:, column]))
        labels = part.labels[:, column].astype(np.float64)
        _check(name, labels, part.item)
        start = prior.head.only((name,)) if prior and name in prior.head.names else None
        strength = prior.regularisation if prior and start else regularisation
        one, logits = _cross_fitted(part, labels, name, scaling, strength, start)
        items, highest, truth, stands = _by_item(part, _calibrating(part, labels), logits, labels)
        kept = start.calibrators[0] if start and is_thin(truth, stands) else None
        calibrator = kept or calibrator_of(highest, truth, stands, enriched=prior is not None)
        heads.append(replace(one, calibrators=(calibrator,)))
        if kept is None:
            recalibrated.append(name)
        held_out[name] = np.full(int(rows.item.max()) + 1, np.nan)
        held_out[name][items] = calibrator.apply(highest)
        report(column + 1, len(names))
    head = Head.joined([Head.empty(rows.vectors.shape[1]), *heads])
    return Fitted(head, held_out, tuple(recalibrated))


def scaling_of(vectors: Floats, at: Integers) -> Scaling:
    """Mean and deviation of vectors, by a sample of them where there are very many."""
    if len(at) > MOST_ROWS:
        at = np.sort(np.random.default_rng(0).choice(at, MOST_ROWS, replace=False))
    part = vectors[at]
    return Scaling(
        part.mean(axis=0, dtype=np.float64).astype(np.float32),
        np.maximum(part.std(axis=0, dtype=np.float64), 1e-6).astype(np.float32),
    )


def balance(labels: Doubles, sources: Integers, weights: Doubles) -> Doubles:
    """Row weights with each source at the square root of its mass and both labels at half.

    Args:
        labels: 0 or 1, shape (n,).
        sources: Shape (n,).
        weights: What each row weighs by itself, shape (n,); 0 for one that takes no part.

    Returns:
        Shape (n,), adding up to what `weights` add up to.
    """
    codes = np.unique(sources, return_inverse=True)[1] * 2 + (labels == 1)
    mass = np.bincount(codes, weights)
    out = weights / np.sqrt(np.maximum(mass, 1e-300))[codes]
    positive = labels == 1
    sums = np.bincount(positive, out, minlength=2)
    shares = weights.sum() / np.count_nonzero(sums) / np.maximum(sums, 1e-300)
    balanced: Doubles = out * shares[positive.astype(np.int64)]
    return balanced


def _cross_fitted(
    rows: Rows, labels: Doubles, name: str, scaling: Scaling, strength: float, start: Head | None
) -> tuple[Head, Floats]:
    """The head of all rows, and each row's log-odds by a head of the other folds' rows."""
    hard = (labels >= YES).astype(np.float64)
    chance = np.random.default_rng(zlib.crc32(name.encode()))
    folds = _folds(rows.groups, hard, chance)
    fitted = _thinned(hard, chance)
    vectors = scaling.apply(rows.vectors[rows.at[fitted]])
    weights, sources = rows.weights[fitted].astype(np.float64), rows.sources[fitted]
    weights *= rows.weights.sum() / weights.sum()
    known, truth, fold = labels[fitted], hard[fitted], folds[fitted]

    def head(taking_part: NDArray[np.bool_]) -> Head:
        balanced = balance(truth, sources, weights * taking_part)
        return _fit(name, vectors, known, balanced, strength, scaling, start)

    logits = np.empty(len(labels), np.float32)
    for left_out in range(FOLDS):
        without = head(fold != left_out)
        for some in _chunks(np.flatnonzero(folds == left_out)):
            logits[some] = without.logits(rows.vectors[rows.at[some]])[:, 0]
    return head(np.ones(len(known), bool)), logits


def _fit(
    name: str,
    vectors: Floats,
    targets: Doubles,
    weights: Doubles,
    strength: float,
    scaling: Scaling,
    start: Head | None,
) -> Head:
    """Logistic regression as scikit-learn's, but towards `start` and with shares for labels."""
    from scipy.optimize import minimize
    from scipy.special import expit

    total = weights.sum()
    origin = scaling.scaled(start) if start else np.zeros(vectors.shape[1] + 1)

    def loss(theta: Doubles) -> tuple[float, Doubles]:
        away = theta[:-1] - origin[:-1]
        logits = (vectors @ theta[:-1].astype(np.float32)).astype(np.float64) + theta[-1]
        each = weights * (np.logaddexp(0, logits) - targets * logits)
        slope = weights * (expit(logits) - targets) / total
        gradient = slope.astype(np.float32) @ vectors + away / (strength * total)
        value = each.sum() / total + away @ away / (2 * strength * total)
        return float(value), np.append(gradient, slope.sum())

    found = minimize(
        loss, origin, jac=True, method="L-BFGS-B", options={"maxiter": 300, "gtol": 1e-3}
    )
    return scaling.unscaled(name, found.x)


def _folds(groups: Integers, hard: Doubles, chance: np.random.Generator) -> Integers:
    """A fold for each row, whole groups together, those with a positive dealt out first.

    scikit-learn's StratifiedGroupKFold weighs every group in Python, which takes minutes for a
    million of them.
    """
    names, of = np.unique(groups, return_inverse=True)
    positive = np.zeros(len(names), bool)
    positive[of[hard == 1]] = True
    order = chance.permutation(len(names))
    order = order[np.argsort(~positive[order], kind="stable")]
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % FOLDS
    return fold[of]


def _thinned(hard: Doubles, chance: np.random.Generator) -> Integers:
    """The rows to fit on: all, or so many of each label that there are `MOST_ROWS`."""
    if len(hard) <= MOST_ROWS:
        return np.arange(len(hard))
    yes, no = np.flatnonzero(hard == 1), np.flatnonzero(hard == 0)
    rare, common = (yes, no) if len(yes) < len(no) else (no, yes)
    rare = chance.permutation(rare)[: MOST_ROWS // 2]
    kept = np.concatenate([rare, chance.permutation(common)[: MOST_ROWS - len(rare)]])
    return np.sort(kept)


def _chunks(rows: Integers) -> list[Integers]:
    return [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]


def _calibrating(rows: Rows, labels: Doubles) -> NDArray[np.bool_]:
    """The served rows that are fresh; all that are served if those have too few of a label."""
    fresh: NDArray[np.bool_] = rows.served & rows.fresh
    items = [np.unique(rows.item[fresh & hard]) for hard in (labels >= YES, labels < YES)]
    return fresh if min(map(len, items)) >= LEAST_POSITIVES else rows.served


def _by_item(
    rows: Rows, taken: NDArray[np.bool_], logits: Floats, labels: Doubles
) -> tuple[Integers, Floats, Doubles, Doubles]:
    """Each item of the rows taken: its highest log-odds, its label, and what it stands for."""
    items, first = np.unique(rows.item[taken], return_index=True)
    highest = np.full(int(rows.item.max()) + 1, -np.inf, np.float32)
    np.maximum.at(highest, rows.item[taken], logits[taken])
    return items, highest[items], labels[taken][first], rows.stands[taken][first].astype(float)


def _check(name: str, labels: Doubles, item: Integers) -> None:
    for hard, word in ((labels >= YES, "positive"), (labels < YES, "negative")):
        found = len(np.unique(item[hard]))
        if found < LEAST_POSITIVES:
            raise LabelsRefused(
                f"{name} has {found} {word} items, {LEAST_POSITIVES} is the least that can be "
                "split into folds. Label more, or leave the name out.",
                limit=LEAST_POSITIVES,
            )
