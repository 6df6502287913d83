"""The clocks of cases: who is told again, what was missed, what comes back, what is forgotten.

Any number of processes may look at them at once. Each change is made in a transaction that has the
rows locked (on SQLite: is alone), so none is made twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from triage.database.engine import Query, writing
from triage.database.store import failing
from triage.database.tables import CaseRow, EscalationRow, NotificationRow
from triage.decisions import Decisions
from triage.escalate import telling
from triage.escalate.ahead import fixes
from triage.escalate.casebook import Casebook
from triage.escalate.moves import hold
from triage.escalate.records import CLOCK, Case, Move, Order, State
from triage.escalate.rows import SENT, WAITING, all_cases, cases_of, locking, moot, tell

AT_ONCE = 200  # rows of one transaction
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
        done = sum(_whole(step) for step in steps)
        self._moot()
        return done

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
        for fix in fixes(self.book.now()):
            if self._any(fix.query):
                with failing("can't be written"), writing(self.book.opened) as connection:
                    connection.execute(fix.update)

    def _any(self, query: Query) -> bool:
        """Whether there is anything to do: looking first leaves SQLite's one writer to others."""
        with failing("can't be read"), self.book.opened.connect() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def _moot(self) -> None:
        """Takes back what was being sent as somebody acknowledged, and failed."""
        n = NotificationRow
        moved_on = n.case.in_(sa.select(CaseRow.id).where(CaseRow.state != State.OPEN))
        left = sa.select(n.id).where(moved_on, n.state == WAITING, n.person != "", n.queue != "")
        if self._any(left):
            with failing("can't be written"), writing(self.book.opened) as connection:
                moot(connection, moved_on)

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
        if not self._any(query):
            return 0
        with failing("can't be written"), writing(self.book.opened) as connection:
            cases = cases_of(connection, locking(query.limit(AT_ONCE), skip=True))
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
        if not self._any(query):
            return 0
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
        e, now = EscalationRow, self.book.now()
        query = (
            sa.select(e.case, e.queue, e.told)
            .join(CaseRow, CaseRow.id == e.case)
            .where(e.next_at <= now, CaseRow.state == State.OPEN)
            .order_by(CaseRow.tier.desc(), e.next_at)
        )
        if not self._any(query):
            return 0
        roster, policy = self.book.roster(), self.book.policy()
        with failing("can't be written"), writing(self.book.opened) as connection:
            some = query.limit(AT_ONCE).with_for_update(skip_locked=True, of=e)
            rows = connection.execute(some).all()
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


def _by_id(connection: sa.Connection, ids: list[str]) -> dict[str, Case]:
    found = cases_of(connection, all_cases().where(CaseRow.id.in_(ids)))
    return {case.id: case for case in found}
