"""What may be done with a case: a table of moves, whose they are, and what an ending says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casework import NOON, case_of, casework_policy, roster_of
from hypothesis import given
from hypothesis import strategies as st

from triage.errors import BadField, Forbidden, InputError, MoveRefused
from triage.escalate.moves import HOLD, WAYS, due, hold, labels, may_see, moved
from triage.escalate.records import CLOCK, Case, Ending, Move, Order, State

POLICY, ROSTER = casework_policy(), roster_of()
MINE = {"state": State.CLAIMED, "owner": "cyn"}
NEEDS: dict[Move, dict[str, Any]] = {
    Move.HAND_OVER: {"to": "dan"},
    Move.SNOOZE: {"until": NOON + 100, "reason": "waiting for a colleague"},
    Move.RESOLVE: {"ending": Ending.HELPED},
    Move.REOPEN: {"reason": "it came again"},
}


def order(move: Move, actor: str = "cyn", **more: Any) -> Order:
    return Order(move, actor, **NEEDS.get(move, {}) | more)


def after(case: Case, wanted: Order, at: float = NOON + 10) -> Case:
    return moved(case, wanted, at, ROSTER, POLICY)


@pytest.mark.parametrize("move", WAYS)
@pytest.mark.parametrize("state", State)
def test_a_move_goes_from_its_states_and_from_no_other(move: Move, state: State) -> None:
    actor = CLOCK if move in (Move.WAKE, Move.RETURN, Move.MISS) else "cyn"
    case = case_of(state=state, owner="cyn" if state is not State.OPEN else "")
    if state in WAYS[move]:
        assert after(case, order(move, actor)).state is WAYS[move][state]
    elif not (actor == case.owner and move in (Move.CLAIM, Move.ACKNOWLEDGE)):
        with pytest.raises(MoveRefused, match=rf"is {state}.*goes from"):
            after(case, order(move, actor))


def test_a_case_is_taken_worked_on_and_resolved() -> None:
    seen = after(case_of(), order(Move.ACKNOWLEDGE, "dan"))
    assert (seen.owner, seen.acknowledged_at) == ("dan", NOON + 10)
    taken = after(seen, order(Move.CLAIM), NOON + 20)
    assert (taken.owner, taken.acknowledged_at, taken.moved_at) == ("cyn", NOON + 10, NOON + 20)
    given_ = after(taken, order(Move.HAND_OVER))
    assert given_.owner == "dan"
    later = after(given_, order(Move.SNOOZE, "dan"))
    assert later.snoozed_until == NOON + 100
    woken = after(later, order(Move.WAKE, CLOCK))
    assert (woken.state, woken.owner, woken.snoozed_until) == (State.CLAIMED, "dan", None)
    ended = after(woken, order(Move.RESOLVE, "dan"), NOON + 50)
    assert ended.resolved_at == NOON + 50
    again = after(ended, order(Move.REOPEN, "dan"), NOON + 60)
    assert (again.state, again.owner, again.clock_at) == (State.OPEN, "", NOON + 60)
    assert (again.due_at, again.resolved_at) == (NOON + 60 + 3_600, None)
    assert (again.acknowledged_at, again.missed_at) == (None, None)


def test_the_same_call_twice_is_no_error_and_no_move() -> None:
    for move in (Move.ACKNOWLEDGE, Move.CLAIM):
        once = after(case_of(), order(move))
        assert after(once, order(move), NOON + 99) is once
    given_ = after(case_of(**MINE), order(Move.HAND_OVER, "lea"))
    assert after(given_, order(Move.HAND_OVER, "lea")) is given_


def test_who_has_it_moves_it_or_a_lead() -> None:
    case = case_of(**MINE)
    for move in (Move.HAND_OVER, Move.RELEASE, Move.SNOOZE, Move.RESOLVE):
        with pytest.raises(MoveRefused, match="is cyn's"):
            after(case, order(move, "dan", to="lea" if move is Move.HAND_OVER else ""))
        assert after(case, order(move, "lea")) != case
    with pytest.raises(MoveRefused):
        after(case, order(Move.CLAIM, "dan"))


@pytest.mark.parametrize(
    ("actor", "sees"),
    [
        ("cyn", True),
        ("dan", True),
        ("lea", True),
        ("ann", False),
        ("eve", False),
        ("nobody", False),
    ],
)
def test_a_case_is_for_those_of_its_queues(actor: str, sees: bool) -> None:
    assert may_see(case_of(), actor, ROSTER, POLICY) is sees
    if not sees:
        with pytest.raises(Forbidden):
            after(case_of(), order(Move.CLAIM, actor))


def test_of_two_cases_before_one_queue_one_may_be_somebodys_and_the_other_not() -> None:
    people = {"cyn": {"opt_out": ["violence"]}, "dan": {}}
    roster = roster_of(people=people, lines={"violence": ["cyn", "dan"]})
    other = case_of(scores={"categories": {"hate": 0.7}})
    assert not may_see(case_of(), "cyn", roster, POLICY)
    assert may_see(other, "cyn", roster, POLICY)
    with pytest.raises(Forbidden, match="not for cyn"):
        moved(case_of(**MINE | {"owner": "dan"}), order(Move.HAND_OVER, "dan", to="cyn"), NOON,
              roster, POLICY)  # fmt: skip


def test_whoever_raised_a_case_sees_it_and_somebody_else_looks() -> None:
    case = case_of(raised_by="eve")
    assert may_see(case, "eve", ROSTER, POLICY)
    with pytest.raises(Forbidden):
        after(case, order(Move.CLAIM, "eve"))


def test_nobody_is_the_clock() -> None:
    for move in (Move.WAKE, Move.RETURN, Move.MISS):
        with pytest.raises(BadField):
            after(case_of(), order(move, "lea"))
    with pytest.raises(BadField):
        after(case_of(), order(Move.RAISE))


@pytest.mark.parametrize(
    "wrong",
    [
        Order(Move.SNOOZE, "cyn", until=NOON + 100),
        Order(Move.SNOOZE, "cyn", reason="why"),
        Order(Move.SNOOZE, "cyn", reason="why", until=NOON),
        Order(Move.SNOOZE, "cyn", reason="why", until=NOON + 10 + 3_601),
        Order(Move.SNOOZE, "cyn", reason="why", until=float("nan")),
        Order(Move.SNOOZE, "cyn", reason="why", until=float("inf")),
        Order(Move.RESOLVE, "cyn"),
        Order(Move.RESOLVE, "cyn", ending=Ending.FALSE_ALARM, heard=("hate",)),
        Order(Move.RELEASE, "cyn", ending=Ending.HELPED),
        Order(Move.RELEASE, "cyn", heard=("hate",)),
        Order(Move.RELEASE, "cyn", to="dan"),
        Order(Move.HAND_OVER, "cyn"),
        Order(Move.RELEASE, "cyn", reason="x" * 501),
    ],
)
def test_what_an_order_lacks_or_says_too_much_is_refused(wrong: Order) -> None:
    with pytest.raises(BadField):
        after(case_of(**MINE), wrong)
    with pytest.raises(BadField):
        after(case_of(state=State.RESOLVED), Order(Move.REOPEN, "cyn"))


@given(
    st.lists(st.tuples(st.sampled_from(list(WAYS)), st.sampled_from(["cyn", "dan", "lea", CLOCK])))
)
def test_whatever_is_tried_a_case_stays_whole(tried: list[tuple[Move, str]]) -> None:
    case, now = case_of(), NOON
    for move, actor in tried:
        now += 7
        try:
            case = after(
                case, order(move, actor, **({"until": now + 9} if move is Move.SNOOZE else {})), now
            )
        except InputError:
            continue
    assert (case.owner == "") == (case.state is State.OPEN)
    assert (case.snoozed_until is None) == (case.state is not State.SNOOZED)
    assert (case.resolved_at is None) == (case.state is not State.RESOLVED)
    assert case.clock_at <= case.moved_at <= now
    assert case.id == "a"


@pytest.mark.parametrize(
    ("ending", "heard", "told"),
    [
        (Ending.FALSE_ALARM, None, {"violence": 0}),
        (Ending.FALSE_ALARM, (), {"violence": 0}),
        (Ending.HELPED, ("violence",), {"violence": 1}),
        (Ending.REFERRED, ("hate",), {"hate": 1, "violence": 0}),
        (Ending.HELPED, None, {}),
        (Ending.UNCLEAR, ("violence",), {}),
        (Ending.NO_ACTION, (), {"violence": 0}),
    ],
)
def test_what_an_ending_says_of_the_categories(
    ending: Ending, heard: tuple[str, ...] | None, told: dict[str, int]
) -> None:
    assert labels(case_of(), ending, heard) == told


def test_deadlines_run_in_the_hours_of_their_tier() -> None:
    hours = {"zone": "UTC", "start": "09:00", "end": "17:00", "days": ["mon", "tue"]}
    tiers = {name: dict(one) for name, one in casework_tiers().items()}
    tiers["E2"]["hours"] = hours
    policy = casework_policy(tiers=tiers)
    # Monday noon: five hours on that day, eight on Tuesday, eleven next week: Mon 8, Tue 3.
    assert due("E2", NOON, policy) == NOON + 8 * 86_400
    assert due("E4", NOON, policy) == NOON + 300
    assert (hold("E4", policy), hold("E2", policy)) == (HOLD, 86_400)


def casework_tiers() -> dict[str, Any]:
    from casework import TIERS

    return TIERS


def test_what_is_not_known_of_a_case_is_not_made_up() -> None:
    assert replace(case_of(), scores={}).categories == ()
