"""Databases: SQLite in a private file, or another by its URL; their errors without any content."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from triage.errors import BadSetting, TriageError

PATIENCE = 30  # seconds that SQLite waits for another writer
AGAIN = 0.02  # seconds until what it doesn't wait for is tried again


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
        opened = sa.create_engine(
            parsed,
            poolclass=None if kept_open else NullPool,
            hide_parameters=True,
            connect_args={"timeout": PATIENCE} if sqlite else {},
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
    """Readers go on while somebody writes."""
    end = monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:  # SQLite doesn't wait for this as it does for other locks
            if monotonic() > end:
                raise
            sleep(AGAIN)
        else:
            return
