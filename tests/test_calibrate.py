"""Calibrators: rising, never certain, close to the truth, and refused when they can't be."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from triage.calibrate import ISOTONIC_FROM, Calibrator, apply_each, fit_calibrator
from triage.errors import ArtefactRefused, LabelsRefused, TriageError
from triage.metrics import expected_calibration_error, roc_auc

Doubles = NDArray[np.float64]

logit = st.floats(-40, 40)
examples = st.lists(
    st.tuples(logit, st.booleans(), st.floats(0.1, 10)), min_size=2, max_size=60
).filter(lambda rows: len({label for _, label, _ in rows}) == 2)


def overconfident(n: int, seed: int = 0, rate: float = 0.2) -> tuple[Doubles, NDArray[np.int64]]:
    """Logits three times as sure as they may be, and the labels."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(np.log(rate / (1 - rate)), 1.5, n)
    labels = rng.random(n) < 1 / (1 + np.exp(-log_odds))
    return 3 * log_odds + 2, labels.astype(np.int64)


def fit(rows: list[tuple[float, bool, float]], times: int = 1) -> Calibrator:
    logits, labels, weights = (np.array(column) for column in zip(*rows * times, strict=True))
    return fit_calibrator(logits, labels, weights)


@pytest.mark.parametrize("times", [1, ISOTONIC_FROM], ids=["sigmoid", "isotonic"])
@settings(deadline=None, max_examples=60)
@given(rows=examples, scores=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_rises_and_is_never_certain(
    times: int, rows: list[tuple[float, bool, float]], scores: list[float]
) -> None:
    probabilities = fit(rows, times).apply(np.sort(scores))
    assert (np.diff(probabilities) >= -1e-12).all()
    assert (probabilities > 0).all()
    assert (probabilities < 1).all()


@settings(deadline=None, max_examples=60)
@given(rows=examples, scores=st.lists(st.floats(-1e6, 1e6), max_size=20))
def test_arrays_bring_the_same_calibrator_back(
    rows: list[tuple[float, bool, float]], scores: list[float]
) -> None:
    before = fit(rows)
    after = Calibrator.from_arrays(before.to_arrays())
    assert np.array_equal(before.apply(scores), after.apply(scores))


@settings(deadline=None, max_examples=60)
@given(fitted=st.lists(examples, min_size=1, max_size=4), data=st.data())
def test_several_at_once_are_each_by_itself(
    fitted: list[list[tuple[float, bool, float]]], data: st.DataObject
) -> None:
    calibrators = [fit(rows) for rows in fitted]
    row = st.lists(st.floats(-1e3, 1e3), min_size=len(fitted), max_size=len(fitted))
    logits = np.array(data.draw(st.lists(row, min_size=1, max_size=5)))
    together = apply_each(calibrators, logits)
    for column, calibrator in enumerate(calibrators):
        assert np.array_equal(together[:, column], calibrator.apply(logits[:, column]))


def test_one_that_is_no_number_among_several_stops_them() -> None:
    calibrators = [fit_calibrator(*overconfident(600))] * 2
    with pytest.raises(TriageError, match="1 of 4 scores"):
        apply_each(calibrators, [[0.0, 1.0], [float("nan"), 1.0]])


@pytest.mark.parametrize(("n", "limit"), [(600, 0.05), (20_000, 0.02)], ids=["sigmoid", "isotonic"])
def test_makes_overconfident_scores_honest(n: int, limit: float) -> None:
    calibrator = fit_calibrator(*overconfident(n))
    logits, labels = overconfident(20_000, seed=1)
    raw = 1 / (1 + np.exp(-logits))
    assert expected_calibration_error(labels, raw) > 0.1
    assert expected_calibration_error(labels, calibrator.apply(logits)) < limit


def test_isotonic_keeps_the_ranking() -> None:
    logits, labels = overconfident(20_000)
    probabilities = fit_calibrator(logits, labels).apply(logits)
    assert (np.diff(np.sort(probabilities)) > 0).all()
    assert roc_auc(labels, probabilities) == pytest.approx(roc_auc(labels, logits), abs=1e-9)


def test_isotonic_knots_are_the_weighted_centres_of_the_blocks() -> None:
    logits, labels = overconfident(5_000)
    weights = np.random.default_rng(5).exponential(size=5_000)
    calibrator = fit_calibrator(logits, labels, weights)
    rates = IsotonicRegression().fit_transform(logits.round(6), labels, sample_weight=weights)
    of = np.unique(rates.round(12), return_inverse=True)[1]
    centres = np.bincount(of, weights * logits) / np.bincount(of, weights)
    assert calibrator.x[1:-1] == pytest.approx(centres, abs=1e-6)
    positives, negatives = np.bincount(labels, weights)[::-1]
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    smoothed = low + np.unique(rates.round(12)) * (high - low)
    assert calibrator.y[1:-1] == pytest.approx(np.log(smoothed / (1 - smoothed)), abs=1e-5)


def test_goes_on_straight_beyond_each_end() -> None:
    calibrator = Calibrator(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 4.0]))
    probabilities = calibrator.apply([-2, 0.5, 1.5, 3])
    assert np.log(probabilities / (1 - probabilities)) == pytest.approx([-2, 0.5, 2.5, 7])


def test_sigmoid_has_platts_optimum() -> None:
    logits, labels = overconfident(300)
    calibrator = fit_calibrator(logits, labels)
    positives = labels.sum()
    high, low = (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
    residual = calibrator.apply(logits) - np.where(labels == 1, high, low)
    assert residual.sum() == pytest.approx(0, abs=1e-4)
    assert (residual * logits).sum() == pytest.approx(0, abs=1e-3)


def test_few_positives_give_one_straight_line() -> None:
    logits, labels = overconfident(30_000)
    rare = np.flatnonzero(labels)[: ISOTONIC_FROM - 1]
    keep = np.union1d(rare, np.flatnonzero(labels == 0))
    assert len(fit_calibrator(logits[keep], labels[keep]).x) == 2
    assert len(fit_calibrator(-logits[keep], 1 - labels[keep]).x) == 2
    assert len(fit_calibrator(logits, labels).x) > 10


@pytest.mark.parametrize("n", [100, 2_000], ids=["sigmoid", "isotonic"])
def test_weights_equal_duplicates(n: int) -> None:
    logits, labels = overconfident(n)
    weights = np.random.default_rng(2).integers(1, 4, n)
    weighted = fit_calibrator(logits, labels, weights)
    repeated = fit_calibrator(np.repeat(logits, weights), np.repeat(labels, weights))
    grid = np.linspace(-20, 20, 101)
    assert weighted.apply(grid) == pytest.approx(repeated.apply(grid), rel=1e-4)


def test_perfectly_separated_classes_stay_short_of_certainty() -> None:
    logits = np.repeat([-9.0, 9.0], 10)
    low, high = fit_calibrator(logits, logits > 0).apply([-9, 9])
    assert low == pytest.approx(1 / 12, rel=1e-3)
    assert high == pytest.approx(11 / 12, rel=1e-3)


@pytest.mark.parametrize("n", [100, 5_000])
def test_backward_scores_give_the_base_rate(n: int) -> None:
    logits, labels = overconfident(n)
    probabilities = fit_calibrator(-logits, labels).apply([-50, 0, 50])
    assert probabilities == pytest.approx(labels.mean(), abs=0.02)


def test_equal_logits_give_the_base_rate() -> None:
    probabilities = fit_calibrator(np.full(100, 3.0), np.arange(100) < 20).apply([-5, 3, 5])
    assert probabilities == pytest.approx(0.2, abs=0.02)


def test_one_class_is_refused_with_counts() -> None:
    with pytest.raises(LabelsRefused, match="0 positives and 7 negatives"):
        fit_calibrator(np.arange(7), np.zeros(7))


@pytest.mark.parametrize(
    ("logits", "labels", "weights", "message"),
    [
        ([0, 1], [0, 1, 1], None, r"\(2,\), \(3,\)"),
        ([[0, 1]], [[0, 1]], None, r"\(1, 2\)"),
        ([0, np.inf], [0, 1], None, "1 of 2"),
        ([0, 1, 2], [0, 1, np.nan], None, "1 of 3"),
        ([0, 1, 2], [0, 1, 0.5], None, "1 of 3"),
        ([0, 1, 2], [0, 1, 1], [1, 0, -1], "2 of 3"),
        ([0, 1, 2], [0, 1, 1], [1, 1], r"\(3,\) and \(2,\)"),
    ],
)
def test_unusable_examples_are_refused(
    logits: list[float], labels: list[float], weights: list[float] | None, message: str
) -> None:
    with pytest.raises(LabelsRefused, match=message):
        fit_calibrator(logits, labels, weights)


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_does_not_get_through(score: float) -> None:
    calibrator = Calibrator(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    with pytest.raises(TriageError, match="1 of 2 scores"):
        calibrator.apply([0, score])


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([0], [0]),
        ([0, 1], [0, 1, 2]),
        ([[0, 1], [2, 3]], [[0, 1], [2, 3]]),
        ([0, 0], [0, 1]),
        ([1, 0], [0, 1]),
        ([0, 1], [1, 0]),
        ([0, np.nan], [0, 1]),
        ([0, 1], [0, np.inf]),
    ],
)
def test_wrong_knots_are_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(ArtefactRefused):
        Calibrator.from_arrays({"x": np.array(x, float), "y": np.array(y, float)})


def test_missing_or_foreign_arrays_are_refused() -> None:
    whole = np.array([0.0, 1.0])
    for arrays in ({"x": whole}, {"x": whole, "y": whole.astype(int)}):
        with pytest.raises(ArtefactRefused, match="'y'"):
            Calibrator.from_arrays(arrays)


def test_applying_loads_numpy_only() -> None:
    code = (
        "import sys; from triage.calibrate import Calibrator; import numpy as np;"
        "Calibrator(np.array([0., 1.]), np.array([0., 1.])).apply([0.5]);"
        "sys.exit(bool({'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
