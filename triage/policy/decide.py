"""What a policy says of one recording's scores. Pure: no clock, no file, no chance.

1. Every live rule whose condition holds is met. Every fallback that applies is met as well.
2. The highest tier among them decides; of equals, the first in the order of the file, rules
   before fallbacks. Nothing that is met can lower a tier.
3. The actions of all of them are taken, in that order, each once. So `withhold` stands beside
   an escalation: the recording stays out of the annotation sample, and the specialists of its
   queue still hear it, because they must.
4. What was only screened (`triage.screen`) is withheld, whatever else is met.

What isn't known is decided towards a person's attention. A flag that the recording can't support
may be true or false: a rule that sends it to somebody is met if it would be met by either, any
other rule only if by both. What can't be evaluated or compared, what the policy doesn't know, what
failed and what was never scored all end before a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import product
from typing import Literal

from triage.policy.conditions import MAX_FLAGS, Conditions, Value
from triage.policy.model import NO_RULE, Policy
from triage.policy.parts import TIERS, Action, Category, Consequence, Verb
from triage.policy.scan import EVENTS
from triage.policy.surroundings import typed
from triage.records import Decision, Scores

_RANK = {tier: rank for rank, tier in enumerate(TIERS)}
SCREENED = "screened"
FIRST_LOOK = Consequence(
    tier="E0",
    actions=(Action(Verb.WITHHOLD),),
    reason="Only a first look was taken, so it stays out of the annotation sample.",
)
MET_BY_NOTHING = Consequence(tier="E0", actions=(), reason="No rule was met.")

Counts = Mapping[str, Mapping[str, int]]  # by window and category


def decide(
    scores: Scores,
    policy: Policy,
    now: datetime,
    *,
    context: Mapping[str, object] | None = None,
    history: Counts | None = None,
    mode: Literal["live", "shadow"] = "live",
) -> Decision:
    """What is to be done about a recording.

    Args:
        scores: All that the models say of it.
        policy: The rules.
        now: The time that deadlines run from, with its time zone.
        context: What the caller says of it.
        history: Earlier incidents of its pseudonym, by the policy's windows and categories; 0
            where nothing is said.
        mode: "live" asks the live rules only; "shadow" says what would be decided if the
            shadow rules were live too.

    Returns:
        The decision. A category that isn't flagged has severity 0. A fallback's rule is
        "fallback:" and its name.

    Raises:
        ValueError: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now has no time zone; a deadline must not depend on where it is read")
    values = values_of(scores, policy, context or {}, history or {})
    over = flagged(scores.categories, policy)
    severity, failed = severities(over, values, policy)
    values["severity"] = worst = max(severity.values(), default=0)
    held = _held(policy.rule_conditions, values, policy.rules_reach)
    asked = [
        (rule, one)
        for rule, one in zip(policy.rules, held, strict=True)
        if rule.mode in {"live", mode}
    ]
    failed = failed or any(one is None for _, one in asked)
    met: list[tuple[str, Consequence]] = [(rule.id, rule) for rule, one in asked if one]
    met += _fallbacks_met(scores, policy, failed=failed)
    if scores.screened:
        met.append((SCREENED, FIRST_LOOK))
    name, decisive = max(met, key=_tier_rank, default=(NO_RULE, MET_BY_NOTHING))
    return Decision(
        tier=decisive.tier,
        rule=name,
        reason=decisive.reason,
        actions=tuple(dict.fromkeys(str(action) for _, one in met for action in one.actions)),
        severity=worst,
        category_flagged=over,
        category_severity=severity,
        due_at=_due(policy.tiers[decisive.tier].due(now)),
        policy=policy.name,
        policy_digest=policy.digest,
        mode=mode,
    )


def values_of(
    scores: Scores, policy: Policy, context: Mapping[str, object], history: Counts
) -> dict[str, Value]:
    """What conditions speak of, by name, but for the severity and flags that aren't known.

    Nothing is heard in a recording without sound, so its events are scored 0. A score that the
    model doesn't give is missing.
    """
    values: dict[str, Value] = {f"scores.{name}": one for name, one in scores.categories.items()}
    heard = scores.event_scores or dict.fromkeys(policy.events, 0.0)
    values |= {f"event_scores.{name}": one for name, one in heard.items()}
    values |= {f"flags.{name}": one for name, one in scores.flags.items()}
    values["text_present"] = any("text" in inputs for inputs in scores.applied.values())
    values["sound_present"] = scores.seconds is not None
    for name, asked in policy.context.items():
        try:
            values[f"context.{name}"] = typed(context[name], asked.kind)
        except (KeyError, ValueError, OverflowError):
            values[f"context.{name}"] = asked.default
    for name in policy.counted:
        _, window, category = name.split(".")
        values[name] = history.get(window, {}).get(category, 0)
    if EVENTS in policy.rule_conditions.spoken or EVENTS in policy.graver_conditions.spoken:
        values[EVENTS] = [
            {"event": one.event, "start": one.start, "end": one.end, "score": one.score}
            for one in scores.events
        ]
    return values


def _held(
    conditions: Conditions, values: Mapping[str, Value], either: Sequence[bool]
) -> list[bool | None]:
    """Whether each condition holds, whatever the flags are that aren't known.

    Args:
        conditions: What is asked.
        values: By name.
        either: Of each, whether it holds if it does for one way that the flags may be, rather
            than for all.
    """
    unknown = [n for n in conditions.spoken if n.startswith("flags.") and n not in values]
    if not unknown:
        return conditions.met(values)
    if len(unknown) > MAX_FLAGS:  # of all rules together; of each there are fewer
        return [holds(conditions, one, values, any_) for one, any_ in enumerate(either)]
    ways = [
        conditions.met({**values, **dict(zip(unknown, way, strict=True))})
        for way in product((False, True), repeat=len(unknown))
    ]
    return [
        _joined(found, any_) for found, any_ in zip(zip(*ways, strict=True), either, strict=True)
    ]


def holds(
    conditions: Conditions, number: int, values: Mapping[str, Value], either: bool
) -> bool | None:
    """Whether one condition holds, as `decide` has it; None where that can't be said.

    Args:
        conditions, number: Which.
        values: By name; flags may be missing.
        either: Whether it holds if it does for one way that they may be, rather than for all.
    """
    flags = [name for name in conditions.names(number) if name.startswith("flags.")]
    unknown = [name for name in flags if name not in values]
    ways = (
        dict(zip(unknown, way, strict=True)) for way in product((False, True), repeat=len(unknown))
    )
    return _joined([conditions.one(number, {**values, **way}) for way in ways], either)


def _joined(found: Sequence[bool | None], either: bool) -> bool | None:
    if either and True in found:
        return True
    return None if None in found else all(found)


def _fallbacks_met(
    scores: Scores, policy: Policy, *, failed: bool
) -> Iterator[tuple[str, Consequence]]:
    applies = {
        "stage_failed": bool(scores.failures) or not scores.categories,
        "unknown_category": _unknown_category(scores, policy),
        "invalid_score": not all(
            0.0 <= score <= 1.0
            for values in (scores.categories, scores.event_scores)
            for score in values.values()
        ),
        "rule_failed": failed,
    }
    for name, fallback in policy.fallbacks.each():
        if applies[name]:
            yield f"fallback:{name}", fallback


def _unknown_category(scores: Scores, policy: Policy) -> bool:
    least = policy.fallbacks.unknown_category.threshold
    return any(
        score >= least and slug not in policy.categories
        for slug, score in scores.categories.items()
    )


def _tier_rank(met: tuple[str, Consequence]) -> int:
    return _RANK[met[1].tier]


def _terms(policy: Policy, slug: str) -> Category:
    return policy.categories.get(slug, policy.fallbacks.unknown_category)


def flagged(categories: Mapping[str, float], policy: Policy) -> dict[str, bool]:
    """Which categories are at or over the policy's threshold."""
    return {
        slug: bool(score >= _terms(policy, slug).threshold) for slug, score in categories.items()
    }


def severities(
    over: Mapping[str, bool], values: Mapping[str, Value], policy: Policy
) -> tuple[dict[str, int], bool]:
    """The severity of each category, and whether what may add to it couldn't be evaluated.

    Args:
        over: Which categories are `flagged`.
        values: What conditions speak of.
        policy: The terms.
    """
    severity = {slug: _terms(policy, slug).severity if on else 0 for slug, on in over.items()}
    if not policy.severity_if or not any(over.values()):
        return severity, False
    held = _held(policy.graver_conditions, values, [True] * len(policy.severity_if))
    for graver, one in zip(policy.severity_if, held, strict=True):
        if one:
            for slug in graver.categories:
                if over.get(slug):
                    severity[slug] = min(7, severity[slug] + graver.add)
    return severity, None in held


def _due(due: datetime | None) -> str | None:
    # Whole seconds, cut and not rounded: a deadline may come early, never late.
    return (
        None
        if due is None
        else due.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    )
