"""Thresholds against reviewers' time."""

from __future__ import annotations

import numpy as np
import pytest
from policies import rule, scores_of, written

from triage.errors import PolicyRefused
from triage.measure.simulate import (
    HEADROOM,
    THRESHOLDS,
    Curve,
    Item,
    left_out,
    simulate,
    with_level,
)
from triage.measure.stored import Stored
from triage.policy.model import parse_policy
from triage.report.simulation import page, told

DATA = written(
    rule("likely", "E3", ["queue:on-call"], "scores.distress >= likely"),
    rule(
        "possible", "E2", ["queue:on-call"], "scores.distress >= possible || scores.hate > likely"
    ),
    rule("heard", "E2", ["queue:some"], "event_scores.scream >= likely"),
    levels={"possible": 0.5, "likely": 0.8},
)


def items(count: int = 400) -> list[Item]:
    """Scores from 0 to 1; as many of a hundred are cases as the score says, and labelled so."""
    scores = (np.arange(count) + 0.5) / count
    chance = np.random.default_rng(0)
    return [
        Item(
            Stored(str(n), scores_of({"distress": one})),
            {"distress": float(chance.random() < one)},
            frozenset({"distress"}),
        )
        for n, one in enumerate(map(float, scores))
    ]


@pytest.fixture(scope="module")
def curve() -> Curve:
    (found,) = simulate(DATA, items(), 200.0, 60, 6, lambda *_: None)
    return found


def test_the_lowest_level_of_a_queue_is_moved(curve: Curve) -> None:
    assert (curve.queue, curve.level, curve.now) == ("on-call", "possible", 0.5)
    assert curve.categories == ("distress", "hate")
    assert tuple(point.threshold for point in curve.points) == THRESHOLDS


def test_reviews_are_the_share_over_the_lowest_threshold(curve: Curve) -> None:
    for point in curve.points:
        assert point.reviews == pytest.approx(200 * (1 - min(point.threshold, 0.8)), abs=1)
    found = [point.found for point in curve.points]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.97
    for point in curve.points:
        assert point.low <= point.found <= point.high
        assert point.true + point.missed == pytest.approx(curve.points[0].true / found[0])


def test_the_lowest_threshold_that_fits_is_chosen(curve: Curve) -> None:
    chosen = curve.points[curve.chosen]
    assert chosen.threshold == pytest.approx(0.75)
    most = HEADROOM * curve.capacity
    assert chosen.reviews <= most < curve.points[curve.chosen - 1].reviews
    assert curve.checked is not None
    assert curve.checked.mean == pytest.approx(chosen.wait.mean, rel=0.25)


def test_without_labels_the_probabilities_are_the_expected_cases() -> None:
    unlabelled = [Item(one.stored, one.stored.scores.categories) for one in items()]
    (found,) = simulate(DATA, unlabelled, 200.0, 60, 6, lambda *_: None)
    assert found.points[0].true + found.points[0].missed == pytest.approx(100, abs=1)


def test_weights_are_what_rows_stand_for() -> None:
    rare = [
        Item(one.stored, one.labels, one.labelled, 0.1 if one.labels["distress"] else 1.0)
        for one in items()
    ]
    (found,) = simulate(DATA, rare, 200.0, 60, 6, lambda *_: None)
    assert found.points[0].true + found.points[0].missed < 25


def test_a_queue_that_never_has_time_is_told() -> None:
    (found,) = simulate(DATA, items(), 2_000_000.0, 10, 6, lambda *_: None)
    assert (found.chosen, found.checked) == (-1, None)
    assert "no threshold of possible leaves time" in told(found)
    assert (
        "No threshold leaves time for: on-call" in page(parse_policy(DATA), [found], 9, 1).decode()
    )


def test_a_level_is_changed_and_nothing_else() -> None:
    policy, moved = parse_policy(DATA), with_level(DATA, "likely", 0.65)
    assert moved.levels == {"possible": 0.5, "likely": 0.65}
    assert moved.rules == policy.rules
    with pytest.raises(PolicyRefused, match=r"levels\.none"):
        with_level(DATA, "none", 0.5)


def test_the_page_shows_every_queue(curve: Curve) -> None:
    text = page(parse_policy(DATA), [curve], 400, 200).decode()
    assert "on-call" in text
    assert text.count("<svg") == 1
    assert "Erlang" in text
    assert "mathdefault" not in text


def test_a_queue_without_a_level_is_told_and_not_passed_over() -> None:
    data = written(
        rule("plain", "E2", ["queue:some"], "scores.distress >= 0.5"),
        rule("level", "E2", ["queue:on-call"], "scores.hate >= likely"),
        levels={"likely": 0.8},
    )
    policy, found = parse_policy(data), simulate(data, items(40), 20.0, 10, 6, lambda *_: None)
    assert [curve.queue for curve in found] == ["on-call"]
    assert left_out(policy, found) == ["some"]
    text = page(policy, found, 40, 20).decode()
    assert "Nothing can be said of: some" in text
    assert "There is time for all" not in text


def test_a_score_that_is_no_number_is_no_case() -> None:
    bad = Item(Stored("x", scores_of({"distress": float("nan")})), {"distress": float("nan")})
    (found,) = simulate(DATA, [*items(40), bad], 20.0, 10, 6, lambda *_: None)
    assert all(0 <= point.found <= 1 for point in found.points)


def test_a_queue_with_hours_is_run_and_not_reckoned() -> None:
    """By the formula of an open queue somebody who comes at night would wait for minutes."""
    hours = {"zone": "UTC", "start": "09:00", "end": "17:00"}
    queues = {name: {"members": ["a"], "capacity": 40} for name in ("some", "unscored")}
    closed = {"members": ["a"], "capacity": 40, "hours": hours}
    data = written(
        rule("level", "E2", ["queue:on-call"], "scores.distress >= likely"),
        levels={"likely": 0.8},
        queues=queues | {"on-call": closed},
    )
    (found,) = simulate(data, items(40), 40.0, None, 6, lambda *_: None)
    busy = next(point for point in found.points if point.reviews < 21)
    assert 4 < busy.wait.mean < 9
