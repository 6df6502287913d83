"""Computed features on disk, by a digest of all that they depend on.

What is there is never stale, only unused; deleting the file costs time and no more. SQLite gives
what a cache of a million small arrays needs: a block is there whole or not at all, whenever the
process is killed, and two runs may share it.
"""

from __future__ import annotations

import errno
import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

FILE = "features.db"
AT_ONCE = 500  # keys of one question; SQLite takes 999 at least


class FeatureCache:
    """Bytes by key.

    Args:
        folder: Where the cache's file is; made if it isn't there.

    Raises:
        OSError: The disk is full, or the file is not a cache.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        with _as_os_error():
            self._database = sqlite3.connect(folder / FILE, timeout=60)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS features (key BLOB UNIQUE, value BLOB)"
            )

    def found(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What is there of these keys."""
        out: dict[bytes, bytes] = {}
        with _as_os_error():
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                question = f"SELECT key, value FROM features WHERE key IN ({marks})"  # noqa: S608
                out |= dict(self._database.execute(question, some))
        return out

    def keep(self, values: Mapping[bytes, bytes]) -> None:
        """Puts all of these there, or none if it fails."""
        with _as_os_error(), self._database:
            self._database.executemany(
                "INSERT OR IGNORE INTO features VALUES (?, ?)", values.items()
            )

    def close(self) -> None:
        self._database.close()


def key(*parts: str) -> bytes:
    """16 bytes that stand for these parts."""
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


@contextmanager
def _as_os_error() -> Iterator[None]:
    """SQLite's errors as the system's: whoever trains knows what a full disk is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, f"the feature cache: {error}") from None
