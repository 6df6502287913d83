"""What a policy says of one recording's scores. Pure: no clock, no file, no chance.

1. Every live rule whose condition holds is met. Every fallback that applies is met as well.
2. The highest tier among them decides; of equals, the first in the order of the file, rules
   before fallbacks. Nothing that is met can lower a tier.
3. The actions of all of them are taken, in that order, each once. So `withhold` stands beside
   an escalation: the recording stays out of the annotation sample, and the specialists of its
   queue still hear it, because they must.

Every clause asks for a score at or above a number, so raising a score from 0 to 1 never lowers
the tier or a severity. What can't be compared (NaN, a score outside 0..1), what the policy
doesn't know, what failed and what was never scored all end before a person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from triage.policy.model import NO_RULE, Policy
from triage.policy.parts import TIERS, Category, Consequence, When
from triage.records import Decision, Scores

_RANK = {tier: rank for rank, tier in enumerate(TIERS)}
_MET_BY_NOTHING = Consequence(tier="E0", actions=(), reason="No rule was met.")


def decide(
    scores: Scores, policy: Policy, now: datetime, *, mode: Literal["live", "shadow"] = "live"
) -> Decision:
    """What is to be done about a recording.

    Args:
        scores: All that the models say of it.
        policy: The rules.
        now: The time that deadlines run from, with its time zone.
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
    met = [*_rules_met(scores, policy, {"live", mode}), *_fallbacks_met(scores, policy)]
    rule, decisive = max(met, key=_tier_rank, default=(NO_RULE, _MET_BY_NOTHING))
    flagged = {
        slug: bool(score >= _terms(policy, slug).threshold)
        for slug, score in scores.categories.items()
    }
    severity = _severities(flagged, scores, policy)
    return Decision(
        tier=decisive.tier,
        rule=rule,
        reason=decisive.reason,
        actions=tuple(dict.fromkeys(str(action) for _, one in met for action in one.actions)),
        severity=max(severity.values(), default=0),
        category_flagged=flagged,
        category_severity=severity,
        due_at=_due(now, policy.tiers[decisive.tier].deadline),
        policy=policy.name,
        policy_digest=policy.digest,
        mode=mode,
    )


def holds(when: When, scores: Scores) -> bool:
    """Whether a condition holds: all of its clauses do. What isn't scored meets no clause."""
    return (
        _any_at_least(when.any_category, scores.categories)
        and _any_at_least(when.any_event, scores.event_scores)
        and all(scores.flags.get(name) is value for name, value in (when.flags or {}).items())
    )


def _any_at_least(thresholds: Mapping[str, float] | None, values: Mapping[str, float]) -> bool:
    if thresholds is None:
        return True
    return any(name in values and values[name] >= least for name, least in thresholds.items())


def _rules_met(
    scores: Scores, policy: Policy, modes: Collection[str]
) -> Iterator[tuple[str, Consequence]]:
    for rule in policy.rules:
        if rule.mode in modes and holds(rule.when, scores):
            yield rule.id, rule


def _fallbacks_met(scores: Scores, policy: Policy) -> Iterator[tuple[str, Consequence]]:
    applies = {
        "stage_failed": bool(scores.failures) or not scores.categories,
        "unknown_category": _unknown_category(scores, policy),
        "invalid_score": not all(
            0.0 <= score <= 1.0
            for values in (scores.categories, scores.event_scores)
            for score in values.values()
        ),
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


def _severities(flagged: Mapping[str, bool], scores: Scores, policy: Policy) -> dict[str, int]:
    severity = {
        slug: _terms(policy, slug).severity if over else 0 for slug, over in flagged.items()
    }
    for graver in policy.severity_if:
        if holds(graver.when, scores):
            for slug in graver.categories:
                if flagged.get(slug):
                    severity[slug] = min(7, severity[slug] + graver.add)
    return severity


def _due(now: datetime, deadline: int | None) -> str | None:
    if deadline is None:
        return None
    due = now.astimezone(UTC) + timedelta(seconds=deadline)
    # Whole seconds, cut and not rounded: a deadline may come early, never late.
    return due.isoformat(timespec="seconds").replace("+00:00", "Z")
