from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from policies import policies, policy_of, rule, scored, scores_of

from triage.policy.decide import decide
from triage.policy.explain import Explanation, Near, explain
from triage.policy.model import Policy
from triage.policy.parts import TIERS
from triage.records import Scores

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LAWS = settings(max_examples=60, suppress_health_check=list(HealthCheck))


def explained(when: str, scores: Scores, tier: str = "E3", **changes: Any) -> Explanation:
    return explain(scores, policy_of(rule("it", tier, ["queue:some"], when), **changes), NOW)


def missing(when: str, scores: Scores, **changes: Any) -> Mapping[str, float] | None:
    near = explained(when, scores, **changes).nearest
    return None if near is None else near.missing


# What was met ------------------------------------------------------------------------------------


def test_what_is_met_is_told_with_all_that_it_speaks_of() -> None:
    when = "scores.hate >= 0.5 && !flags.noisy && (context.locale == 'de' || severity >= 4)"
    out = rule("out", "E0", ["withhold"], "scores.hate >= 0.9")
    policy = policy_of(rule("it", "E3", ["queue:some"], when), out)
    found = explain(scores_of({"hate": 0.6}, noisy=False), policy, NOW, context={"locale": "fr"})
    assert found.met == {
        "it": {"scores.hate": 0.6, "flags.noisy": False, "context.locale": "fr", "severity": 4}
    }
    assert found.decision.rule == "it"
    assert found.nearest is None  # nothing decides higher


def test_history_is_told_as_it_was_counted() -> None:
    policy = policy_of(rule("again", "E3", ["queue:some"], "history.day.hate >= 2"))
    found = explain(scores_of(), policy, NOW, history={"day": {"hate": 2}})
    assert found.met == {"again": {"history.day.hate": 2}}
    assert explain(scores_of(), policy, NOW).met == {}


@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_what_is_not_live_explains_nothing(mode: str) -> None:
    policy = policy_of(rule("it", "E3", ["queue:some"], "scores.hate >= 0.5", mode=mode))
    for hate in (0.4, 0.6):
        found = explain(scores_of({"hate": hate}), policy, NOW)
        assert (found.met, found.nearest) == ({}, None)


def test_a_rule_that_is_met_for_a_flag_that_is_not_known_is_told() -> None:
    found = explained("flags.noisy && scores.hate >= 0.5", scores_of({"hate": 0.6}))
    assert found.decision.rule == "it"
    assert found.met == {"it": {"scores.hate": 0.6}}


# What was missing --------------------------------------------------------------------------------


def test_the_nearest_rule_is_told_with_what_is_missing() -> None:
    policy = policy_of(
        rule("far", "E4", ["page:on-call"], "scores.distress >= 0.9"),
        rule("near", "E3", ["queue:some"], "scores.hate >= 0.7"),
        rule("lower", "E1", ["count"], "scores.sexual >= 0.01"),
        rule("met", "E2", ["queue:some"], "scores.hate >= 0.5"),
    )
    found = explain(scores_of({"hate": 0.5, "distress": 0.1}), policy, NOW)
    assert found.nearest == Near("near", "E3", {"scores.hate": pytest.approx(0.2)})
    assert found.nearest.distance == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("when", "scores", "told"),
    [
        ("scores.hate > 0.5", scores_of({"hate": 0.4}), {"scores.hate": 0.1}),
        ("scores.hate >= 0.5 || scores.sexual >= 0.3", scores_of({"hate": 0.4, "sexual": 0.25}),
         {"scores.sexual": 0.05}),
        ("scores.hate >= 0.5 && scores.sexual >= 0.3", scores_of({"hate": 0.4, "sexual": 0.25}),
         {"scores.hate": 0.1, "scores.sexual": 0.05}),
        ("scores.hate >= 0.5 && scores.sexual >= 0.3", scores_of({"hate": 0.5}),
         {"scores.sexual": 0.3}),
        ("scores.hate >= 1.0", scores_of({"hate": 0.3}), {"scores.hate": 0.7}),
        ("scores.hate + event_scores.scream >= 1.5", scores_of({"hate": 0.75}, {"scream": 0.5}),
         {"scores.hate": 0.25}),
        ("event_scores.scream >= 0.5 && !flags.noisy", scores_of(noisy=False),
         {"event_scores.scream": 0.5}),
        ("severity >= 4", scores_of({"violence": 0.4}), {"scores.violence": 0.1}),
        ("severity >= 4 && scores.hate >= 0.2", scores_of({"hate": 0.1, "sexual": 0.45}),
         {"scores.hate": 0.4}),
    ],
)  # fmt: skip
def test_what_is_missing_is_as_little_as_will_do(
    when: str, scores: Scores, told: dict[str, float]
) -> None:
    assert missing(when, scores) == pytest.approx(told, abs=1e-6)


@pytest.mark.parametrize(
    ("when", "scores"),
    [
        ("flags.noisy && scores.hate >= 0.5", scores_of(noisy=False)),
        ("context.locale == 'de' && scores.hate >= 0.5", scores_of()),
        ("history.day.hate > 3", scores_of()),
        ("severity >= 5", scores_of()),  # the worst of them is 4
        ("scores.hate >= 0.5", replace(scores_of({"hate": 0.9}), failures={"text": "KeyError"})),
    ],
)
def test_what_no_score_can_bring_about_is_not_near(when: str, scores: Scores) -> None:
    assert missing(when, scores) is None


def test_nothing_can_be_heard_better_in_a_text() -> None:
    policy = policy_of(
        rule("heard", "E4", ["page:on-call"], "event_scores.scream >= 0.1"),
        rule("said", "E3", ["queue:on-call"], "scores.distress >= 0.9"),
    )
    text = replace(scores_of({"distress": 0.2}), seconds=None, event_scores={})
    near = explain(text, policy, NOW).nearest
    assert near is not None
    assert (near.rule, set(near.missing)) == ("said", {"scores.distress"})
    near = explain(scores_of({"distress": 0.2}), policy, NOW).nearest
    assert near is not None
    assert near.rule == "heard"


def test_a_severity_that_a_sound_adds_to_is_near() -> None:
    graver = [{"when": "event_scores.scream >= 0.8", "categories": ["hate"], "add": 2}]
    found = missing("severity >= 6", scores_of({"hate": 0.6}, {"scream": 0.7}), severity_if=graver)
    assert found == {"event_scores.scream": pytest.approx(0.1, abs=1e-6)}


def test_a_rule_that_a_score_takes_away_is_not_brought_about_by_it() -> None:
    when = "scores.hate >= 0.5 && severity < 4"
    policy = policy_of(rule("it", "E3", ["queue:some"], when, falls_with=["severity"]))
    assert explain(scores_of({"hate": 0.4}), policy, NOW).nearest is None


# Laws, over random policies ----------------------------------------------------------------------


def after(scores: Scores, rises: Mapping[str, float]) -> Scores:
    """Scores that rose by what was missing."""
    categories, events = dict(scores.categories), dict(scores.event_scores)
    for name, rise in rises.items():
        kind, _, slug = name.partition(".")
        (categories if kind == "scores" else events)[slug] += rise
    return replace(scores, categories=categories, event_scores=events)


@LAWS
@given(policies(), scored())
def test_what_is_said_to_be_missing_is_all_that_was(policy: Policy, scores: Scores) -> None:
    found = explain(scores, policy, NOW)
    assert found.decision == decide(scores, policy, NOW)
    if found.nearest is not None:
        near = found.nearest
        assert TIERS.index(near.tier) > TIERS.index(found.decision.tier)
        assert all(0 < rise <= 1 for rise in near.missing.values())
        raised = after(scores, near.missing)
        assert TIERS.index(decide(raised, policy, NOW).tier) >= TIERS.index(near.tier)
        assert near.rule in explain(raised, policy, NOW).met
        for name, rise in near.missing.items():  # and none of it is too much
            less = after(scores, {**near.missing, name: rise * 0.99})
            assert rise < 1e-6 or near.rule not in explain(less, policy, NOW).met


@LAWS
@given(policies(), scored())
def test_what_decided_is_among_what_was_met(policy: Policy, scores: Scores) -> None:
    found = explain(scores, policy, NOW)
    rule = found.decision.rule
    if not rule.startswith("fallback:"):
        assert (rule in found.met) == (rule != "none")
    actions = {str(a) for one in policy.rules if one.id in found.met for a in one.actions}
    assert actions <= set(found.decision.actions)
    assert set(found.decision.actions) - actions <= {"queue:unscored"}
