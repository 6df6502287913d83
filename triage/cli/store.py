"""`triage store`: what is in it, and bringing it to this version."""

from __future__ import annotations

import sqlalchemy as sa

from triage.cli.exits import Exit
from triage.cli.tables import plain_console, plain_table
from triage.database.engine import engine, told
from triage.database.migrate import revision, upgrade
from triage.database.store import FILE, SETTING, STORE
from triage.database.tables import Base
from triage.errors import BadSetting, StoreFailed
from triage.labels.store import FILE as LABELS_FILE
from triage.labels.store import SETTING as LABELS_SETTING
from triage.settings import settings


def show() -> Exit:
    """Prints the revision of each store and the rows of its tables.

    Raises:
        BadSetting: One of them isn't ours.
        StoreFailed: One of them can't be read.
    """
    console = plain_console()
    for name, setting, opened in _stores():
        with told(STORE, StoreFailed, "can't be read", f"Look at {setting}"):
            stands = revision(opened, setting)
            found = stands.found or "none: it is made when it is first used"
            console.print(f"Store of {name}: revision {found}; this Triage's is {stands.wanted}.")
            if stands.is_current:
                table = plain_table("", "table", ">rows")
                with opened.connect() as connection:
                    for one in Base.metadata.sorted_tables:
                        query = sa.select(sa.func.count()).select_from(one)
                        table.add_row(one.name, f"{connection.execute(query).scalar_one():,}")
                console.print(table)
    return Exit.DONE


def upgrade_all() -> Exit:
    """Brings each store to this version.

    Raises:
        BadSetting: One of them isn't ours, or of a newer version.
    """
    console = plain_console()
    for name, setting, opened in _stores():
        with told(STORE, BadSetting, "can't be upgraded", f"Look at {setting}"):
            stood = upgrade(opened, setting)
        console.print(f"Store of {name}: from {stood.found or 'nothing'} to {stood.wanted}.")
    return Exit.DONE


def _stores() -> list[tuple[str, str, sa.Engine]]:
    own = settings()
    cases = engine(own.store_url, setting=SETTING, file=FILE)
    labels = engine(own.labels_url, setting=LABELS_SETTING, file=LABELS_FILE)
    return [("decisions and cases", SETTING, cases), ("labels", LABELS_SETTING, labels)]
