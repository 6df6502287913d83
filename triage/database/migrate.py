"""Migrations of the store, by Alembic: a new database is made whole, an old one only when told to.

`python -m triage.database.migrate "what changes"` writes the next one from what `tables` has and
the last migration hasn't. Read it before it is committed.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from triage.database.engine import serialised, writing
from triage.errors import BadSetting

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")
VERSION_TABLE = "alembic_version"
UPGRADE = "Make a copy of the database, then run `triage store upgrade`"


@dataclass(frozen=True, slots=True)
class Revision:
    """Where a database stands.

    Attributes:
        found: The revision that it is of; empty if it has no tables.
        wanted: The one that this Triage works with.
    """

    found: str
    wanted: str

    @property
    def is_current(self) -> bool:
        return self.found == self.wanted


def prepare(opened: sa.Engine, setting: str) -> None:
    """Makes the tables of a database that has none, and refuses one of another version.

    Args:
        opened: The database.
        setting: Where it is named, for what to do.

    Raises:
        BadSetting: Its tables aren't ours, or are of another version.
    """
    stands = revision(opened, setting)
    if not stands.found:
        upgrade(opened, setting)
    elif not stands.is_current:
        raise BadSetting(_behind(stands, setting), limit=stands.wanted)


def revision(opened: sa.Engine, setting: str) -> Revision:
    """Where a database stands.

    Raises:
        BadSetting: It has tables that aren't ours.
    """
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    wanted = ScriptDirectory.from_config(_config()).get_current_head() or ""
    with opened.connect() as connection:
        tables = sa.inspect(connection).get_table_names()
        if not tables:
            return Revision("", wanted)
        if VERSION_TABLE not in tables:
            raise BadSetting(
                f"The database has {len(tables)} tables that are not of a store of Triage. Give "
                f"Triage a database of its own in {setting}."
            )
        found = MigrationContext.configure(connection).get_current_revision()
    return Revision(found or "", wanted)


def upgrade(opened: sa.Engine, setting: str) -> Revision:
    """Brings a database to this Triage's version, whole or not at all; others wait meanwhile.

    Returns:
        Where it stood before.

    Raises:
        BadSetting: It isn't ours, or of a newer version.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config()
    stood = revision(opened, setting)
    known = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    if stood.found and stood.found not in known:
        raise BadSetting(_behind(stood, setting), limit=stood.wanted)
    with writing(opened) as connection:
        serialised(connection, ["triage migration"])
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return stood


def _behind(stands: Revision, setting: str) -> str:
    from alembic.script import ScriptDirectory

    known = [one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()]
    told = f"The store is of revision {stands.found}, this Triage works with {stands.wanted}. "
    if stands.found in known:
        return f"{told}{UPGRADE}."
    return f"{told}Update Triage, or name another database in {setting}."


def _config() -> Config:
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _write(message: str) -> None:
    """Writes the next migration."""
    from alembic import command

    opened = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    config = _config()
    with opened.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        number = len(list((MIGRATIONS / "versions").glob("[0-9]*.py"))) + 1
        command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")


if __name__ == "__main__":
    _write(" ".join(sys.argv[1:]))
