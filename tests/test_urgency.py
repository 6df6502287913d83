"""The order in which cases are taken, and that nobody waits for ever."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from casework import NOON, case_of
from hypothesis import given
from hypothesis import strategies as st

from triage.escalate.records import Case
from triage.escalate.urgency import EVERY, ordered, pick, urgency

TERMS = {"E2": 86_400.0, "E3": 3_600.0, "E4": 300.0}


def case(id: str, tier: str, severity: int = 4, waited: float = 0.0) -> Case:
    begun = NOON - waited
    return case_of(id, tier=tier, severity=severity, clock_at=begun, due_at=begun + TERMS[tier])


def order(*cases: Case) -> list[str]:
    return [one.id for one in ordered(cases, NOON)]


def test_what_is_due_in_minutes_comes_first() -> None:
    assert order(case("day", "E2"), case("now", "E4"), case("hour", "E3")) == ["now", "hour", "day"]


def test_of_one_tier_the_graver_and_the_older_come_first() -> None:
    assert order(case("a", "E3", 2), case("b", "E3", 6), case("c", "E3", 4)) == ["b", "c", "a"]
    assert order(case("a", "E3", waited=10), case("b", "E3", waited=900)) == ["b", "a"]


def test_what_has_waited_gets_ahead_of_what_is_graver_and_came_later() -> None:
    assert order(case("day", "E2", 4, waited=2 * 86_400), case("hour", "E3", 6)) == ["day", "hour"]
    assert order(case("day", "E2", 4, waited=3_600), case("hour", "E3", 6)) == ["hour", "day"]


def test_a_page_is_before_all_that_has_not_waited_for_two_deadlines() -> None:
    late = case("late", "E2", 4, waited=1.9 * 86_400)
    assert order(late, case("now", "E4", 4))[0] == "now"


@given(
    st.sampled_from(list(TERMS)),
    st.integers(0, 7),
    st.floats(0, 1e7),
    st.floats(0, 1e7),
)
def test_it_is_over_nothing_and_grows(tier: str, severity: int, waited: float, more: float) -> None:
    one = case("a", tier, severity, waited)
    assert 0 < urgency(one, NOON) <= urgency(one, NOON + more)
    if severity < 7:
        assert urgency(replace(one, severity=severity + 1), NOON) > urgency(one, NOON)
    assert urgency(one, NOON - 1e9) > 0  # a clock that was turned back


@given(st.data())
def test_nobody_starves_whatever_comes(data: st.DataObject) -> None:
    """The law: a case is taken after at most ten times those that were there before, and itself."""
    chance = Random(data.draw(st.integers(0, 2**32)))  # noqa: S311
    before = [
        case(f"old-{n}", "E2", chance.randrange(3), chance.uniform(1_000, 2_000))
        for n in range(data.draw(st.integers(0, 5)))
    ]
    mine = case("mine", "E2", 0)
    flood = data.draw(st.integers(1, 3))
    waiting, now, taken = [*before, mine], NOON, data.draw(st.integers(0, 100))
    limit = EVERY * (len(before) + 1)
    for turn in range(limit):
        now += 1.0
        waiting += [
            replace(case(f"new-{turn}-{n}", "E4", 7), clock_at=now, due_at=now + 300)
            for n in range(flood)
        ]
        found = pick(waiting, now, taken)
        assert found is not None
        waiting.remove(found)
        taken += 1
        if found.id == "mine":
            return
    raise AssertionError(f"it still waits after {limit} were taken")


def test_a_day_under_load_keeps_the_deadlines_that_can_be_kept() -> None:
    """One desk takes a case every three minutes for a day; four of five minutes are asked for."""
    chance, waiting, late, waits = Random(7), [], dict.fromkeys(TERMS, 0), dict.fromkeys(TERMS, 0.0)  # noqa: S311
    counted = dict.fromkeys(TERMS, 0)
    now, taken = NOON, 0
    arrivals = sorted(
        (NOON + chance.uniform(0, 86_400), tier, severity)
        for tier, severity, count in (("E4", 6, 10), ("E3", 5, 90), ("E2", 3, 284))
        for _ in range(count)
    )
    while arrivals or waiting:
        while arrivals and arrivals[0][0] <= now:
            at, tier, severity = arrivals.pop(0)
            id = f"{len(arrivals)}"
            waiting.append(
                case_of(id, tier=tier, severity=severity, clock_at=at, due_at=at + TERMS[tier])
            )
        found = pick(waiting, now, taken)
        if found is not None:
            waiting.remove(found)
            taken += 1
            counted[found.tier] += 1
            late[found.tier] += now > found.due_at
            waits[found.tier] = max(waits[found.tier], now - found.clock_at)
        now += 180
    assert sum(counted.values()) == 384
    assert late["E2"] == late["E3"] == 0
    assert late["E4"] <= 3  # two reviews that are under way, or the turn of the first that came
    assert waits["E2"] < 86_400


def test_there_may_be_nothing() -> None:
    assert pick([], NOON, 3) is None
