"""Why a policy decided as it did, and what would have made it decide otherwise. Pure.

Conditions are asked, not read: each score that a rule speaks of is raised by itself until the
rule holds, and where none does it alone, as few of them as will do, each as little as it can. So
it says the same as the decision does, whatever the condition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from triage.policy.conditions import Value
from triage.policy.decide import Counts, decide, flagged, holds, severities, values_of
from triage.policy.model import Policy
from triage.policy.parts import TIERS, Rule
from triage.records import Decision, Scores

STEPS = 30  # halvings; finer than a float32 score


@dataclass(frozen=True, slots=True)
class Near:
    """A rule that isn't met, and what is missing.

    Attributes:
        rule, tier: What would be met, and how high.
        missing: Scores and by how much each would have to rise, in 0..1.
    """

    rule: str
    tier: str
    missing: Mapping[str, float]

    @property
    def distance(self) -> float:
        """How much has to rise altogether."""
        return sum(self.missing.values())


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its reasons.

    Attributes:
        decision: What it explains.
        met: By each rule that is met, the values of all that its condition speaks of.
        nearest: What would have decided higher and is nearest to it; None if nothing can.
    """

    decision: Decision
    met: Mapping[str, Mapping[str, Value]]
    nearest: Near | None


def explain(
    scores: Scores,
    policy: Policy,
    now: datetime,
    *,
    context: Mapping[str, object] | None = None,
    history: Counts | None = None,
) -> Explanation:
    """What `decide` says, and why.

    Args:
        scores, policy, now, context, history: As in `decide`.
    """
    decision = decide(scores, policy, now, context=context, history=history)
    values = values_of(scores, policy, context or {}, history or {})
    values["severity"] = decision.severity
    met, near = {}, list[Near]()
    for number, rule in enumerate(policy.rules):
        if rule.mode != "live":
            continue
        asked = _Asked(policy, number, scores, values)
        if asked.held({}):
            names = policy.rule_conditions.names(number)
            met[rule.id] = {name: values[name] for name in names if name in values}
        elif TIERS.index(rule.tier) > TIERS.index(decision.tier):
            near += _near(asked)
    return Explanation(decision, met, min(near, key=lambda one: one.distance, default=None))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A rule and what it is asked of."""

    policy: Policy
    number: int
    scores: Scores
    values: Mapping[str, Value]

    @property
    def rule(self) -> Rule:
        return self.policy.rules[self.number]

    @property
    def names(self) -> tuple[str, ...]:
        """All that the condition hangs on: with a severity, all that makes it."""
        named = self.policy.rule_conditions.names(self.number)
        if "severity" not in named:
            return named
        more = [f"scores.{name}" for name in self.policy.categories]
        return tuple(dict.fromkeys([*named, *more, *self.policy.graver_conditions.spoken]))

    def held(self, raised: Mapping[str, float]) -> bool:
        """Whether the rule is met if some scores are others."""
        values = {**self.values, **raised}
        if raised and "severity" in self.policy.rule_conditions.names(self.number):
            categories = {
                name: raised.get(f"scores.{name}", score)
                for name, score in self.scores.categories.items()
            }
            severity, _ = severities(flagged(categories, self.policy), values, self.policy)
            values["severity"] = max(severity.values(), default=0)
        conditions, either = self.policy.rule_conditions, self.rule.reaches_somebody
        return holds(conditions, self.number, values, either) is True


def _near(asked: _Asked) -> list[Near]:
    """The smallest rises of scores that would meet a rule."""
    rule, held = asked.rule, asked.held
    # In a recording without sound nothing can be heard better.
    kinds = ("scores", "event_scores") if asked.values["sound_present"] else ("scores",)
    scores = {
        name: value
        for name in asked.names
        if name.partition(".")[0] in kinds
        and isinstance(value := asked.values.get(name), float)
        and 0 <= value < 1
    }
    alone = []
    for name, value in scores.items():
        if held({name: 1.0}):
            alone.append(Near(rule.id, rule.tier, {name: _least(held, {}, name, value)}))
    if alone or not scores or not held(dict.fromkeys(scores, 1.0)):
        return alone
    raised = dict.fromkeys(scores, 1.0)
    for name, value in scores.items():  # as few of them as will do
        if held(raised | {name: value}):
            raised[name] = value
    missing = {}
    for name in [name for name, value in scores.items() if raised[name] != value]:
        missing[name] = _least(held, raised, name, scores[name])
        raised[name] = scores[name] + missing[name]
    return [Near(rule.id, rule.tier, missing)]


def _least(
    held: Callable[[Mapping[str, float]], bool],
    raised: Mapping[str, float],
    name: str,
    value: float,
) -> float:
    """By how much a score must rise at least; it holds if it rises to 1, and not if it doesn't."""
    low, high = value, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if held({**raised, name: middle}) else (middle, high)
    missing = high - value
    while value + missing < high:  # by rounding
        missing = math.nextafter(missing, 1.0)
    return missing
