from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from triage.policy import model
from triage.policy.against import check
from triage.policy.conditions import MAX_CHARACTERS
from triage.policy.decide import decide
from triage.policy.explain import explain
from triage.policy.loading import load_policy
from triage.policy.model import Policy, parse_policy
from triage.records import Decision, Scores
from triage.settings import Settings
from triage.taxonomy import CATEGORIES, EVENTS, FLAGS

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FOLDER = Path(model.__file__).parent
NEVER_ALONE = {"sexual": "E0", "harassment": "E1"}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(FOLDER / "default.yaml")


def decided(policy: Policy, **given: float) -> Decision:
    """The decision on scores of 0 but for those given."""
    scores = dict.fromkeys((*CATEGORIES, *EVENTS), 0.0) | given
    return decide(
        Scores(
            model="test",
            categories={name: scores[name] for name in CATEGORIES},
            applied={},
            seconds=10.0,
            flags=dict.fromkeys(FLAGS, False),
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
        if "scores.child_safety" in policy.rule_words.names(rule.when):
            assert "2258A" in rule.legal["us"]
        if rule.legal:
            assert rule.legal["counsel"] == "to be confirmed"
        if rule.tier == "E4":
            assert "2702(b)(8)" in rule.legal["us"]


def test_it_says_how_much_was_missing(policy: Policy) -> None:
    scores = Scores(
        model="test",
        categories=dict.fromkeys(CATEGORIES, 0.0) | {"distress": 0.65},
        applied={},
        seconds=10.0,
        event_scores=dict.fromkeys(EVENTS, 0.0),
        flags=dict.fromkeys(FLAGS, False),
    )
    found = explain(scores, policy, NOW)
    assert (found.decision.rule, found.met) == (
        "distress-possible",
        {"distress-possible": {"scores.distress": 0.65}},
    )
    assert found.nearest is not None
    assert (found.nearest.rule, found.nearest.tier) == ("distress-likely", "E3")
    assert found.nearest.missing == {"scores.distress": pytest.approx(0.05)}


def test_a_text_is_decided_without_any_flag_known(policy: Policy) -> None:
    text = Scores(
        model="test",
        categories=dict.fromkeys(CATEGORIES, 0.0) | {"self_harm": 0.8},
        applied={"self_harm": ("text",)},
    )
    decision = decide(text, policy, NOW)
    assert (decision.tier, decision.rule) == ("E3", "self-harm-likely")
    assert "withhold" not in decision.actions


def test_what_was_hardly_meant_for_the_device_stays_out_of_the_sample(policy: Policy) -> None:
    scores = Scores(
        model="test",
        categories=dict.fromkeys(CATEGORIES, 0.0),
        applied={},
        seconds=10.0,
        event_scores=dict.fromkeys(EVENTS, 0.0),
        flags=dict.fromkeys(FLAGS, False) | {"likely_accidental": True},
    )
    decision = decide(scores, policy, NOW)
    assert (decision.tier, decision.rule, decision.actions) == ("E0", "accidental", ("withhold",))


def test_a_model_that_does_not_score_what_a_rule_needs_sends_it_to_people(policy: Policy) -> None:
    scores = Scores("test", {"distress": 0.0}, {}, 10.0, dict.fromkeys(EVENTS, 0.0))
    decision = decide(scores, policy, NOW)
    assert (decision.tier, decision.rule) == ("E2", "fallback:rule_failed")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_policy_that_ships_is_in_effect_and_passes_its_own_tests(path: Path) -> None:
    shipped = load_policy(path)
    for rule in shipped.rules:
        assert len(rule.when) < MAX_CHARACTERS / 2
    assert shipped.tests or path.stem == "everything"


def test_while_there_is_no_policy_people_look_at_everything() -> None:
    everything = parse_policy((FOLDER / "everything.yaml").read_bytes())
    for distress in (0.0, 1.0):
        scores = Scores("test", {"distress": distress}, {})
        decision = decide(scores, everything, NOW)
        assert decision.tier == "E2"
        assert decision.actions == ("queue:no-policy",)
