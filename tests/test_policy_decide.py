from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.policy.decide import decide
from triage.policy.model import Policy
from triage.policy.parts import LOOKED_AT, TIERS
from triage.records import Decision, Scores

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CATEGORIES = ("distress", "violence", "hate", "sexual")
EVENTS = ("scream", "gunshot", "music")
FLAGS = ("noisy", "silent")
NOBODY: dict[str, Any] = {"deadline": None, "who": None}
UNSCORED: dict[str, Any] = {"tier": "E2", "actions": ["queue:unscored"], "reason": "It failed."}
FALLBACKS: dict[str, Any] = {
    "stage_failed": UNSCORED,
    "unknown_category": {**UNSCORED, "threshold": 0.5, "severity": 4},
    "invalid_score": UNSCORED,
}


def rule(name: str, tier: str, actions: list[str], **when: Any) -> dict[str, Any]:
    return {"id": name, "tier": tier, "actions": actions, "reason": f"{name}.", "when": when}


def policy_of(*rules: dict[str, Any], **changes: object) -> Policy:
    """A policy of these rules over the four categories, all with threshold 0.5 and severity 4."""
    fields: dict[str, Any] = {
        "name": "test",
        "version": "1",
        "categories": {name: {"threshold": 0.5, "severity": 4} for name in CATEGORIES},
        "tiers": {
            "E0": NOBODY,
            "E1": NOBODY,
            "E2": {"deadline": 86_400, "who": "specialists"},
            "E3": {"deadline": 3_600, "who": "on call"},
            "E4": {"deadline": 300, "who": "on call"},
        },
        "rules": rules,
        "fallbacks": FALLBACKS,
        "digest": "sha256:0",
    }
    return Policy.model_validate(fields | changes)


def scores_of(
    categories: Mapping[str, float] | None = None,
    events: Mapping[str, float] | None = None,
    **flags: bool,
) -> Scores:
    """Scores of 0, but for those given."""
    return Scores(
        model="test",
        categories=dict.fromkeys(CATEGORIES, 0.0) | dict(categories or {}),
        applied={},
        event_scores=dict.fromkeys(EVENTS, 0.0) | dict(events or {}),
        flags=flags,
    )


def tier_of(scores: Scores, policy: Policy) -> int:
    return TIERS.index(decide(scores, policy, NOW).tier)


DISTRESS = rule("distress", "E3", ["queue:on-call"], any_category={"distress": 0.8})
POSSIBLE = rule("possible", "E2", ["queue:on-call"], any_category={"distress": 0.5})
PRIVATE = rule("private", "E0", ["withhold"], any_category={"sexual": 0.5})
COUNTED = rule("counted", "E1", ["count"], any_category={"hate": 0.5})


# Rules -------------------------------------------------------------------------------------------


def test_no_rule_asks_for_nothing() -> None:
    assert decide(scores_of(), policy_of(DISTRESS), NOW) == Decision(
        tier="E0",
        rule="none",
        reason="No rule was met.",
        actions=(),
        severity=0,
        category_flagged=dict.fromkeys(CATEGORIES, False),
        category_severity=dict.fromkeys(CATEGORIES, 0),
        due_at=None,
        policy="test",
        policy_digest="sha256:0",
        mode="live",
    )


def test_a_rule_that_is_met_is_carried_out() -> None:
    decision = decide(scores_of({"distress": 0.8}), policy_of(DISTRESS), NOW)
    assert (decision.tier, decision.rule, decision.reason) == ("E3", "distress", "distress.")
    assert decision.actions == ("queue:on-call",)
    assert decision.due_at == "2026-03-01T13:00:00Z"
    assert decision.category_flagged["distress"]
    assert decision.severity == decision.category_severity["distress"] == 4


@pytest.mark.parametrize(
    ("scores", "is_met"),
    [
        (scores_of({"distress": 0.6}, {"scream": 0.7}, noisy=False), True),
        (scores_of({"violence": 0.6}, {"gunshot": 0.7}, noisy=False), True),
        (scores_of({"distress": 0.59}, {"scream": 0.7}, noisy=False), False),
        (scores_of({"distress": 0.6}, {"scream": 0.69}, noisy=False), False),
        (scores_of({"distress": 0.6}, {"scream": 0.7}, noisy=True), False),
        (scores_of({"distress": 0.6}, {"scream": 0.7}), False),
        (replace(scores_of({"distress": 0.6}, noisy=False), event_scores={}), False),
    ],
)
def test_all_clauses_must_hold_and_any_name_of_each(scores: Scores, is_met: bool) -> None:
    both = rule(
        "both",
        "E3",
        ["queue:on-call"],
        any_category={"distress": 0.6, "violence": 0.6},
        any_event={"scream": 0.7, "gunshot": 0.7},
        flags={"noisy": False},
    )
    assert decide(scores, policy_of(both), NOW).rule == ("both" if is_met else "none")


def test_the_highest_tier_decides_wherever_it_stands() -> None:
    scores = scores_of({"distress": 0.9})
    assert decide(scores, policy_of(DISTRESS, POSSIBLE), NOW).rule == "distress"
    assert decide(scores, policy_of(POSSIBLE, DISTRESS), NOW).rule == "distress"


def test_of_equal_tiers_the_first_decides() -> None:
    again = POSSIBLE | {"id": "again"}
    scores = scores_of({"distress": 0.6})
    assert decide(scores, policy_of(POSSIBLE, again), NOW).rule == "possible"
    assert decide(scores, policy_of(again, POSSIBLE), NOW).rule == "again"


def test_the_actions_of_all_rules_are_taken_once_in_their_order() -> None:
    scores = scores_of({"distress": 0.9, "sexual": 0.9, "hate": 0.9})
    decision = decide(scores, policy_of(PRIVATE, DISTRESS, POSSIBLE, COUNTED), NOW)
    assert decision.actions == ("withhold", "queue:on-call", "count")
    assert (decision.tier, decision.rule) == ("E3", "distress")


def test_withhold_alone_sends_nobody() -> None:
    decision = decide(scores_of({"sexual": 0.9}), policy_of(PRIVATE), NOW)
    assert (decision.tier, decision.rule, decision.due_at) == ("E0", "private", None)
    assert decision.actions == ("withhold",)


@pytest.mark.parametrize(
    ("mode", "live", "shadow"),
    [("live", "distress", "distress"), ("shadow", "none", "distress"), ("off", "none", "none")],
)
def test_a_rule_counts_in_its_mode_only(mode: str, live: str, shadow: str) -> None:
    policy, scores = policy_of(DISTRESS | {"mode": mode}), scores_of({"distress": 0.9})
    assert decide(scores, policy, NOW).rule == live
    tried = decide(scores, policy, NOW, mode="shadow")
    assert (tried.rule, tried.mode) == (shadow, "shadow")


# Severity ----------------------------------------------------------------------------------------


def test_only_what_is_flagged_has_a_severity() -> None:
    decision = decide(scores_of({"hate": 0.5, "sexual": 0.499}), policy_of(DISTRESS), NOW)
    assert decision.category_flagged == {**dict.fromkeys(CATEGORIES, False), "hate": True}
    assert decision.category_severity == {**dict.fromkeys(CATEGORIES, 0), "hate": 4}


@pytest.mark.parametrize(("scream", "severity"), [(0.7, 4), (0.8, 5), (0.9, 7)])
def test_what_makes_it_worse_adds_up_to_seven(scream: float, severity: int) -> None:
    graver = [
        {"when": {"any_event": {"scream": 0.8}}, "categories": ["distress", "hate"], "add": 1},
        {"when": {"any_event": {"scream": 0.9}}, "categories": ["distress"], "add": 5},
    ]
    policy = policy_of(DISTRESS, severity_if=graver)
    decision = decide(
        scores_of({"distress": 0.6, "violence": 0.6}, {"scream": scream}), policy, NOW
    )
    assert decision.severity == decision.category_severity["distress"] == severity
    assert decision.category_severity["violence"] == 4
    assert decision.category_severity["hate"] == 0


# Towards a human look ----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.01, 1.01])
@pytest.mark.parametrize("of", ["category", "event", "unknown category", "unknown event"])
def test_what_is_no_probability_goes_to_a_person(of: str, value: float) -> None:
    scores = {
        "category": scores_of({"hate": value}),
        "event": scores_of(events={"music": value}),
        "unknown category": scores_of({"new": value}),
        "unknown event": scores_of(events={"new": value}),
    }[of]
    decision = decide(scores, policy_of(DISTRESS), NOW)
    assert decision.tier == "E2"
    assert decision.rule in ("fallback:invalid_score", "fallback:unknown_category")
    assert decision.actions == ("queue:unscored",)


def test_what_is_no_probability_hides_nothing_else() -> None:
    decision = decide(scores_of({"hate": math.nan, "distress": 0.9}), policy_of(DISTRESS), NOW)
    assert (decision.tier, decision.rule) == ("E3", "distress")
    assert decision.actions == ("queue:on-call", "queue:unscored")


def test_a_category_that_the_policy_does_not_know_goes_to_a_person() -> None:
    decision = decide(scores_of({"new": 0.5}), policy_of(DISTRESS), NOW)
    assert (decision.tier, decision.rule) == ("E2", "fallback:unknown_category")
    assert decision.category_flagged["new"]
    assert decision.severity == 4
    assert decide(scores_of({"new": 0.49}), policy_of(DISTRESS), NOW).tier == "E0"


def test_a_stage_that_failed_goes_to_a_person() -> None:
    failed = replace(scores_of(), failures={"transcribe": "RuntimeError"})
    decision = decide(failed, policy_of(DISTRESS), NOW)
    assert (decision.tier, decision.rule) == ("E2", "fallback:stage_failed")
    assert decision.due_at == "2026-03-02T12:00:00Z"


def test_scores_of_nothing_go_to_a_person() -> None:
    decision = decide(Scores(model="test", categories={}, applied={}), policy_of(DISTRESS), NOW)
    assert (decision.tier, decision.rule) == ("E2", "fallback:stage_failed")


# Deadlines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "now",
    [
        NOW,
        NOW.astimezone(timezone(timedelta(hours=5, minutes=30))),
        NOW.replace(microsecond=999_999),
    ],
)
def test_a_deadline_is_in_utc_and_never_late(now: datetime) -> None:
    decision = decide(scores_of({"distress": 0.9}), policy_of(DISTRESS), now)
    assert decision.due_at == "2026-03-01T13:00:00Z"


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        decide(scores_of(), policy_of(DISTRESS), NOW.replace(tzinfo=None))


# Laws, over random policies ----------------------------------------------------------------------

NUMBERS = st.floats(0.01, 1.0)
VALUES = st.floats(0.0, 1.0)


def thresholds(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, float]]:
    return st.dictionaries(st.sampled_from(names), NUMBERS, min_size=1)


CONDITIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "any_category": thresholds(CATEGORIES),
        "any_event": thresholds(EVENTS),
        "flags": st.dictionaries(st.sampled_from(FLAGS), st.booleans(), min_size=1),
    },
).filter(bool)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    rules = []
    for number in range(draw(st.integers(1, 6))):
        tier = draw(st.sampled_from(TIERS))
        reach = ["queue:some"] if tier in LOOKED_AT else []
        other = draw(st.lists(st.sampled_from(["count", "withhold"]), max_size=2))
        mode = draw(st.sampled_from(["live", "live", "live", "shadow", "off"]))
        made = rule(f"rule-{number}", tier, [*other, *reach], **draw(CONDITIONS))
        rules.append(made | {"mode": mode})
    graver = st.fixed_dictionaries(
        {
            "when": CONDITIONS,
            "categories": st.lists(st.sampled_from(CATEGORIES), min_size=1),
            "add": st.integers(1, 7),
        }
    )
    return policy_of(*rules, severity_if=draw(st.lists(graver, max_size=2)))


@st.composite
def scored(draw: st.DrawFn) -> Scores:
    known = {name: draw(VALUES) for name in CATEGORIES}
    unknown = draw(st.dictionaries(st.just("new"), VALUES))
    return Scores(
        model="test",
        categories=known | unknown,
        applied={},
        event_scores={name: draw(VALUES) for name in EVENTS},
        flags=draw(st.dictionaries(st.sampled_from(FLAGS), st.booleans())),
    )


@st.composite
def raised(draw: st.DrawFn, scores: Scores) -> Scores:
    """The same scores with one or more of them higher."""

    def higher(values: Mapping[str, float]) -> dict[str, float]:
        return {name: max(value, draw(VALUES)) for name, value in values.items()}

    return replace(
        scores,
        categories=higher(scores.categories),
        event_scores=higher(scores.event_scores),
    )


@given(st.data(), policies(), scored())
def test_raising_a_score_never_lowers_anything(
    data: st.DataObject, policy: Policy, scores: Scores
) -> None:
    more = data.draw(raised(scores))
    before, after = decide(scores, policy, NOW), decide(more, policy, NOW)
    assert TIERS.index(after.tier) >= TIERS.index(before.tier)
    assert set(before.actions) <= set(after.actions)
    assert after.severity >= before.severity
    for slug, severity in before.category_severity.items():
        assert 0 <= severity <= after.category_severity[slug] <= 7


@given(policies(), scored())
def test_a_failure_never_lowers_the_tier(policy: Policy, scores: Scores) -> None:
    failed = replace(scores, failures={"encode": "MemoryError"})
    assert tier_of(failed, policy) >= max(tier_of(scores, policy), TIERS.index("E2"))


@given(policies(), scored(), st.sampled_from([*CATEGORIES, *EVENTS]))
def test_a_score_that_is_no_number_never_ends_in_silence(
    policy: Policy, scores: Scores, name: str
) -> None:
    def lost(values: Mapping[str, float]) -> dict[str, float]:
        return {one: math.nan if one == name else value for one, value in values.items()}

    broken = replace(
        scores, categories=lost(scores.categories), event_scores=lost(scores.event_scores)
    )
    assert tier_of(broken, policy) >= TIERS.index("E2")


@given(policies(), scored())
def test_somebody_is_reached_exactly_where_somebody_is_due(policy: Policy, scores: Scores) -> None:
    decision = decide(scores, policy, NOW)
    reached = any(action.startswith(("queue:", "page:")) for action in decision.actions)
    assert reached == (decision.due_at is not None) == (decision.tier in LOOKED_AT)


@given(policies(), scored())
def test_the_same_scores_are_decided_the_same(policy: Policy, scores: Scores) -> None:
    assert decide(scores, policy, NOW) == decide(scores, policy, NOW)
