"""Opening the store of decisions and cases, and telling of its errors."""

from __future__ import annotations

from contextlib import AbstractContextManager

import sqlalchemy as sa

from triage.database.engine import engine, told
from triage.database.migrate import prepare
from triage.errors import BadSetting, StoreFailed

STORE = "store of decisions"
SETTING = "TRIAGE_STORE"
FILE = "triage.db"


def open_store(url: str) -> sa.Engine:
    """The store, with its tables.

    Args:
        url: As SQLAlchemy has it. It may hold a password, so no error tells it.

    Raises:
        BadSetting: It can't be opened, isn't ours, or is of another version.
    """
    opened = engine(url, setting=SETTING, file=FILE, kept_open=True)
    with told(STORE, BadSetting, "can't be opened", f"Look at {SETTING} and the database's rights"):
        prepare(opened, SETTING)
    return opened


def failing(what: str) -> AbstractContextManager[None]:
    """Tells of an error of the store, as one for which nothing may be answered.

    Args:
        what: What can't be done with it.
    """
    remedy = "Nothing was answered; try again when it is back"
    return told(STORE, StoreFailed, what, remedy)
