"""The store of decisions: history, cases, shadows and scores by pseudonym; no words, no ids."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from policies import policy_of, rule, scores_of

from triage.database.engine import writing
from triage.database.store import failing, open_store
from triage.decisions import Decided, Decisions, Past, insert
from triage.errors import StoreFailed
from triage.memory import Memory
from triage.policy.decide import decide
from triage.policy.following import PolicyInService
from triage.policy.surroundings import History
from triage.process import Processor
from triage.records import Event, Outcome, Recording
from triage.settings import Settings

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = {"day": 86_400}
POLICY = policy_of(
    rule("again", "E3", ["queue:some"], "scores.distress >= 0.5 && history.day.distress >= 2"),
    rule("distress", "E2", ["queue:on-call"], "scores.distress >= 0.5"),
    rule("tried", "E4", ["page:on-call"], "scores.distress >= 0.9", mode="shadow"),
    history={"windows": DAY, "cool_down": 600},
)


@pytest.fixture
def opened(store_url: str) -> sa.Engine:
    return open_store(store_url)


@pytest.fixture
def store(opened: sa.Engine) -> Decisions:
    return Decisions(opened)


def add(opened: sa.Engine, decisions: list[Decided]) -> None:
    with failing("can't be written"), writing(opened) as connection:
        insert(connection, decisions)


def made(id: str, hours: float = 0, account: str = "acc_1", score: float = 0.6) -> Decided:
    scores = replace(
        scores_of({"distress": score}, {"scream": 0.7}, noisy=True),
        applied={"distress": ("audio", "text")},
        events=(Event("scream", 0.5, 1.5, 0.7),),
    )
    at = NOON + timedelta(hours=hours)
    decision = replace(decide(scores, POLICY, at), case=f"case of {id}")
    return Decided(
        id, at, account, f"rec_{id}", scores, decision, decide(scores, POLICY, at, mode="shadow")
    )


def test_history_is_counted_by_window_and_category(store: Decisions, opened: sa.Engine) -> None:
    add(opened, [made("a", -30), made("b", -20), made("c", -1), made("d", -1, "acc_2")])
    add(opened, [made("e", -1, score=0.1), made("f", 1)])
    counts = store.history("acc_1", DAY | {"week": 604_800, "hour": 3_600}, Past(NOON))
    assert counts == {
        "day": {"distress": 2, "any": 2},
        "week": {"distress": 3, "any": 3},
        "hour": {"distress": 1, "any": 1},
    }
    assert store.history("", DAY, Past(NOON)) == {"day": {}}


def test_scores_come_back_as_they_were(store: Decisions, opened: sa.Engine) -> None:
    one = made("a")
    add(opened, [one])
    (kept,) = store.kept(NOON - timedelta(days=1))
    assert (kept.id, kept.at, kept.account) == ("a", NOON, "acc_1")
    assert kept.scores == one.scores
    assert decide(kept.scores, POLICY, NOON) == decide(one.scores, POLICY, NOON)


def test_a_decision_stands_beside_its_shadow(store: Decisions, opened: sa.Engine) -> None:
    add(opened, [made("b", 1, score=0.95), made("a")])
    first, second = store.compared(NOON)
    assert (first.id, first.tier, first.shadow_tier) == ("a", "E2", "E2")
    assert (second.tier, second.rule) == ("E2", "distress")
    assert (second.shadow_tier, second.shadow_rule) == ("E4", "tried")
    assert list(store.compared(NOON + timedelta(hours=2))) == []


def test_what_is_old_is_forgotten_when_asked(store: Decisions, opened: sa.Engine) -> None:
    add(opened, [made("a", -24 * 31), made("b", -24 * 29), made("c")])
    assert store.forget(NOON - timedelta(days=30)) == 1
    assert [one.id for one in store.kept(NOON - timedelta(days=99))] == ["b", "c"]


def test_all_or_none_are_kept(store: Decisions, opened: sa.Engine) -> None:
    with pytest.raises(StoreFailed, match="can't be written"):
        add(opened, [made("a"), made("a")])
    assert list(store.kept(NOON - timedelta(days=9))) == []


def test_memory_knows_the_store_and_what_came_since(store: Decisions, opened: sa.Engine) -> None:
    add(opened, [made("a", -1)])
    memory = Memory(store, History(windows=DAY, cool_down=7_200), Past(NOON))
    assert memory.counts("acc_1") == {"day": {"distress": 1, "any": 1}}
    memory.add("acc_1", made("b").decision)
    assert memory.counts("acc_1") == {"day": {"distress": 2, "any": 2}}


# In the guarded way -------------------------------------------------------------------------


@pytest.fixture
def processor(fake_processor: Processor) -> Processor:
    fake_processor.triage.followed = PolicyInService.fixed(POLICY)  # type: ignore[attr-defined]
    return fake_processor


def screams(processor: Processor, *accounts: object) -> list[Any]:
    recordings = [
        Recording(f"r{n}", b"sound", context={} if one is None else {"account": one})
        for n, one in enumerate(accounts)
    ]
    answers = processor.process(recordings, "batch")
    assert all(isinstance(one, Outcome) for one in answers)
    return [one.decision for one in answers if isinstance(one, Outcome)]


def test_the_third_time_in_a_day_is_another_rule(processor: Processor) -> None:
    first = screams(processor, "alice")
    assert [one.rule for one in first] == ["distress"]
    rules = [one.rule for one in screams(processor, "alice", "bob", "alice", 7, "alice")]
    assert rules == ["distress", "distress", "again", "distress", "again"]


def test_duplicates_join_one_case(processor: Processor) -> None:
    (first,) = screams(processor, "alice")
    second, other, nobodys, again = screams(processor, "alice", "bob", None, None)
    assert first.case == second.case != ""
    assert len({first.case, other.case, nobodys.case, again.case}) == 4


def test_what_nobody_looks_at_is_no_case(processor: Processor) -> None:
    context = {"account": "alice"}
    (answer,) = processor.process([Recording("a", transcript="fine", context=context)], "http")
    assert isinstance(answer, Outcome)
    assert (answer.decision.tier, answer.decision.case) == ("E0", "")


def test_neither_account_nor_words_are_in_the_file(processor: Processor, limits: Settings) -> None:
    screams(processor, "alice-the-secret")
    processor.process([Recording("r", transcript="the secret recipe")], "cli")
    database = sqlite3.connect(limits.state / "triage.db")
    told = " ".join(database.iterdump())
    assert told.count('INSERT INTO "decisions"') == 2
    for secret in ("alice", "recipe", "r0"):
        assert secret not in told
    assert "acc_" in told


def test_without_a_store_no_answer(processor: Processor, limits: Settings) -> None:
    sqlite3.connect(limits.state / "triage.db").executescript("DROP TABLE decisions")
    with pytest.raises(StoreFailed):
        processor.process([Recording("a", b"sound")], "http")
