"""The casebook: cases, and what is done with them, each change in one transaction.

A decision is kept together with its case and with what follows from it, or none of them is. What
is to be told is only written down here (a transactional outbox); `delivery` tells it. Nothing is
committed before the audit has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from uuid import uuid4

import sqlalchemy as sa

from triage.database.engine import serialised, writing
from triage.database.store import failing
from triage.database.tables import (
    AcknowledgementRow,
    CaseRow,
    EscalationRow,
    MoveRow,
    NotificationRow,
    OutcomeRow,
)
from triage.decisions import Decided, insert
from triage.errors import BadField, Forbidden
from triage.escalate import telling
from triage.escalate.by_hand import Raised, by_hand, checked
from triage.escalate.moves import may_see, moved
from triage.escalate.raising import Raising, move_row, names_of
from triage.escalate.records import UNRESOLVED, Case, Move, Moved, Order, State
from triage.escalate.roster import Roster
from triage.escalate.rows import all_cases, case_of, cases_of, moot, put, tell
from triage.escalate.urgency import ordered, pick
from triage.policy.model import Policy
from triage.policy.parts import LOOKED_AT
from triage.safeguards.audit import AuditLog

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Casebook:
    """Cases in the store.

    Attributes:
        opened: The store.
        policy: What is in service.
        roster: Who everybody is, now.
        audit: Where every move is written.
        now: The clock, s since 1970.
    """

    opened: sa.Engine
    policy: Callable[[], Policy]
    roster: Callable[[], Roster]
    audit: AuditLog
    now: Callable[[], float] = time

    @contextmanager
    def record(
        self, made: Sequence[Decided], policy: Policy, *, escalate: bool = True
    ) -> Iterator[list[Decided]]:
        """Keeps decisions and what follows from them; committed when the caller is done.

        Args:
            made: What was decided.
            policy: By which it was.
            escalate: Whether cases are raised of them, and people told.

        Yields:
            The decisions with their cases. If what the caller does with them raises, nothing is
            kept.

        Raises:
            StoreFailed: They can't be written, and none was.
        """
        with failing("can't be written"), writing(self.opened) as connection:
            if not escalate:
                insert(connection, made)
                yield list(made)
                return
            serialised(connection, names_of(made))
            now = made[0].at.timestamp() if made else self.now()
            raising = Raising(connection, policy, self.roster(), now)
            kept = [raising.decided(one) for one in made]
            raising.write()
            insert(connection, kept)
            yield kept

    def raise_by_hand(self, wanted: Raised) -> Case:
        """Raises a case for what somebody heard.

        Raises:
            BadField: The policy has no such queue or category, or nobody looks in that tier.
            Forbidden: The actor is nobody of the roster.
            StoreFailed: It can't be written.
        """
        policy, roster = self.policy(), self.roster()
        checked(wanted, policy, roster)
        with failing("can't be written"), writing(self.opened) as connection:
            now = self.now()
            case = by_hand(wanted, policy, now)
            raising = Raising(connection, policy, roster, now)
            raising.raised(case, [(wanted.queue, False)])
            raising.write()
            self._audited(case.id, Move.RAISE, wanted.actor, "", case.state, now)
            return case_of(connection, case.id)

    def case(self, id: str) -> Case:
        """A case by its id.

        Raises:
            NoSuchCase: There is none.
            StoreFailed: It can't be read.
        """
        with failing("can't be read"), self.opened.connect() as connection:
            return case_of(connection, id)

    def named(self, id: str) -> str:
        """The id of the one case whose id begins so.

        Raises:
            NoSuchCase: There is none.
            BadField: There are several.
            StoreFailed: They can't be read.
        """
        query = sa.select(CaseRow.id).where(CaseRow.id.startswith(id, autoescape=True)).limit(2)
        with failing("can't be read"), self.opened.connect() as connection:
            found = connection.execute(query).scalars().all()
        if len(found) > 1 and id not in found:
            raise BadField("Several cases' ids begin so. Give more of it.")
        return id if id in found or not found else str(found[0])

    def history(self, id: str) -> list[Moved]:
        """Everything that was done with a case, in the order of time.

        Raises:
            StoreFailed: It can't be read.
        """
        c = MoveRow
        query = (
            sa.select(c.at, c.actor, c.move, c.before, c.after, c.to, c.reason)
            .where(c.case == id)
            .order_by(c.id)
        )
        with failing("can't be read"), self.opened.connect() as connection:
            return [Moved(*row) for row in connection.execute(query)]

    def cases(
        self, states: Collection[str] = UNRESOLVED, queue: str = "", limit: int | None = None
    ) -> list[Case]:
        """Cases in some states, the most urgent first.

        Args:
            states: Which.
            queue: Before which they are; any if empty.
            limit: How many at most: of those that are due first.

        Raises:
            StoreFailed: They can't be read.
        """
        query = all_cases().where(CaseRow.state.in_([str(one) for one in states]))
        if queue:
            before = sa.select(EscalationRow.case).where(EscalationRow.queue == queue)
            query = query.where(CaseRow.id.in_(before))
        query = query.order_by(CaseRow.due_at).limit(limit)
        with failing("can't be read"), self.opened.connect() as connection:
            return ordered(cases_of(connection, query), self.now())

    def move(self, id: str, order: Order) -> Case:
        """Does something with a case.

        Returns:
            The case afterwards.

        Raises:
            NoSuchCase: There is none, or it isn't the actor's to see.
            MoveRefused: Its state doesn't allow it.
            Forbidden: It is not for the actor, or not for whom it is handed to.
            BadField: The order lacks something.
            StoreFailed: It can't be written.
        """
        with failing("can't be written"), writing(self.opened) as connection:
            case = case_of(connection, id, locked=True)
            return self.moved(connection, case, order)

    def moved(self, connection: sa.Connection, case: Case, order: Order) -> Case:
        """Does something with a case within a transaction that has it locked. See `move`."""
        policy, roster, now = self.policy(), self.roster(), self.now()
        after = moved(case, order, now, roster, policy)
        if after is case:
            return case
        put(connection, [after])
        to = order.to or (order.ending or "")
        row = move_row(case.id, now, order.actor, order.move, case.state, after.state)
        connection.execute(sa.insert(MoveRow), row | {"to": str(to), "reason": order.reason})
        self._followed(connection, case, after, order, now)
        self._audited(case.id, order.move, order.actor, case.state, after.state, now, str(to))
        return after

    def take(self, actor: str, queue: str = "") -> Case | None:
        """Claims the next case for somebody: the most urgent that is for them, see `urgency`.

        Args:
            actor: Who takes it.
            queue: Of which queue; any of theirs if empty.

        Returns:
            The case; None if there is nothing for them.

        Raises:
            Forbidden: The actor is nobody of the roster, or has taken as many as they may.
            StoreFailed: It can't be written.
        """
        policy, roster, now = self.policy(), self.roster(), self.now()
        if actor not in roster.people:
            raise Forbidden(f"{actor} is nobody of the roster, so no case is for them.")
        with failing("can't be written"), writing(self.opened) as connection:
            serialised(connection, ["take"])
            query = all_cases().where(CaseRow.state == State.OPEN)
            waiting = [
                case
                for case in cases_of(connection, query)
                if may_see(case, actor, roster, policy) and (not queue or queue in case.queues)
            ]
            most = roster.people[actor].a_day
            if most is not None and self._taken(connection, now - DAY, actor) >= most:
                waiting = [case for case in waiting if case.tier == LOOKED_AT[-1]]
                if not waiting:
                    told = f"{actor} has taken {most} cases in 24 hours, which is what they may."
                    raise Forbidden(told, limit=most)
            found = pick(waiting, now, self._taken(connection, 0.0))
            if found is None:
                return None
            locked = case_of(connection, found.id, locked=True)
            return self.moved(connection, locked, Order(Move.CLAIM, actor))

    def _taken(self, connection: sa.Connection, since: float, actor: str = "") -> int:
        c = MoveRow
        query = sa.select(sa.func.count()).where(c.move == Move.CLAIM, c.at >= since)
        return connection.execute(query.where(c.actor == actor) if actor else query).scalar_one()

    def _followed(
        self, connection: sa.Connection, case: Case, after: Case, order: Order, now: float
    ) -> None:
        """What follows from a move: whose clock stands still, who is told, what is remembered."""
        mine = sa.update(EscalationRow).where(EscalationRow.case == case.id)
        if after.state is not State.OPEN:
            connection.execute(mine.values(next_at=None, told_at=now))
            # Who hasn't been told yet need not be: somebody looks, or has looked.
            moot(connection, NotificationRow.case == case.id)
        elif case.state is not State.OPEN:
            again = {"told": 0} if order.move is Move.REOPEN else {}
            connection.execute(mine.values(next_at=now, told_at=now, **again))
        if order.move in (Move.ACKNOWLEDGE, Move.CLAIM):
            seen = {"case": case.id, "at": now, "actor": order.actor}
            connection.execute(sa.insert(AcknowledgementRow), seen)
        if order.move is Move.WAKE:
            tell(connection, telling.woken(after, now, self.roster()), now)
        if order.ending is not None:
            heard = None if order.heard is None else list(order.heard)
            outcome = {
                "id": order.key or f"out_{uuid4().hex}",
                "case": case.id,
                "at": now,
                "actor": order.actor,
                "outcome": str(order.ending),
                "heard": json.dumps(heard),
            }
            connection.execute(sa.insert(OutcomeRow), outcome)
            told = telling.resolved(after, str(order.ending), order.heard, now, self.roster())
            tell(connection, told, now)

    def _audited(
        self, case: str, move: Move, actor: str, before: str, after: str, now: float, to: str = ""
    ) -> None:
        body = {"case": case, "move": move, "actor": actor, "before": before, "after": after}
        self.audit.append("case", body | {"to": to}, datetime.fromtimestamp(now, UTC))
