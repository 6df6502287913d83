"""What changes, in words, for whom; and what asks for less is marked."""

from __future__ import annotations

from typing import Any

import pytest
from policies import QUEUE, UNSCORED, policy_of, rule

from triage.policy.diff import EVERYBODY, NOBODY, by_whom, diff
from triage.policy.model import Policy

RULE = rule("distress", "E3", ["queue:on-call"], "scores.distress >= likely")
PRIVATE = rule("private", "E0", ["withhold"], "scores.sexual >= 0.5")
LEVELS = {"likely": 0.7}


def old(**changes: Any) -> Policy:
    return policy_of(RULE, PRIVATE, **{"levels": LEVELS} | changes)


def told(new: Policy, before: Policy | None = None) -> list[tuple[str, str, bool]]:
    return [(one.whom, one.what, one.weaker) for one in diff(before or old(), new)]


def test_the_same_policy_changes_nothing() -> None:
    assert told(old()) == []


def test_a_level_changes_for_the_queues_that_use_it() -> None:
    raised = old(levels={"likely": 0.8})
    what = "the level likely is 0.8 instead of 0.7: fewer recordings reach it"
    assert told(raised) == [("on-call", what, True)]
    ((_, what, weaker),) = told(old(), raised)
    assert "more recordings" in what
    assert not weaker


@pytest.mark.parametrize(
    ("changes", "whom", "words", "weaker"),
    [
        ({"tier": "E2"}, "on-call", "asks for E2 instead of E3", True),
        ({"tier": "E4"}, "on-call", "asks for E4 instead of E3", False),
        ({"mode": "off"}, "on-call", "is off instead of live", True),
        ({"when": "scores.distress >= 0.2"}, "on-call", "holds when scores.distress >= 0.2", False),
        ({"reason": "Other."}, "on-call", "gives another reason", False),
    ],
)
def test_a_rule_changes_for_its_queue(
    changes: dict[str, Any], whom: str, words: str, weaker: bool
) -> None:
    new = policy_of(RULE | changes, PRIVATE, levels=LEVELS)
    ((found, what, less),) = told(new)
    assert (found, less) == (whom, weaker)
    assert what.startswith(f"distress {words}")


def test_another_queue_is_told_to_both() -> None:
    new = policy_of(RULE | {"actions": ["queue:some"]}, PRIVATE, levels=LEVELS)
    assert [(whom, weaker) for whom, _, weaker in told(new)] == [("on-call", True), ("some", True)]


def test_rules_come_and_go() -> None:
    more = rule("more", "E2", ["queue:some"], "scores.hate > 0.5", mode="shadow")
    (found,) = told(policy_of(RULE, PRIVATE, more, levels=LEVELS))
    assert found == ("some", "more is a new shadow rule: E2 when scores.hate > 0.5", False)
    (found,) = told(policy_of(RULE, levels=LEVELS))
    assert found == (NOBODY, "private is gone: E0 when scores.sexual >= 0.5", True)
    (found,) = told(policy_of(PRIVATE, RULE, levels=LEVELS))
    assert found[0] == EVERYBODY
    assert "another order" in found[1]


def test_all_else_is_told() -> None:
    queues = {"on-call": QUEUE | {"capacity": 5}, "some": QUEUE, "unscored": QUEUE, "new": QUEUE}
    categories = {name: {"threshold": 0.5, "severity": 4} for name in ("distress", "sexual")}
    tiers = old().model_dump(mode="json")["tiers"]
    new = old(
        version="2",
        owner="others",
        effective={"since": "2026-01-01"},
        queues=queues,
        categories=categories | {"fire": {"threshold": 0.6, "severity": 7, "critical": True}},
        tiers=tiers | {"E2": {"deadline": 90_000, "who": "specialists"}},
        fallbacks=old().model_dump(mode="json")["fallbacks"]
        | {"stage_failed": UNSCORED | {"tier": "E3"}}
        | {
            name: UNSCORED | more
            for name, more in (
                ("unknown_category", {"threshold": 0.5, "severity": 4}),
                ("invalid_score", {}),
                ("rule_failed", {}),
            )
        },
        history={"windows": {"day": 86_400, "week": 604_800}, "cool_down": 60},
        severity_if=[{"when": "flags.noisy", "categories": ["distress"], "add": 2}],
    )
    whole = " / ".join(f"{whom}: {what}" for whom, what, _ in told(new))
    for words in (
        "the version is 2 instead of 1",
        "the owner is others",
        "in effect from 2026-01-01",
        "on-call: it takes 5 reviews a day instead of 10",
        "new: it is a new queue of somebody",
        "violence is no category any more",
        "fire is a category, flagged from 0.6",
        "E2 asks for specialists within 90,000 s instead of specialists within 86,400 s",
        "unscored: the fallback stage_failed asks for E3 instead of E2",
        "history is kept over day 86,400 s, week 604,800 s",
        "2 is added to the severity of distress when flags.noisy",
    ):
        assert words in whole
    less = {what for _, what, weaker in told(new) if weaker}
    assert any("no category any more" in one for one in less)
    assert any("90,000" in one for one in less)
    assert next(iter(by_whom(diff(old(), new)))) == EVERYBODY
