"""Policies and scores for tests: made of a few words, or drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml
from hypothesis import assume
from hypothesis import strategies as st

from triage.errors import PolicyRefused
from triage.policy.model import Policy, parse_policy
from triage.policy.parts import LOOKED_AT, TIERS
from triage.records import Scores

CATEGORIES = ("distress", "violence", "hate", "sexual")
EVENTS = ("scream", "gunshot", "music")
FLAGS = ("noisy", "silent")
NOBODY: dict[str, Any] = {"deadline": None, "who": None}
UNSCORED: dict[str, Any] = {"tier": "E2", "actions": ["queue:unscored"], "reason": "It failed."}
FALLBACKS: dict[str, Any] = {
    "stage_failed": UNSCORED,
    "unknown_category": {**UNSCORED, "threshold": 0.5, "severity": 4},
    "invalid_score": UNSCORED,
    "rule_failed": UNSCORED,
}
QUEUE: dict[str, Any] = {"members": ["somebody"], "capacity": 10}


class _Plain(yaml.SafeDumper):
    """Writes a part that stands in two places twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def rule(name: str, tier: str, actions: list[str], when: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "tier": tier, "actions": actions, "reason": f"{name}.", "when": when} | more


def policy_of(*rules: dict[str, Any], **changes: object) -> Policy:
    """A policy of these rules over the four categories, all with threshold 0.5 and severity 4."""
    return parse_policy(written(*rules, **changes))


def written(*rules: dict[str, Any], **changes: object) -> bytes:
    """The same as the bytes of a file."""
    fields: dict[str, Any] = {
        "name": "test",
        "version": "1",
        "owner": "somebody",
        "categories": {name: {"threshold": 0.5, "severity": 4} for name in CATEGORIES},
        "events": list(EVENTS),
        "context": {
            "locale": {"kind": "string", "default": "en"},
            "child_device": {"kind": "bool", "default": False},
            "tries": {"kind": "int", "default": 1},
            "weight": {"kind": "double", "default": 0.5},
        },
        "history": {"windows": {"day": 86_400}},
        "tiers": {
            "E0": NOBODY,
            "E1": NOBODY,
            "E2": {"deadline": 86_400, "who": "specialists"},
            "E3": {"deadline": 3_600, "who": "on call"},
            "E4": {"deadline": 300, "who": "on call"},
        },
        "queues": dict.fromkeys(("on-call", "some", "unscored"), QUEUE),
        "rules": list(rules),
        "fallbacks": FALLBACKS,
    }
    text: str = yaml.dump(fields | changes, Dumper=_Plain, sort_keys=False, width=2_000)
    return text.encode()


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
        seconds=10.0,
        event_scores=dict.fromkeys(EVENTS, 0.0) | dict(events or {}),
        flags=flags,
    )


# Drawn at random ---------------------------------------------------------------------------------

NUMBERS = st.floats(0.01, 1.0).map(lambda number: f"{number:.3f}")
SCORES = st.sampled_from(
    [*(f"scores.{name}" for name in CATEGORIES), *(f"event_scores.{name}" for name in EVENTS)]
)


@st.composite
def comparisons(draw: st.DrawFn, holds: bool, wrong: int) -> str:
    """One comparison, mostly of the kind that is kept when scores rise (lost, if not `holds`).

    Args:
        holds: Which.
        wrong: One of so many is turned around.
    """
    rises = holds != (draw(st.integers(1, wrong)) == wrong)
    over, under = (">", "<") if rises else ("<", ">")
    one, other, number = draw(SCORES), draw(SCORES), draw(NUMBERS)
    equal = draw(st.sampled_from(["", "="]))
    return draw(
        st.sampled_from(
            [
                f"{one} {over}{equal} {number}",
                f"{number} {under}{equal} {one}",
                f"{one} {over}{equal} {number}",
                f"{one} + {other} {over}{equal} {number}",
                f"{number} {under}{equal} {one} * {other}",
                f"2.0 * {one} - 1.0 {over}{equal} {number} - 0.5",
                f"severity {over}{equal} {draw(st.integers(1, 7))}",
                f"({one} {over}{equal} {number} ? true : false)",
                f"flags.{draw(st.sampled_from(FLAGS))}",
                f"!flags.{draw(st.sampled_from(FLAGS))}",
                "sound_present",
            ]
        )
    )


@st.composite
def conditions(draw: st.DrawFn, wrong: int = 40, holds: bool = True, depth: int = 3) -> str:
    """A condition in CEL, mostly one that is taken."""
    how = draw(st.sampled_from(["one", "one", "&&", "||", "!"])) if depth else "one"
    if how == "one":
        return draw(comparisons(holds, wrong))
    if how == "!":
        return f"!({draw(conditions(wrong, not holds, depth - 1))})"
    parts = draw(st.lists(conditions(wrong, holds, depth - 1), min_size=2, max_size=3))
    return f"({f' {how} '.join(parts)})"


@st.composite
def policy_files(draw: st.DrawFn, wrong: int = 40) -> bytes:
    """The bytes of a policy; some are refused because a score that rises could lower a tier."""
    rules = []
    for number in range(draw(st.integers(1, 5))):
        tier = draw(st.sampled_from(TIERS))
        reach = ["queue:some"] if tier in LOOKED_AT else []
        other = draw(st.lists(st.sampled_from(["count", "withhold"]), max_size=2))
        mode = draw(st.sampled_from(["live", "live", "live", "shadow", "off"]))
        when = draw(conditions(wrong))
        rules.append(rule(f"rule-{number}", tier, [*other, *reach], when, mode=mode))
    graver = st.fixed_dictionaries(
        {
            "when": conditions(wrong).filter(lambda when: "severity" not in when),
            "categories": st.lists(st.sampled_from(CATEGORIES), min_size=1),
            "add": st.integers(1, 7),
        }
    )
    return written(*rules, severity_if=draw(st.lists(graver, max_size=1)))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    try:
        return parse_policy(draw(policy_files()))
    except PolicyRefused as refused:
        assume("rose" not in refused.detail)
        raise


# Often where many rules are met, often anywhere.
VALUES = st.floats(0.0, 1.0) | st.sampled_from([0.0, 0.5, 1.0])


@st.composite
def scored(draw: st.DrawFn, *, unknown: bool = True) -> Scores:
    known = {name: draw(VALUES) for name in CATEGORIES}
    new = draw(st.dictionaries(st.just("new"), VALUES)) if unknown else {}
    return replace(
        scores_of(known | new, {name: draw(VALUES) for name in EVENTS}),
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
