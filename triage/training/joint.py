"""Fitting how words and sounds are joined, where recordings are labelled with both.

The combination stays the noisy-or of `triage.fusion`, so that evidence only adds and contributions
stay exact; what is fitted are its strengths: how much each sound says of each category. They are
the most probable ones given the recordings and the documented strengths, which count as much as
`WORTH` recordings (a beta prior), so a handful of labels moves them a little and thousands decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from triage.fusion import CERTAIN
from triage.labels.rows import YES
from triage.records import Doubles

WORTH = 10.0  # recordings that the documented strengths count as
LEAST = 10  # recordings of each label that it takes to fit a category's strengths

Strengths = Mapping[str, Mapping[str, float]]


def fit_strengths(
    said: Doubles,
    heard: Doubles,
    labels: Doubles,
    categories: Sequence[str],
    events: Sequence[str],
    documented: Strengths,
) -> tuple[dict[str, dict[str, float]], tuple[str, ...]]:
    """Strengths by event and category, and the categories for which they were fitted.

    Args:
        said: Calibrated probability by the words, shape (recordings, categories); 0 without words.
        heard: Highest calibrated probability of each event, shape (recordings, events).
        labels: 0..1, or NaN for unknown, shape (recordings, categories).
        categories, events: Names of the columns.
        documented: What holds for a category with too few recordings, and the prior of the others.
    """
    strengths = {event: dict(row) for event, row in documented.items()}
    fitted = []
    for column, category in enumerate(categories):
        known = ~np.isnan(labels[:, column])
        truth = labels[known, column]
        if min((truth >= YES).sum(), (truth < YES).sum()) < LEAST:
            continue
        prior = np.array([documented.get(event, {}).get(category, 0.0) for event in events])
        found = _most_probable(said[known, column], heard[known], truth, prior)
        for event, strength in zip(events, found.tolist(), strict=True):
            strengths.setdefault(event, {})[category] = round(strength, 4)
        fitted.append(category)
    return strengths, tuple(fitted)


def _most_probable(said: Doubles, heard: Doubles, truth: Doubles, prior: Doubles) -> Doubles:
    from scipy.optimize import minimize

    # Where the words alone are certain, no strength could be told.
    silent = np.clip(1 - said, 1 - CERTAIN, 1)

    def loss(strength: Doubles) -> tuple[float, Doubles]:
        each = 1 - heard * strength
        quiet = silent * each.prod(axis=1)
        score = np.maximum(1 - quiet, 1 - CERTAIN)
        value = -(truth * np.log(score) + (1 - truth) * np.log(quiet)).sum()
        slope = ((truth * quiet / score - (1 - truth))[:, None] * heard / each).sum(axis=0)
        value -= WORTH * (prior * np.log(strength) + (1 - prior) * np.log1p(-strength)).sum()
        slope += WORTH * (prior / strength - (1 - prior) / (1 - strength))
        return float(value), -slope

    bounds = [(1e-6, 0.999)] * len(prior)
    found: Doubles = minimize(
        loss, prior.clip(0.01, 0.99), jac=True, method="L-BFGS-B", bounds=bounds
    ).x
    return found
