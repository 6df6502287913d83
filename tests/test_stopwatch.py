"""Seconds by stage: each second of a stage is counted once, whatever the stage comes to."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.stopwatch import Stopwatch


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("triage.stopwatch.perf_counter", clock)
    return clock


def spend(watch: Stopwatch, clock: Clock, name: str, seconds: float) -> None:
    with watch.stage(name):
        clock.now += seconds


# Whole numbers of eighths: their sums are exact.
stages = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 80).map(lambda n: n / 8)))


@given(st.lists(stages, max_size=4))
def test_what_is_taken_is_what_was_spent_since_it_was_asked_last(
    rounds: list[list[tuple[str, float]]],
) -> None:
    clock, watch = Clock(), Stopwatch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triage.stopwatch.perf_counter", clock)
        for round in rounds:
            spent: defaultdict[str, float] = defaultdict(float)
            for name, seconds in round:
                spend(watch, clock, name, seconds)
                clock.now += 1.0  # between stages it is nobody's
                spent[name] += seconds
            assert watch.taken() == spent


def test_a_watch_that_timed_nothing_has_taken_nothing() -> None:
    assert Stopwatch().taken() == {}


def test_a_stage_that_fails_is_counted_and_fails(clock: Clock) -> None:
    watch = Stopwatch()

    def broken() -> None:
        with watch.stage("decode"):
            clock.now += 2.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert watch.taken() == {"decode": 2.0}


def test_a_stage_within_another_counts_for_both(clock: Clock) -> None:
    watch = Stopwatch()
    with watch.stage("outer"):
        clock.now += 1.0
        spend(watch, clock, "inner", 2.0)
    assert watch.taken() == {"inner": 2.0, "outer": 3.0}


def test_a_stage_within_itself_counts_twice(clock: Clock) -> None:
    watch = Stopwatch()
    with watch.stage("a"):
        spend(watch, clock, "a", 2.0)
    assert watch.taken() == {"a": 4.0}


def test_a_stage_under_way_is_counted_when_it_ends(clock: Clock) -> None:
    watch = Stopwatch()
    with watch.stage("read"):
        clock.now += 1.0
        assert watch.taken() == {}
        clock.now += 1.0
    assert watch.taken() == {"read": 2.0}


def test_what_was_taken_is_the_askers_to_keep(clock: Clock) -> None:
    watch = Stopwatch()
    spend(watch, clock, "a", 1.0)
    taken = watch.taken()
    spend(watch, clock, "a", 5.0)
    assert taken == {"a": 1.0}
    assert type(taken) is dict  # it goes to other processes, and equals what was written down
    taken["a"] = 0.0
    assert watch.taken() == {"a": 5.0}


def test_two_watches_are_two(clock: Clock) -> None:
    one, other = Stopwatch(), Stopwatch()
    spend(one, clock, "a", 1.0)
    assert other.taken() == {}


def test_by_the_real_clock_time_passes_forwards() -> None:
    watch = Stopwatch()
    with watch.stage("a"):
        pass
    assert watch.taken()["a"] >= 0.0
