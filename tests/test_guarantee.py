"""The promise about misses holds as often as it says, and is not made from too few cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from triage.training.guarantee import cases_needed, guarantee, most_missed


def promised(cases: np.ndarray, negatives: np.ndarray, miss: float = 0.05, sure: float = 0.95):
    labels = np.repeat([1.0, 0.0], [len(cases), len(negatives)])
    groups = np.arange(len(labels))
    return guarantee(labels, np.concatenate([cases, negatives]), groups, miss, sure)


def test_59_cases_are_needed_for_5_percent_with_95_percent_confidence() -> None:
    assert cases_needed(0.05, 0.95) == 59  # Wilks 1941
    assert most_missed(58, 0.05, 0.95) is None
    assert most_missed(59, 0.05, 0.95) == 0
    assert most_missed(93, 0.05, 0.95) == 1


@given(st.integers(1, 400), st.floats(0.01, 0.4), st.floats(0.6, 0.99))
def test_the_bound_is_clopper_and_pearsons(cases: int, miss: float, sure: float) -> None:
    allowed = most_missed(cases, miss, sure)
    most = -1 if allowed is None else allowed
    if most >= 0:
        assert beta.ppf(sure, most + 1, cases - most) <= miss + 1e-9
    if most + 1 < cases:
        assert beta.ppf(sure, most + 2, cases - most - 1) >= miss - 1e-9


def test_too_few_cases_promise_nothing_and_say_how_many_it_takes() -> None:
    found = promised(np.linspace(0.5, 1, 58), np.linspace(0, 0.5, 10))
    assert (found.threshold, found.cases, found.needed, found.flagged) == (None, 58, 59, None)
    assert promised(np.empty(0), np.ones(3)).threshold is None


def test_the_threshold_finds_all_cases_but_those_that_may_be_missed() -> None:
    cases, negatives = np.linspace(0.3, 0.9, 200), np.linspace(0, 0.6, 100)
    found = promised(cases, negatives)
    assert found.threshold is not None
    assert (cases < found.threshold).sum() == most_missed(200, 0.05, 0.95) == 4
    assert found.flagged == pytest.approx((negatives >= found.threshold).mean())


def test_a_group_counts_once_and_by_its_lowest_score() -> None:
    scores = np.concatenate([np.full(59, 0.9), np.linspace(0.2, 0.8, 59)])
    groups = np.tile(np.arange(59), 2)
    found = guarantee(np.ones(118), scores, groups, 0.05, 0.95)
    assert (found.cases, found.threshold) == (59, pytest.approx(0.2))


def test_unknown_labels_take_no_part() -> None:
    labels = np.array([1.0] * 60 + [np.nan] * 60)
    scores = np.concatenate([np.full(60, 0.7), np.zeros(60)])
    found = guarantee(labels, scores, np.arange(120), 0.05, 0.95)
    assert (found.cases, found.threshold, found.flagged) == (60, pytest.approx(0.7), None)


@pytest.mark.parametrize("cases", [59, 120, 300])
def test_the_promise_is_kept_as_often_as_it_says(cases: int) -> None:
    """Cases drawn anew a thousand times: the true share under the threshold is known exactly."""
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(1000):
        found = promised(rng.uniform(size=cases), np.zeros(1))
        assert found.threshold is not None
        broken += found.threshold > 0.05  # of uniform scores, that is the share missed
    assert broken <= 68  # 50 expected at most; 3 deviations over it at 1,000 draws
    assert broken > 5  # and it isn't won by promising nothing
