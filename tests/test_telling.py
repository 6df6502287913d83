"""Who is told of a case, when, and that what is told names nobody."""

from __future__ import annotations

import json

from casework import NOON, case_of, casework_policy, roster_of

from triage.escalate.records import State
from triage.escalate.telling import (
    ESCALATED,
    REMINDED,
    RESOLVED,
    again_at,
    first_at,
    line,
    moment,
    queued,
    resolved,
    skipped,
    told,
)

POLICY, ROSTER = casework_policy(), roster_of()
OFFICE = {"zone": "Europe/Berlin", "start": "09:00", "end": "17:00", "days": ["mon"]}


def people(times: int, **changes: object) -> list[str]:
    roster = roster_of(**changes)
    return [one.person for one in told(case_of(), "violence", times, NOON, roster, POLICY).messages]


def test_each_is_told_twice_then_the_next_in_line_and_round_again() -> None:
    assert [people(times)[0] for times in range(10)] == [
        "cyn", "cyn", "dan", "dan", "ann", "ann", "bob", "bob", "cyn", "cyn",
    ]  # fmt: skip
    assert [skipped(times) for times in range(5)] == [2, 2, 4, 4, 6]


def test_the_line_goes_on_where_the_queue_overflows() -> None:
    assert line(case_of(), "violence", ROSTER, POLICY) == ("cyn", "dan", "ann", "bob")
    assert line(case_of(), "hate", ROSTER, POLICY) == ("eve",)
    assert line(case_of(), "gone", ROSTER, POLICY) == ()


def test_who_is_spared_it_or_has_no_target_is_passed_over() -> None:
    given = {
        "cyn": {"targets": ["hook"], "opt_out": ["violence"]},
        "dan": {},
        "ann": {"targets": ["hook"]},
        "bob": {"targets": ["hook"], "opt_out": ["hate"]},
        "eve": {},
    }
    assert line(case_of(), "violence", roster_of(people=given), POLICY) == ("ann", "bob")


def test_where_nobody_is_left_the_fallback_is_told() -> None:
    assert people(0, people={}, lines={}, fallback=["hook"]) == [""]
    assert people(0, people={}, lines={}) == []


def test_the_first_is_an_escalation_and_the_rest_remind() -> None:
    found = (told(case_of(), "violence", n, NOON, ROSTER, POLICY) for n in (0, 1, 4))
    kinds = [one.messages[0].kind for one in found]
    assert kinds == [ESCALATED, REMINDED, REMINDED]


def test_each_telling_has_an_id_of_its_own_and_always_the_same() -> None:
    def id(times: int = 0, queue: str = "violence", **changes: object) -> str:
        case = case_of(**changes)
        return told(case, queue, times, NOON, ROSTER, POLICY).messages[0].id

    assert id() == id()
    others = [id(1), id(queue="on-call"), id(id="b"), id(clock_at=NOON + 1), id(moved_at=NOON + 1)]
    assert len({id(), *others}) == 6


def test_when_somebody_is_told() -> None:
    hate = case_of(tier="E2", due_at=NOON + 86_400)
    assert first_at(case_of(), POLICY, paged=False) == NOON
    assert first_at(hate, POLICY, paged=False) == NOON + 86_400
    assert first_at(hate, POLICY, paged=True) == NOON
    assert again_at(case_of(), NOON, POLICY) == NOON + 1_200
    assert again_at(hate, NOON, POLICY) == NOON + 86_400


def test_people_are_told_in_the_hours_of_the_tier() -> None:
    from casework import TIERS

    tiers = TIERS | {tier: TIERS[tier] | {"hours": OFFICE} for tier in ("E2", "E3")}
    policy = casework_policy(tiers=tiers)
    late = case_of(clock_at=NOON + 4 * 3_600)  # Monday, six in the evening in Berlin
    nine_next_monday = NOON + 7 * 86_400 - 5 * 3_600
    assert first_at(late, policy, paged=False) == nine_next_monday
    assert again_at(case_of(), NOON + 2.9 * 3_600, policy) == nine_next_monday
    assert again_at(case_of(), NOON, policy) == NOON + 1_200


def test_what_is_told_is_the_case_and_no_person() -> None:
    case = case_of(account="acc_x", raised_by="eve", owner="dan")
    (message,) = told(case, "violence", 2, case.due_at + 1, ROSTER, POLICY).messages
    assert message.payload == {
        "case": "a", "tier": "E3", "severity": 4, "rule": "threat", "reason": "threat.",
        "queue": "violence", "account": "acc_x", "recording": "rec_a", "recordings": 1,
        "scores": {"categories": {"violence": 0.6}, "events": {}},
        "raised_at": "2026-05-04T12:00:00.000Z", "due_at": "2026-05-04T13:00:00.000Z",
        "is_late": True, "times_told": 2, "link": "https://triage.example/cases/a",
    }  # fmt: skip
    for name in ("dan", "eve", "cyn"):
        assert f'"{name}"' not in json.dumps(message.payload)


def test_places_hear_of_what_comes_before_their_queue() -> None:
    roster = roster_of(queues={"violence": ["hook"]})
    (message,) = queued(case_of(), "violence", NOON, roster)
    assert (message.kind, message.person, message.target) == ("case.queued", "", "hook")
    assert list(queued(case_of(), "hate", NOON, roster)) == []


def test_whoever_raised_it_hears_how_it_ended() -> None:
    case = case_of(raised_by="eve", state=State.RESOLVED, resolved_at=NOON + 9)
    to_eve = list(resolved(case, "helped", ("violence",), NOON + 9, ROSTER))
    assert [(one.kind, one.person) for one in to_eve] == [(RESOLVED, "eve")]
    assert to_eve[0].payload["outcome"] == "helped"
    assert to_eve[0].payload["heard"] == ["violence"]
    ours = roster_of(outcomes=["hook"])
    to_callers = list(resolved(case_of(resolved_at=NOON), "unclear", None, NOON, ours))
    assert [(one.person, one.target) for one in to_callers] == [("", "hook")]
    assert to_callers[0].payload["heard"] is None


def test_moments_are_told_to_the_millisecond() -> None:
    assert moment(NOON + 0.5) == "2026-05-04T12:00:00.500Z"
