"""Fitted strengths: found again from recordings enough, documented where there are too few."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from triage.records import Doubles
from triage.training import joint
from triage.training.joint import LEAST, fit_strengths

CATEGORIES, EVENTS = ("distress", "violence"), ("scream", "cry", "gunshot")
DOCUMENTED = {"scream": {"distress": 0.9}, "gunshot": {"violence": 0.9}}
TRUE = np.array([0.6, 0.2, 0.0])  # of distress


def recordings(count: int, seed: int = 0) -> tuple[Doubles, Doubles, Doubles]:
    """Words, sounds and labels of distress as the noisy-or with `TRUE` would give them."""
    rng = np.random.default_rng(seed)
    said = np.stack([rng.beta(0.3, 3, count), np.zeros(count)], axis=1)
    heard = (rng.uniform(size=(count, 3)) < 0.3) * rng.uniform(0.5, 1, (count, 3))
    score = 1 - (1 - said[:, 0]) * (1 - heard * TRUE).prod(axis=1)
    labels = np.stack([rng.uniform(size=count) < score, np.full(count, np.nan)], axis=1)
    return said, heard, labels


def fitted(count: int) -> tuple[dict[str, dict[str, float]], tuple[str, ...]]:
    return fit_strengths(*recordings(count), CATEGORIES, EVENTS, DOCUMENTED)


def test_strengths_are_found_again() -> None:
    strengths, categories = fitted(5000)
    assert categories == ("distress",)
    found = [strengths[event]["distress"] for event in EVENTS]
    assert found == pytest.approx(TRUE, abs=0.06)
    assert strengths["gunshot"]["violence"] == 0.9  # nobody labelled it
    assert DOCUMENTED == {"scream": {"distress": 0.9}, "gunshot": {"violence": 0.9}}


def test_few_recordings_move_them_a_little() -> None:
    strengths, _ = fitted(60)
    assert 0.6 < strengths["scream"]["distress"] < 0.9


@pytest.mark.parametrize("label", [0, 1])
def test_too_few_of_a_label_leave_what_is_documented(label: int) -> None:
    said, heard, labels = recordings(400)
    known = np.flatnonzero(labels[:, 0] == label)
    labels[known[LEAST - 1 :]] = np.nan
    assert fit_strengths(said, heard, labels, CATEGORIES, EVENTS, DOCUMENTED) == (DOCUMENTED, ())
    labels[known[LEAST - 1]] = label
    assert fit_strengths(said, heard, labels, CATEGORIES, EVENTS, DOCUMENTED)[1] == ("distress",)


def test_no_recordings_leave_what_is_documented() -> None:
    none = np.empty((0, 2)), np.empty((0, 3)), np.empty((0, 2))
    assert fit_strengths(*none, CATEGORIES, EVENTS, DOCUMENTED) == (DOCUMENTED, ())


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_strengths_stay_probabilities_whatever_the_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    said = rng.integers(0, 2, (40, 2)).astype(float)
    heard = rng.choice([0.0, 0.5, 1.0], (40, 3))
    labels = np.tile([[0.0, 1.0], [1.0, 0.0]], (20, 1))
    strengths, _ = fit_strengths(said, heard, labels, CATEGORIES, EVENTS, DOCUMENTED)
    assert all(0 <= one <= 1 for row in strengths.values() for one in row.values())


def test_the_gradient_is_that_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    said, heard, labels = recordings(50)
    caught = []

    def minimize(loss, start, **_):
        caught.append(
            check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], np.array([0.3, 0.5, 0.7]))
        )
        return type("Found", (), {"x": start})

    monkeypatch.setattr("scipy.optimize.minimize", minimize)
    joint._most_probable(said[:, 0], heard, labels[:, 0], np.array([0.9, 0.1, 0.0]))
    assert caught == [pytest.approx(0, abs=1e-3)]
