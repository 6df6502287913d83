"""The clocks of cases: who is told again, what was missed, what comes back, what is forgotten.

Any number of processes may look at them at once. Each change is made in a transaction that has the
rows locked (on SQLite: is alone), so none is made twice.

A clock that was ahead and is right again leaves times behind that are still to come. What was
written in such a future is moved back by as much as it was ahead: a page isn't late because of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from triage.database.engine import Query, is_sqlite, writing
from triage.database.store import failing
from triage.database.tables import Base, CaseRow, EscalationRow, NotificationRow
from triage.decisions import Decisions
from triage.escalate import telling
from triage.escalate.casebook import Casebook
from triage.escalate.moves import hold
from triage.escalate.records import CLOCK, Case, Move, Order, State
from triage.escalate.rows import SENT, WAITING, all_cases, cases_of, tell

AT_ONCE = 200  # rows of one transaction
SKEW = 5.0  # s that the clocks of two servers may differ by
UNREACHED = 3  # failed attempts after which the next in line is told
DAY = 86_400

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of all cases in a store.

    Attributes:
        book: The cases.
        decision_days, case_days: Until decisions and resolved cases are forgotten.
    """

    book: Casebook
    decision_days: int
    case_days: int

    def tick(self) -> int:
        """Does what is due now.

        Returns:
            How many changes were made.

        Raises:
            StoreFailed: The store can't be used; what was due stays so.
        """
        self._set_right()
        steps = self._missed, self._woken, self._returned, self._unreached, self._told
        return sum(_whole(step) for step in steps)

    def forget(self) -> int:
        """Forgets what has been kept for long enough; how many decisions and cases.

        Raises:
            StoreFailed: The store can't be written.
        """
        now = self.book.now()
        before = datetime.fromtimestamp(now - DAY * self.decision_days, UTC)
        gone = Decisions(self.book.opened).forget(before)
        old = sa.delete(CaseRow).where(CaseRow.resolved_at < now - DAY * self.case_days)
        with failing("can't be written"), writing(self.book.opened) as connection:
            return gone + connection.execute(old).rowcount

    def _set_right(self) -> None:
        """Moves back what a clock that was ahead has written."""
        now, c, e, n = self.book.now(), CaseRow, EscalationRow, NotificationRow
        ahead = c.clock_at - now
        fixes = (
            sa.update(c)
            .where(c.clock_at > now + SKEW, c.resolved_at.is_(None))
            .values(due_at=c.due_at - ahead, clock_at=now),
            sa.update(c)
            .where(c.moved_at > now + SKEW)
            .values(snoozed_until=c.snoozed_until - (c.moved_at - now), moved_at=now),
            sa.update(e)
            .where(e.told_at > now + SKEW)
            .values(next_at=e.next_at - (e.told_at - now), told_at=now),
            sa.update(n)
            .where(n.tried_at > now + SKEW, n.state == WAITING)
            .values(next_at=n.next_at - (n.tried_at - now), tried_at=now),
        )
        with failing("can't be written"), self.book.opened.begin() as connection:
            for fix in fixes:
                connection.execute(fix)

    def _missed(self) -> int:
        c, now = CaseRow, self.book.now()
        late = c.state == State.OPEN, c.due_at < now, c.missed_at.is_(None)
        return self._moved(all_cases().where(*late), Move.MISS)

    def _woken(self) -> int:
        over = CaseRow.state == State.SNOOZED, CaseRow.snoozed_until <= self.book.now()
        return self._moved(all_cases().where(*over), Move.WAKE)

    def _returned(self) -> int:
        """What somebody has and has done nothing with goes back to everybody."""
        c, now, policy = CaseRow, self.book.now(), self.book.policy()
        held = c.state.in_([str(State.CLAIMED), str(State.ACKNOWLEDGED)])
        shortest = [
            sa.and_(c.tier == tier, c.moved_at < now - hold(tier, policy)) for tier in policy.tiers
        ]
        return self._moved(all_cases().where(held, sa.or_(*shortest)), Move.RETURN)

    def _moved(self, query: Query, move: Move) -> int:
        opened = self.book.opened
        with failing("can't be written"), writing(opened) as connection:
            cases = cases_of(connection, _some(query, opened))
            for case in cases:
                self.book.moved(connection, case, Order(move, CLOCK))
        return len(cases)

    def _unreached(self) -> int:
        """Where somebody can't be reached, the next in line is told without waiting for it."""
        e, n, now = EscalationRow, NotificationRow, self.book.now()
        query = (
            sa.select(e.case, e.queue, e.told)
            .join(n, (n.case == e.case) & (n.queue == e.queue) & (n.times == e.told - 1))
            .join(CaseRow, CaseRow.id == e.case)
            .where(
                n.state != SENT,
                n.person != "",
                n.failures >= UNREACHED,
                CaseRow.state == State.OPEN,
                e.next_at > now,
            )
            .distinct()
        )
        roster, policy = self.book.roster(), self.book.policy()
        changed = 0
        with failing("can't be written"), writing(self.book.opened) as connection:
            for id, queue, times in connection.execute(query.limit(AT_ONCE)).all():
                (case,) = cases_of(connection, all_cases().where(CaseRow.id == id))
                people = telling.line(case, queue, roster, policy)
                beyond = telling.skipped(times - 1)
                if beyond < telling.TWICE * len(people):  # once round: then as ever
                    mine = sa.update(e).where(e.case == id, e.queue == queue, e.told == times)
                    done = connection.execute(mine.values(told=beyond, next_at=now, told_at=now))
                    changed += done.rowcount
        return 0 if changed < AT_ONCE else changed

    def _told(self) -> int:
        """Tells whoever is next, of what nobody has acknowledged."""
        e, now, opened = EscalationRow, self.book.now(), self.book.opened
        query = (
            sa.select(e.case, e.queue, e.told)
            .join(CaseRow, CaseRow.id == e.case)
            .where(e.next_at <= now, CaseRow.state == State.OPEN)
            .order_by(CaseRow.tier.desc(), e.next_at)
        )
        roster, policy = self.book.roster(), self.book.policy()
        with failing("can't be written"), writing(opened) as connection:
            rows = connection.execute(_some(query, opened, of=e)).all()
            cases = _by_id(connection, [id for id, _, _ in rows])
            for id, queue, times in rows:
                found = telling.told(cases[id], queue, times, now, roster, policy)
                tell(connection, found.messages, now)
                if not found.messages:
                    log.error("case %s before %s: nobody can be told", id, queue)
                mine = sa.update(e).where(e.case == id, e.queue == queue)
                after = {"told": times + 1, "told_at": now, "next_at": found.next_at}
                connection.execute(mine.values(after))
        return len(rows)


def _whole(step: Callable[[], int]) -> int:
    """Does a step until nothing of it is due any more."""
    done = 0
    while (more := step()) == AT_ONCE:
        done += more
    return done + more


def _some(query: Query, opened: sa.Engine, of: type[Base] = CaseRow) -> Query:
    """So many rows, locked against others that look for the same; they take the next ones."""
    some = query.limit(AT_ONCE)
    return some if is_sqlite(opened) else some.with_for_update(skip_locked=True, of=of)


def _by_id(connection: sa.Connection, ids: list[str]) -> dict[str, Case]:
    found = cases_of(connection, all_cases().where(CaseRow.id.in_(ids)))
    return {case.id: case for case in found}
