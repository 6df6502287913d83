"""The store: what goes in comes out, a later label wins, and it is written whole or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres import Server

from triage.errors import BadSetting, LabelsRefused
from triage.labels.rows import Labelled, row_digest
from triage.labels.store import BATCH, Store, Taken
from triage.settings import Settings

CANARY = "canary"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def row(id: str = "1", **fields: Any) -> Labelled:
    given: dict[str, Any] = {"source": "s", "licence": "MIT", "group": "g", "split": "train"}
    given |= {"labels": {"hate": 1}, "events": {}, "text": "words", **fields}
    return Labelled(id=id, **given)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "labels.db"


@pytest.fixture
def store(file: Path) -> Store:
    return Store(f"sqlite:///{file}")


def times(file: Path) -> list[str]:
    with sqlite3.connect(file) as connection:
        return [at for (at,) in connection.execute("SELECT labelled_at FROM labels ORDER BY id")]


# What goes in comes out ---------------------------------------------------------------------


def test_a_row_comes_back_whole(store: Store, tmp_path: Path) -> None:
    one = row(
        labels={"violence": 0, "hate": 1, "distress": 1 / 3},
        events={"scream": 1},
        split="val",
        audio=tmp_path / "1.wav",
        text=None,
        annotator="a",
        golden=True,
        weight=1 / 3,
    )
    assert store.put([one]) == Taken(1, 0, 0)
    (back,) = store.rows()
    assert back == one
    assert row_digest(back) == row_digest(one)


def test_audio_is_kept_as_an_absolute_path(store: Store) -> None:
    store.put([row(audio=Path("clips/1.wav"))])
    assert [one.audio for one in store.rows()] == [Path.cwd() / "clips/1.wav"]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.dictionaries(st.tuples(texts, st.one_of(st.none(), texts)), texts, max_size=8))
def test_any_text_comes_back(tmp_path: Path, said: dict[tuple[str, str | None], str]) -> None:
    file = tmp_path / "labels.db"
    file.unlink(missing_ok=True)
    store = Store(f"sqlite:///{file}")
    rows = [row(id, annotator=by, text=text) for (id, by), text in said.items()]
    store.put(rows)
    key = lambda one: (one.id, one.annotator or "")  # noqa: E731
    assert list(store.rows()) == sorted(rows, key=key)
    assert store.count() == len(rows)


def test_rows_come_in_the_order_of_their_ids_beyond_a_batch(store: Store) -> None:
    count = BATCH + 7
    ids = [f"{number:05}" for number in range(count)]
    assert store.put(row(id) for id in reversed(ids)) == Taken(count, 0, 0)
    assert [one.id for one in store.rows()] == ids


def test_labels_that_are_the_same_are_in_memory_once(store: Store) -> None:
    store.put([row("1"), row("2")])
    one, other = store.rows()
    assert one.labels is other.labels


def test_rows_may_be_read_while_others_are_written(store: Store) -> None:
    store.put(row(str(number)) for number in range(BATCH * 2))
    reading = store.rows()
    next(reading)
    store.put([row("new")])
    assert sum(1 for _ in reading) == BATCH * 2 - 1


# A later label ------------------------------------------------------------------------------


def test_a_later_label_takes_the_place_of_the_same_annotators_only(file: Path) -> None:
    now = NOON
    store = Store(f"sqlite:///{file}", lambda: now)
    store.put([row("1", annotator="a"), row("2", annotator="a"), row("3", annotator="b")])
    now += timedelta(hours=1)
    again = [
        row("1", annotator="a"),
        row("2", annotator="a", labels={"hate": 0}),
        row("3", annotator="a"),
        row("3"),
    ]
    assert store.put(again) == Taken(new=2, changed=1, same=1)
    kept = {(one.id, one.annotator): dict(one.labels) for one in store.rows()}
    assert kept == {
        ("1", "a"): {"hate": 1},
        ("2", "a"): {"hate": 0},
        ("3", None): {"hate": 1},
        ("3", "a"): {"hate": 1},
        ("3", "b"): {"hate": 1},
    }
    assert [at[:13] for at in times(file)] == [
        "2026-05-01 12", "2026-05-01 13", "2026-05-01 13", "2026-05-01 13", "2026-05-01 12",
    ]  # fmt: skip


def test_of_several_at_once_the_last_counts(store: Store) -> None:
    far = [row(str(number)) for number in range(2, BATCH + 2)]
    assert store.put([row(text="a"), row(text="b")]) == Taken(1, 0, 0)
    assert store.put([row(text="c"), *far, row(text="d")]) == Taken(BATCH, 2, 0)
    assert next(store.rows()).text == "d"


def test_every_field_counts_as_a_change(store: Store) -> None:
    store.put([row(annotator="a")])
    changes: list[dict[str, Any]] = [
        {"source": "t"}, {"licence": "x"}, {"group": "h"}, {"split": "val"}, {"labels": {}},
        {"events": {"cry": 0}}, {"text": "other"}, {"audio": Path("/a")}, {"golden": True},
        {"weight": 2.0},
    ]  # fmt: skip
    one = row(annotator="a")
    for change in changes:
        one = replace(one, **change)
        assert store.put([one]) == Taken(0, 1, 0), change
        assert store.put([one]) == Taken(0, 0, 1), change


def test_the_time_is_kept_in_utc(file: Path) -> None:
    from datetime import timezone

    store = Store(f"sqlite:///{file}", lambda: NOON.astimezone(timezone(timedelta(hours=5))))
    store.put([row()])
    assert times(file)[0].startswith("2026-05-01 12:00")


# Whole or not at all ------------------------------------------------------------------------


def breaking() -> Iterator[Labelled]:
    for number in range(BATCH * 2):
        yield row(str(number))
    raise LabelsRefused("broken")


def test_rows_that_break_off_leave_the_old_state(store: Store) -> None:
    store.put([row("0", text="old")])
    with pytest.raises(LabelsRefused, match="broken"):
        store.put(breaking())
    assert [one.text for one in store.rows()] == ["old"]


def test_a_full_disk_leaves_the_old_state(store: Store) -> None:
    store.put([row("old")])

    def fill(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA max_page_count=20")

    sa.event.listen(store._engine, "connect", fill)
    with pytest.raises(LabelsRefused, match="SQLITE_FULL") as caught:
        store.put(row(str(number), text=CANARY * 50) for number in range(BATCH * 3))
    assert CANARY not in caught.value.detail
    assert caught.value.__cause__ is None
    assert [one.id for one in store.rows()] == ["old"]


KILLED = """
import sys
from triage.labels.rows import Labelled
from triage.labels.store import Store
def rows():
    for n in range(5000):
        yield Labelled(str(n), "s", "l", "g", "train", {}, {}, text="x" * 500)
    print("there", flush=True)
    sys.stdin.read()
Store(sys.argv[1]).put(rows())
"""


def test_a_kill_leaves_the_old_state(store: Store, file: Path) -> None:
    store.put([row("old")])
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, f"sqlite:///{file}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"there\n"
        assert store.count() == 1
        os.kill(child.pid, signal.SIGKILL)
    assert [one.id for one in store.rows()] == ["old"]
    assert store.put([row("new")]) == Taken(1, 0, 0)


def test_several_writers_take_turns(file: Path) -> None:
    taken: list[Taken] = []

    def write() -> None:
        taken.append(Store(f"sqlite:///{file}").put(row(str(n)) for n in range(BATCH + 500)))

    writers = [threading.Thread(target=write) for _ in range(3)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    whole = BATCH + 500
    assert sorted(taken) == [Taken(0, 0, whole), Taken(0, 0, whole), Taken(whole, 0, 0)]


# The database -------------------------------------------------------------------------------


def test_only_its_owner_reads_the_file(store: Store, file: Path) -> None:
    store.put([row()])
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_store_opens_again(store: Store, file: Path) -> None:
    store.put([row()])
    assert Store(f"sqlite:///{file}").count() == 1


def test_a_newer_version_is_refused(store: Store, file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(BadSetting, match=r"revision 9999.*Update Triage.*TRIAGE_LABELS"):
        Store(f"sqlite:///{file}")


def test_a_database_of_somebody_elses_is_refused_and_left(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE labels (id TEXT)")
    with pytest.raises(BadSetting, match="not of a store"):
        Store(f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("labels",)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "labels.db"
    file.write_bytes(f"{CANARY} is no database, and longer than a header ".encode() * 30)
    with pytest.raises(BadSetting, match=r"SQLITE_NOTADB.*TRIAGE_LABELS") as caught:
        Store(f"sqlite:///{file}")
    assert CANARY not in caught.value.detail


@pytest.mark.parametrize("url", ["no url", "nosuch://user:canary@host/labels", ""])
def test_what_is_no_url_of_a_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadSetting, match="TRIAGE_LABELS") as caught:
        Store(url)
    assert CANARY not in caught.value.detail


def test_a_place_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadSetting, match="can't be made"):
        Store(f"sqlite:///{tmp_path / 'file' / 'labels.db'}")


def test_postgresql_keeps_them_as_well(postgres: Server) -> None:
    url = postgres.database()
    store = Store(url)
    assert store.put([row("b"), row("a", annotator="x")]) == Taken(2, 0, 0)
    assert store.put([row("b", labels={"hate": 0})]) == Taken(0, 1, 0)
    assert [one.id for one in Store(url).rows()] == ["a", "b"]


def test_where_it_is_unless_told(tmp_path: Path) -> None:
    ours = Settings(state=tmp_path)
    Store(ours.labels_url).put([row()])
    assert (tmp_path / "labels.db").is_file()
    told = Settings(state=tmp_path, labels="postgresql://user:canary@host/labels")
    assert told.labels_url == "postgresql://user:canary@host/labels"
    assert CANARY not in repr(told)
