"""The outbox: messages that wait to be sent, each sent by one sender at a time.

On PostgreSQL a message is locked in its row while it is sent, and the lock ends with whoever has
it. SQLite has one writer and no such locks: there one process sends, the one that holds the lock
file beside the database, and another takes over when it is gone. No clock takes part in either.

A process that is killed between sending a message and writing that down sends it again, with the
same id: receivers count by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import time

import sqlalchemy as sa
from filelock import FileLock, Timeout
from tenacity import RetryCallState, wait_exponential_jitter

from triage.database.engine import Query, is_sqlite, writing
from triage.database.store import failing
from triage.database.tables import NotificationRow
from triage.errors import StoreFailed
from triage.escalate.records import Message
from triage.escalate.rows import DEAD, RANKED, SENT, WAITING, message_of
from triage.escalate.sending import Result

LONGEST_PAUSE = 600.0  # s between two attempts
ATTEMPTS = 100  # until a message is dead: fifteen hours and more
_PAUSE = wait_exponential_jitter(multiplier=1, max=LONGEST_PAUSE, jitter=1)


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that nobody else sends now.

    Attributes:
        message: It.
        at: When it was made, s since 1970.
        mark: Writes down what came of it.
    """

    message: Message
    at: float
    mark: Callable[[Result], None]


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message that hasn't arrived.

    Attributes:
        id, case, kind, target, tier: Of it.
        at: When it was made, s since 1970.
        attempts: How often it was tried.
        error: What was wrong the last time, as a word of ours.
        state: "dead", or "waiting" where it is still tried.
    """

    id: str
    case: str
    kind: str
    target: str
    tier: str
    at: float
    attempts: int
    error: str
    state: str


@dataclass(slots=True)
class Outbox:
    """Messages in the store.

    Attributes:
        opened: The store.
        now: The clock, s since 1970.
    """

    opened: sa.Engine
    now: Callable[[], float] = time
    _sending: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @contextmanager
    def next(self, target: str) -> Iterator[Taken | None]:
        """The next message to a target, for as long as it is being sent; None if none is due.

        Raises:
            StoreFailed: The store can't be used.
        """
        way = self._alone(target) if is_sqlite(self.opened) else self._locked(target)
        with way as taken:
            yield taken

    def is_waiting(self, target: str) -> bool:
        """Whether any message to a target is due.

        Raises:
            StoreFailed: It can't be read.
        """
        with failing("can't be read"), self.opened.connect() as connection:
            query = self._due(target).with_only_columns(NotificationRow.id)
            return any(id not in self._sending for (id,) in connection.execute(query))

    def settle(self, taken: Taken, result: Result) -> None:
        """Writes down what came of an attempt, where `mark` couldn't.

        Raises:
            StoreFailed: It still can't be written.
        """
        query = _columns(sa.select(NotificationRow)).where(
            NotificationRow.id == taken.message.id, NotificationRow.state == WAITING
        )
        with failing("can't be written"), writing(self.opened) as connection:
            found = connection.execute(query.with_for_update()).mappings().first()
            if found is not None:
                self._mark(connection, found, result)

    def undelivered(self, states: Sequence[str] = (DEAD,), limit: int = 1_000) -> list[Undelivered]:
        """Messages that didn't arrive, the oldest first.

        Raises:
            StoreFailed: They can't be read.
        """
        c = NotificationRow
        told = (c.id, c.case, c.kind, c.target, c.rank, c.at, c.attempts, c.error, c.state)
        query = sa.select(*told).where(c.state.in_(states)).order_by(c.at).limit(limit)
        with failing("can't be read"), self.opened.connect() as connection:
            rows = connection.execute(query)
            return [Undelivered(*row[:4], RANKED[row[4]], *row[5:]) for row in rows]

    def send_again(self, ids: Sequence[str] | None = None) -> int:
        """Has dead messages sent again, with the ids that they have.

        Args:
            ids: Which; all if None.

        Returns:
            How many.

        Raises:
            StoreFailed: The store can't be written.
        """
        c, now = NotificationRow, self.now()
        dead = sa.update(c).where(c.state == DEAD)
        if ids is not None:
            dead = dead.where(c.id.in_(ids))
        fresh = {"state": WAITING, "attempts": 0, "tried_at": now, "next_at": now}
        with failing("can't be written"), writing(self.opened) as connection:
            return connection.execute(dead.values(fresh)).rowcount

    def _due(self, target: str) -> sa.Select[NotificationRow]:
        c = NotificationRow
        return (
            sa.select(c)
            .where(c.state == WAITING, c.target == target, c.next_at <= self.now())
            .order_by(c.rank, c.next_at)
            .limit(len(self._sending) + 1)
        )

    @contextmanager
    def _locked(self, target: str) -> Iterator[Taken | None]:
        """A message whose row is locked until the transaction ends, as it does with the process."""
        with failing("can't be used"), self.opened.connect() as connection:
            found = self._lockable(connection, target)
            if found is None:
                yield None
                return

            def mark(result: Result) -> None:
                try:
                    with failing("can't be written"):
                        self._mark(connection, found, result)
                        connection.commit()
                except StoreFailed:
                    connection.invalidate()  # with its lock, for which `settle` would wait for ever
                    raise

            try:
                yield Taken(message_of(found), found["at"], mark)
            finally:
                with self._lock:
                    self._sending.discard(found["id"])

    def _lockable(self, connection: sa.Connection, target: str) -> sa.RowMapping | None:
        """A lock is lost with its connection; what this process has in hand is left out too."""
        with self._lock:
            others = NotificationRow.id.not_in(list(self._sending))
            query = self._due(target).where(others).limit(1).with_for_update(skip_locked=True)
            found = connection.execute(_columns(query)).mappings().first()
            if found is not None:
                self._sending.add(found["id"])
        return found

    @contextmanager
    def _alone(self, target: str) -> Iterator[Taken | None]:
        """A message that no other thread of this process sends; no other process does."""
        found = self._reserved(target)
        if found is None:
            yield None
            return

        def mark(result: Result) -> None:
            with failing("can't be written"), writing(self.opened) as connection:
                self._mark(connection, found, result)

        try:
            yield Taken(message_of(found), found["at"], mark)
        finally:
            with self._lock:
                self._sending.discard(found["id"])

    def _reserved(self, target: str) -> sa.RowMapping | None:
        with self._lock, failing("can't be read"), self.opened.connect() as connection:
            for row in connection.execute(_columns(self._due(target))).mappings():
                if row["id"] not in self._sending:
                    self._sending.add(row["id"])
                    return row
        return None

    def _mark(self, connection: sa.Connection, row: sa.RowMapping, result: Result) -> None:
        """Writes down what came of an attempt."""
        now, attempts = self.now(), row["attempts"] + 1
        known = {"attempts": attempts, "tried_at": now, "error": ""}
        if result.is_sent:
            known |= {"state": SENT, "sent_at": now}
        else:
            pause = max(paused(attempts), result.wait)
            known |= {"error": result.code, "failures": row["failures"] + 1}
            given_up = result.is_final or attempts >= ATTEMPTS
            known |= {"state": DEAD} if given_up else {"next_at": now + pause}
        mine = sa.update(NotificationRow).where(NotificationRow.id == row["id"])
        connection.execute(mine.values(known))


class OneSender:
    """The place of the one process that sends from an SQLite file; on a server, everybody has it.

    Args:
        opened: The store.
    """

    def __init__(self, opened: sa.Engine) -> None:
        database = opened.url.database
        file = Path(database) if is_sqlite(opened) and database else None
        lock = f"{file}.sender"
        self._lock = FileLock(lock, mode=0o600, thread_local=False) if file else None

    def taken(self) -> bool:
        """Takes the place, if it is free; whether this process has it."""
        if self._lock is None or self._lock.is_locked:
            return True
        try:
            self._lock.acquire(timeout=0)
        except (Timeout, OSError):
            return False
        return True

    def left(self) -> None:
        """Leaves the place to another."""
        if self._lock is not None and self._lock.is_locked:
            self._lock.release()


def paused(attempts: int) -> float:
    """Seconds until the next attempt: doubling, with some chance in it, up to ten minutes."""
    state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]
    state.attempt_number = attempts
    return _PAUSE(state)


def _columns(query: sa.Select[NotificationRow]) -> Query:
    """A query's rows as columns, not as objects."""
    return query.with_only_columns(*NotificationRow.__table__.columns)
