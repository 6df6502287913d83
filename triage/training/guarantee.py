"""Thresholds with a promise: "misses at most 5 % of the cases, with 95 % confidence".

Held-out cases are drawn like the cases to come, so whether each of them scores under a threshold
is a toss of one coin, whatever the scores' distribution. The exact binomial bound on that coin
(Clopper and Pearson 1934) is what makes the highest threshold whose bound is still under the
promised share a risk-controlling one: S. Bates et al., "Distribution-free, risk-controlling
prediction sets" (Journal of the ACM, 2021), with the loss "missed". Thresholds are tried from the
lowest upwards and the first that fails ends it, so trying many costs no confidence.

It promises for cases like the held-out ones and no others: labels from one city say nothing of
the next. Cases of one group are not independent, so a group counts once, by its lowest score.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from triage.manifest import Guarantee
from triage.records import Doubles


def guarantee(
    labels: Doubles, scores: Doubles, groups: NDArray[np.int64], miss: float, confidence: float
) -> Guarantee:
    """The highest threshold that keeps the promise, or none where there are too few cases.

    Args:
        labels: 0, 1, or NaN for unknown, shape (n,).
        scores: Shape (n,), higher for what is likelier 1; not fitted or calibrated on these rows.
        groups: Shape (n,).
        miss: Share of the cases that may be missed, over 0 and under 1.
        confidence: Chance that the promise holds, over 0 and under 1.
    """
    cases = _lowest_by_group(scores[labels == 1], groups[labels == 1])
    missed = most_missed(len(cases), miss, confidence)
    # Flagged is what scores the threshold or more, so this case is found and those below are not.
    threshold = None if missed is None else float(cases[missed])
    negatives = scores[labels == 0]
    flagged = None
    if threshold is not None and len(negatives):
        flagged = float((negatives >= threshold).mean())
    return Guarantee(
        threshold=threshold,
        miss=miss,
        confidence=confidence,
        cases=len(cases),
        needed=cases_needed(miss, confidence),
        flagged=flagged,
    )


def cases_needed(miss: float, confidence: float) -> int:
    """The fewest cases from which anything can be promised: all of them are found, then."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - miss))


def most_missed(cases: int, miss: float, confidence: float) -> int | None:
    """How many of the held-out cases may be missed; None if even none is no proof.

    With k missed, the bound is under `miss` when a coin of that chance would show k or fewer
    misses in no more than 1 - confidence of all draws.
    """
    from scipy.stats import binom

    chances = binom.cdf(np.arange(cases), cases, miss)
    allowed = np.flatnonzero(chances <= 1 - confidence)
    return int(allowed[-1]) if len(allowed) else None


def _lowest_by_group(scores: Doubles, groups: NDArray[np.int64]) -> Doubles:
    """Rising, shape (groups,)."""
    _, of = np.unique(groups, return_inverse=True)
    lowest = np.full(of.max(initial=-1) + 1, np.inf)
    np.minimum.at(lowest, of, scores)
    return np.sort(lowest)
