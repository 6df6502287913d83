"""What was promised beside what came true: the points of a reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triage.records import Doubles

Z = 1.96  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of about equal probability.

    Attributes:
        mean: Of their probabilities.
        share: Of them that are positive.
        low, high: 95 % interval of the share (Wilson 1927).
        count: Rows.
    """

    mean: float
    share: float
    low: float
    high: float
    count: int


def reliability(labels: Doubles, probabilities: Doubles, bins: int = 15) -> tuple[Bin, ...]:
    """Bins of equal mass, as `triage.metrics.expected_calibration_error` has them.

    Args:
        labels: 0 or 1, shape (n,).
        probabilities: In 0..1, shape (n,).
        bins: At most; rows of equal probability share one.

    Returns:
        By rising probability; none without rows.
    """
    if not len(labels):
        return ()
    order = np.argsort(probabilities, kind="stable")
    ranked, truth = probabilities[order], labels[order]
    starts = np.unique(np.searchsorted(ranked, ranked[np.arange(bins) * len(ranked) // bins]))
    counts = np.diff(np.append(starts, len(ranked)))
    means = np.add.reduceat(ranked, starts) / counts
    shares = np.add.reduceat(truth, starts) / counts
    return tuple(
        Bin(float(mean), float(share), *wilson(float(share), int(count)), int(count))
        for mean, share, count in zip(means, shares, counts, strict=True)
    )


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927), which holds for few and for all or none.

    Args:
        share: Of `count`, in 0..1.
        count: 1 or more.
    """
    centre = share + Z**2 / (2 * count)
    margin = Z * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    low, high = float(centre - margin) / scale, float(centre + margin) / scale
    return max(0.0, min(low, share)), min(1.0, max(high, share))  # rounding may leave it outside
