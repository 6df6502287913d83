"""Measures: equal to scikit-learn's, weights as duplicates, and intervals that hold the truth."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from triage.errors import LabelsRefused
from triage.metrics import (
    Estimate,
    Measure,
    average_precision,
    bootstrap_interval,
    evaluate,
    expected_calibration_error,
    ppv_at_prevalence,
    recall_at_fpr,
    roc_auc,
)

Doubles = NDArray[np.float64]
Rows = list[tuple[int, float, int]]

# Few distinct scores, so that there are ties, and weights of 0, as a resample has them.
rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 8).map(lambda k: k / 8), st.integers(0, 3)),
    min_size=2,
    max_size=60,
).filter(lambda drawn: {label for label, _, weight in drawn if weight} == {0, 1})


def recall(labels: ArrayLike, scores: ArrayLike, *, weights: ArrayLike | None = None) -> Doubles:
    return recall_at_fpr(labels, scores, weights=weights).recall


MEASURES: list[Measure] = [average_precision, roc_auc, recall]


def columns(drawn: Rows) -> tuple[NDArray[np.int64], Doubles, NDArray[np.int64]]:
    labels, scores, weights = (np.array(column) for column in zip(*drawn, strict=True))
    return labels, scores, weights


def sample(n: int, seed: int = 0, rate: float = 0.1) -> tuple[Doubles, Doubles]:
    """Labels, and the probabilities with which they were drawn."""
    rng = np.random.default_rng(seed)
    probabilities = 1 / (1 + np.exp(-rng.normal(np.log(rate), 2, n)))
    return (rng.random(n) < probabilities).astype(float), probabilities


# Measures ---------------------------------------------------------------------------------


@given(rows)
def test_equals_scikit_learn(drawn: Rows) -> None:
    labels, scores, weights = columns(drawn)
    for ours, theirs in ((average_precision, average_precision_score), (roc_auc, roc_auc_score)):
        expected = theirs(labels, scores, sample_weight=weights)
        assert ours(labels, scores, weights=weights) == pytest.approx(expected)


@given(rows, st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.0]))
def test_recall_is_the_best_point_of_the_roc_curve(drawn: Rows, fpr: float) -> None:
    labels, scores, weights = columns(drawn)
    false, true, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    share, threshold = recall_at_fpr(labels, scores, fpr, weights=weights)
    assert share == pytest.approx(true[false <= fpr].max())
    flagged = scores >= threshold
    assert np.average(flagged[labels == 0], weights=weights[labels == 0]) <= fpr
    assert np.average(flagged[labels == 1], weights=weights[labels == 1]) == pytest.approx(share)


@pytest.mark.parametrize("measure", MEASURES)
@given(drawn=rows)
def test_weights_equal_duplicates(measure: Measure, drawn: Rows) -> None:
    labels, scores, weights = columns(drawn)
    repeated = measure(np.repeat(labels, weights), np.repeat(scores, weights))
    assert measure(labels, scores, weights=weights) == pytest.approx(repeated)


@pytest.mark.parametrize("measure", [*MEASURES, expected_calibration_error])
def test_many_weights_at_once_equal_one_after_another(measure: Measure) -> None:
    labels, scores = sample(200)
    weights = np.random.default_rng(1).integers(0, 4, (7, 200))
    one_by_one = [measure(labels, scores, weights=row) for row in weights]
    assert measure(labels, scores, weights=weights) == pytest.approx(one_by_one)


@pytest.mark.parametrize("measure", MEASURES)
@given(seed=st.integers(0, 1_000), positives=st.integers(1, 20), negatives=st.integers(1, 20))
def test_perfect_ranking_gives_one(
    measure: Measure, seed: int, positives: int, negatives: int
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat([1, 0], [positives, negatives]))
    assert measure(labels, labels + 0.5) == 1


def test_chance_ranking_gives_what_chance_gives() -> None:
    labels, _ = sample(100_000)
    scores = np.random.default_rng(3).random(100_000)
    assert roc_auc(labels, scores) == pytest.approx(0.5, abs=0.01)
    assert average_precision(labels, scores) == pytest.approx(labels.mean(), abs=0.01)
    assert recall_at_fpr(labels, scores).recall == pytest.approx(0.01, abs=0.004)


def test_ties_are_flagged_together() -> None:
    # Negatives: one in a hundred at 0.9, together with a positive; another one at 0.5.
    labels = np.array([1, 1, 0, 1, 0] + [0] * 98)
    scores = np.array([0.95, 0.9, 0.9, 0.5, 0.5] + [0.1] * 98)
    assert recall_at_fpr(labels, scores) == pytest.approx((2 / 3, 0.9))
    assert recall_at_fpr(labels, scores, 0.0099) == pytest.approx((1 / 3, 0.95))
    assert recall_at_fpr(labels, scores, 0.02) == pytest.approx((1, 0.5))


def test_highest_score_held_by_a_negative_leaves_nothing_to_flag() -> None:
    point = recall_at_fpr([1, 1, 0, 0], [0.8, 0.7, 0.8, 0.1])
    assert point.recall == 0
    assert point.threshold == math.inf


@pytest.mark.parametrize("measure", MEASURES)
def test_undefined_without_positives(measure: Measure) -> None:
    assert np.isnan(measure([0, 0], [0.1, 0.2]))
    weights = np.array([[1, 1, 1], [0, 1, 1]])
    assert np.isnan(measure([1, 0, 0], [0.3, 0.2, 0.1], weights=weights)).tolist() == [False, True]


def test_undefined_without_negatives() -> None:
    assert np.isnan(roc_auc([1, 1], [0.1, 0.2]))
    assert np.isnan(recall_at_fpr([1, 1], [0.1, 0.2])).all()


@pytest.mark.parametrize("measure", [*MEASURES, expected_calibration_error])
@pytest.mark.parametrize(
    ("labels", "scores", "weights", "message"),
    [
        ([], [], None, r"\(0,\)"),
        ([0, 1], [0.5], None, r"\(2,\), \(1,\)"),
        ([0, 1], [0.5, 0.5], [1], r"\(1,\)"),
        ([0, 2], [0.5, 0.5], None, "1 of 2"),
        ([0, math.nan], [0.5, 0.5], None, "1 of 2"),
        ([0, 1], [0.5, math.nan], None, "1 of 2"),
        ([0, 1], [0.5, 0.5], [1, -1], "weight is under 0"),
    ],
)
def test_unusable_rows_are_refused(
    measure: Measure,
    labels: list[float],
    scores: list[float],
    weights: list[float] | None,
    message: str,
) -> None:
    with pytest.raises(LabelsRefused, match=message):
        measure(labels, scores, weights=weights)


# Calibration error ------------------------------------------------------------------------


def test_calibration_error_of_the_truth_is_small_and_of_a_shift_is_the_shift() -> None:
    labels, probabilities = sample(100_000)
    assert expected_calibration_error(labels, probabilities) < 0.005
    shifted = 0.2 + 0.8 * probabilities
    gap = float(np.mean(shifted - probabilities))
    assert expected_calibration_error(labels, shifted) == pytest.approx(gap, abs=0.005)


def test_calibration_error_by_hand() -> None:
    # Two bins of two rows: |0.1 + 0.3 - 1| and |0.6 + 0.8 - 1|, over four rows.
    error = expected_calibration_error([0, 1, 1, 0], [0.1, 0.3, 0.6, 0.8], bins=2)
    assert error == pytest.approx((0.6 + 0.4) / 4)


@given(st.permutations(range(30)))
def test_equal_probabilities_share_a_bin_whatever_their_order(order: list[int]) -> None:
    labels = np.array([0, 1] * 15)
    probabilities = np.repeat([0.2, 0.5, 0.5, 0.5, 0.9], 6)
    expected = expected_calibration_error(labels, probabilities, bins=5)
    shuffled = expected_calibration_error(labels[order], probabilities[order], bins=5)
    assert shuffled == pytest.approx(expected)


def test_calibration_error_takes_probabilities_only() -> None:
    for scores in ([-2, 0.5], [0.5, 1.5]):
        with pytest.raises(LabelsRefused, match=f"from {scores[0]} to {scores[1]}"):
            expected_calibration_error([0, 1], scores)


# Prevalence -------------------------------------------------------------------------------


def test_ppv_falls_with_prevalence() -> None:
    assert ppv_at_prevalence(0.8, 0.01, 0.5) == pytest.approx(0.8 / 0.81)
    assert ppv_at_prevalence(0.8, 0.01, 0.0001) == pytest.approx(0.0079, abs=1e-4)
    assert math.isnan(ppv_at_prevalence(0, 0, 0.5))


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 50), st.integers(0, 50))
def test_ppv_is_the_precision_of_a_set_of_that_prevalence(
    true: int, missed: int, false: int, passed: int
) -> None:
    cases, others = true + missed, false + passed
    fpr = false / others if others else 0.0
    ppv = ppv_at_prevalence(true / cases, fpr, cases / (cases + others))
    assert ppv == pytest.approx(true / (true + false))


# Intervals --------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
def test_interval_is_what_resampling_rows_gives(measure: Measure) -> None:
    labels, scores = sample(400)
    estimate = bootstrap_interval(measure, labels, scores, repeats=400)
    rng = np.random.default_rng(9)
    drawn = [measure(labels[i], scores[i]) for i in rng.integers(400, size=(400, 400))]
    spread = np.diff(np.quantile(drawn, [0.025, 0.975]))[0]
    assert estimate.value == measure(labels, scores)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.high - estimate.low == pytest.approx(spread, rel=0.25)


def test_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    truth = float(roc_auc(*sample(500_000, seed=99)))
    estimates = [
        bootstrap_interval(roc_auc, *sample(400, seed), repeats=200, level=0.9, seed=seed)
        for seed in range(200)
    ]
    held = np.mean([estimate.low <= truth <= estimate.high for estimate in estimates])
    assert 0.82 < held < 0.97


def test_higher_level_is_wider() -> None:
    narrow, wide = (
        bootstrap_interval(roc_auc, *sample(300), level=level, repeats=300) for level in (0.5, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


def test_copies_in_one_group_add_no_certainty() -> None:
    labels, scores = sample(300)
    names = np.array([f"speaker {k:03}" for k in range(300)])
    once = bootstrap_interval(roc_auc, labels, scores, names, repeats=300)
    order = np.random.default_rng(4).permutation(np.tile(np.arange(300), 4))
    grouped = bootstrap_interval(roc_auc, labels[order], scores[order], names[order], repeats=300)
    alone = bootstrap_interval(roc_auc, labels[order], scores[order], repeats=300)
    assert grouped.low == pytest.approx(once.low)
    assert grouped.high == pytest.approx(once.high)
    assert alone.high - alone.low < 0.7 * (once.high - once.low)


def test_same_seed_same_interval() -> None:
    rows = sample(300)
    first, again, other = (bootstrap_interval(roc_auc, *rows, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_lies_inside_its_interval(seed: int) -> None:
    estimate = bootstrap_interval(expected_calibration_error, *sample(1_000, seed), repeats=200)
    assert estimate.low < estimate.value < estimate.high


def test_interval_stays_where_a_measure_can_be() -> None:
    def unsteady(labels: Doubles, scores: Doubles, *, weights: Doubles | None) -> Doubles:
        return np.array(0.9) if weights is None else np.resize([0.0, 1.0], len(weights))

    estimate = bootstrap_interval(unsteady, [0, 1], [0.1, 0.9], repeats=100)
    assert estimate.low == pytest.approx(0.4)
    assert estimate.high == 1


def test_no_resample_that_defines_the_measure_leaves_everything_possible() -> None:
    def never(labels: Doubles, scores: Doubles, *, weights: Doubles | None) -> Doubles:
        return np.array(0.5) if weights is None else np.full(len(weights), np.nan)

    estimate = bootstrap_interval(never, [0, 1], [0.1, 0.9])
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0, 1)


# All together -----------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 1_000))
def test_unknown_labels_take_no_part(seed: int) -> None:
    labels, scores = (column[:, None] for column in sample(60, seed, rate=0.5))
    unknown = np.full_like(labels, np.nan)
    groups = np.arange(120)
    with_unknown = evaluate(
        np.vstack([labels, unknown]), np.vstack([scores, 1 - scores]), ["a"], groups, repeats=20
    )
    assert with_unknown == evaluate(labels, scores, ["a"], groups[:60], repeats=20)


def test_evaluate_names_counts_and_measures() -> None:
    labels, scores = sample(500)
    both = np.stack([labels, 1 - labels], axis=1), np.stack([scores, 1 - scores], axis=1)
    groups = np.array([f"speaker {k % 100}" for k in range(500)])
    first, second = evaluate(*both, ["cry", "quiet"], groups, repeats=100)
    assert (first.name, second.name) == ("cry", "quiet")
    assert (first.positives, first.negatives) == (labels.sum(), 500 - labels.sum())
    assert (second.positives, second.negatives) == (first.negatives, first.positives)
    expected: list[tuple[Estimate | None, Measure]] = [
        (first.auprc, average_precision),
        (first.auroc, roc_auc),
        (first.recall_at_1pct_fpr, recall),
        (first.ece, expected_calibration_error),
    ]
    for found, measure in expected:
        assert found == bootstrap_interval(measure, labels, scores, groups, repeats=100)


def test_what_is_not_defined_is_none() -> None:
    labels = np.array([[0, 1, np.nan]] * 5)
    none, all_, unknown = evaluate(labels, np.full((5, 3), 0.5), ["none", "all", "unknown"])
    for metric in (none, all_, unknown):
        assert metric.auprc is metric.auroc is metric.recall_at_1pct_fpr is None
    assert none.ece is not None
    assert all_.ece is not None
    assert unknown.ece is None
    assert (unknown.positives, unknown.negatives) == (0, 0)


@pytest.mark.parametrize(
    ("labels", "names", "groups"), [((4, 2), 2, None), ((5, 2), 3, None), ((5, 2), 2, range(4))]
)
def test_evaluate_refuses_shapes_that_differ(
    labels: tuple[int, int], names: int, groups: range | None
) -> None:
    with pytest.raises(LabelsRefused, match=rf"{names} names"):
        evaluate(np.zeros(labels), np.zeros((5, 2)), ["x"] * names, groups)


def test_a_category_of_many_rows_is_quick() -> None:
    labels, scores = sample(15_000)
    began = time.process_time()
    evaluate(labels[:, None], scores[:, None], ["one"], np.arange(15_000) // 3, repeats=500)
    assert time.process_time() - began < 5  # 11 categories in a minute, on a slow machine
