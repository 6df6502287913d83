"""The fit: what is unknown is left out, sources are balanced, and calibration is by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from triage.classifier import Head, Scaling
from triage.errors import LabelsRefused
from triage.records import Doubles, Floats
from triage.training import fit as fitting
from triage.training.calibration import ASSUMED_PREVALENCE, RECALIBRATE_FROM
from triage.training.fit import (
    FOLDS,
    LEAST_POSITIVES,
    Prior,
    Rows,
    balance,
    fit_head,
    scaling_of,
)

WIDTH = 6
C = 0.1


def rows(items: int = 60, each: int = 1, names: int = 1, seed: int = 0) -> Rows:
    """Rows whose first value tells the labels, but not well; each item is a group of its own."""
    rng = np.random.default_rng(seed)
    item = np.repeat(np.arange(items), each)
    labels = np.resize(np.eye(2, dtype=np.float32)[:, :1], (items, 1)).repeat(names, axis=1)
    vectors = rng.normal(size=(len(item), WIDTH)).astype(np.float32)
    vectors[:, 0] += labels[item, 0]
    return Rows(
        vectors=vectors * np.float32(3) + np.float32(5),
        at=np.arange(len(item)),
        labels=labels[item],
        sources=np.array([0, 1, 1])[item % 3],
        groups=item,
        weights=np.full(len(item), 1 / each, np.float32),
        stands=np.ones(len(item), np.float32),
        item=item,
        served=np.ones(len(item), bool),
        fresh=np.ones(len(item), bool),
    )


def fit(
    data: Rows,
    names: Sequence[str] = ("x",),
    prior: Prior | None = None,
    scaling: Scaling | None = None,
) -> tuple[Head, Mapping[str, Doubles]]:
    scaling = scaling or scaling_of(data.vectors, data.at)
    found = fit_head(data, names, scaling, C, lambda done, total: None, prior)
    return found.head, found.held_out


# Balance ------------------------------------------------------------------------------------


@st.composite
def weighted(draw: st.DrawFn) -> tuple[Floats, np.ndarray, Floats]:
    """Labels of both kinds, sources and weights of some rows."""
    count = draw(st.integers(2, 40))
    labels = draw(hnp.arrays(np.float32, count, elements=st.sampled_from([0.0, 1.0])))
    labels[:2] = 0, 1
    sources = draw(hnp.arrays(np.dtype("<U1"), count, elements=st.sampled_from("abc")))
    weights = draw(hnp.arrays(np.float32, count, elements=st.floats(0.015625, 64, width=32)))
    return labels, sources, weights


@given(weighted())
def test_both_labels_weigh_half_and_the_sum_stays(
    of: tuple[Floats, np.ndarray, Floats],
) -> None:
    labels, _, weights = of
    balanced = balance(*of)
    for label in (0, 1):
        assert balanced[labels == label].sum() == pytest.approx(weights.sum() / 2, rel=1e-4)


@given(weighted())
def test_a_source_weighs_the_square_root_of_what_it_brings(
    of: tuple[Floats, np.ndarray, Floats],
) -> None:
    labels, sources, weights = of
    balanced = balance(*of)
    for label in (0, 1):
        parts = [(labels == label) & (sources == one) for one in np.unique(sources)]
        ratios = [
            balanced[part].sum() / np.sqrt(weights[part].sum()) for part in parts if part.any()
        ]
        assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=1e-4)


@given(weighted())
def test_rows_of_one_source_and_label_keep_their_proportions(
    of: tuple[Floats, np.ndarray, Floats],
) -> None:
    labels, sources, weights = of
    shares = balance(*of) / weights
    mine = (sources == sources[0]) & (labels == labels[0])
    assert shares[mine] == pytest.approx(np.full(mine.sum(), shares[0]), rel=1e-4)


@given(weighted(), st.permutations(range(40)))
def test_the_order_of_the_rows_does_not_matter(
    of: tuple[Floats, np.ndarray, Floats], shuffled: list[int]
) -> None:
    order = [row for row in shuffled if row < len(of[0])]
    moved = balance(*(part[order] for part in of))
    assert moved == pytest.approx(balance(*of)[order], rel=1e-4)


# The fit ------------------------------------------------------------------------------------


def test_the_folded_weights_decide_as_scikit_learn_does() -> None:
    data = rows(items=90)
    data.vectors[:, 4] = 7  # never varies, so it has no deviation to be scaled to
    head, _ = fit(data)
    labels = data.labels[:, 0]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=300, tol=1e-3))
    weights = balance(labels, data.sources, data.weights)
    pipeline.fit(data.vectors, labels, logisticregression__sample_weight=weights)
    new = rows(items=20, seed=1).vectors
    new[:, 4] = 7
    assert head.logits(new)[:, 0] == pytest.approx(pipeline.decision_function(new), abs=1e-3)
    assert np.ptp(head.logits(new)) > 1


def test_the_same_rows_give_the_same_head() -> None:
    (one, held), (two, again) = fit(rows()), fit(rows())
    assert np.array_equal(one.weights, two.weights)
    assert np.array_equal(one.bias, two.bias)
    assert np.array_equal(held["x"], again["x"])


def test_each_name_is_fitted_by_its_own_labels() -> None:
    data = rows(names=2)
    data.labels[:, 1] = 1 - data.labels[:, 0]
    head, held_out = fit(data, ("x", "y"))
    told = []
    scaling = scaling_of(data.vectors, data.at)
    fit_head(data, ("x", "y"), scaling, C, lambda done, total: told.append((done, total)))
    assert head.names == ("x", "y")
    assert head.weights[0, 0] > 0 > head.weights[1, 0]
    assert set(held_out) == {"x", "y"}
    assert told == [(1, 2), (2, 2)]


@settings(max_examples=5, deadline=None)
@given(st.sets(st.integers(0, 59), max_size=20), st.floats(-1e3, 1e3, width=32))
def test_what_is_unknown_takes_no_part(unknown: set[int], value: float) -> None:
    """The vectors of rows with an unknown label may hold anything, or not be there at all."""
    data, gone = rows(), sorted(unknown)
    data.labels[gone] = np.nan
    scaling = scaling_of(data.vectors, data.at)
    head, held_out = fit(data, scaling=scaling)
    data.vectors[gone] = value
    again, _ = fit(data, scaling=scaling)
    without, _ = fit(data.only(np.setdiff1d(np.arange(60), gone)), scaling=scaling)
    for other in (again, without):
        assert np.array_equal(head.weights, other.weights)
        assert np.array_equal(head.bias, other.bias)
        assert np.array_equal(head.calibrators[0].y, other.calibrators[0].y)
    assert np.flatnonzero(np.isnan(held_out["x"])).tolist() == gone


# Calibration on rows that were not fitted on ------------------------------------------------


def test_a_group_is_never_judged_by_a_fit_that_saw_it() -> None:
    """Vectors tell nothing but the group, so only a fit that saw a group can know its label."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(40), 5)
    labels = rng.permutation(np.repeat([0, 1], 20))[of].astype(np.float32)
    data = replace(
        rows(items=200),
        vectors=rng.normal(size=(40, 60))[of].astype(np.float32),
        labels=labels[:, None],
        groups=of,
    )
    head, held_out = fit(data)
    assert roc_auc_score(labels, head.logits(data.vectors)[:, 0]) > 0.95
    assert roc_auc_score(labels, held_out["x"]) < 0.7


def test_an_item_is_as_probable_as_its_highest_row() -> None:
    """One of an item's three rows tells its label, the others are low; which one differs."""
    data = rows(items=60, each=3)
    data.vectors[:, 0] = -5
    telling = np.arange(60) * 3 + np.arange(60) % 3
    data.vectors[telling, 0] = np.where(data.labels[telling, 0] == 1, 5, -5)
    _, held_out = fit(data)
    labels = data.labels[::3, 0]
    assert held_out["x"].shape == (60,)
    assert roc_auc_score(labels, held_out["x"]) > 0.95
    assert held_out["x"].mean() == pytest.approx(labels.mean(), abs=0.1)


def test_only_rows_as_served_calibrate() -> None:
    """Items whose second row isn't served have the probability of the first alone."""
    data = rows(items=60, each=2)
    data.vectors[1::2] += 50
    data = replace(data, served=np.tile([True, False], 60))
    _, held_out = fit(data)
    assert roc_auc_score(data.labels[::2, 0], held_out["x"]) > 0.6
    unserved = replace(data, served=data.served & (data.item != 7))
    assert np.flatnonzero(np.isnan(fit(unserved)[1]["x"])).tolist() == [7]


# Too little ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "word"), [(1, "positive"), (0, "negative")])
def test_too_few_of_a_label_are_refused_with_numbers(label: int, word: str) -> None:
    data = rows(each=2)
    extra = np.flatnonzero(data.labels[:, 0] == label)[2 * (LEAST_POSITIVES - 1) :]
    data.labels[extra] = np.nan
    with pytest.raises(LabelsRefused, match=f"x has {LEAST_POSITIVES - 1} {word} items") as caught:
        fit(data)
    assert caught.value.limit == LEAST_POSITIVES


def test_just_enough_of_a_label_is_fitted() -> None:
    data = rows()
    data.labels[np.flatnonzero(data.labels[:, 0] == 1)[LEAST_POSITIVES:]] = np.nan
    head, _ = fit(data)
    assert np.isfinite(head.weights).all()


# From a base --------------------------------------------------------------------------------


def based(regularisation: float = C, items: int = 120) -> tuple[Prior, Scaling]:
    data = rows(items=items, seed=5)
    scaling = scaling_of(data.vectors, data.at)
    return Prior(fit(data, scaling=scaling)[0], regularisation), scaling


def test_a_base_that_holds_fast_is_given_back() -> None:
    prior, scaling = based(1e-9)
    head, _ = fit(rows(seed=1), prior=prior, scaling=scaling)
    assert head.weights == pytest.approx(prior.head.weights, abs=1e-4)


def test_a_base_moves_as_far_as_it_is_let() -> None:
    moved = []
    data = rows(seed=1)
    data.vectors[:, 1] -= 4 * data.labels[:, 0]
    for strength in (1e-4, 1e-2, 1.0):
        prior, scaling = based(strength)
        head, _ = fit(data, prior=prior, scaling=scaling)
        moved.append(float(np.linalg.norm(head.weights - prior.head.weights)))
    assert moved == sorted(moved)
    assert moved[2] > 5 * moved[0]


def test_few_labels_keep_the_calibration_of_the_base_and_many_do_not() -> None:
    prior, scaling = based()
    for items, kept in ((2 * RECALIBRATE_FROM - 4, True), (2 * RECALIBRATE_FROM + 4, False)):
        stands = np.resize(np.float32([1, 2]), items)
        data = replace(rows(items=items, seed=1), stands=stands)
        found = fit_head(data, ("x",), scaling, C, lambda *_: None, prior)
        assert (found.head.calibrators[0] is prior.head.calibrators[0]) is kept
        assert found.recalibrated == (() if kept else ("x",))


def test_rows_that_dont_say_what_they_stand_for_keep_the_calibration_of_the_base() -> None:
    prior, scaling = based()
    found = fit_head(rows(items=300, seed=1), ("x",), scaling, C, lambda *_: None, prior)
    assert found.recalibrated == ()


def test_rows_brought_to_a_base_are_calibrated_as_if_cases_were_rare() -> None:
    prior, scaling = based()
    data = rows(items=300, seed=1)
    _, alone = fit(data, ("y",), scaling=scaling)
    _, brought = fit(data, ("y",), prior=prior, scaling=scaling)
    odds = [held["y"] / (1 - held["y"]) for held in (alone, brought)]
    rare = ASSUMED_PREVALENCE / (1 - ASSUMED_PREVALENCE)
    assert odds[1] / odds[0] == pytest.approx(np.full(300, rare))
    said = replace(data, stands=np.where(np.arange(300) < 150, 1, 3).astype(np.float32))
    _, sampled = fit(said, ("y",), prior=prior, scaling=scaling)
    assert sampled["y"].mean() == pytest.approx(0.5, abs=0.05)


def test_a_name_that_the_base_lacks_is_fitted_as_without_one() -> None:
    prior, scaling = based()
    data = rows(seed=1)
    alone, _ = fit(data, ("y",), scaling=scaling)
    beside, _ = fit(data, ("y",), prior=prior, scaling=scaling)
    assert np.array_equal(alone.weights, beside.weights)


# Shares of votes, weights, and very many rows ------------------------------------------------


def test_more_votes_for_it_make_it_likelier() -> None:
    """The same vectors, of which all, most or few annotators said yes."""
    heights = []
    for share in (0.55, 0.75, 1.0):
        data = rows(items=80)
        data.labels[data.labels == 1] = share
        _, held_out = fit(data)
        heights.append(float(np.nanmean(held_out["x"][data.labels[:, 0] >= 0.5])))
    assert heights == sorted(heights)
    assert heights[2] - heights[0] > 0.1


def test_what_an_item_stands_for_moves_the_calibration_and_not_the_weights() -> None:
    data = rows(items=80)
    rare = replace(data, stands=np.where(data.labels[:, 0] == 1, 1, 50).astype(np.float32))
    (one, often), (two, seldom) = fit(data), fit(rare)
    assert np.array_equal(one.weights, two.weights)
    assert seldom["x"].mean() < often["x"].mean() / 3


def test_very_many_rows_are_thinned_and_all_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    data = rows(items=300)
    data.labels[:240, 0] = 0
    seen: list[int] = []
    minimise = fitting._fit
    monkeypatch.setattr(
        fitting,
        "_fit",
        lambda name, vectors, *rest: seen.append(len(vectors)) or minimise(name, vectors, *rest),
    )
    monkeypatch.setattr(fitting, "MOST_ROWS", 100)
    monkeypatch.setattr(fitting, "CHUNK", 7)
    _, held_out = fit(data)
    assert seen == [100] * (FOLDS + 1)
    assert np.isfinite(held_out["x"]).all()
    assert held_out["x"][data.labels[:, 0] == 1].mean() > held_out["x"].mean()


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=60))
def test_folds_keep_groups_whole_and_spread_the_positive_ones(
    drawn: list[tuple[int, bool]],
) -> None:
    groups = np.array([group for group, _ in drawn])
    hard = np.array([float(label) for _, label in drawn])
    folds = fitting._folds(groups, hard, np.random.default_rng(0))
    by_group = {group: set(folds[groups == group]) for group in groups}
    assert all(len(found) == 1 for found in by_group.values())
    positive = [by_group[group].copy().pop() for group in set(groups[hard == 1])]
    counts = np.bincount(positive, minlength=FOLDS) if positive else np.zeros(FOLDS)
    assert counts.max() - counts.min() <= 1


# What calibrates ----------------------------------------------------------------------------


def stale(data: Rows, kept: int) -> Rows:
    """Only the first items' labels are new to the encoder."""
    return replace(data, fresh=data.item < kept)


def test_only_what_the_encoder_has_not_seen_calibrates() -> None:
    _, held_out = fit(stale(rows(200), 60))
    assert np.isnan(held_out["x"][60:]).all()
    assert not np.isnan(held_out["x"][:60]).any()


def test_all_calibrate_where_the_encoder_has_seen_nearly_all() -> None:
    _, held_out = fit(stale(rows(200), 8))
    assert not np.isnan(held_out["x"]).any()
