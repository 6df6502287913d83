"""The store of decisions: history, cases, shadows and scores by pseudonym; no words, no ids."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from policies import policy_of, rule, scores_of

from triage.decisions import Decided, Decisions
from triage.errors import BadSetting, DecisionsFailed
from triage.memory import Memory
from triage.policy.decide import decide
from triage.policy.following import PolicyInService
from triage.policy.surroundings import History
from triage.process import Outcome, Processor
from triage.records import Event, Recording

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = {"day": 86_400}
POLICY = policy_of(
    rule("again", "E3", ["queue:some"], "scores.distress >= 0.5 && history.day.distress >= 2"),
    rule("distress", "E2", ["queue:on-call"], "scores.distress >= 0.5"),
    rule("tried", "E4", ["page:on-call"], "scores.distress >= 0.9", mode="shadow"),
    history={"windows": DAY, "cool_down": 600},
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'decisions.db'}"


@pytest.fixture
def store(url: str) -> Decisions:
    return Decisions(url)


def made(id: str, hours: float = 0, account: str = "acc_1", score: float = 0.6) -> Decided:
    scores = replace(
        scores_of({"distress": score}, {"scream": 0.7}, noisy=True),
        applied={"distress": ("audio", "text")},
        events=(Event("scream", 0.5, 1.5, 0.7),),
    )
    at = NOON + timedelta(hours=hours)
    decision = replace(decide(scores, POLICY, at), case=f"case of {id}")
    return Decided(id, at, account, scores, decision, decide(scores, POLICY, at, mode="shadow"))


def test_history_is_counted_by_window_and_category(store: Decisions) -> None:
    store.add([made("a", -30), made("b", -20), made("c", -1), made("d", -1, "acc_2")])
    store.add([made("e", -1, score=0.1), made("f", 1)])
    counts = store.history("acc_1", DAY | {"week": 604_800, "hour": 3_600}, NOON)
    assert counts == {
        "day": {"distress": 2, "any": 2},
        "week": {"distress": 3, "any": 3},
        "hour": {"distress": 1, "any": 1},
    }
    assert store.history("", DAY, NOON) == {"day": {}}


def test_a_case_is_open_for_as_long_as_it_may_be_joined(store: Decisions) -> None:
    store.add([made("a", -2), made("b", -1)])
    assert store.open_case("acc_1", "distress", 2 * 3_600, NOON) == "case of b"
    assert store.open_case("acc_1", "distress", 3_000, NOON) == ""
    assert store.open_case("acc_1", "again", 2 * 3_600, NOON) == ""
    assert store.open_case("acc_2", "distress", 2 * 3_600, NOON) == ""
    assert store.open_case("", "distress", 2 * 3_600, NOON) == ""


def test_scores_come_back_as_they_were(store: Decisions) -> None:
    one = made("a")
    store.add([one])
    (kept,) = store.kept(NOON - timedelta(days=1))
    assert (kept.id, kept.at, kept.account) == ("a", NOON, "acc_1")
    assert kept.scores == one.scores
    assert decide(kept.scores, POLICY, NOON) == decide(one.scores, POLICY, NOON)


def test_a_decision_stands_beside_its_shadow(store: Decisions) -> None:
    store.add([made("b", 1, score=0.95), made("a")])
    first, second = store.compared(NOON)
    assert (first.id, first.tier, first.shadow_tier) == ("a", "E2", "E2")
    assert (second.tier, second.rule) == ("E2", "distress")
    assert (second.shadow_tier, second.shadow_rule) == ("E4", "tried")
    assert list(store.compared(NOON + timedelta(hours=2))) == []


def test_what_is_old_is_forgotten_when_something_new_is_kept(url: str) -> None:
    store, reader = Decisions(url, 30), Decisions(url)
    store.add([made("a", -24 * 31), made("b", -24 * 29)])
    ids = [one.id for one in reader.kept(NOON - timedelta(days=99))]
    assert ids == ["a", "b"]  # none is thirty days older than another yet
    store.add([made("c")])
    assert [one.id for one in reader.kept(NOON - timedelta(days=99))] == ["b", "c"]
    reader.add([made("d", 24 * 99)])
    assert len(list(reader.kept(NOON - timedelta(days=99)))) == 3


def test_all_or_none_are_kept(store: Decisions) -> None:
    with pytest.raises(DecisionsFailed, match="can't be written"):
        store.add([made("a"), made("a")])
    assert list(store.kept(NOON - timedelta(days=9))) == []


def test_a_store_that_cannot_be_opened_is_told_without_its_url(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadSetting) as caught:
        Decisions(f"sqlite:///{tmp_path / 'file' / 'decisions.db'}")
    assert str(tmp_path) not in caught.value.detail
    with pytest.raises(BadSetting, match="TRIAGE_DECISIONS"):
        Decisions("no url")


def test_several_may_begin_at_once(tmp_path: Path) -> None:
    for n in range(5):
        file = f"sqlite:///{tmp_path / f'{n}.db'}"
        with ThreadPoolExecutor(6) as pool:
            stores = list(pool.map(lambda _: Decisions(file), range(6)))  # noqa: B023
        stores[0].add([made("a")])
        assert [one.id for one in stores[5].kept(NOON)] == ["a"]


def test_only_its_owner_reads_the_file(store: Decisions, tmp_path: Path) -> None:
    assert (tmp_path / "decisions.db").stat().st_mode & 0o077 == 0


def test_memory_knows_the_store_and_what_came_since(store: Decisions) -> None:
    store.add([made("a", -1)])
    memory = Memory(store, History(windows=DAY, cool_down=7_200), NOON)
    assert memory.counts("acc_1") == {"day": {"distress": 1, "any": 1}}
    memory.add("acc_1", made("b").decision)
    assert memory.counts("acc_1") == {"day": {"distress": 2, "any": 2}}
    assert memory.case("acc_1", "distress", "new") == "case of a"
    assert memory.case("acc_1", "again", "new") == "new"
    assert memory.case("acc_1", "again", "newer") == "new"
    assert memory.case("", "distress", "mine") == "mine"
    assert Memory(None, History(windows=DAY), NOON).counts("acc_1") == {"day": {}}


# In the guarded way -------------------------------------------------------------------------


@pytest.fixture
def processor(fake_processor: Processor, store: Decisions) -> Processor:
    fake_processor.triage.followed = PolicyInService.fixed(POLICY)  # type: ignore[attr-defined]
    return replace(fake_processor, decisions=store)


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


def test_neither_account_nor_words_are_in_the_file(processor: Processor, tmp_path: Path) -> None:
    screams(processor, "alice-the-secret")
    processor.process([Recording("r", transcript="the secret recipe")], "cli")
    database = sqlite3.connect(tmp_path / "decisions.db")
    told = " ".join(database.iterdump())
    assert told.count("INSERT INTO") == 2
    for secret in ("alice", "recipe", "r0"):
        assert secret not in told
    assert "acc_" in told


def test_without_a_store_no_answer(processor: Processor, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "decisions.db").executescript("DROP TABLE decisions")
    with pytest.raises(DecisionsFailed):
        processor.process([Recording("a", b"sound")], "http")
