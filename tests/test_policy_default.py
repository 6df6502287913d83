from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from triage.policy import model
from triage.policy.decide import decide
from triage.policy.model import Policy, check, load_policy
from triage.records import Decision, Scores
from triage.settings import Settings
from triage.taxonomy import CATEGORIES, EVENTS

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NEVER_ALONE = {"sexual": "E0", "harassment": "E1"}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(Path(model.__file__).with_name("default.yaml"))


def decided(policy: Policy, **given: float) -> Decision:
    """The decision on scores of 0 but for those given."""
    scores = dict.fromkeys((*CATEGORIES, *EVENTS), 0.0) | given
    return decide(
        Scores(
            model="test",
            categories={name: scores[name] for name in CATEGORIES},
            applied={},
            event_scores={name: scores[name] for name in EVENTS},
        ),
        policy,
        NOW,
    )


def test_it_is_the_one_that_the_settings_name(policy: Policy) -> None:
    assert load_policy(Settings().policy) == policy


def test_it_knows_the_taxonomy_and_the_taxonomy_knows_it(policy: Policy) -> None:
    assert tuple(policy.categories) == CATEGORIES
    assert check(policy, CATEGORIES, EVENTS) == []


def test_silence_is_left_alone(policy: Policy) -> None:
    decision = decided(policy)
    assert (decision.tier, decision.rule, decision.actions) == ("E0", "none", ())


@pytest.mark.parametrize("category", [name for name in CATEGORIES if name not in NEVER_ALONE])
def test_what_may_be_so_goes_to_a_specialist_within_the_day(policy: Policy, category: str) -> None:
    threshold = policy.categories[category].threshold
    decision = decided(policy, **{category: threshold})
    assert decision.tier == ("E3" if category == "medical_emergency" else "E2")
    assert decision.category_flagged[category]
    assert decision.due_at is not None
    assert decided(policy, **{category: threshold - 0.001}).tier == "E0"


@pytest.mark.parametrize(
    ("category", "queue"),
    [
        ("violence", "queue:violence"),
        ("domestic_abuse", "queue:violence"),
        ("sexual_violence", "queue:violence"),
        ("child_safety", "queue:child-safety"),
        ("self_harm", "queue:self-harm"),
        ("medical_emergency", "queue:medical"),
        ("distress", "queue:on-call"),
    ],
)
def test_what_is_likely_and_grave_goes_to_people_within_the_hour(
    policy: Policy, category: str, queue: str
) -> None:
    decision = decided(policy, **{category: 1})
    assert (decision.tier, decision.actions) == ("E3", (queue,))
    assert decision.due_at == "2026-03-01T13:00:00Z"


@pytest.mark.parametrize(
    ("category", "queue"), [("hate", "queue:hate"), ("illicit", "queue:illicit")]
)
def test_what_is_likely_and_less_grave_waits_for_its_specialists(
    policy: Policy, category: str, queue: str
) -> None:
    decision = decided(policy, **{category: 1})
    assert (decision.tier, decision.actions) == ("E2", (queue,))


@pytest.mark.parametrize(("category", "action"), [("sexual", "withhold"), ("harassment", "count")])
def test_what_never_escalates_alone_does_not(policy: Policy, category: str, action: str) -> None:
    decision = decided(policy, **{category: 1})
    assert (decision.tier, decision.actions) == (NEVER_ALONE[category], (action,))
    assert decision.due_at is None


def test_what_is_private_and_dangerous_is_withheld_and_looked_at(policy: Policy) -> None:
    decision = decided(policy, sexual=1, child_safety=1)
    assert (decision.tier, decision.rule) == ("E3", "child-safety-likely")
    assert decision.actions == ("queue:child-safety", "withhold")


@pytest.mark.parametrize("event", EVENTS)
def test_only_a_scream_or_a_shot_calls_people_by_itself(policy: Policy, event: str) -> None:
    tiers = {"scream": "E3", "gunshot": "E3", "explosion": "E2"}
    assert decided(policy, **{event: 1}).tier == tiers.get(event, "E0")


def test_a_possible_scream_goes_to_a_specialist(policy: Policy) -> None:
    decision = decided(policy, scream=policy.levels["sound_possible"])
    assert (decision.tier, decision.rule) == ("E2", "alarming-sound")


@pytest.mark.parametrize(
    ("category", "event", "rule"),
    [
        ("self_harm", "cry", "self-harm-heard"),
        ("child_safety", "scream", "child-in-danger-heard"),
        ("violence", "gunshot", "violence-heard"),
        ("domestic_abuse", "scream", "violence-heard"),
        ("sexual_violence", "scream", "violence-heard"),
    ],
)
def test_words_and_sounds_that_agree_page_now(
    policy: Policy, category: str, event: str, rule: str
) -> None:
    decision = decided(policy, **{category: 1, event: 1})
    assert (decision.tier, decision.rule) == ("E4", rule)
    assert decision.actions[0] == "page:on-call"
    assert decision.due_at == "2026-03-01T12:05:00Z"
    assert decided(policy, **{category: 1}).tier == "E3"
    assert decided(policy, **{event: 1}).tier in ("E0", "E3")


def test_a_scream_makes_it_worse(policy: Policy) -> None:
    assert decided(policy, distress=1).category_severity["distress"] == 5
    assert decided(policy, distress=1, scream=1).category_severity["distress"] == 6
    assert decided(policy, hate=1, scream=1).category_severity["hate"] == 3


def test_what_points_to_a_crime_against_a_child_says_what_the_law_asks(policy: Policy) -> None:
    for rule in policy.rules:
        if "child_safety" in rule.when.names()["category"]:
            assert "2258A" in rule.legal["us"]
        if rule.legal:
            assert rule.legal["counsel"] == "to be confirmed"
        if rule.tier == "E4":
            assert "2702(b)(8)" in rule.legal["us"]
