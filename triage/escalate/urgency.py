"""The order in which cases are taken: severity times the share of their time that is gone. Pure.

It grows as a case waits, so each gets ahead of what comes later and is less grave: the
accumulating priority of L. Kleinrock ("A delay dependent queue discipline", 1964). That alone
doesn't serve everybody: where grave cases come faster than they are taken, lesser ones would wait
for ever. So every tenth taken is the one that was there first. Whatever comes, nobody waits for
more than ten times as many as were there before, and itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from triage.escalate.records import Case

AHEAD = 600  # s: what is due in minutes begins in front of what is due in a day
EVERY = 10  # one in so many taken is the first that came


def urgency(case: Case, now: float) -> float:
    """How urgent a case is; over 0, and growing with time.

    (1 + severity) x (time since its clock began + 600 s) / (time that it has in all).
    """
    span = max(case.due_at - case.clock_at, 1.0)
    waited = max(now - case.clock_at, 0.0)  # a clock that was turned back makes nothing negative
    return (1 + case.severity) * (waited + AHEAD) / span


def ordered(cases: Iterable[Case], now: float) -> list[Case]:
    """Cases, the most urgent first; of equals the one that is due first."""
    return sorted(cases, key=lambda case: (-urgency(case, now), case.due_at, case.id))


def pick(cases: Sequence[Case], now: float, taken: int) -> Case | None:
    """The case to take next; None if there is none.

    Args:
        cases: What may be taken.
        now: s since 1970.
        taken: How many were taken before.
    """
    if not cases:
        return None
    if taken % EVERY == EVERY - 1:
        return min(cases, key=lambda case: (case.clock_at, case.id))
    return ordered(cases, now)[0]
