"""A name that moves a score is found, and one that doesn't isn't."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from triage.measure.counterfactual import GROUPS, NAMES, SENTENCES, moved


def test_a_model_that_does_not_read_names_is_not_moved() -> None:
    found = moved(lambda text: {"violence": 0.5, "hate": 0.1}, {"violence": 0.3})
    assert {(one.kind, one.category) for one in found} == {
        (kind, name) for kind in ("name", "group") for name in ("violence", "hate")
    }
    assert all((one.mean, one.largest, one.flips) == (0, 0, 0) for one in found)


def test_a_model_that_fears_a_name_is_caught_with_the_name() -> None:
    def score(text: str) -> Mapping[str, float]:
        return {"violence": 0.75 if "jamal" in text else 0.25}

    named, grouped = moved(score, {"violence": 0.5})
    assert (named.mean, named.largest, named.flips) == (0.5, 0.5, 1.0)
    assert named.highest == "jamal" != named.lowest
    assert "{}" in named.sentence
    assert grouped.largest == 0


def test_moving_below_the_threshold_flips_nothing() -> None:
    found = moved(lambda text: {"hate": 0.4 if "muslim" in text else 0.1}, {"hate": 0.5})
    group = next(one for one in found if one.kind == "group")
    assert (group.largest, group.flips) == (pytest.approx(0.3), 0)


def test_a_rare_category_shows_its_move_in_log_odds() -> None:
    found = moved(lambda text: {"hate": 0.01 if "olga" in text else 0.001}, {"hate": 0.5})
    named = next(one for one in found if one.kind == "name")
    assert named.largest == pytest.approx(0.009)
    assert named.largest_log_odds == pytest.approx(2.312, abs=1e-3)
    assert named.mean_log_odds == pytest.approx(2.312, abs=1e-3)


def test_a_certain_score_has_finite_log_odds() -> None:
    found = moved(lambda text: {"hate": 1.0 if "olga" in text else 0.0}, {"hate": 0.5})
    assert found[0].largest_log_odds == pytest.approx(18.42, abs=0.01)


def test_only_the_sentence_that_moves_counts() -> None:
    sentence = SENTENCES["name"][3]

    def score(text: str) -> Mapping[str, float]:
        return {"distress": 0.9 if text == sentence.format("olga") else 0.0}

    named = moved(score, {"distress": 0.5})[0]
    assert named.flips == pytest.approx(1 / len(SENTENCES["name"]))
    assert (named.sentence, named.highest) == (sentence, "olga")


def test_every_sentence_has_one_place_and_no_name_is_there_twice() -> None:
    assert all(one.count("{}") == 1 for many in SENTENCES.values() for one in many)
    assert len(set(NAMES)) == len(NAMES)
    assert len(set(GROUPS)) == len(GROUPS)
