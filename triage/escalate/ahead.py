"""Setting right what a clock that was ahead has written.

Once it is right again, times are left behind that are still to come. What was written in such a
future is moved back by as much as it was ahead: nobody is told later because of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from triage.database.engine import Query
from triage.database.tables import Base, CaseRow, EscalationRow, NotificationRow
from triage.escalate.rows import WAITING

SKEW = 5.0  # s that the clocks of two servers may differ by


@dataclass(frozen=True, slots=True)
class Fix:
    """Rows that were written in the future, and what moves them back.

    Attributes:
        table: Of the rows.
        ahead: Which.
        values: By column.
    """

    table: type[Base]
    ahead: sa.ColumnElement[bool]
    values: dict[str, Any]

    @property
    def query(self) -> Query:
        return sa.select(sa.literal(1)).select_from(self.table).where(self.ahead)

    @property
    def update(self) -> sa.Update:
        return sa.update(self.table).where(self.ahead).values(self.values)


def fixes(now: float) -> tuple[Fix, ...]:
    """What sets everything right.

    Args:
        now: s since 1970, by a clock that is right.
    """
    c, e, n = CaseRow, EscalationRow, NotificationRow
    late = now + SKEW
    return (
        Fix(
            c,
            (c.clock_at > late) & c.resolved_at.is_(None),
            {"due_at": c.due_at - (c.clock_at - now), "clock_at": now},
        ),
        Fix(
            c,
            c.moved_at > late,
            {"snoozed_until": c.snoozed_until - (c.moved_at - now), "moved_at": now},
        ),
        Fix(e, e.told_at > late, {"next_at": e.next_at - (e.told_at - now), "told_at": now}),
        Fix(
            n,
            (n.tried_at > late) & (n.state == WAITING),
            {"next_at": n.next_at - (n.tried_at - now), "tried_at": now},
        ),
    )
