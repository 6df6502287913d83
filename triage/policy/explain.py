"""Why a policy decided as it did, and what would have made it decide otherwise. Pure.

Conditions are asked, not read: each score that a rule speaks of is raised by itself until the
rule holds, and where none does it alone, all of them by the same share of what they lack. So it
says the same as the decision does, whatever the condition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from triage.policy.conditions import Value
from triage.policy.decide import Counts, decide, values_of
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
        names = policy.rule_conditions.names(number)
        if _holds(policy, number, values):
            met[rule.id] = {name: values[name] for name in names if name in values}
        elif TIERS.index(rule.tier) > TIERS.index(decision.tier):
            near += _near(policy, number, rule, values)
    return Explanation(decision, met, min(near, key=lambda one: one.distance, default=None))


def _near(policy: Policy, number: int, rule: Rule, values: Mapping[str, Value]) -> list[Near]:
    """The smallest rises of scores that would meet a rule."""
    scores = {
        name: value
        for name in policy.rule_conditions.names(number)
        if name.partition(".")[0] in ("scores", "event_scores")
        and isinstance(value := values.get(name), float)
        and 0 <= value < 1
    }

    def held(raised: Mapping[str, float]) -> bool:
        return _holds(policy, number, {**values, **raised})

    alone = []
    for name, value in scores.items():
        if held({name: 1.0}):
            least = _least(lambda up, n=name, v=value: held({n: v + up * (1 - v)}))
            alone.append(Near(rule.id, rule.tier, {name: least * (1 - value)}))
    if alone or not scores or not held(dict.fromkeys(scores, 1.0)):
        return alone
    raised = {name: 1.0 for name in scores}
    for name, value in scores.items():  # as few of them as will do
        if held(raised | {name: value}):
            raised[name] = value
    missing = {}
    for name in [name for name, value in scores.items() if raised[name] != value]:
        value, rest = scores[name], dict(raised)
        least = _least(lambda up, n=name, v=value, r=rest: held({**r, n: v + up * (1 - v)}))
        missing[name] = least * (1 - value)
        raised[name] = value + missing[name]
    return [Near(rule.id, rule.tier, missing)]


def _least(held: Callable[[float], bool]) -> float:
    """The least share at which it holds; it does at 1 and not at 0."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if held(middle) else (middle, high)
    return high


def _holds(policy: Policy, number: int, values: Mapping[str, Value]) -> bool:
    return policy.rule_conditions.one(number, values) is True
