"""What to label next: the chances are the ones that are told, and the draw keeps to them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from triage.policy.parts import TIERS
from triage.records import Decision, Doubles, Floats, Outcome, Scores
from triage.suggest import (
    RANDOM_SHARE,
    Candidates,
    Pool,
    choose,
    draw,
    inclusion,
    known_positives,
    left_out,
)

CATEGORIES = ("violence", "distress")
EVENTS = ("scream",)
KNOWN = np.array([100.0, 100.0])
DECISION = Decision("E0", "none", "", (), 0, {}, {}, None, "default", "sha256:0")


def name(number: int) -> str:
    return f"rec_{number:026}"


def outcome(
    scores: Mapping[str, float], tier: str = "E0", *actions: str, scream: float = 0.0
) -> Any:
    told = Scores("model", scores, {}, event_scores={"scream": scream} if scream else {})
    return Outcome("tri_1", "id", told, replace(DECISION, tier=tier, actions=actions), "hash")


def candidates(scores: Floats, events: Floats | None = None) -> Candidates:
    n = len(scores)
    return Candidates(
        np.arange(n, dtype=np.int64),
        np.array([name(i) for i in range(n)], "S30"),
        np.zeros(n, np.uint8),
        scores.astype(np.float32),
        np.zeros((n, 1), np.float32) if events is None else events.astype(np.float32),
    )


def field(n: int = 400, seed: int = 0) -> tuple[Candidates, Doubles]:
    """A pool with few likely cases, and labels that are as likely as the scores say."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.15, 3, (n, 2))
    return candidates(scores), (rng.random((n, 2)) < scores).astype(float)


# Chances ------------------------------------------------------------------------------------

usefulness = st.integers(1, 60).flatmap(
    lambda n: arrays(np.float64, n, elements=st.floats(0, 1e6, allow_subnormal=False))
)


@given(useful=usefulness, data=st.data())
def test_chances_add_up_and_none_is_0_or_over_1(useful: Doubles, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(useful)))
    chances = inclusion(useful, n)
    assert chances.sum() == pytest.approx(n, rel=1e-9)
    assert chances.max() <= 1
    assert chances.min() >= RANDOM_SHARE * n / len(useful) * (1 - 1e-9)


@given(useful=usefulness, data=st.data())
def test_the_more_useful_the_likelier(useful: Doubles, data: st.DataObject) -> None:
    chances = inclusion(useful, data.draw(st.integers(1, len(useful))))
    assert (np.diff(chances[np.argsort(useful)]) >= -1e-9).all()


def test_chances_of_a_known_case() -> None:
    # A share of 0.3 for all: 0.075 each; 0.7 by use: 0.35, 0.35, 0, 0.
    assert inclusion(np.array([1.0, 1.0, 0.0, 0.0]), 1).tolist() == pytest.approx(
        [0.425, 0.425, 0.075, 0.075]
    )
    # One would have 2 * (0.075 + 0.7) and is certain; the rest shares what is left evenly.
    assert inclusion(np.array([1.0, 0, 0, 0]), 2).tolist() == pytest.approx(
        [1, 1 / 3, 1 / 3, 1 / 3]
    )
    assert inclusion(np.zeros(4), 1).tolist() == pytest.approx([0.25] * 4)


# The draw -----------------------------------------------------------------------------------


@settings(max_examples=60)
@given(useful=usefulness, data=st.data(), seed=st.integers(0, 2**32))
def test_as_many_as_wanted_and_each_once(useful: Doubles, data: st.DataObject, seed: int) -> None:
    n = data.draw(st.integers(1, len(useful)))
    rng = np.random.default_rng(seed)
    space = rng.random((len(useful), 3)).astype(np.float32).round(1)  # so that some are the same
    drawn = draw(inclusion(useful, n), space, rng)
    assert len(set(drawn.tolist())) == len(drawn) == n
    assert drawn.min() >= 0
    assert drawn.max() < len(useful)


def test_each_is_drawn_as_often_as_its_chance_says() -> None:
    rng = np.random.default_rng(3)
    chances = inclusion(rng.random(40) ** 4, 8)
    space = rng.random((40, 2)).astype(np.float32)
    repeats = 4000
    often = sum(np.bincount(draw(chances, space, rng), minlength=40) for _ in range(repeats))
    deviation = np.sqrt(chances * (1 - chances) / repeats)
    assert (np.abs(often / repeats - chances) <= 4.5 * deviation + 1e-12).all()


def totals(pool: Candidates, labels: Doubles, chances: Doubles, space: Floats) -> Doubles:
    """Horvitz-Thompson estimates over many draws, shape (draws, categories)."""
    rng = np.random.default_rng(11)
    drawn = (draw(chances, space, rng) for _ in range(300))
    return np.array([(labels[rows] / chances[rows, None]).sum(axis=0) for rows in drawn])


def test_weighted_labels_estimate_totals_without_bias() -> None:
    pool, labels = field()
    chances = inclusion(np.sqrt((pool.scores * (1 - pool.scores)).sum(axis=1)), 40)
    found = totals(pool, labels, chances, pool.scores)
    error = found.mean(axis=0) - labels.sum(axis=0)
    assert (np.abs(error) < 4 * found.std(axis=0) / np.sqrt(len(found))).all()


def test_they_estimate_better_than_those_of_other_draws() -> None:
    pool, labels = field()
    chances = inclusion(np.sqrt((pool.scores * (1 - pool.scores)).sum(axis=1)), 40)
    nowhere = np.zeros_like(pool.scores)
    unspread = totals(pool, labels, chances, nowhere).std(axis=0)
    random = totals(pool, labels, np.full(len(labels), 0.1), nowhere).std(axis=0)
    assert (unspread < 0.9 * random).all()
    # What the scores tell of the labels a spread draw gets right in any case.
    told = pool.scores.astype(float)
    spread, unspread = (totals(pool, told, chances, at).std(axis=0) for at in (told, nowhere))
    assert (spread < 0.8 * unspread).all()


def test_a_draw_covers_what_a_random_one_leaves_out() -> None:
    # 30 clusters, 30 draws of even chances: each cluster is drawn from, not two thirds of them.
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(30), 20)
    space = (rng.random((30, 4))[cluster] + rng.normal(0, 0.002, (600, 4))).astype(np.float32)
    chances = np.full(600, 1 / 20)
    met = [len(set(cluster[draw(chances, space, rng)])) for _ in range(20)]
    assert np.mean(met) > 26


# The pool -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "actions", "why"),
    [
        ("E0", (), ""),
        ("E1", ("count",), ""),
        ("E0", ("withhold",), "withheld"),
        ("E3", ("queue:child-safety", "withhold"), "withheld"),
        *((tier, ("queue:hate",), "looked at by specialists") for tier in ("E2", "E3", "E4")),
    ],
)
def test_who_is_left_out(tier: str, actions: tuple[str, ...], why: str) -> None:
    assert left_out(replace(DECISION, tier=tier, actions=actions)) == why


def test_only_those_who_may_be_drawn_are_candidates() -> None:
    pool = Pool(CATEGORIES, EVENTS)
    pool.add(0, name(9), outcome({"violence": 0.1, "distress": 0.2}, "E1", scream=0.5))
    pool.add(1, name(1), outcome({"violence": 0.3}, "E0", "withhold"))
    pool.add(2, name(2), outcome({"violence": 0.9}, "E3", "queue:violence"))
    pool.add(4, name(3), outcome({"violence": 0.3}))
    pool.add(5, name(4), outcome({"violence": 0.4}))
    found = pool.candidates({name(3)})
    assert found.places.tolist() == [5, 0]
    assert found.pseudonyms.tolist() == [name(4).encode(), name(9).encode()]
    assert [TIERS[tier] for tier in found.tiers] == ["E0", "E1"]
    assert found.scores.tolist() == np.float32([[0.4, 0], [0.1, 0.2]]).tolist()
    assert found.events.tolist() == [[0.0], [0.5]]
    assert pool.left_out == {"withheld": 1, "looked at by specialists": 1}
    assert pool.pseudonyms() == [name(i) for i in (9, 1, 2, 3, 4)]


def test_what_is_there_twice_is_one_and_left_out_once_is_left_out() -> None:
    pool = Pool(CATEGORIES, EVENTS)
    for place, (number, *actions) in enumerate([(1,), (2,), (1,), (2, "withhold")]):
        pool.add(place, name(int(number)), outcome({"violence": 0.1}, "E0", *map(str, actions)))
    assert pool.candidates(()).places.tolist() == [0]


def test_a_recording_takes_little_memory() -> None:
    pool, one = Pool(CATEGORIES, EVENTS), outcome({"violence": 0.1})
    tracemalloc.start()
    for number in range(20_000):
        pool.add(number, name(number), one)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / 20_000 < 1.3 * (39 + 4 * 3)  # arrays grow by an eighth ahead


# The choice ---------------------------------------------------------------------------------


def test_the_same_seed_picks_the_same() -> None:
    pool, _ = field()
    first, again, other = (choose(pool, 20, CATEGORIES, KNOWN, seed) for seed in (1, 1, 2))
    assert first == again
    assert {one.place for one in first} != {one.place for one in other}


def test_none_and_all() -> None:
    pool, _ = field(n=30)
    assert choose(pool, 0, CATEGORIES, KNOWN, 0) == []
    everyone = choose(pool, 30, CATEGORIES, KNOWN, 0)
    assert [one.place for one in everyone] == list(range(30))
    assert {one.chance for one in everyone} == {1.0}


def test_a_pick_says_what_it_is() -> None:
    pool, _ = field()
    for pick in choose(pool, 40, CATEGORIES, KNOWN, 4):
        assert pick.pseudonym == name(pick.place)
        assert pick.tier == "E0"
        assert 0 < pick.chance <= 1
        assert pick.scores == dict(zip(CATEGORIES, pool.scores[pick.place].tolist(), strict=True))
        assert (pick.category == "") == (pick.why == "random")


def test_weights_stand_for_the_whole_pool() -> None:
    pool, _ = field()
    sums = [
        sum(1 / one.chance for one in choose(pool, 40, CATEGORIES, KNOWN, seed))
        for seed in range(60)
    ]
    assert np.mean(sums) == pytest.approx(400, rel=0.05)


def test_the_uncertain_are_picked_before_the_sure() -> None:
    scores = np.full((300, 2), 1e-6)
    scores[:10, 0] = 0.5
    picked = choose(candidates(scores), 10, CATEGORIES, KNOWN, 0)
    unsure = [one for one in picked if one.place < 10]
    assert len(unsure) >= 6
    assert {(one.why, one.category) for one in unsure} == {("uncertain", "violence")}
    assert {one.why for one in picked if one.place >= 10} == {"random"}


def test_a_rare_category_counts_as_much_as_a_common_one() -> None:
    scores = np.zeros((1000, 2))
    scores[:500, 0] = 0.3
    scores[500:520, 1] = 0.3
    picked = choose(candidates(scores), 50, CATEGORIES, KNOWN, 0)
    assert sum(500 <= one.place < 520 for one in picked) >= 5  # 1 of 50 by chance


def test_the_fewer_labels_a_category_has_the_more_it_is_picked() -> None:
    scores = np.tile(np.float32([[0.3, 0.3]]), (400, 1))
    scores[:200, 1] = scores[200:, 0] = 0.001
    even, uneven = (
        sum(one.place >= 200 for one in choose(candidates(scores), 60, CATEGORIES, known, 0))
        for known in (np.array([5000.0, 5000.0]), np.array([5000.0, 2.0]))
    )
    assert abs(even - 30) <= 3
    assert uneven > 42


def test_a_category_that_is_wanted_for_its_few_labels_is_told_as_rare() -> None:
    scores = np.full((500, 2), 0.001)
    scores[:20] = [0.4, 0.3]
    scores[20:25] = [0.001, 0.6]
    picked = choose(candidates(scores), 20, CATEGORIES, np.array([9000.0, 1.0]), 0)
    told = {(one.why, one.category) for one in picked if one.place < 20}
    assert told == {("rare", "distress")}


def test_nothing_is_made_of_what_is_hardly_there() -> None:
    # Expected cases in the pool: a thousandth. Its tallest noise isn't worth every pick.
    scores = np.full((1000, 2), [0.2, 1e-6])
    scores[:5, 1] = 1e-4
    picked = choose(candidates(scores), 20, CATEGORIES, KNOWN, 0)
    assert sum(one.place < 5 for one in picked) <= 1


def test_positives_are_found_in_every_table_of_the_manifest() -> None:
    metrics = {
        "text, val": [{"name": "violence", "positives": 7}, {"name": "hate", "positives": 9}],
        "sound, val": [{"name": "scream", "positives": 3}, {"name": "violence", "positives": 5}],
    }
    assert known_positives(metrics, CATEGORIES).tolist() == [7, 0]
    assert known_positives({}, CATEGORIES).tolist() == [0, 0]
