"""Two models on the same rows: the difference, and how sure one may be of it.

Both are measured on the same resamples, so what is hard about a row is hard for both and cancels
out; the interval is of the difference, and far narrower than two intervals side by side (Efron
and Tibshirani 1993, chapter 13, on paired data).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from triage.manifest import Part
from triage.metrics import Measure, resamples
from triage.records import Doubles


class Difference(Part):
    """A measure of both models, and the challenger's less the champion's.

    Attributes:
        champion, challenger: The measure on all rows.
        low, high: 95 % interval of the difference; from -1 to 1 where nothing is known of it.
        not_lower, not_higher: Share of the resamples in which it was 0 or over, and 0 or under:
            the smaller, the less a loss or a gain can be put down to chance.
    """

    champion: float
    challenger: float
    low: float
    high: float
    not_lower: float
    not_higher: float

    @property
    def value(self) -> float:
        """Over 0 where the challenger's is the larger."""
        return self.challenger - self.champion

    @property
    def lower(self) -> bool:
        """Whether the challenger's is smaller beyond the interval."""
        return self.high < 0

    @property
    def higher(self) -> bool:
        """Whether the challenger's is larger beyond the interval."""
        return self.low > 0


def paired(
    measure: Measure,
    labels: ArrayLike,
    champion: ArrayLike,
    challenger: ArrayLike,
    groups: NDArray[np.int64],
    repeats: int,
    level: float = 0.95,
) -> Difference:
    """The difference of a measure with its percentile bootstrap interval.

    Whole groups are drawn. Unlike in `triage.metrics.bootstrap_interval` the percentiles are not
    moved by an estimate of bias: what biases one model's measure biases the other's, and where
    the models differ in a few cases only, most resamples differ by nothing at all. Moving these
    zeros by a hair would make one lost case look like a certain loss.

    Args:
        measure: One of `triage.metrics`, or like them.
        labels: 0 or 1, shape (n,).
        champion, challenger: Scores of the same rows, shape (n,).
        groups: Of each row, shape (n,).
        repeats: How many resamples.
        level: Share of them inside the interval.
    """
    one, two = (float(measure(labels, scores, weights=None)) for scores in (champion, challenger))
    drawn: Doubles = np.concatenate(
        [
            measure(labels, challenger, weights=weights)
            - measure(labels, champion, weights=weights)
            for weights in resamples(groups, repeats, np.random.default_rng(0))
        ]
    )
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Difference(champion=one, challenger=two, low=-1, high=1, not_lower=1, not_higher=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Difference(
        champion=one,
        challenger=two,
        low=float(low),
        high=float(high),
        not_lower=float((drawn >= 0).mean()),
        not_higher=float((drawn <= 0).mean()),
    )
