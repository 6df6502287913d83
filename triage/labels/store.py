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
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from triage.database.engine import engine, serialised, told, writing
from triage.database.migrate import prepare
from triage.database.tables import LabelRow
from triage.errors import BadSetting, LabelsRefused
from triage.labels.rows import Labelled

BATCH = 1_000  # rows held in memory besides the caller's own
STORE = "store of labels"
SETTING = "TRIAGE_LABELS"
FILE = "labels.db"
NOBODY = ""  # stands for an unknown annotator; a primary key may not be NULL
SHARED = ("source", "licence", "split", "annotator")  # many rows have the same ones

ROW = tuple(getattr(LabelRow, one.name) for one in fields(Labelled))

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
        self._engine = engine(url, setting=SETTING, file=FILE)
        remedy = f"Look at {SETTING} and the database's rights"
        with told(STORE, BadSetting, "can't be opened", remedy):
            prepare(self._engine, SETTING)

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
            writing(self._engine) as connection,
        ):
            serialised(connection, [STORE])  # until the end no one else writes labels
            while batch := {_key(row): _columns(row) for row in islice(waiting, BATCH)}:
                taken += _put(connection, batch, at)
        return Taken(taken["new"], taken["changed"], taken["same"])

    def rows(self) -> Iterator[Labelled]:
        """Every row, in the order of their ids, read as they are asked for.

        Raises:
            LabelsRefused: They can't be read.
        """
        query = sa.select(*ROW).order_by(LabelRow.id, LabelRow.annotator)
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
            return opened.execute(sa.select(sa.func.count()).select_from(LabelRow)).scalar_one()


def _put(
    connection: sa.Connection, batch: Mapping[Key, dict[str, Any]], at: datetime
) -> Counter[str]:
    query = sa.select(*ROW).where(LabelRow.id.in_({id for id, _ in batch}))
    held = {(one["id"], one["annotator"]): one for one in connection.execute(query).mappings()}
    new = [row | {"labelled_at": at} for key, row in batch.items() if key not in held]
    changed = [
        row | {"labelled_at": at, "of_id": key[0], "of_annotator": key[1]}
        for key, row in batch.items()
        if key in held and held[key] != row
    ]
    if new:
        connection.execute(sa.insert(LabelRow), new)
    if changed:
        theirs = LabelRow.id == sa.bindparam("of_id")
        theirs &= LabelRow.annotator == sa.bindparam("of_annotator")
        connection.execute(sa.update(LabelRow).where(theirs), changed)
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
