"""Drift: what moved is seen, what chance explains isn't, and the chance is what it says."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from triage.drift import (
    DECIMALS,
    LEAST_ROWS,
    Verdict,
    by_chance,
    compare,
    edges_of,
    histogram,
    place,
    psi,
    reference,
    reference_of,
    values,
    worst,
)
from triage.records import Scores

Array = NDArray[np.float64]

counts = st.lists(st.integers(0, 10_000), min_size=4, max_size=4)
finite = st.floats(-1e6, 1e6).map(lambda value: round(value, DECIMALS))


def scores(**fields: Any) -> Scores:
    return Scores(**{"model": "m", "categories": {}, "applied": {}} | fields)


def piled(rng: np.random.Generator, rows: int, scale: float = 3.0) -> Array:
    """Scores as a rare category's: most are 0, few are not."""
    return np.where(rng.random(rows) < 0.7, 0.0, rng.beta(0.3, scale, rows))


def live(array: Array, edges: tuple[float, ...]) -> tuple[float, ...]:
    return histogram(array, edges).counts


# What is counted ----------------------------------------------------------------------------


def test_every_value_has_a_name() -> None:
    found = dict(
        values(
            scores(
                categories={"violence": 0.25, "distress": 0.5},
                applied={"violence": ("text",), "distress": ("text", "audio")},
                event_scores={"scream": 0.75},
                flags={"noisy": True, "silent": False},
                measurements={"seconds": 3.0},
            )
        )
    )
    assert found == {
        "category violence": 0.25,
        "category distress": 0.5,
        "event scream": 0.75,
        "flag noisy": 1.0,
        "flag silent": 0.0,
        "measurement seconds": 3.0,
    }


def test_a_category_counts_only_where_words_were_read() -> None:
    heard = scores(categories={"violence": 0.0, "distress": 0.5}, applied={"distress": ("audio",)})
    assert dict(values(heard)) == {}


# Bins ---------------------------------------------------------------------------------------


def test_bins_hold_about_equally_many() -> None:
    array = np.random.default_rng(0).normal(size=5_000)
    assert len(edges_of(array)) == 9
    assert all(480 <= count <= 520 for count in live(array, edges_of(array)))


@given(st.lists(finite, min_size=1, max_size=60), st.integers(2, 12))
def test_edges_rise_and_every_value_has_its_bin(array: list[float], bins: int) -> None:
    edges = edges_of(array, bins)
    assert len(edges) >= 1
    assert all(a < b for a, b in pairwise(edges))
    found = histogram(array, edges)
    assert sum(found.counts) == len(array)
    placed = np.bincount([place(value, edges) for value in array], minlength=len(edges) + 1)
    assert tuple(placed) == found.counts


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.7, 1.0]), min_size=1, max_size=60))
def test_a_rounding_error_moves_nothing_into_another_bin(array: list[float]) -> None:
    edges = edges_of(array)
    moved = [math.nextafter(value, toward) for value in array for toward in (-1.0, 2.0)]
    assert [place(value, edges) for value in moved] == [
        place(value, edges) for value in array for _ in "ab"
    ]


def test_what_most_scores_are_has_a_bin_of_its_own() -> None:
    array = np.array([0.0] * 900 + [0.5] * 60 + [0.9] * 40)
    edges = edges_of(array)
    assert live(array, edges)[0] == 900
    assert place(0.01, edges) == 0
    assert place(0.3, edges) == 1


def test_a_flag_has_two_bins_however_rare_it_is() -> None:
    assert edges_of([0.0] * 9_999 + [1.0]) == (0.5,)


def test_a_constant_is_told_from_what_is_under_and_over_it() -> None:
    edges = edges_of([2.0] * 50)
    assert [place(value, edges) for value in (1.9, 2.0, 2.1)] == [0, 1, 2]


def test_a_reference_leaves_out_what_is_no_number() -> None:
    found = reference_of({"a": [0.0, 1.0, math.nan, math.inf], "none": [math.nan]})
    assert set(found) == {"a"}
    assert found["a"].counts == (1, 1)


def test_a_reference_from_scores_is_the_one_from_arrays() -> None:
    many = [scores(flags={"noisy": n % 3 == 0}, measurements={"words": n}) for n in range(40)]
    arrays = {"flag noisy": [n % 3 == 0 for n in range(40)], "measurement words": np.arange(40)}
    assert reference(many) == reference_of(arrays)


# The index ----------------------------------------------------------------------------------


@given(counts)
def test_the_same_has_not_moved(row: list[int]) -> None:
    assert psi(row, row) == 0


@given(counts, counts)
def test_the_index_is_symmetric_finite_and_never_negative(one: list[int], two: list[int]) -> None:
    assert 0 <= psi(one, two) < math.inf
    assert psi(one, two) == pytest.approx(psi(two, one))


def test_the_index_is_that_of_the_books() -> None:
    # Shares .5/.5 and .8/.2: .3 ln 1.6 + .3 ln 2.5.
    expected = 0.3 * math.log(1.6) + 0.3 * math.log(2.5)
    assert psi([5e6, 5e6], [8e6, 2e6]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("rows", "reference_rows"), [(200, 300), (500, 2_000), (5_000, 20_000)])
@pytest.mark.parametrize("pile", [False, True])
def test_without_drift_the_index_is_what_chance_gives(
    rows: int, reference_rows: int, pile: bool
) -> None:
    rng = np.random.default_rng(7)

    def draw(n: int) -> Array:
        return piled(rng, n) if pile else rng.normal(size=n)

    found, under = [], []
    for _ in range(600):
        base = draw(reference_rows)
        edges = edges_of(base)
        found.append(psi(live(base, edges), live(draw(rows), edges)))
        under.append(found[-1] < by_chance(len(edges) + 1, rows, reference_rows, 0.95))
    # 600 draws of .95 lie in .925...975 but for one time in 200; bins made of the reference's
    # own quantiles make it a little less even.
    assert 0.92 <= np.mean(under) <= 0.98
    bins = 10 if not pile else 4
    mean = (bins - 1) * (1 / rows + 1 / reference_rows)
    assert np.mean(found) == pytest.approx(mean, rel=0.12)


def test_forty_names_without_drift_give_an_alarm_in_one_window_of_twenty_at_most() -> None:
    rng = np.random.default_rng(1)
    expected = reference_of({f"measurement {n}": rng.normal(size=2_000) for n in range(40)})
    alarms = 0
    for _ in range(150):
        window = {name: live(rng.normal(size=500), one.edges) for name, one in expected.items()}
        alarms += any(one.psi > one.chance for one in compare(expected, window))
    assert alarms <= 20  # 7.5 expected, and each reference is one draw that all windows share
    assert alarms >= 1  # Bonferroni is no wider than it has to be


# Verdicts -----------------------------------------------------------------------------------


def compared(base: Array, window: Array) -> tuple[Verdict, float]:
    expected = reference_of({"a": base})
    (found,) = compare(expected, {"a": live(window, expected["a"].edges)})
    assert found.rows == len(window)
    return found.verdict, found.psi


def test_the_same_distribution_has_not_drifted() -> None:
    rng = np.random.default_rng(0)
    assert compared(piled(rng, 3_000), piled(rng, 1_000))[0] is Verdict.NONE


def test_another_distribution_has() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=3_000)
    assert compared(base, rng.normal(0.4, size=3_000))[0] is Verdict.SOME
    assert compared(base, rng.normal(1.0, size=3_000))[0] is Verdict.MUCH
    assert compared(base, base * 2.5)[0] is Verdict.MUCH
    assert compared(piled(rng, 3_000), piled(rng, 3_000, scale=0.1))[0] is Verdict.MUCH


def test_few_rows_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    many, few = rng.normal(size=3_000), rng.normal(5.0, size=LEAST_ROWS - 1)
    assert compared(many, few)[0] is Verdict.TOO_FEW
    assert compared(few, many)[0] is Verdict.TOO_FEW
    assert compared(many, rng.normal(5.0, size=LEAST_ROWS))[0] is Verdict.MUCH


def test_what_chance_explains_is_no_drift() -> None:
    names = {f"measurement {n}": np.arange(LEAST_ROWS) for n in range(40)}
    expected = reference_of(names)
    window = {name: one.counts for name, one in expected.items()}
    window["measurement 0"] = (20, 20, 20, 20, 20, 20, 20, 20, 3, 37)
    found = {one.name: one for one in compare(expected, window)}["measurement 0"]
    assert 0.1 < found.psi < found.chance  # over the old rule's limit, and yet no drift
    assert found.verdict is Verdict.NONE


def test_the_worst_comes_first_and_what_nobody_had_is_left_out() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=3_000)
    expected = reference_of(dict.fromkeys(["same", "moved", "far", "few", "never"], base))
    edges = expected["same"].edges
    window = {
        "few": live(base[:20] + 9, edges),
        "same": live(base, edges),
        "moved": live(base + 0.4, edges),
        "far": live(base + 2, edges),
        "never": [0] * 10,
        "unknown": [1] * 10,
    }
    found = compare(expected, window)
    assert [one.name for one in found] == ["far", "moved", "same", "few"]
    assert worst(found) is Verdict.MUCH
    assert worst(found[2:]) is Verdict.NONE
    assert worst(found[3:]) is Verdict.TOO_FEW
    assert worst([]) is Verdict.TOO_FEW
    assert compare(expected, {}) == ()
