"""Waits: by the formula, by a run of events, and both against what is known exactly."""

from __future__ import annotations

import math
from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.measure.queueing import Crew, erlang_c, formula, open_hours, simulated
from triage.policy.hours import Hours
from triage.policy.surroundings import Queue

DAY = 24.0
OFFICE = Hours(zone="Europe/Berlin", start=time(9), end=time(17), days=("mon", "tue", "wed"))


def test_one_reviewer_waits_as_the_textbook_has_it() -> None:
    """M/M/1: the wait is load / (service rate - arrival rate)."""
    wait = formula(12.0, Crew(1, 1.0), 4.0)  # half an arrival an hour, one an hour served
    assert wait.mean == pytest.approx(0.5 / (1 - 0.5))
    assert wait.late == pytest.approx(0.5 * math.exp(-4.0 * 0.5))


def test_erlangs_own_table() -> None:
    """With one server the load itself; with two at load 1 a third."""
    assert erlang_c(1.0, 2) == pytest.approx(1 / 3)
    assert erlang_c(0.5, 1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("a_day", "crew"),
    [(16.0, Crew(1, 1.0)), (60.0, Crew(3, 1.0)), (16.0, Crew(1, 1.0, variation=0.0))],
)
def test_the_run_agrees_with_the_formula(a_day: float, crew: Crew) -> None:
    told, seen = formula(a_day, crew, 2.0), simulated(a_day, crew, 2.0)
    assert seen.low * 0.97 <= told.mean <= seen.high * 1.03
    assert seen.mean == pytest.approx(told.mean, rel=0.12)


def test_constant_reviews_are_waited_for_half_as_long() -> None:
    """Pollaczek and Khinchine: exact for one reviewer."""
    random_, constant = (formula(16.0, Crew(1, 1.0, variation=v), 2.0).mean for v in (1.0, 0.0))
    assert constant == pytest.approx(random_ / 2)
    assert simulated(16.0, Crew(1, 1.0, 0.0), 2.0).mean == pytest.approx(constant, rel=0.12)


@pytest.mark.parametrize("wait", [formula, simulated])
def test_more_than_can_be_looked_at_is_waited_for_without_end(wait: type) -> None:
    assert wait(25.0, Crew(1, 1.0), 2.0).mean == math.inf
    assert wait(25.0, Crew(1, 1.0), 2.0).late == 1


@pytest.mark.parametrize("wait", [formula, simulated])
def test_where_nothing_comes_nobody_waits(wait: type) -> None:
    assert (wait(0.0, Crew(1, 1.0), 2.0).mean, wait(0.0, Crew(1, 1.0), 2.0).late) == (0, 0)


@given(st.floats(1, 60), st.integers(1, 8))
def test_more_reviewers_never_make_it_longer(a_day: float, reviewers: int) -> None:
    one, more = (formula(a_day, Crew(n, 0.5), 1.0) for n in (reviewers, reviewers + 1))
    assert more.mean <= one.mean
    assert 0 <= more.late <= one.late + 1e-9


def test_who_comes_at_night_waits_for_the_morning() -> None:
    open_ = Crew(4, 0.05, open=OFFICE)
    assert open_hours(OFFICE) == pytest.approx(8 * 3 / 7)
    assert simulated(10.0, open_, 24.0).mean > 10  # from Wednesday evening to Monday is 112 h
    always = Hours(zone="UTC", start=time(0), end=time(0))
    assert simulated(10.0, Crew(4, 0.05, open=always), 24.0).mean < 0.1


def test_a_crew_does_a_queues_reviews_and_no_more() -> None:
    queue = Queue(members=("a",), capacity=40, hours=OFFICE)
    crew = Crew.of(queue, 6)
    assert crew.reviewers * open_hours(OFFICE) / crew.hours == pytest.approx(40)
    assert crew.hours >= 0.1
    assert Crew.of(queue, 60).reviewers == math.ceil(40 / (8 * 3 / 7))
    assert Crew.of(queue, 6, 4).hours == pytest.approx(open_hours(OFFICE) / 4)
