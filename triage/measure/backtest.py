"""What another policy would have decided: stored scores, decided anew by both. Pure.

Nothing is kept but counts and some ids, so a million scores need no more memory than a thousand.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from triage.measure.stored import Stored
from triage.policy.model import Policy
from triage.policy.parts import LOOKED_AT, TIERS
from triage.records import Decision
from triage.reliability import wilson

EXAMPLES = 20  # ids of each kind of change

# What becomes of a recording under the new policy, for whoever looks at it.
KINDS = ("looked at now", "not looked at any more", "sooner", "later", "somebody else looks")


@dataclass(slots=True)
class Backtest:
    """Counts of both policies' decisions.

    Attributes:
        old, new: The policies.
        decided: How many scores were decided.
        tiers: By tier under the old and the new policy.
        queues: Looks asked for by queue, old and new.
        hours: Looks asked for by hour of the day (UTC), old and new; of scores with a time.
        rules: Decisive rules, old and new.
        met_by_shadow: Decisive rules if the new policy's shadow rules were live.
        withheld: Recordings kept from the annotation sample, old and new.
        changes: How many recordings of each of `KINDS`.
        examples: Ids of some of each, drawn by chance.
        timed: How many scores have a time.
        first, last: The times that they span; None if none has one.
    """

    old: Policy
    new: Policy
    decided: int = 0
    tiers: Counter[tuple[str, str]] = field(default_factory=Counter)
    queues: tuple[Counter[str], Counter[str]] = field(
        default_factory=lambda: (Counter(), Counter())
    )
    hours: tuple[Counter[int], Counter[int]] = field(default_factory=lambda: (Counter(), Counter()))
    rules: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    met_by_shadow: Counter[str] = field(default_factory=Counter)
    withheld: list[int] = field(default_factory=lambda: [0, 0])
    changes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    timed: int = 0
    first: datetime | None = None
    last: datetime | None = None

    @property
    def days(self) -> float | None:
        """How many days the scores span, one at least; None if not all of them say."""
        span = self.span
        return None if span is None else max(span / timedelta(days=1), 1.0)

    @property
    def span(self) -> timedelta | None:
        """From the first score to the last; None if not all have a time, and rates would be off."""
        if self.first is None or self.last is None or self.timed < self.decided:
            return None
        return self.last - self.first

    def looks(self, which: int) -> int:
        """Recordings that somebody looks at under the old (0) or the new (1) policy."""
        return sum(n for pair, n in self.tiers.items() if pair[which] in LOOKED_AT)

    def interval(self, kind: str) -> tuple[float, float]:
        """95 % interval of the share of recordings with a change of this kind (Wilson)."""
        return wilson(self.changes[kind] / max(self.decided, 1), self.decided)


def backtest(old: Policy, new: Policy, stored: Iterable[Stored]) -> Backtest:
    """Decides stored scores by two policies.

    Args:
        old: What they are compared with.
        new: What is tried.
        stored: In any order; read once.
    """
    found, chance = Backtest(old, new), random.Random(0)  # noqa: S311 - examples, not secrets
    for one in stored:
        before, after = one.decided(old), one.decided(new)
        _count(found, one, before, after)
        if new.has_shadow:
            found.met_by_shadow[one.decided(new, "shadow").rule] += 1
        for kind in _kinds(before, after):
            found.changes[kind] += 1
            _draw(found.examples[kind], one.id, found.changes[kind], chance)
    return found


def reached(decision: Decision) -> tuple[str, ...]:
    """The queues and people that a decision puts a recording before."""
    found = (action.partition(":")[2] for action in decision.actions)
    return tuple(dict.fromkeys(whom for whom in found if whom))


def _count(found: Backtest, one: Stored, before: Decision, after: Decision) -> None:
    found.decided += 1
    found.tiers[before.tier, after.tier] += 1
    for which, decision in enumerate((before, after)):
        found.rules[which][decision.rule] += 1
        found.queues[which].update(reached(decision))
        found.withheld[which] += "withhold" in decision.actions
        if one.at is not None and decision.tier in LOOKED_AT:
            found.hours[which][one.at.astimezone(UTC).hour] += 1
    if one.at is not None:
        found.timed += 1
        found.first = min(found.first or one.at, one.at)
        found.last = max(found.last or one.at, one.at)


def _kinds(before: Decision, after: Decision) -> Sequence[str]:
    """Which of `KINDS` a change is."""
    was, now = before.tier in LOOKED_AT, after.tier in LOOKED_AT
    if was != now:
        return ("looked at now",) if now else ("not looked at any more",)
    if not now:
        return ()
    step = TIERS.index(after.tier) - TIERS.index(before.tier)
    kinds = ["sooner"] if step > 0 else ["later"] if step < 0 else []
    return [
        *kinds,
        *(["somebody else looks"] if set(reached(before)) != set(reached(after)) else []),
    ]


def _draw(examples: list[str], id: str, seen: int, chance: random.Random) -> None:
    """Keeps a fair sample of what was seen (Vitter's algorithm R)."""
    if len(examples) < EXAMPLES:
        examples.append(id)
    elif (place := chance.randrange(seen)) < EXAMPLES:
        examples[place] = id
