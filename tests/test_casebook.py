"""The casebook: what a decision brings with it, in one transaction, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from casework import NOON, QUEUES, Desk, casework_policy, made, roster_of

from triage.database.tables import AcknowledgementRow, Base, EscalationRow, OutcomeRow
from triage.errors import AuditFailed, BadField, Forbidden, MoveRefused, NoSuchCase, StoreFailed
from triage.escalate.by_hand import Raised
from triage.escalate.records import UNRESOLVED, Ending, Move, Order, State
from triage.safeguards.audit import verify


@pytest.fixture
def desk(store_url: str, tmp_path: Path) -> Desk:
    return Desk(store_url, tmp_path)


def rows(desk: Desk, table: type[Base]) -> list[dict[str, Any]]:
    with desk.book.opened.connect() as connection:
        found = connection.execute(sa.select(*table.__table__.columns)).mappings()
        return [dict(row) for row in found]


def counts(desk: Desk) -> dict[str, int]:
    with desk.book.opened.connect() as connection:
        return {
            one.name: connection.execute(sa.select(sa.func.count()).select_from(one)).scalar_one()
            for one in Base.metadata.sorted_tables
        }


# What a decision brings with it -------------------------------------------------------------


def test_a_decision_a_case_its_queues_and_its_pages_are_kept_together(desk: Desk) -> None:
    (kept,) = desk.decided("a", violence=0.95)
    assert kept.decision.case == "a"
    case = desk.book.case("a")
    assert (case.tier, case.state, case.queues) == ("E4", State.OPEN, ("on-call", "violence"))
    assert case.due_at == NOON + 300
    assert case.scores == {"categories": {"violence": 0.95}, "events": {"scream": 0.7}}
    assert desk.told() == [("case.escalated", "ann"), ("case.escalated", "cyn")]
    assert [one.move for one in desk.book.history("a")] == ["raise"]
    assert counts(desk)["decisions"] == 1


def test_what_nobody_looks_at_is_kept_and_is_no_case(desk: Desk) -> None:
    kept = desk.decided("a", sexual=0.9)
    assert kept[0].decision.case == ""
    assert counts(desk) == dict.fromkeys(counts(desk), 0) | {"decisions": 1}


def test_a_lesser_case_waits_in_its_queue_and_tells_nobody(desk: Desk) -> None:
    desk.decided("a", hate=0.6)
    assert desk.told() == []
    assert [one.id for one in desk.book.cases(queue="hate")] == ["a"]
    assert desk.book.cases(queue="violence") == []


def test_if_the_audit_fails_nothing_is_kept(desk: Desk) -> None:
    with pytest.raises(AuditFailed), desk.book.record([made("a", desk.policy)], desk.policy):
        raise AuditFailed("The disk is gone.")
    assert set(counts(desk).values()) == {0}


def test_if_the_store_fails_it_is_told_and_nothing_is_kept(desk: Desk) -> None:
    desk.decided("a")
    with pytest.raises(StoreFailed):
        desk.decided("b", "a")  # an id twice
    with pytest.raises(NoSuchCase):
        desk.book.case("b")
    assert counts(desk)["decisions"] == counts(desk)["cases"] == counts(desk)["notifications"] == 1


# Duplicates ---------------------------------------------------------------------------------


def test_an_account_s_recordings_of_one_rule_join_while_its_case_is_open(desk: Desk) -> None:
    desk.recorded(
        [made("a", desk.policy, account="acc_1"), made("b", desk.policy, account="acc_1")]
    )
    desk.now += 500
    (third,) = desk.recorded([made("c", desk.policy, desk.now, account="acc_1", violence=0.8)])
    others = desk.recorded(
        [made("d", desk.policy, desk.now, account="acc_2"), made("e", desk.policy, desk.now)]
    )
    assert [one.decision.case for one in (third, *others)] == ["a", "d", "e"]
    case = desk.book.case("a")
    assert (case.recordings, case.scores["categories"]) == (3, {"violence": 0.8})
    assert len(desk.told()) == 3  # once for each case
    desk.now += 601
    (later,) = desk.recorded([made("f", desk.policy, desk.now, account="acc_1")])
    assert later.decision.case == "f"


def test_what_joins_nothing_that_has_ended(desk: Desk) -> None:
    desk.recorded([made("a", desk.policy, account="acc_1")])
    desk.book.move("a", Order(Move.CLAIM, "cyn"))
    (second,) = desk.recorded([made("b", desk.policy, account="acc_1")])
    assert second.decision.case == "a"
    desk.book.move("a", Order(Move.RESOLVE, "cyn", ending=Ending.FALSE_ALARM))
    (third,) = desk.recorded([made("c", desk.policy, account="acc_1")])
    assert third.decision.case == "c"
    assert [row["person"] for row in desk.messages()] == ["cyn", "cyn"]


def test_the_same_recording_by_two_ways_is_one_case_but_an_id_alone_is_none(desk: Desk) -> None:
    first, again, other = desk.recorded(
        [
            made("a", desk.policy, recording="rec_1"),
            made("b", desk.policy, recording="rec_1"),
            made("c", desk.policy, recording="rec_1", violence=0.61),
        ]
    )
    assert [one.decision.case for one in (first, again, other)] == ["a", "a", "c"]
    (later,) = desk.recorded([made("d", desk.policy, recording="rec_1")])
    assert later.decision.case == "a"


def test_two_servers_on_the_same_recording_make_one_case(desk: Desk) -> None:
    books = [desk.opened() for _ in range(4)]

    def record(n: int) -> str:
        one = made(f"id-{n}", desk.policy, account=f"acc_{n % 5}", recording=f"rec_{n % 5}")
        with books[n % 4].record([one], desk.policy) as kept:
            return kept[0].decision.case

    with ThreadPoolExecutor(8) as pool:
        cases = list(pool.map(record, range(40)))
    assert len(set(cases)) == 5
    assert len(desk.messages()) == 5
    assert sorted(desk.book.case(one).recordings for one in set(cases)) == [8] * 5


# Overflow -----------------------------------------------------------------------------------


def test_what_a_full_queue_cannot_take_goes_where_it_overflows(desk: Desk) -> None:
    queues = QUEUES | {"violence": QUEUES["violence"] | {"capacity": 2}}
    desk.policy = casework_policy(queues=queues)
    desk.decided("a", "b", "c")
    desk.decided("d")
    assert [desk.book.case(id).queues for id in "abcd"] == [("violence",)] * 2 + [("on-call",)] * 2
    asked = {row["case"]: row["asked"] for row in rows(desk, EscalationRow)}
    assert asked == dict.fromkeys("abcd", "violence")
    desk.now += 86_401
    desk.decided("e")
    assert desk.book.case("e").queues == ("violence",)


def test_where_all_are_full_nothing_is_dropped(desk: Desk) -> None:
    full = {name: queue | {"capacity": 1} for name, queue in QUEUES.items()}
    desk.policy = casework_policy(queues=full)
    desk.decided("a", "b", "c", violence=0.6)
    assert [desk.book.case(id).queues for id in "abc"] == [
        ("violence",),
        ("on-call",),
        ("violence",),
    ]
    desk.decided("d", violence=0.95)  # both of its queues lead to one
    assert desk.book.case("d").queues == ("on-call", "violence")


# Moves --------------------------------------------------------------------------------------


def test_every_move_has_its_time_and_actor_and_is_in_the_audit(desk: Desk) -> None:
    desk.decided("a")
    for seconds, order in enumerate(
        (
            Order(Move.ACKNOWLEDGE, "dan"),
            Order(Move.CLAIM, "cyn"),
            Order(Move.SNOOZE, "cyn", reason="a call first", until=NOON + 600),
            Order(Move.CLAIM, "cyn"),
            Order(Move.HAND_OVER, "cyn", to="dan"),
            Order(Move.RESOLVE, "dan", ending=Ending.REFERRED, heard=("hate",)),
            Order(Move.REOPEN, "lea", reason="not yet"),
        ),
        1,
    ):
        desk.now = NOON + seconds
        desk.book.move("a", order)
    done = [
        (one.at - NOON, one.actor, one.move, one.after, one.to) for one in desk.book.history("a")
    ]
    assert done == [
        (0, "threat", "raise", "open", ""),
        (1, "dan", "acknowledge", "acknowledged", ""),
        (2, "cyn", "claim", "claimed", ""),
        (3, "cyn", "snooze", "snoozed", ""),
        (4, "cyn", "claim", "claimed", ""),
        (5, "cyn", "hand-over", "claimed", "dan"),
        (6, "dan", "resolve", "resolved", "referred"),
        (7, "lea", "reopen", "open", ""),
    ]
    verify(desk.folder / "audit.jsonl")
    written = (desk.folder / "audit.jsonl").read_text()
    assert [json.loads(line)["body"]["move"] for line in written.splitlines()] == [
        move for _, _, move, _, _ in done[1:]
    ]
    assert "a call first" not in written
    assert [row["actor"] for row in rows(desk, AcknowledgementRow)] == ["dan", "cyn", "cyn"]
    (outcome,) = rows(desk, OutcomeRow)
    assert (outcome["outcome"], json.loads(outcome["heard"])) == ("referred", ["hate"])


def test_a_move_that_is_refused_changes_nothing(desk: Desk) -> None:
    desk.decided("a")
    before = counts(desk), desk.book.case("a")
    with pytest.raises(MoveRefused):
        desk.book.move("a", Order(Move.RESOLVE, "cyn", ending=Ending.HELPED))
    with pytest.raises(Forbidden):
        desk.book.move("a", Order(Move.CLAIM, "eve"))
    with pytest.raises(NoSuchCase):
        desk.book.move("b", Order(Move.CLAIM, "cyn"))
    assert (counts(desk), desk.book.case("a")) == before


def test_a_move_that_the_audit_cannot_have_is_not_made(desk: Desk) -> None:
    desk.decided("a")
    (desk.folder / "audit.jsonl").mkdir()
    with pytest.raises(AuditFailed):
        desk.book.move("a", Order(Move.CLAIM, "cyn"))
    assert desk.book.case("a").state is State.OPEN
    assert len(desk.book.history("a")) == 1


def test_of_many_who_claim_at_once_one_has_it(desk: Desk) -> None:
    desk.decided("a")
    books = [desk.opened() for _ in range(4)]

    def claim(n: int) -> bool:
        try:
            books[n].move("a", Order(Move.CLAIM, ("cyn", "dan", "lea", "lea")[n]))
        except MoveRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = sum(pool.map(claim, range(4)))
    moves = [one for one in desk.book.history("a") if one.move == "claim"]
    assert len(moves) == 1
    assert won == (2 if moves[0].actor == "lea" else 1)


def test_who_has_not_been_told_need_not_be_once_somebody_looks(desk: Desk) -> None:
    desk.roster = roster_of(queues={"violence": ["hook"]})
    desk.decided("a")
    desk.book.move("a", Order(Move.ACKNOWLEDGE, "dan"))
    states = {row["kind"]: row["state"] for row in desk.messages()}
    assert states == {"case.queued": "waiting", "case.escalated": "moot"}


def test_the_outcome_goes_back_to_whoever_raised_it(desk: Desk) -> None:
    desk.roster = roster_of(outcomes=["hook"])
    desk.decided("a")
    desk.book.move("a", Order(Move.CLAIM, "cyn"))
    desk.now += 1
    desk.book.move("a", Order(Move.RESOLVE, "cyn", ending=Ending.HELPED, heard=("violence",)))
    last = desk.messages()[-1]
    assert (last["kind"], last["state"]) == ("case.resolved", "waiting")
    told = json.loads(last["payload"])
    assert (told["outcome"], told["heard"], told["recording"]) == ("helped", ["violence"], "rec_a")


# Taking and raising -------------------------------------------------------------------------


def test_the_next_case_is_the_most_urgent_that_is_for_one(desk: Desk) -> None:
    desk.decided("hour", violence=0.6)
    desk.decided("day", hate=0.9)
    desk.decided("now", violence=0.95)
    first = desk.book.take("lea")
    assert first is not None
    assert (first.id, first.owner, first.state) == ("now", "lea", State.CLAIMED)
    second = desk.book.take("cyn")
    assert second is not None
    assert second.id == "hour"
    assert desk.book.take("cyn") is None
    assert desk.book.take("eve", "violence") is None
    third = desk.book.take("eve")
    assert third is not None
    assert third.id == "day"
    with pytest.raises(Forbidden):
        desk.book.take("nobody")


def test_nobody_takes_more_in_a_day_than_they_may_but_for_pages(desk: Desk) -> None:
    people = {"cyn": {"a_day": 2}, "dan": {}, "ann": {}, "bob": {}, "eve": {}}
    desk.roster = roster_of(people=people)
    desk.decided("a", "b", "c")
    assert [desk.book.take("cyn"), desk.book.take("cyn")] != [None, None]
    with pytest.raises(Forbidden, match="2 cases in 24 hours"):
        desk.book.take("cyn")
    desk.decided("now", violence=0.95)
    paged = desk.book.take("cyn")
    assert paged is not None
    assert paged.id == "now"
    desk.now += 86_401
    assert desk.book.take("cyn") is not None


def test_what_one_is_spared_is_never_the_next(desk: Desk) -> None:
    people = {"cyn": {"opt_out": ["violence"]}, "dan": {}, "ann": {}, "bob": {}, "eve": {}}
    desk.roster = roster_of(people=people)
    desk.decided("a")
    assert desk.book.take("cyn") is None
    assert desk.book.take("dan") is not None


def test_many_who_take_at_once_get_different_cases(desk: Desk) -> None:
    desk.decided(*(f"id-{n}" for n in range(12)))
    books = [desk.opened() for _ in range(4)]

    def take(n: int) -> list[str]:
        found = (books[n].take(("cyn", "dan", "lea", "cyn")[n]) for _ in range(3))
        return [one.id for one in found if one is not None]

    with ThreadPoolExecutor(4) as pool:
        taken = [id for ids in pool.map(take, range(4)) for id in ids]
    assert len(taken) == len(set(taken)) == 12


def test_somebody_heard_something(desk: Desk) -> None:
    case = desk.book.raise_by_hand(Raised("eve", "violence", "E3", ("violence", "hate"), "rec_9"))
    assert (case.raised_by, case.rule, case.severity) == ("eve", "by-hand", 4)
    assert desk.told() == [("case.escalated", "cyn")]
    desk.book.move(case.id, Order(Move.CLAIM, "cyn"))
    desk.now += 1
    desk.book.move(case.id, Order(Move.RESOLVE, "cyn", ending=Ending.HELPED))
    assert desk.told()[-1] == ("case.resolved", "eve")
    for wrong in (
        Raised("eve", "nowhere", "E3", ("hate",)),
        Raised("eve", "violence", "E3", ("nothing",)),
        Raised("eve", "violence", "E3", ()),
        Raised("eve", "violence", "E1", ("hate",)),
    ):
        with pytest.raises(BadField):
            desk.book.raise_by_hand(wrong)
    with pytest.raises(Forbidden):
        desk.book.raise_by_hand(Raised("nobody", "violence", "E3", ("hate",)))


def test_a_case_is_known_by_the_beginning_of_its_id(desk: Desk) -> None:
    desk.decided("tri_ab1", "tri_ab2", "tri_b%", "tri_bc")
    assert desk.book.named("tri_ab1") == "tri_ab1"
    assert desk.book.named("tri_bc") == "tri_bc"
    assert desk.book.named("tri_b%") == "tri_b%"
    assert desk.book.named("tri_x") == "tri_x"
    with pytest.raises(BadField):
        desk.book.named("tri_ab")
    assert len(desk.book.cases(UNRESOLVED, limit=2)) == 2
