"""Whole runs of few recordings for tests: all is real but the model, which scores by a rule."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from batch_parts import NOON, a_plan
from casework import RULES, casework_policy, roster_of
from conftest import MANIFEST, NOTHING, FakeTriage
from policies import rule

from triage.archive.entries import Distant, Entry, PassedOver, Unreadable
from triage.batch.journal import Journal
from triage.batch.plan import Plan
from triage.batch.run import Run, Stand
from triage.batch.work import Group, Readable, Scored
from triage.database.store import open_store
from triage.database.tables import CaseRow, DecisionRow, EscalationRow, MoveRow, NotificationRow
from triage.errors import DamagedAudio, NothingToScore
from triage.escalate.casebook import Casebook
from triage.guard import Guard
from triage.policy.model import Policy
from triage.records import Recording, Scores
from triage.safeguards.audit import AuditLog, verify
from triage.safeguards.pseudonym import Pseudonymiser

ROWS = 4  # of a part, in these tests
GROUP = 3  # recordings that the engine scores together
READING = 0.5  # s that a group is said to take
SURVEY = "a" * 64
TIMED = {"took", "megabytes", "stages"}  # what depends on the machine
AGAIN = rule(
    "again", "E3", ["queue:on-call"], "scores.distress >= 0.3 && history.day.distress >= 2"
)
FAINT = rule("faint", "E2", ["queue:on-call"], "scores.distress >= 0.3")
TABLES = (DecisionRow, CaseRow, EscalationRow, NotificationRow, MoveRow)


@cache
def policy() -> Policy:
    """Faint distress is looked at within a day; the third time by an account, within the hour."""
    categories = {
        name: {"threshold": 0.3, "severity": 4}
        for name in ("distress", "violence", "hate", "sexual")
    }
    history = {"windows": {"day": 86_400}, "cool_down": 600}
    return casework_policy(rules=[*RULES, AGAIN, FAINT], history=history, categories=categories)


# What is scored ---------------------------------------------------------------------------------


def clip(id: str, said: str, account: str = "") -> Recording:
    """A recording with `said` as its distress; "" can't be scored, "breaks" breaks a stage."""
    context = {"account": account, "recorded_at": NOON.isoformat()} if account else {}
    return Recording(id, transcript=said, context=context)


def unreadable(id: str) -> Unreadable:
    return Unreadable(id, DamagedAudio("It ends."))


HIDDEN, OTHER = PassedOver("hidden"), PassedOver("not-audio")
ENTRIES: tuple[Entry, ...] = (
    HIDDEN,
    clip("calm", "0.1", "ann"),
    clip("first", "0.4", "ann"),
    OTHER,
    unreadable("damaged"),
    clip("second", "0.4", "ann"),
    HIDDEN,  # between two parts
    OTHER,
    clip("third", "0.4", "ann"),  # by the history of the part before
    clip("another's", "0.4", "bob"),
    clip("breaks", "breaks"),
    clip("loud", "0.9", "bob"),
    HIDDEN,  # of the third part, or of the end where there is none
    clip("twice", "0.4", "bob"),
    clip("empty", ""),
    HIDDEN,
    HIDDEN,
)
SHORT = ENTRIES[:13]  # two parts
RULED = ["none", "faint", "faint", "again", "faint", "fallback:stage_failed", "cry", "again"]


def scores_of(said: str) -> Scores | NothingToScore:
    if not said:
        return NothingToScore("There is nothing.")
    broken = said == "breaks"
    return Scores(
        model=MANIFEST.name,
        categories=NOTHING | {"distress": 0.0 if broken else float(said)},
        applied={"distress": ("text",)},
        seconds=1.5,
        failures={"text": "RuntimeError"} if broken else {},
    )


@dataclass
class ByRule:
    """An engine that scores by what is said, some at once, and keeps who was scored."""

    heard: list[str] = field(default_factory=list)

    def scored(self, entries: Iterator[Readable]) -> Iterator[Group]:
        while group := list(islice(entries, GROUP)):
            yield Group([self._scored(one) for one in group], {"read": READING})

    def _scored(self, entry: Readable) -> Scored:
        assert not isinstance(entry, Distant)
        self.heard.append(entry.id)
        if isinstance(entry, Unreadable):
            return Scored(entry.id, {}, "", entry.error)
        return Scored(entry.id, entry.context, "c" * 32, scores_of(entry.transcript or ""))


# A run ------------------------------------------------------------------------------------------


@dataclass
class Place:
    """A run's folder, its store and its audit, and what one sitting there has besides.

    Attributes:
        folder: Of all of it.
        url: Of the store; empty for a file in the folder.
        now: The clock of the guarded way.
        told: How far it was said to be.
        engine: Scores.
    """

    folder: Path
    url: str = ""
    now: datetime = NOON
    told: list[Stand] = field(default_factory=list)
    engine: ByRule = field(default_factory=ByRule)
    _opened: list[sa.Engine] = field(default_factory=list)

    @property
    def audit(self) -> Path:
        return self.folder / "audit.jsonl"

    def journal(self) -> Journal:
        return Journal(self.folder / "run")

    def read(self) -> Journal:
        journal = self.journal()
        journal.read()
        return journal

    def store(self) -> sa.Engine:
        """The store, opened once: what it has learnt of its queries is of use to every sitting."""
        if not self._opened:
            opened = open_store(self.url or f"sqlite:///{self.folder / 'triage.db'}")
            if opened.dialect.name == "sqlite":
                sa.event.listen(opened, "connect", _in_haste)
                opened.dispose()
            self._opened.append(opened)
        return self._opened[0]

    def as_in(self, other: Path) -> None:
        """Puts all of another's folder in place of its own."""
        self.store().dispose()
        shutil.rmtree(self.folder)
        shutil.copytree(other, self.folder)

    def guard(self, store: sa.Engine) -> Guard:
        audit, fake = AuditLog(self.audit), FakeTriage(policy())
        book = Casebook(store, policy, roster_of, audit)
        return Guard(fake, Pseudonymiser(b"k" * 32), audit, book, now=lambda: self.now)

    def go_on(self, entries: Iterable[Entry] = ENTRIES, **plan: Any) -> Journal:
        """Takes a run to its end, from wherever it is, as the command line does."""
        journal, opened = self.journal(), self.store()
        with journal.hold():
            if journal.plan() is None:
                journal.write_plan(a_plan(policy=policy().digest, **plan))
            journal.read()
            if journal.end is None:
                work = Run(journal.plan() or _none(), journal, self.guard(opened), self.told.append)
                work.settle_staged()
                work.go(entries, self.engine)
                work.end(SURVEY)
        opened.dispose()  # or a fork would share its connections
        return journal

    # What came of it --------------------------------------------------------------------------

    def table(self, of: str = "results") -> pa.Table:
        return pa.concat_tables(
            pq.read_table(file) for file in sorted((self.folder / "run" / of).iterdir())
        )

    def rows(self, of: str = "results") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.table(of).to_pylist()
        return rows

    def kept(self) -> dict[str, list[dict[str, Any]]]:
        """All rows of the store, but for the number that the database gives one."""
        found, store = {}, self.store()
        with store.connect() as connection:
            for table in TABLES:
                columns = [
                    one
                    for one in table.__table__.columns
                    if one.name != "id" or one.type.python_type is str
                ]
                query = sa.select(*columns).order_by(*columns)
                found[table.__tablename__] = [
                    dict(row) for row in connection.execute(query).mappings()
                ]
        store.dispose()
        return found

    def audited(self) -> dict[str, dict[str, Any]]:
        """The entries of the audit by their hashes, once all of it is known to hold."""
        verify(self.audit)
        entries = {}
        for line in self.audit.read_bytes().splitlines():
            with suppress(ValueError):  # half a line, which another notes
                entry = json.loads(line)
                entries[entry["hash"]] = entry
        return entries


def lines(place: Place) -> list[Any]:
    """What the journal says, but for what depends on the machine."""
    journal = place.read()
    return [*(one.model_dump(exclude=TIMED) for one in journal.parts), journal.end]


def is_as(place: Place, other: Place) -> None:
    """Everything that came of both is the same, and all of it is in the audit."""
    assert place.table().equals(other.table(), check_metadata=True)
    assert lines(place) == lines(other)
    assert place.kept() == other.kept()
    written, passes = place.audited(), place.rows("passes")
    for row, result in zip(passes, place.rows(), strict=True):
        entry = written[row["audit"]]
        assert entry["kind"] == ("refusal" if result["error"] else "decision")
        said = entry["body"]
        assert (said["id"], said["way"]) == (row["id"], "batch")
        assert (said.get("tier"), said.get("refused")) == (result["tier"], result["error"])
        assert said.get("case", "") == (row["case"] or "")
    others = other.rows("passes")
    assert [one | {"audit": ""} for one in passes] == [one | {"audit": ""} for one in others]


class Stopped(Exception):
    pass


class Stopping(ByRule):
    """An engine that breaks after some groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self._groups = groups

    def scored(self, entries: Iterator[Readable]) -> Iterator[Group]:
        yield from islice(super().scored(entries), self._groups)
        raise Stopped


def stopped_after_a_part(here: Place, entries: Iterable[Entry] = ENTRIES, groups: int = 2) -> None:
    with pytest.raises(Stopped):
        replace(here, engine=Stopping(groups)).go_on(entries)


def _in_haste(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")  # nobody cuts the power here


def _none() -> Plan:
    raise AssertionError("no run was begun")
