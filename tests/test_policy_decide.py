from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, find, given, settings
from hypothesis import strategies as st
from policies import (
    CATEGORIES,
    EVENTS,
    FLAGS,
    policies,
    policy_files,
    policy_of,
    raised,
    rule,
    scored,
    scores_of,
    written,
)

from triage.errors import PolicyRefused
from triage.policy import model
from triage.policy.conditions import MAX_FLAGS
from triage.policy.decide import decide
from triage.policy.model import Policy, parse_policy
from triage.policy.parts import LOOKED_AT, TIERS
from triage.records import Decision, Event, Scores
from triage.taxonomy import FLAGS as ALL_FLAGS

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def tier_of(scores: Scores, policy: Policy) -> int:
    return TIERS.index(decide(scores, policy, NOW).tier)


def with_score(scores: Scores, name: str, value: float | None) -> Scores:
    """Scores with another value for a category or event, or with none."""

    def other(values: Mapping[str, float]) -> dict[str, float]:
        changed = {one: value if one == name else old for one, old in values.items()}
        return {one: new for one, new in changed.items() if new is not None}

    return replace(
        scores, categories=other(scores.categories), event_scores=other(scores.event_scores)
    )


DISTRESS = rule("distress", "E3", ["queue:on-call"], "scores.distress >= 0.8")
POSSIBLE = rule("possible", "E2", ["queue:on-call"], "scores.distress >= 0.5")
PRIVATE = rule("private", "E0", ["withhold"], "scores.sexual >= 0.5")
COUNTED = rule("counted", "E1", ["count"], "scores.hate >= 0.5")


# Rules -------------------------------------------------------------------------------------------


def test_no_rule_asks_for_nothing() -> None:
    policy = policy_of(DISTRESS)
    assert decide(scores_of(), policy, NOW) == Decision(
        tier="E0",
        rule="none",
        reason="No rule was met.",
        actions=(),
        severity=0,
        category_flagged=dict.fromkeys(CATEGORIES, False),
        category_severity=dict.fromkeys(CATEGORIES, 0),
        due_at=None,
        policy="test",
        policy_digest=policy.digest,
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
        (replace(scores_of({"distress": 0.6}, noisy=False), event_scores={}), False),
    ],
)
def test_a_rule_is_met_where_its_condition_holds(scores: Scores, is_met: bool) -> None:
    both = rule(
        "both",
        "E3",
        ["queue:on-call"],
        "(scores.distress >= 0.6 || scores.violence >= 0.6)"
        " && (event_scores.scream >= 0.7 || event_scores.gunshot >= 0.7) && !flags.noisy",
    )
    assert decide(scores, policy_of(both), NOW).rule == ("both" if is_met else "none")


@pytest.mark.parametrize(
    ("when", "is_met"),
    [
        ("text_present", True),
        ("!sound_present", False),
        ("severity >= 4", True),
        ("severity >= 5", False),
        ("events.exists(e, e.event == 'scream' && e.score >= 0.6 && e.start < 2.0)", True),
        ("events.exists(e, e.event == 'scream' && e.score >= 0.7)", False),
        ("context.locale.startsWith('de')", True),
        ("context.child_device && scores.hate >= 0.5", True),
        ("context.tries >= 3", True),
        ("context.weight > 0.5", False),
        ("history.day.hate >= 2", True),
        ("history.day.any >= 6", False),
        ("history.day.violence > 0", False),
    ],
)
def test_a_condition_may_speak_of_all_that_is_known(when: str, is_met: bool) -> None:
    scores = replace(
        scores_of({"hate": 0.6}),
        applied={"hate": ("text",)},
        events=(Event("scream", 1.0, 2.0, 0.6),),
    )
    decision = decide(
        scores,
        policy_of(rule("known", "E3", ["queue:some"], when)),
        NOW,
        context={"locale": "de-AT", "child_device": True, "tries": 3, "more": "is not asked for"},
        history={"day": {"hate": 2, "any": 5}},
    )
    assert decision.rule == ("known" if is_met else "none")


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
        {"when": "event_scores.scream >= 0.8", "categories": ["distress", "hate"], "add": 1},
        {"when": "event_scores.scream >= 0.9", "categories": ["distress"], "add": 5},
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


# What can't be evaluated --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "context"),
    [
        ("1000 / (context.tries * context.tries - 49) > 0", {"tries": 7}),
        ("1000 % (context.tries * context.tries - 49) > 0", {"tries": 7}),
        ("context.tries * context.tries > 5", {"tries": 2**62}),
        ("context.tries - 2 < 5", {"tries": -(2**63) + 1}),
        ("int(context.weight) > 5", {"weight": 1e300}),
        ("int(context.locale) > 5", {"locale": "many"}),
    ],
)
def test_what_can_not_be_evaluated_goes_to_a_person(when: str, context: Mapping[str, Any]) -> None:
    # Written so that no trial at check time comes by it.
    policy = policy_of(rule("odd", "E1", ["count"], f"context.locale != '' && {when}"), POSSIBLE)
    fine = decide(scores_of(), policy, NOW, context={"locale": ""})
    assert (fine.tier, fine.rule) == ("E0", "none")
    decision = decide(scores_of(), policy, NOW, context={"locale": "5"} | dict(context))
    assert (decision.tier, decision.rule) == ("E2", "fallback:rule_failed")
    assert decision.actions == ("queue:unscored",)


def test_what_can_not_be_evaluated_hides_nothing_else() -> None:
    odd = rule("odd", "E1", ["count"], "1000 / (context.tries * context.tries - 49) > 0")
    seven = {"tries": 7}
    decision = decide(scores_of({"distress": 0.9}), policy_of(odd, DISTRESS), NOW, context=seven)
    assert (decision.tier, decision.rule) == ("E3", "distress")
    assert decision.actions == ("queue:on-call", "queue:unscored")


@pytest.mark.parametrize(
    ("mode", "live", "shadow"), [("live", "E2", "E2"), ("shadow", "E0", "E2"), ("off", "E0", "E0")]
)
def test_what_is_only_tried_fails_where_it_is_tried(mode: str, live: str, shadow: str) -> None:
    when = "1000 / (context.tries * context.tries - 49) > 0"
    policy = policy_of(rule("odd", "E1", ["count"], when, mode=mode), DISTRESS)
    seven = {"tries": 7}
    assert decide(scores_of(), policy, NOW, context=seven).tier == live
    assert decide(scores_of(), policy, NOW, context=seven, mode="shadow").tier == shadow


def test_a_severity_that_can_not_be_evaluated_goes_to_a_person() -> None:
    when = "1000 / (context.tries * context.tries - 49) > 0"
    graver = [{"when": when, "categories": ["hate"], "add": 1}]
    policy, seven = policy_of(DISTRESS, severity_if=graver), {"tries": 7}
    decision = decide(scores_of({"hate": 0.9}), policy, NOW, context=seven)
    assert decision.rule == "fallback:rule_failed"
    assert decision.category_severity["hate"] == 4
    assert decide(scores_of(), policy, NOW, context=seven).rule == "none"  # nothing is flagged


@pytest.mark.parametrize("name", ["distress", "scream"])
def test_a_score_that_the_model_does_not_give_goes_to_a_person(name: str) -> None:
    when = "scores.distress >= 0.5 && event_scores.scream >= 0.5"
    policy = policy_of(rule("both", "E4", ["page:on-call"], when))
    less = with_score(scores_of({"distress": 0.9}, {"scream": 0.9}), name, None)
    decision = decide(less, policy, NOW)
    assert (decision.tier, decision.rule) == ("E2", "fallback:rule_failed")


def test_a_recording_without_sound_has_no_events_rather_than_none_known() -> None:
    policy = policy_of(rule("heard", "E3", ["queue:some"], "event_scores.scream >= 0.5"))
    text = replace(scores_of(), seconds=None, event_scores={})
    assert decide(text, policy, NOW).rule == "none"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tries", "1.5"), ("tries", 1.5), ("tries", True), ("tries", 10**30), ("tries", None),
        ("tries", "9" * 5_000), ("weight", math.nan), ("weight", math.inf), ("weight", "much"),
        ("weight", 10**400), ("weight", [0.9]), ("child_device", "yes"), ("child_device", 2),
        ("child_device", [True]), ("locale", 7), ("locale", {"de": 1}), ("locale", "\ud800"),
    ],
)  # fmt: skip
def test_a_context_that_is_something_else_counts_as_the_default(name: str, value: Any) -> None:
    when = "context.tries != 1 || context.weight != 0.5 || context.child_device"
    policy = policy_of(rule("other", "E2", ["queue:some"], f"{when} || context.locale != 'en'"))
    assert decide(scores_of(), policy, NOW, context={name: value}).rule == "none"


# Flags that aren't known -------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["flags.noisy", "!flags.noisy"])
def test_what_reaches_somebody_is_met_if_a_flag_could_be_so(when: str) -> None:
    policy = policy_of(rule("some", "E2", ["queue:some"], f"{when} && scores.hate >= 0.5"))
    assert decide(scores_of({"hate": 0.9}), policy, NOW).rule == "some"
    assert decide(scores_of(), policy, NOW).rule == "none"


@pytest.mark.parametrize("when", ["flags.noisy", "!flags.noisy"])
def test_what_reaches_nobody_is_met_only_if_the_flag_must_be_so(when: str) -> None:
    policy = policy_of(rule("out", "E0", ["withhold"], when))
    assert decide(scores_of(), policy, NOW).actions == ()
    known = scores_of(noisy=not when.startswith("!"))
    assert decide(known, policy, NOW).actions == ("withhold",)
    either = policy_of(rule("out", "E0", ["withhold"], "flags.noisy || !flags.noisy"))
    assert decide(scores_of(), either, NOW).actions == ("withhold",)


def test_a_failure_for_one_way_a_flag_may_be_hides_no_other_way() -> None:
    when = "flags.noisy || 1000 / (context.tries * context.tries - 49) > 0"
    policy = policy_of(rule("some", "E4", ["page:on-call"], when))
    assert decide(scores_of(noisy=True), policy, NOW, context={"tries": 7}).tier == "E4"
    assert decide(scores_of(), policy, NOW, context={"tries": 7}).tier == "E4"
    quiet = decide(scores_of(noisy=False), policy, NOW, context={"tries": 7})
    assert (quiet.tier, quiet.rule) == ("E2", "fallback:rule_failed")


def test_rules_with_more_unknown_flags_than_can_be_tried_at_once_are_still_asked() -> None:
    assert len(ALL_FLAGS) > MAX_FLAGS
    each = [rule(f"r{n}", "E1", ["count"], f"flags.{flag}") for n, flag in enumerate(ALL_FLAGS)]
    policy = policy_of(*each, DISTRESS)
    assert decide(scores_of({"distress": 0.9}), policy, NOW).rule == "distress"
    assert decide(scores_of(), policy, NOW).rule == "none"


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

LAWS = settings(max_examples=60, suppress_health_check=list(HealthCheck))


def lowered(policy: Policy, before: Scores, after: Scores) -> bool:
    """Whether scores that rose took anything back."""
    was, now = decide(before, policy, NOW), decide(after, policy, NOW)
    return (
        TIERS.index(now.tier) < TIERS.index(was.tier)
        or not set(was.actions) <= set(now.actions)
        or any(now.category_severity[name] < one for name, one in was.category_severity.items())
    )


@st.composite
def rises(draw: st.DrawFn) -> list[tuple[Scores, Scores]]:
    before = draw(st.lists(scored(), min_size=8, max_size=8))
    return [(one, draw(raised(one))) for one in before]


@LAWS
@given(policies(), rises())
def test_raising_a_score_never_lowers_anything(
    policy: Policy, pairs: list[tuple[Scores, Scores]]
) -> None:
    for before, after in pairs:
        assert not lowered(policy, before, after)
        assert 0 <= decide(after, policy, NOW).severity <= 7


def test_that_property_catches_a_rule_that_somebody_turned_around(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def caught(file: bytes, pairs: list[tuple[Scores, Scores]]) -> bool:
        try:
            policy = parse_policy(file)
        except PolicyRefused:
            return False
        return any(lowered(policy, before, after) for before, after in pairs)

    monkeypatch.setattr(model, "falling", lambda *_: None)
    planted = rule("planted", "E3", ["queue:some"], "scores.violence < 0.5")
    by_chance = policy_files(wrong=2)
    for files in (st.just(written(planted, POSSIBLE)), by_chance):
        search = settings(LAWS, max_examples=500, database=None, phases=[Phase.generate])
        file, pairs = find(st.tuples(files, rises()), lambda drawn: caught(*drawn), settings=search)
        monkeypatch.undo()
        with pytest.raises(PolicyRefused, match=r"rose, and would lower a tier"):
            parse_policy(file)
        monkeypatch.setattr(model, "falling", lambda *_: None)
        assert caught(file, pairs)


def test_a_rule_may_fall_with_a_score_that_it_names() -> None:
    when = "scores.distress >= 0.5 && scores.sexual < 0.5"
    plain = rule("plain", "E2", ["queue:some"], when)
    with pytest.raises(PolicyRefused, match=r"because scores\.sexual rose"):
        policy_of(plain)
    policy = policy_of(plain | {"falls_with": ["scores.sexual"]})
    assert tier_of(scores_of({"distress": 0.9}), policy) == 2
    assert tier_of(scores_of({"distress": 0.9, "sexual": 0.9}), policy) == 0


@LAWS
@given(policies(), scored())
def test_a_flag_that_is_not_known_never_lowers_a_tier(policy: Policy, scores: Scores) -> None:
    unknown = tier_of(replace(scores, flags={}), policy)
    for noisy in (False, True):
        for silent in (False, True):
            flags = dict(zip(FLAGS, (noisy, silent), strict=True))
            known = decide(replace(scores, flags=flags), policy, NOW)
            if known.tier in LOOKED_AT:
                assert unknown >= TIERS.index(known.tier)
            # Nothing is kept out of the sample that might have to be in it.
            if "withhold" not in known.actions and unknown < 2:
                assert "withhold" not in decide(replace(scores, flags={}), policy, NOW).actions


@LAWS
@given(policies(), scored())
def test_a_failure_never_lowers_the_tier(policy: Policy, scores: Scores) -> None:
    failed = replace(scores, failures={"encode": "MemoryError"})
    assert tier_of(failed, policy) >= max(tier_of(scores, policy), TIERS.index("E2"))


@LAWS
@given(policies(), scored(), st.sampled_from([*CATEGORIES, *EVENTS]))
def test_a_score_that_is_no_number_never_ends_in_silence(
    policy: Policy, scores: Scores, name: str
) -> None:
    assert tier_of(with_score(scores, name, math.nan), policy) >= TIERS.index("E2")


@LAWS
@given(policies(), scored(), st.sampled_from([*CATEGORIES, *EVENTS]))
def test_a_score_that_is_missing_ends_in_silence_only_where_it_would_anyway(
    policy: Policy, scores: Scores, name: str
) -> None:
    assume(all("severity" not in one.when for one in policy.rules))  # it is of what is scored
    if tier_of(with_score(scores, name, 1.0), policy) >= TIERS.index("E2"):
        assert tier_of(with_score(scores, name, None), policy) >= TIERS.index("E2")


@LAWS
@given(policies(), scored())
def test_somebody_is_reached_exactly_where_somebody_is_due(policy: Policy, scores: Scores) -> None:
    decision = decide(scores, policy, NOW)
    reached = any(action.startswith(("queue:", "page:")) for action in decision.actions)
    assert reached == (decision.due_at is not None) == (decision.tier in LOOKED_AT)


@LAWS
@given(policies(), scored())
def test_the_same_scores_are_decided_the_same(policy: Policy, scores: Scores) -> None:
    again = replace(scores, categories=dict(reversed(scores.categories.items())))
    first = decide(scores, policy, NOW)
    assert first == decide(scores, policy, NOW) == decide(again, policy, NOW)


@LAWS
@given(policies(), scored())
def test_what_is_only_tried_never_changes_what_is_done(policy: Policy, scores: Scores) -> None:
    live = [one for one in policy.rules if one.mode == "live"]
    met = {one.id for one in live} | {"none"}
    decision = decide(scores, policy, NOW)
    assert decision.rule in met or decision.rule.startswith("fallback:")
    assert tier_of(scores, policy) <= TIERS.index(decide(scores, policy, NOW, mode="shadow").tier)
