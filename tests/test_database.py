"""The store's database: its migrations, who may open it, and that its errors tell nothing."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from triage.database.engine import writing
from triage.database.migrate import revision, upgrade
from triage.database.store import SETTING, open_store
from triage.database.tables import Base
from triage.errors import BadSetting


def test_the_migrations_make_what_the_tables_say(store_url: str) -> None:
    with open_store(store_url).connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_an_older_store_is_upgraded_when_told_and_refused_before(store_url: str) -> None:
    opened = open_store(store_url)
    with opened.begin() as connection:  # what a store before the first migration would be
        Base.metadata.drop_all(connection)
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(BadSetting, match=r"revision 0000.*TRIAGE_STORE"):
        open_store(store_url)
    with opened.begin() as connection:
        connection.execute(sa.text("DELETE FROM alembic_version"))
    assert upgrade(opened, SETTING).found == ""
    assert revision(opened, SETTING).is_current
    open_store(store_url)


def test_several_may_begin_at_once(tmp_path: Path, store_url: str) -> None:
    files = [f"sqlite:///{tmp_path}/{n}.db" for n in range(5)]
    urls = [store_url] if "postgresql" in store_url else files
    for url in urls:
        with ThreadPoolExecutor(6) as pool:
            stores = list(pool.map(lambda _, url=url: open_store(url), range(6)))
        assert all(revision(one, SETTING).is_current for one in stores)


def test_a_transaction_that_reads_first_is_alone_from_its_beginning(store_url: str) -> None:
    opened = open_store(store_url)
    with opened.begin() as connection:
        connection.execute(sa.text("CREATE TABLE counter (n INTEGER)"))
        connection.execute(sa.text("INSERT INTO counter VALUES (0)"))
    query = sa.select(sa.column("n")).select_from(sa.table("counter")).with_for_update()

    def add(_: int) -> None:
        for _ in range(25):
            with writing(opened) as connection:
                (n,) = connection.execute(query).one()
                connection.execute(sa.text("UPDATE counter SET n = :n"), {"n": n + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    with opened.connect() as connection:
        assert connection.execute(sa.text("SELECT n FROM counter")).scalar() == 100


def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path / 'triage.db'}")
    assert (tmp_path / "triage.db").stat().st_mode & 0o077 == 0


def test_a_store_that_cannot_be_opened_is_told_without_its_url(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadSetting) as caught:
        open_store(f"sqlite:///{tmp_path / 'file' / 'triage.db'}")
    assert str(tmp_path) not in caught.value.detail
    with pytest.raises(BadSetting, match="TRIAGE_STORE"):
        open_store("no url")
    with pytest.raises(BadSetting, match="TRIAGE_STORE") as caught:
        open_store("postgresql+psycopg://user:canary@127.0.0.1:1/x")
    assert "canary" not in caught.value.detail


def test_somebody_elses_database_is_refused_and_left(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    sqlite3.connect(file).executescript("CREATE TABLE theirs (id TEXT)")
    with pytest.raises(BadSetting, match="not of a store"):
        open_store(f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
