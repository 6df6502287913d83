"""What would change: counted by tier, queue and hour, with a fair sample of ids."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies import policy_of, rule, scores_of

from triage.measure.backtest import EXAMPLES, KINDS, Backtest, backtest
from triage.measure.stored import Stored
from triage.policy.parts import LOOKED_AT
from triage.report.backtest import page, summary

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
OLD = policy_of(
    rule("distress", "E3", ["queue:on-call"], "scores.distress >= 0.6"),
    rule("hate", "E2", ["queue:some"], "scores.hate >= 0.5"),
    rule("private", "E0", ["withhold"], "scores.sexual >= 0.5"),
)
NEW = policy_of(
    rule("distress", "E3", ["queue:on-call"], "scores.distress >= 0.8"),
    rule("distress-possible", "E2", ["queue:some"], "scores.distress >= 0.4"),
    rule("hate", "E2", ["queue:unscored"], "scores.hate >= 0.7"),
    rule("private", "E0", ["withhold"], "scores.sexual >= 0.3"),
    rule("tried", "E4", ["page:on-call"], "scores.distress >= 0.9", mode="shadow"),
)


def stored(count: int = 1, hours: float = 0, **categories: float) -> list[Stored]:
    """As many scores alike, an id for each, so many hours past noon."""
    at, told = NOON + timedelta(hours=hours), sorted(categories.items())
    return [Stored(f"tri_{told}_{hours}_{n}", scores_of(categories), at) for n in range(count)]


@pytest.fixture
def found() -> Backtest:
    return backtest(
        OLD,
        NEW,
        [
            *stored(3, distress=0.5),  # looked at now
            *stored(2, hours=6, distress=0.7),  # later, by others
            *stored(1, hours=48, distress=0.95),  # by others too, and shadowed
            *stored(4, hate=0.6),  # not looked at any more
            *stored(5, hate=0.8),  # by others
            *stored(7, sexual=0.4),  # withheld now
        ],
    )


def test_every_change_is_counted(found: Backtest) -> None:
    assert found.decided == 22
    assert dict(found.changes) == {
        "looked at now": 3,
        "not looked at any more": 4,
        "later": 2,
        "somebody else looks": 8,
    }
    assert found.tiers == {
        ("E0", "E2"): 3, ("E3", "E2"): 2, ("E3", "E3"): 1, ("E2", "E0"): 4, ("E2", "E2"): 5,
        ("E0", "E0"): 7,
    }  # fmt: skip
    assert (found.looks(0), found.looks(1)) == (12, 11)
    assert found.withheld == [0, 7]


def test_queues_hours_and_days_are_told(found: Backtest) -> None:
    assert dict(found.queues[0]) == {"on-call": 3, "some": 9}
    assert dict(found.queues[1]) == {"on-call": 1, "some": 6, "unscored": 5}
    assert dict(found.hours[0]) == {12: 10, 18: 2}
    assert dict(found.hours[1]) == {12: 9, 18: 2}
    assert found.days == 2
    assert found.met_by_shadow["tried"] == 1


def test_scores_without_a_time_take_part_in_all_but_the_hours() -> None:
    one = Stored("a", scores_of({"distress": 0.7}))
    found = backtest(OLD, NEW, [one])
    assert (found.days, found.decided, sum(found.hours[0].values())) == (None, 1, 0)


def test_rates_are_told_only_where_all_scores_have_a_time() -> None:
    timed = [*stored(1, distress=0.5), *stored(1, hours=48, distress=0.5)]
    assert backtest(OLD, NEW, timed).days == 2
    untimed = [Stored(f"tri_{n}", scores_of({"distress": 0.5})) for n in range(98)]
    mixed = backtest(OLD, NEW, [*timed, *untimed])
    assert mixed.days is None
    assert not any("a day" in sentence for sentence in summary(mixed))


def test_examples_are_of_their_kind_and_a_fair_sample() -> None:
    many = stored(5_000, distress=0.5)
    found = backtest(OLD, NEW, many)
    examples = found.examples["looked at now"]
    assert len(set(examples)) == EXAMPLES
    assert set(examples) <= {one.id for one in many}
    places = [int(one.rpartition("_")[2]) for one in examples]
    assert 1_000 < sum(places) / EXAMPLES < 4_000
    assert all(not found.examples[kind] for kind in KINDS if kind != "looked at now")


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(("distress", "hate"), st.floats(0, 1)))))
def test_counts_add_up(drawn: list[dict[str, float]]) -> None:
    items: Iterable[Stored] = (Stored(str(n), scores_of(one)) for n, one in enumerate(drawn))
    found = backtest(OLD, NEW, items)
    assert sum(found.tiers.values()) == sum(found.rules[0].values()) == len(drawn)
    gained, lost = found.changes["looked at now"], found.changes["not looked at any more"]
    assert found.looks(1) - found.looks(0) == gained - lost
    assert gained == sum(
        n for (a, b), n in found.tiers.items() if a not in LOOKED_AT and b in LOOKED_AT
    )


def test_the_same_policy_changes_nothing(found: Backtest) -> None:
    same = backtest(NEW, NEW, stored(3, distress=0.95))
    assert not same.changes
    assert "policies are the same" in page(same, 0).decode()


def test_the_page_says_first_what_nobody_would_look_at(found: Backtest) -> None:
    told = page(found, 2).decode()
    assert "Nobody would look at 4 recordings that somebody looks at now" in told
    assert "2 lines held no scores" in told
    assert "<script" not in told
    assert told.index("Verdict") < told.index("Queues") < told.index("Examples")
    for kind in ("looked at now", "later"):
        assert found.examples[kind][0] in told.replace("&#39;", "'")


def test_a_queue_that_cant_take_it_is_told() -> None:
    found = backtest(OLD, NEW, [*stored(60, hate=0.8), *stored(1, hours=48, hate=0.8)])
    assert "unscored is asked for 30 a day and can take 10." in summary(found)
