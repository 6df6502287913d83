"""Databases: SQLite in a private file, or another by its URL; their errors without any content."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from triage.errors import BadSetting, TriageError

PATIENCE = 30  # seconds that SQLite waits for another writer
AGAIN = 0.02  # seconds until what it doesn't wait for is tried again
CONNECTING = 5  # seconds that a server has to take a connection
KEPT_OPEN = 20  # connections of one process: the senders to each target hold one while they send

Query = sa.Select[*tuple[Any, ...]]  # of whatever columns

_WRITERS: WeakKeyDictionary[sa.Engine, Lock] = WeakKeyDictionary()
_WRITERS_LOCK = Lock()


def engine(url: str, *, setting: str, file: str, kept_open: bool = False) -> sa.Engine:
    """Opens a database.

    Args:
        url: As SQLAlchemy has it; it may hold a password, so no error tells it.
        setting: The variable that it comes from, for what to do about an error.
        file: What an SQLite file is called there.
        kept_open: Whether connections stay open for the next use, as in a service.

    Raises:
        BadSetting: It is no URL that can be used, or its file can't be made.
    """
    try:
        parsed = sa.make_url(url)
        sqlite = parsed.get_backend_name() == "sqlite"
        pool: dict[str, Any] = {"pool_pre_ping": True, "pool_size": KEPT_OPEN, "max_overflow": -1}
        opened = sa.create_engine(
            parsed,
            hide_parameters=True,
            connect_args={"timeout": PATIENCE} if sqlite else {"connect_timeout": CONNECTING},
            **(pool if kept_open else {"poolclass": NullPool}),
        )
    except (SQLAlchemyError, ImportError) as error:
        raise BadSetting(
            f"{setting} is no URL of a database that can be used here ({type(error).__name__}). "
            f"Write sqlite:///folder/{file}, or postgresql+psycopg://… with psycopg installed."
        ) from None
    if sqlite and parsed.database:
        _make_private(Path(parsed.database), setting)
        sa.event.listen(opened, "connect", _write_ahead)
    return opened


@contextmanager
def writing(opened: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that writes what follows from what it reads; all of it or nothing.

    SQLite takes its one writer's place at once: a transaction that first reads can't take it
    later, if another has written meanwhile. On a server, lock the rows that are read.
    """
    if not is_sqlite(opened):
        with opened.begin() as connection:
            yield connection
        return
    with _writer(opened), opened.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


def _writer(opened: sa.Engine) -> Lock:
    """The place of the one writer among this process's threads.

    They take turns here, which costs nothing; for SQLite's own place they would ask again and
    again with growing pauses.
    """
    with _WRITERS_LOCK:
        return _WRITERS.setdefault(opened, Lock())


def serialised(connection: sa.Connection, names: Iterable[str]) -> None:
    """Waits until nobody else's transaction has any of these names, and takes them to its end.

    On SQLite, whose writers are alone anyway, there is nothing to wait for.
    """
    if connection.dialect.name == "postgresql":
        lock = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        for name in sorted(set(names)):  # in one order, or two could wait for each other
            connection.execute(lock, {"name": name})


def is_sqlite(opened: sa.Engine) -> bool:
    """Whether a database is a file with one writer."""
    return opened.dialect.name == "sqlite"


@contextmanager
def told(name: str, kind: type[TriageError], what: str, remedy: str) -> Iterator[None]:
    """Turns a database's error into ours: its own message may hold a row's content.

    Args:
        name: What the database is to its users.
        kind: Of our error.
        what: What can't be done with it.
        remedy: What to do, without its stop.
    """
    try:
        yield
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
        code = code or type(cause).__name__
        raise kind(f"The {name} {what} ({code}). {remedy}.") from None


def _make_private(file: Path, setting: str) -> None:
    """Makes the file before SQLite does, which would let others read it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError as error:
        raise BadSetting(
            f"The database's file can't be made ({error.strerror}). Name another place in "
            f"{setting} or TRIAGE_STATE."
        ) from None


def _write_ahead(connection: Any, _record: object) -> None:
    """Readers go on while somebody writes. Rows that refer to others need them."""
    end = monotonic() + PATIENCE
    connection.execute("PRAGMA foreign_keys=ON")
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:  # SQLite doesn't wait for this as it does for other locks
            if monotonic() > end:
                raise
            sleep(AGAIN)
        else:
            return
