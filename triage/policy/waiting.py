"""What could make somebody wait for longer than is meant: clocks, and overflows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from triage.policy.conditions import nearest
from triage.policy.document import Where
from triage.policy.parts import MAX_DEADLINE, TIERS, Tier
from triage.policy.surroundings import Queue, Terms

Problem = tuple[Where, str]  # where in the policy, and what is wrong


def clock_problems(tiers: Mapping[Tier, Terms]) -> Iterator[Problem]:
    """What could make a graver tier wait for longer than a lesser one."""
    clocks = [(tier, terms) for tier, terms in sorted(tiers.items()) if terms.deadline]
    for (_, below), (tier, terms) in pairwise(clocks):
        slower, faster = below.deadline or 0, terms.deadline or 0
        if faster > slower:
            yield ("tiers", tier), f"{faster} s is longer than the {slower} s of a tier below"
        if terms.hours and not (below.hours and below.hours.within(terms.hours)):
            told = "its hours must hold all those of the tier below, in the same zone"
            yield ("tiers", tier, "hours"), told
    for tier, terms in clocks:
        if terms.hours and tier == TIERS[-1]:
            yield ("tiers", tier, "hours"), f"{tier} waits for no hours; leave them out"
        elif terms.hours and (terms.deadline or 0) / terms.hours.share > MAX_DEADLINE:
            told = f"{terms.deadline} s of these hours take longer than {MAX_DEADLINE} s"
            yield ("tiers", tier, "hours"), told


def overflow_problems(queues: Mapping[str, Queue]) -> Iterator[Problem]:
    """Queues whose overflow goes nowhere, or round in a circle."""
    for name, queue in queues.items():
        passed, over = [name], queue.overflow
        while over is not None:
            where = ("queues", passed[-1], "overflow")
            if over not in queues:
                yield where, f"{over} is not among the queues{nearest(over, queues)}"
                break
            if over in passed:
                yield where, f"it runs in a circle: {' to '.join([*passed, over])}"
                break
            passed.append(over)
            over = queues[over].overflow
