"""Which thresholds fit the reviewers' time, what they miss, and how long people wait.

Each level of a policy that lets recordings into a queue is moved, and every recording decided anew:
so a condition may be as it likes. What is a case is told by labels, and where there are none by the
calibrated probabilities themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from triage.measure.backtest import reached
from triage.measure.queueing import Crew, Wait, simulated, wait
from triage.measure.stored import Stored
from triage.policy.document import Document
from triage.policy.model import Policy, parse_policy
from triage.policy.parts import LOOKED_AT, Rule
from triage.records import Doubles, Report
from triage.reliability import wilson

HEADROOM = 0.9  # of the reviews a day: a queue that is full is waited for without end
THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(1, 20))


@dataclass(frozen=True, slots=True)
class Item:
    """A recording to decide anew.

    Attributes:
        stored: Its scores.
        labels: Probability that each category holds: 0 or 1 where it is labelled, else the score.
        labelled: Categories that are.
        weight: Recordings that it stands for, against the others.
    """

    stored: Stored
    labels: Mapping[str, float]
    labelled: frozenset[str] = frozenset()
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Point:
    """What one threshold comes to.

    Attributes:
        threshold: Of the level.
        reviews: Recordings a day that come to the queue.
        true: Of those, cases.
        found, low, high: Share of all cases that come to the queue, with a 95 % interval.
        missed: Cases a day that don't.
        wait: For a look, and how many are late.
    """

    threshold: float
    reviews: float
    true: float
    found: float
    low: float
    high: float
    missed: float
    wait: Wait

    @property
    def precision(self) -> float:
        """Share of the reviews that find a case; 0 without reviews."""
        return self.true / self.reviews if self.reviews else 0.0


@dataclass(frozen=True, slots=True)
class Curve:
    """A queue, and what its thresholds come to.

    Attributes:
        queue, level: Which queue, and the lowest level that lets recordings into it.
        categories: What it is there for.
        now: The level's threshold in the policy.
        capacity: Reviews a day.
        points: By threshold, rising.
        chosen: Place of the lowest threshold that takes no more than `HEADROOM` of the reviews; -1
            if none does.
        checked: The chosen point's wait by a run of events; None if none is chosen.
    """

    queue: str
    level: str
    categories: tuple[str, ...]
    now: float
    capacity: int
    points: tuple[Point, ...] = field(repr=False)
    chosen: int
    checked: Wait | None


def with_level(data: bytes, name: str, threshold: float) -> Policy:
    """A policy with one level changed, and nothing else.

    Args:
        data: The policy's file.
        name: Of the level.
        threshold: Its new value, in 0..1.

    Raises:
        PolicyRefused: There is no such level.
    """
    return parse_policy(Document(data).replaced(("levels", name), f"{threshold:g}"))


def simulate(
    data: bytes,
    items: Sequence[Item],
    a_day: float,
    capacity: int | None,
    minutes: float,
    report: Report,
) -> tuple[Curve, ...]:
    """The curves of every queue that a level lets recordings into.

    Args:
        data: The policy's file.
        items: Recordings; together, by their weights, they stand for a day's.
        a_day: Recordings a day.
        capacity: Reviews a day of each queue; the policy's own if None.
        minutes: That a review takes.
        report: Told of the progress.
    """
    policy = parse_policy(data)
    asking = _asking(policy)
    entries = {
        name: (level, asking[name])
        for name in policy.queues
        if name in asking and (level := _entry(policy, asking[name]))
    }
    levels = dict.fromkeys(level for level, _ in entries.values())
    weights = np.array([item.weight for item in items])
    weights *= a_day / weights.sum()
    came: dict[tuple[str, float], list[frozenset[str]]] = {}
    for done, (level, threshold) in enumerate(product(levels, THRESHOLDS), 1):
        moved = with_level(data, level, threshold)
        came[level, threshold] = [frozenset(reached(item.stored.decided(moved))) for item in items]
        report("thresholds", done, len(levels) * len(THRESHOLDS))
    curves = []
    for name, (level, rules) in entries.items():
        queue = policy.queues[name]
        cases, certain = _cases(rules, items)
        there = {t: np.array([name in one for one in came[level, t]]) for t in THRESHOLDS}
        crew, most = Crew.of(queue, minutes, capacity), capacity or queue.capacity
        deadline = max(policy.tiers[rule.tier].deadline or 0 for rule in rules) / 3600
        points = tuple(
            _point(t, there[t], cases, certain, weights, lambda n: wait(n, crew, deadline))  # noqa: B023
            for t in THRESHOLDS
        )
        fits = [n for n, p in enumerate(points) if p.reviews <= HEADROOM * most]
        chosen = fits[0] if fits else -1
        checked = simulated(points[chosen].reviews, crew, deadline) if fits else None
        names = _categories(rules)
        curves.append(
            Curve(name, level, names, policy.levels[level], most, points, chosen, checked)
        )
    return tuple(curves)


def left_out(policy: Policy, curves: Sequence[Curve]) -> list[str]:
    """The queues that rules reach and that have no curve: no level lets recordings into them."""
    drawn = {curve.queue for curve in curves}
    return [name for name in _asking(policy) if name not in drawn]


def _asking(policy: Policy) -> dict[str, list[Rule]]:
    """The live rules that put recordings before each queue."""
    found: dict[str, list[Rule]] = {}
    for rule in policy.rules:
        if rule.mode == "live" and rule.tier in LOOKED_AT:
            for whom in rule.whom:
                found.setdefault(whom, []).append(rule)
    return found


def _entry(policy: Policy, rules: Sequence[Rule]) -> str | None:
    """The lowest level that rules use for a category; None if they use none."""
    used = [
        name
        for rule in rules
        for name in re.findall(r"\bscores\.\w+\s*>=?\s*([a-z]\w*)", rule.when)
        if name in policy.levels
    ]
    return min(used, key=policy.levels.__getitem__, default=None)


def _categories(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The categories that rules speak of."""
    found = (name for rule in rules for name in re.findall(r"\bscores\.(\w+)", rule.when))
    return tuple(dict.fromkeys(name for name in found))


def _cases(rules: Sequence[Rule], items: Sequence[Item]) -> tuple[Doubles, int]:
    """How probably each item is a case of a queue, and how many surely are."""
    names = _categories(rules)
    rows = [[item.labels.get(n, 0.0) for n in names] or [0.0] for item in items]
    each: Doubles = np.nan_to_num(np.array(rows)).max(axis=1)  # what is no number is no case
    sure = sum(
        any(item.labels.get(n, 0.0) >= 0.5 for n in names if n in item.labelled) for item in items
    )
    return each, sure


def _point(
    threshold: float,
    there: np.ndarray[tuple[int], np.dtype[np.bool_]],
    cases: Doubles,
    certain: int,
    weights: Doubles,
    waited: Callable[[float], Wait],
) -> Point:
    reviews = float(weights[there].sum())
    true, all_ = float((weights * cases)[there].sum()), float((weights * cases).sum())
    found = min(true / all_, 1.0) if all_ else 1.0
    # As wide as that of as many cases as are labelled so, or else are to be expected.
    low, high = wilson(found, max(certain or round(float(cases.sum())), 1))
    return Point(threshold, reviews, true, found, low, high, all_ - true, waited(reviews))
