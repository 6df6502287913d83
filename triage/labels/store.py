"""The project's own store of labels: SQLite in a file, or PostgreSQL by its URL.

It holds transcripts as they are. A new SQLite file is readable by its owner only; sealing what is
in it comes with the vault. Audio stays where it is: its absolute path is kept.

A label is what one annotator says of one recording. A later one takes the place of theirs, and
other annotators' stay beside it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from triage.database import engine, told
from triage.errors import BadSetting, LabelsRefused
from triage.labels.rows import Labelled

VERSION = 1  # of the tables; raise it with every change to them, and bring older ones along
BATCH = 1_000  # rows held in memory besides the caller's own
STORE = "store of labels"
NOBODY = ""  # stands for an unknown annotator; a primary key may not be NULL
SHARED = ("source", "licence", "split", "annotator")  # many rows have the same ones

METADATA = sa.MetaData()
SCHEMA = sa.Table("triage_schema", METADATA, sa.Column("version", sa.Integer, primary_key=True))
LABELS = sa.Table(
    "labels",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("licence", sa.Text, nullable=False),
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("split", sa.Text, nullable=False),
    sa.Column("labels", sa.Text, nullable=False),  # JSON, its names sorted
    sa.Column("events", sa.Text, nullable=False),  # likewise
    sa.Column("text", sa.Text),
    sa.Column("audio", sa.Text),
    sa.Column("annotator", sa.Text, primary_key=True),
    sa.Column("golden", sa.Boolean, nullable=False),
    sa.Column("weight", sa.Double, nullable=False),
    sa.Column("labelled_at", sa.DateTime(timezone=True), nullable=False),  # UTC
    sqlite_with_rowid=False,  # kept in the order in which it is read
)
VERSIONS = sa.select(SCHEMA.c.version)
ROW = tuple(LABELS.c[one.name] for one in fields(Labelled))

Key = tuple[str, str]  # id and annotator


class Taken(NamedTuple):
    """How many labels were new, took the place of another, or were there as they are."""

    new: int
    changed: int
    same: int


class Store:
    """Labels in a database; made at first use.

    Args:
        url: As SQLAlchemy has it: `sqlite:///var/labels.db`, `postgresql+psycopg://…`. It may
            hold a password, so no error tells it.
        now: The clock.

    Raises:
        BadSetting: The database can't be opened, isn't ours, or is of a newer version.
    """

    def __init__(self, url: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._engine = engine(url, setting="TRIAGE_STORE", file="labels.db")
        with told(
            STORE, BadSetting, "can't be opened", "Look at TRIAGE_STORE and the database's rights"
        ):
            self._prepare()

    def put(self, rows: Iterable[Labelled]) -> Taken:
        """Takes rows in, all of them or none.

        Args:
            rows: Any number; they are not held in memory. Of several by one annotator on one id,
                the last counts.

        Raises:
            LabelsRefused: They can't be written; the store is as it was.
        """
        at, taken = self._now().astimezone(UTC), Counter[str]()
        waiting = iter(rows)
        remedy = "What it held before is still there. Make room, or try again"
        with (
            told(STORE, LabelsRefused, "can't be written", remedy),
            self._engine.begin() as connection,
        ):
            # Until the end no one else writes: SQLite locks the file, PostgreSQL this row.
            connection.execute(SCHEMA.update().values(version=SCHEMA.c.version))
            while batch := {_key(row): _columns(row) for row in islice(waiting, BATCH)}:
                taken += _put(connection, batch, at)
        return Taken(taken["new"], taken["changed"], taken["same"])

    def rows(self) -> Iterator[Labelled]:
        """Every row, in the order of their ids, read as they are asked for.

        Raises:
            LabelsRefused: They can't be read.
        """
        query = sa.select(*ROW).order_by(LABELS.c.id, LABELS.c.annotator)
        with (
            told(STORE, LabelsRefused, "can't be read", "Restore it from a copy"),
            self._engine.connect() as opened,
        ):
            for found in opened.execution_options(yield_per=BATCH).execute(query).mappings():
                yield _row(found)

    def count(self) -> int:
        """How many rows there are, one for each annotator of each id."""
        with (
            told(STORE, LabelsRefused, "can't be read", "Restore it from a copy"),
            self._engine.connect() as opened,
        ):
            return opened.execute(sa.select(sa.func.count()).select_from(LABELS)).scalar_one()

    def _prepare(self) -> None:
        """Makes the tables, or checks that they are ours."""
        tables = sa.inspect(self._engine).get_table_names()
        if tables and SCHEMA.name not in tables:
            raise BadSetting(
                f"The store's database has {len(tables)} tables that are not of a store of labels. "
                "Give it a database of its own in TRIAGE_STORE."
            )
        with suppress(IntegrityError), self._engine.begin() as connection:
            # In this order, or after a kill between the two they would not be known as ours.
            for table in (SCHEMA, LABELS):
                connection.execute(CreateTable(table, if_not_exists=True))
            if connection.execute(VERSIONS).first() is None:
                connection.execute(SCHEMA.insert().values(version=VERSION))  # another may be first
        with self._engine.connect() as connection:
            version = connection.execute(VERSIONS).scalar_one()
        if version > VERSION:
            raise BadSetting(
                f"The store is of version {version}, this Triage knows up to {VERSION}. Update "
                "Triage, or name another store in TRIAGE_STORE.",
                limit=VERSION,
            )


def _put(
    connection: sa.Connection, batch: Mapping[Key, dict[str, Any]], at: datetime
) -> Counter[str]:
    query = sa.select(*ROW).where(LABELS.c.id.in_({id for id, _ in batch}))
    held = {(one["id"], one["annotator"]): one for one in connection.execute(query).mappings()}
    new = [row | {"labelled_at": at} for key, row in batch.items() if key not in held]
    changed = [
        row | {"labelled_at": at, "of_id": key[0], "of_annotator": key[1]}
        for key, row in batch.items()
        if key in held and held[key] != row
    ]
    if new:
        connection.execute(LABELS.insert(), new)
    if changed:
        theirs = LABELS.c.id == sa.bindparam("of_id")
        theirs &= LABELS.c.annotator == sa.bindparam("of_annotator")
        connection.execute(LABELS.update().where(theirs), changed)
    same = len(batch) - len(new) - len(changed)
    return Counter(new=len(new), changed=len(changed), same=same)


def _key(row: Labelled) -> Key:
    return row.id, row.annotator or NOBODY


def _columns(row: Labelled) -> dict[str, Any]:
    """What is kept of a row, but for the time."""
    return {one.name: getattr(row, one.name) for one in fields(Labelled)} | {
        "labels": json.dumps(dict(row.labels), sort_keys=True),
        "events": json.dumps(dict(row.events), sort_keys=True),
        "audio": str(row.audio.absolute()) if row.audio else None,
        "annotator": row.annotator or NOBODY,
    }


def _row(found: sa.RowMapping) -> Labelled:
    kept = dict(found) | {name: sys.intern(found[name]) for name in SHARED}
    return Labelled(
        **kept
        | {
            "labels": _shares(found["labels"]),
            "events": _shares(found["events"]),
            "audio": Path(found["audio"]) if found["audio"] else None,
            "annotator": kept["annotator"] or None,
        }
    )


@lru_cache(maxsize=4096)
def _shares(told: str) -> dict[str, float]:
    """Labels from JSON; what is the same is in memory once."""
    shares: dict[str, float] = json.loads(told)
    return shares
