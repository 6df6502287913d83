"""Figures of casework: what waits before whom, how long people take, what wasn't delivered.

All are counted in the store, so that every process tells the same, after a restart too.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from triage.database.store import failing
from triage.database.tables import CaseRow, EscalationRow, MoveRow, NotificationRow
from triage.escalate.records import Move, State
from triage.escalate.rows import DEAD, SENT, WAITING

BOUNDS = (30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 4 * 3600.0, 86_400.0, 7 * 86_400.0)


@dataclass(frozen=True, slots=True)
class Open:
    """Unresolved cases of a tier before a queue.

    Attributes:
        tier, queue: Which.
        cases: How many; `waiting` of them nobody has acknowledged, `late` of those are past their
            deadline.
        oldest: s since the clock of the first that waits began; 0 if none waits.
    """

    tier: str
    queue: str
    cases: int
    waiting: int
    late: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Spans:
    """How long something took, as a histogram.

    Attributes:
        tier: Of which cases.
        counts: How many took at most each of `BOUNDS`, cumulated; the last is of all.
        total: s, of all together.
    """

    tier: str
    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """Messages to one target.

    Attributes:
        target: Which.
        waiting, sent, dead: How many are in that state.
        failures: Attempts that failed.
        oldest: s that the first of those that wait has waited.
    """

    target: str
    waiting: int
    sent: int
    dead: int
    failures: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Figures:
    """All of it, at one time.

    Attributes:
        open: By tier and queue.
        missed: Deadlines that passed and nobody had acknowledged, by tier.
        acknowledged, resolved: How long cases took until then, by tier.
        delivered: By target.
    """

    open: tuple[Open, ...]
    missed: dict[str, int]
    acknowledged: tuple[Spans, ...]
    resolved: tuple[Spans, ...]
    delivered: tuple[Delivered, ...]


def figures(opened: sa.Engine, now: float) -> Figures:
    """Counts everything.

    Args:
        opened: The store.
        now: s since 1970.

    Raises:
        StoreFailed: It can't be read.
    """
    with failing("can't be read"), opened.connect() as connection:
        return Figures(
            _open(connection, now),
            _missed(connection),
            _spans(connection, CaseRow.acknowledged_at),
            _spans(connection, CaseRow.resolved_at),
            _delivered(connection, now),
        )


def _open(connection: sa.Connection, now: float) -> tuple[Open, ...]:
    c, e = CaseRow, EscalationRow
    waits = c.state == State.OPEN
    query = (
        sa.select(
            c.tier,
            e.queue,
            sa.func.count(),
            _count(waits),
            _count(waits & (c.due_at < now)),
            sa.func.min(sa.case((waits, c.clock_at))),
        )
        .join(e, e.case == c.id)
        .where(c.state != State.RESOLVED)
        .group_by(c.tier, e.queue)
        .order_by(c.tier.desc(), e.queue)
    )
    return tuple(
        Open(tier, queue, cases, waiting, late, 0.0 if first is None else max(now - first, 0.0))
        for tier, queue, cases, waiting, late, first in connection.execute(query)
    )


def _missed(connection: sa.Connection) -> dict[str, int]:
    query = (
        sa.select(CaseRow.tier, sa.func.count())
        .join(MoveRow, MoveRow.case == CaseRow.id)
        .where(MoveRow.move == Move.MISS)
        .group_by(CaseRow.tier)
    )
    return {str(tier): int(count) for tier, count in connection.execute(query)}


def _spans(
    connection: sa.Connection, until: sa.orm.InstrumentedAttribute[float | None]
) -> tuple[Spans, ...]:
    took = until - CaseRow.clock_at
    counts = [_count(took <= bound) for bound in BOUNDS]
    query = (
        sa.select(CaseRow.tier, *counts, sa.func.count(), sa.func.sum(took))
        .where(until.is_not(None))
        .group_by(CaseRow.tier)
        .order_by(CaseRow.tier)
    )
    return tuple(
        Spans(tier, tuple(found), float(total)) for tier, *found, total in connection.execute(query)
    )


def _delivered(connection: sa.Connection, now: float) -> tuple[Delivered, ...]:
    n = NotificationRow
    query = (
        sa.select(
            n.target,
            _count(n.state == WAITING),
            _count(n.state == SENT),
            _count(n.state == DEAD),
            sa.func.sum(n.failures),
            sa.func.min(sa.case((n.state == WAITING, n.at))),
        )
        .group_by(n.target)
        .order_by(n.target)
    )
    return tuple(
        Delivered(target, waiting, sent, dead, failures, max(now - (first or now), 0.0))
        for target, waiting, sent, dead, failures, first in connection.execute(query)
    )


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)
