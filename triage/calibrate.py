"""From a head's log-odds to probabilities that mean what they say.

A calibrator is a rising, piecewise straight line from log-odds to log-odds. One form serves
both methods: a sigmoid is one straight line, isotonic regression is many short ones. Applying
it needs numpy only; fitting imports scikit-learn and scipy.

Sources: J. Platt, "Probabilistic outputs for support vector machines" (1999); B. Zadrozny and
C. Elkan, "Transforming classifier scores into accurate multiclass probability estimates" (KDD
2002); A. Niculescu-Mizil and R. Caruana, "Predicting good probabilities with supervised
learning" (ICML 2005); A. Oron and N. Flournoy, "Centered isotonic regression" (Statistics in
Biopharmaceutical Research, 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from triage.errors import ArtefactRefused, LabelsRefused, TriageError
from triage.records import Doubles

# Of the rarer class. With fewer, isotonic regression fits their accidents: Niculescu-Mizil and
# Caruana found the sigmoid better up to some 1,000 examples, a fair share of them positive.
ISOTONIC_FROM = 200

# No answer is surer than 1 in 10**13, so the logarithms of p and 1 - p are finite.
HIGHEST_LOG_ODDS = 30.0

# Log-odds that are equal to this are one; it keeps every knot apart from the next.
DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Calibrator:
    """A rising line through knots, continued straight beyond the outermost ones.

    Attributes:
        x: Log-odds as a head gives them, shape (k,) with k >= 2, strictly rising.
        y: Calibrated log-odds at `x`, shape (k,), never falling.

    Raises:
        ArtefactRefused: The arrays are not of this shape, or not in this order.
    """

    x: Doubles
    y: Doubles

    def __post_init__(self) -> None:
        if self.x.ndim != 1 or self.x.shape != self.y.shape or len(self.x) < 2:
            raise ArtefactRefused(
                f"A calibrator's knots have the shapes {self.x.shape} and {self.y.shape}; it takes "
                "two arrays of one length, 2 or more. Restore the model or train it again."
            )
        if not (np.isfinite(self.x).all() and np.isfinite(self.y).all()):
            raise ArtefactRefused(
                "A calibrator has a knot that is not a finite number. "
                "Restore the model or train it again."
            )
        if (np.diff(self.x) <= 0).any() or (np.diff(self.y) < 0).any():
            raise ArtefactRefused(
                "A calibrator's knots do not rise, so a higher score could mean less. "
                "Restore the model or train it again."
            )

    def apply(self, scores: ArrayLike) -> Doubles:
        """Calibrated probabilities.

        Args:
            scores: Log-odds, any shape.

        Returns:
            Probabilities of the same shape, never exactly 0 or 1, that never fall where the
            scores rise.

        Raises:
            TriageError: A score is not a finite number. Such a score compares as under every
                threshold, so it must not get through.
        """
        log_odds = _finite(scores)
        return _probabilities(self._calibrated(log_odds))

    def _calibrated(self, log_odds: Doubles) -> Doubles:
        """Calibrated log-odds."""
        x, y = self.x, self.y
        first, last = (y[1] - y[0]) / (x[1] - x[0]), (y[-1] - y[-2]) / (x[-1] - x[-2])
        below, above = np.minimum(log_odds - x[0], 0), np.maximum(log_odds - x[-1], 0)
        line: Doubles = np.interp(log_odds, x, y) + first * below + last * above
        return line

    def shifted(self, log_odds: float) -> Calibrator:
        """The same with other odds beforehand: what fits rows richer or poorer in cases."""
        return Calibrator(self.x, self.y + log_odds)

    def to_arrays(self) -> dict[str, Doubles]:
        """The knots by name, for `from_arrays`."""
        return {"x": self.x, "y": self.y}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Calibrator:
        """A calibrator from the arrays that `to_arrays` gave.

        Raises:
            ArtefactRefused: An array is missing, of another kind than 64-bit floats, or breaks
                what the class says of it.
        """
        for name in ("x", "y"):
            if name not in arrays or arrays[name].dtype != np.float64:
                raise ArtefactRefused(
                    f"A calibrator's array {name!r} is missing or not of 64-bit floats. "
                    "Restore the model or train it again."
                )
        return cls(arrays["x"], arrays["y"])


def apply_each(calibrators: Sequence[Calibrator], scores: ArrayLike) -> Doubles:
    """Probabilities of several names at once, each by a calibrator of its own.

    Args:
        calibrators: One for each column.
        scores: Log-odds, shape (n, columns).

    Returns:
        What `Calibrator.apply` gives for each column, to the last bit; shape (n, columns).

    Raises:
        TriageError: As `Calibrator.apply`.
    """
    log_odds = _finite(scores)
    lines = np.empty_like(log_odds)
    for calibrator, column, line in zip(calibrators, log_odds.T, lines.T, strict=True):
        line[:] = calibrator._calibrated(column)
    return _probabilities(lines)


def _finite(scores: ArrayLike) -> Doubles:
    log_odds = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(log_odds).all():
        raise TriageError(
            f"{np.sum(~np.isfinite(log_odds))} of {log_odds.size} scores are not finite "
            "numbers, so they can't be calibrated. Look at the model's inputs and weights."
        )
    return log_odds


def _probabilities(log_odds: Doubles) -> Doubles:
    probabilities: Doubles = 1 / (1 + np.exp(-log_odds.clip(-HIGHEST_LOG_ODDS, HIGHEST_LOG_ODDS)))
    return probabilities


AS_IT_IS = Calibrator(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))


def fit_calibrator(
    logits: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> Calibrator:
    """Fit a calibrator on examples that the head was not fitted on.

    With fewer than 200 of the rarer class: a sigmoid (Platt 1999). With more: isotonic
    regression (Zadrozny and Elkan 2002), drawn as a line through the weighted centre of each
    block (Oron and Flournoy 2017), so that a block is a slope rather than a plateau and the
    ranking is kept; beyond the outer centres it goes on with the sigmoid's slope. Both fit
    Platt's smoothed targets, (p + 1) / (p + 2) for p positives and 1 / (n + 2) for n negatives,
    so no finite sample makes anything certain.

    Logits that don't rise with the labels at all come out as the base rate.

    Args:
        logits: The head's log-odds, shape (n,).
        labels: 0 or 1, shape (n,); leave out what is unknown.
        weights: How many examples each one counts for, over 0, shape (n,); 1 if not given.

    Raises:
        LabelsRefused: Only one class, or arrays that differ in shape or hold something else.
    """
    x, positive, weight = _checked(logits, labels, weights)
    rarer = min(positive.sum(), (~positive).sum())
    if rarer == 0:
        raise LabelsRefused(
            f"There are {positive.sum()} positives and {(~positive).sum()} negatives to calibrate "
            "on; it takes both. Label more, or leave the category out of the model."
        )
    targets = _smoothed(positive, weight)
    slope, offset = _fit_sigmoid(x, targets, weight)
    if rarer < ISOTONIC_FROM:
        ends = np.array([-1.0, 1.0])
        return Calibrator(ends, slope * ends + offset)
    return _fit_isotonic(x, targets, weight, slope)


def _checked(
    logits: ArrayLike, labels: ArrayLike, weights: ArrayLike | None
) -> tuple[Doubles, NDArray[np.bool_], Doubles]:
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    weight = np.ones(x.shape) if weights is None else np.asarray(weights, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or x.shape != weight.shape:
        raise LabelsRefused(
            f"Logits, labels and weights have the shapes {x.shape}, {y.shape} and {weight.shape}; "
            "calibration takes one of each for every example."
        )
    usable = np.isfinite(x) & np.isin(y, (0, 1)) & np.isfinite(weight) & (weight > 0)
    if not usable.all():
        raise LabelsRefused(
            f"{np.sum(~usable)} of {len(x)} examples have a logit that is not finite, a label that "
            "is not 0 or 1, or a weight that is not over 0. Leave them out."
        )
    return x.round(DECIMALS), y == 1, weight


def _smoothed(positive: NDArray[np.bool_], weight: Doubles) -> Doubles:
    """Platt's targets: what a positive and a negative are worth after Laplace's correction."""
    positives, negatives = float(weight[positive].sum()), float(weight[~positive].sum())
    return np.where(positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def _fit_sigmoid(x: Doubles, targets: Doubles, weight: Doubles) -> tuple[float, float]:
    """Slope (0 or more) and offset of the log-odds that fit the targets best."""
    from sklearn.linear_model import LogisticRegression

    base = float(np.average(targets, weights=weight))
    level = 0.0, float(np.log(base / (1 - base)))
    scale = float(np.ptp(x))
    if scale == 0:
        return level
    # A target between 0 and 1 is an example of each class with a share of the weight.
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8).fit(
        np.tile((x - x.mean()) / scale, 2)[:, None],
        np.repeat([1, 0], len(x)),
        sample_weight=np.concatenate([weight * targets, weight * (1 - targets)]),
    )
    slope = float(model.coef_[0, 0]) / scale
    if slope <= 0:
        return level
    return slope, float(model.intercept_[0]) - slope * float(x.mean())


def _fit_isotonic(x: Doubles, targets: Doubles, weight: Doubles, slope: float) -> Calibrator:
    """Knots at the centre of each isotonic block, and one at either end to give the slope."""
    from scipy.optimize import isotonic_regression

    values, of = np.unique(x, return_inverse=True)  # equal scores are one point
    mass = np.bincount(of, weight)
    rates = isotonic_regression(np.bincount(of, weight * targets) / mass, weights=mass).x
    # Not scipy's own blocks: it leaves neighbours of equal rate apart, which would be plateaus.
    heights, starts = np.unique(np.log(rates / (1 - rates)).round(DECIMALS), return_index=True)
    centres = np.add.reduceat(mass * values, starts) / np.add.reduceat(mass, starts)
    return Calibrator(
        np.concatenate([centres[:1] - 1, centres, centres[-1:] + 1]),
        np.concatenate([heights[:1] - slope, heights, heights[-1:] + slope]),
    )
