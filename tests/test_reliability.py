"""Reliability bins: those of the calibration error, every row in one of them, honest intervals."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from triage.metrics import expected_calibration_error
from triage.records import Doubles
from triage.reliability import Bin, reliability, wilson

# Few distinct probabilities, so that there are ties, both ends, and more bins than values.
rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 16).map(lambda k: k / 16)), min_size=1, max_size=80
)
widths = st.integers(1, 20)


def columns(drawn: list[tuple[int, float]]) -> tuple[Doubles, Doubles]:
    labels, probabilities = np.array(drawn, np.float64).T
    return labels, probabilities


def test_bins_of_equal_mass_hold_what_they_say() -> None:
    labels = np.array([0, 0, 1, 0, 1, 1], np.float64)
    probabilities = np.array([0.1, 0.2, 0.3, 0.5, 0.8, 0.9])
    few, many = reliability(labels, probabilities, bins=2)
    assert (few.mean, few.share, few.count) == pytest.approx((0.2, 1 / 3, 3))
    assert (many.mean, many.share, many.count) == pytest.approx((2.2 / 3, 2 / 3, 3))


def test_fifteen_bins_unless_told_otherwise() -> None:
    probabilities = np.linspace(0, 1, 150)
    assert [one.count for one in reliability(np.zeros(150), probabilities)] == [10] * 15


def test_no_rows_have_no_bins() -> None:
    assert reliability(np.zeros(0), np.zeros(0)) == ()


def test_rows_of_one_probability_share_a_bin() -> None:
    (one,) = reliability(np.array([0.0, 1.0, 1.0, 0.0]), np.full(4, 0.25), bins=3)
    assert (one.mean, one.share, one.count) == (0.25, 0.5, 4)


@given(rows, widths)
def test_the_distances_make_up_the_calibration_error(
    drawn: list[tuple[int, float]], bins: int
) -> None:
    labels, probabilities = columns(drawn)
    found = reliability(labels, probabilities, bins)
    distance = sum(one.count * abs(one.share - one.mean) for one in found) / len(drawn)
    assert distance == pytest.approx(expected_calibration_error(labels, probabilities, bins))


@given(rows, widths)
def test_every_row_is_in_one_bin(drawn: list[tuple[int, float]], bins: int) -> None:
    labels, probabilities = columns(drawn)
    found = reliability(labels, probabilities, bins)
    assert 1 <= len(found) <= bins
    assert sum(one.count for one in found) == len(drawn)
    assert sum(one.count * one.share for one in found) == pytest.approx(labels.sum())
    assert sum(one.count * one.mean for one in found) == pytest.approx(probabilities.sum())
    means = [one.mean for one in found]
    assert means == sorted(set(means))


@given(rows, widths, st.randoms())
def test_the_order_of_the_rows_is_of_no_matter(
    drawn: list[tuple[int, float]], bins: int, random: Random
) -> None:
    shuffled = drawn.copy()
    random.shuffle(shuffled)
    assert reliability(*columns(shuffled), bins) == reliability(*columns(drawn), bins)


@given(rows, widths)
def test_the_interval_is_wilsons(drawn: list[tuple[int, float]], bins: int) -> None:
    for one in reliability(*columns(drawn), bins):
        test = binomtest(round(one.share * one.count), one.count)
        expected = test.proportion_ci(0.95, method="wilson")
        assert (one.low, one.high) == pytest.approx(tuple(expected), abs=1e-4)


def test_the_interval_holds_the_share() -> None:
    for count in range(1, 60):
        for positives in range(count + 1):
            labels = (np.arange(count) < positives).astype(np.float64)
            (one,) = reliability(labels, np.full(count, 0.5))
            assert 0 <= one.low <= one.share <= one.high <= 1


def test_the_interval_of_a_certain_bin_is_not_empty() -> None:
    (never,) = reliability(np.zeros(20), np.full(20, 0.1))
    (always,) = reliability(np.ones(20), np.full(20, 0.9))
    assert (never.low, always.high) == (0, 1)
    assert never.high == pytest.approx(1 - always.low) == pytest.approx(0.1611, abs=1e-3)


def test_bins_are_plain_numbers() -> None:
    (one,) = reliability(np.array([1.0, 0.0]), np.full(2, 0.5))
    assert isinstance(one, Bin)
    kinds = [type(getattr(one, name)) for name in ("mean", "share", "low", "high", "count")]
    assert kinds == [float, float, float, float, int]


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval(hits: int, count: int, low: float, high: float) -> None:
    """The last is Newcombe 1998, table I; the others by (0, z^2 / (n + z^2))."""
    found = wilson(hits / count, count)
    assert found == pytest.approx((low, high), abs=1e-4)
