"""The difference of two models on the same rows, and how sure one may be of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.measure.paired import paired
from triage.metrics import average_precision, expected_calibration_error, recall_at_1pct_fpr
from triage.records import Doubles

MEASURES = (average_precision, recall_at_1pct_fpr, expected_calibration_error)


def rows(count: int = 400, seed: int = 0) -> tuple[Doubles, Doubles, Doubles]:
    """Labels, and two models' scores that share most of their errors; neither is better."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 5 == 0).astype(float)
    shared = labels * 1.5 + rng.normal(size=count)
    one, two = (1 / (1 + np.exp(-(shared + 0.3 * rng.normal(size=count)))) for _ in range(2))
    return labels, one, two


@pytest.mark.parametrize("measure", MEASURES)
def test_a_model_differs_from_itself_by_nothing(measure) -> None:  # type: ignore[no-untyped-def]
    labels, scores, _ = rows()
    found = paired(measure, labels, scores, scores, np.arange(len(labels)), 50)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert not found.lower
    assert not found.higher


@pytest.mark.parametrize("measure", MEASURES)
def test_which_one_is_the_champion_turns_the_sign(measure) -> None:  # type: ignore[no-untyped-def]
    labels, one, two = rows()
    groups = np.arange(len(labels))
    there = paired(measure, labels, one, two, groups, 100)
    back = paired(measure, labels, two, one, groups, 100)
    assert back.value == pytest.approx(-there.value)
    assert (back.low, back.high) == (pytest.approx(-there.high), pytest.approx(-there.low))


def test_a_damaged_model_is_lower_beyond_the_interval() -> None:
    labels, one, _ = rows()
    shuffled = np.random.default_rng(1).permutation(one)
    found = paired(average_precision, labels, one, shuffled, np.arange(len(labels)), 200)
    assert found.lower
    assert found.value == pytest.approx(
        average_precision(labels, shuffled) - average_precision(labels, one)
    )


def test_pairs_are_surer_than_two_intervals_side_by_side() -> None:
    labels, one, two = rows()
    groups = np.arange(len(labels))
    together = paired(average_precision, labels, one, two, groups, 300)
    alone = paired(average_precision, labels, np.full(len(labels), 0.5), two, groups, 300)
    assert together.high - together.low < 0.7 * (alone.high - alone.low)


def test_whole_groups_are_drawn() -> None:
    labels, one, two = rows(100)
    alone = paired(average_precision, labels, one, two, np.arange(100), 300)
    ten = np.tile(np.arange(100), 10)
    copied = paired(
        average_precision, labels[ten], one[ten], two[ten], ten, 300
    )  # ten copies of a row in one group say no more than the row
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.2)


@given(st.integers(0, 10))
def test_the_interval_holds_zero_where_nothing_differs_but_chance(seed: int) -> None:
    labels, one, two = rows(200, seed)
    found = paired(average_precision, labels, one, two, np.arange(200), 100, level=0.9999)
    assert found.low <= 0 <= found.high


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_case_or_two_may_be_chance(lost: int) -> None:
    labels = (np.arange(400) < 15).astype(float)
    champion = np.where(labels == 1, 0.9, 0.1)
    challenger = np.where(np.arange(400) < lost, 0.1, champion)
    for seed in range(10):
        groups = np.random.default_rng(seed).permutation(400)
        found = paired(found_at_a_half, labels, champion, challenger, groups, 200)
        assert found.value == pytest.approx(-lost / 15)
        assert not found.lower
        assert found.not_lower > 0.05


def test_most_cases_lost_are_no_chance() -> None:
    labels = (np.arange(400) < 15).astype(float)
    champion = np.where(labels == 1, 0.9, 0.1)
    challenger = np.where(np.arange(400) < 10, 0.1, champion)
    found = paired(found_at_a_half, labels, champion, challenger, np.arange(400), 400)
    assert found.lower
    assert found.not_lower < 0.0025


def found_at_a_half(labels: Doubles, scores: Doubles, *, weights: Doubles | None) -> Doubles:
    """Share of the cases that score a half and over."""
    weight = labels if weights is None else labels * weights
    found: Doubles = (weight * (scores >= 0.5)).sum(axis=-1) / weight.sum(axis=-1)
    return found


def test_without_both_labels_nothing_is_known() -> None:
    found = paired(average_precision, np.zeros(5), np.ones(5), np.ones(5), np.arange(5), 10)
    assert (found.low, found.high) == (-1, 1)
