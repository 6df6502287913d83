"""The cap on what people are shown: of all recordings ever seen, only a tiny, provable share.

A ledger in one SQLite file holds the pseudonym of every recording that was ever offered for
sampling, and which of them were drawn, in which draw. Only what was offered counts as seen, so
the real share of all recordings is lower still. No recording is drawn twice.

A recording is known by its sound (SHA-256 of its bytes), by its id only if it has none: the same
archive under another path, or a file under another name, widens nothing and is shown to nobody
a second time. A file that was encoded anew is another recording.

A draw is one transaction with its audit entry, of kind "sample", inside: without the entry
nothing is drawn, and a kill between the two leaves an entry too many, never one too few. The
entry holds the digest of the draw's pseudonyms, so that the ledger can be held against the audit;
and since each entry says how many were seen and drawn before, a ledger begun anew shows there.
"""

from __future__ import annotations

import hashlib
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from triage.errors import BadSetting
from triage.records import Recording
from triage.safeguards.audit import AuditLog
from triage.safeguards.pseudonym import Pseudonymiser
from triage.weights import sha256

LEDGER = "sampling.sqlite"
LOCK_SECONDS = 60.0  # how long to wait for another process's transaction

_TABLE = (
    "CREATE TABLE IF NOT EXISTS recordings (pseudonym TEXT PRIMARY KEY, draw INTEGER) WITHOUT ROWID"
)


@dataclass(frozen=True, slots=True)
class Sampled:
    """How the ledger stands.

    Attributes:
        seen: Distinct recordings that were ever offered.
        drawn: Those of them that were drawn for people to hear.
        cap: The share that may be, over 0 and up to 1.
    """

    seen: int
    drawn: int
    cap: float

    @property
    def allowed(self) -> int:
        """How many more may be drawn: the cap's share of `seen`, rounded down, less `drawn`."""
        return max(0, math.floor(_exact(self.cap) * self.seen) - self.drawn)

    @property
    def unseen(self) -> int:
        """How many recordings more have to be seen until one may be drawn; 0 if one may now."""
        return max(0, math.ceil((self.drawn + 1) / _exact(self.cap)) - self.seen)


class Ledger:
    """The ledger of one installation; any number of processes may use it at once.

    Args:
        path: The SQLite file; made, readable by its owner only, when it is first used.
        cap: `Settings.sampling_cap`.
        audit: Where each draw is written before anything of it is given out.
    """

    def __init__(self, path: Path, cap: float, audit: AuditLog) -> None:
        self._path = path
        self._cap = cap
        self._audit = audit

    def see(self, pseudonyms: Iterable[str]) -> None:
        """Counts recordings as seen; one that was seen before counts no second time.

        Raises:
            BadSetting: The ledger can't be read or written.
        """
        rows = ((one,) for one in sorted(pseudonyms))  # close to each other on the disk
        with self._transaction() as database:
            database.executemany("INSERT OR IGNORE INTO recordings (pseudonym) VALUES (?)", rows)

    def stand(self) -> Sampled:
        """How many were seen and drawn until now. Raises what `see` does."""
        with self._transaction() as database:
            return self._stand(database)

    def drawn(self) -> frozenset[str]:
        """The pseudonyms of all that was ever drawn. Raises what `see` does."""
        with self._transaction() as database:
            found = database.execute("SELECT pseudonym FROM recordings WHERE draw IS NOT NULL")
            return frozenset(one for (one,) in found)

    def draw(self, pseudonyms: Sequence[str], how: Mapping[str, Any], at: datetime) -> Sampled:
        """Marks recordings as drawn and writes it to the audit; only then may they be given out.

        Args:
            pseudonyms: Of recordings that were seen and never drawn.
            how: What the audit is to hold besides (seed, budget, model), as plain JSON.
            at: When, with its time zone.

        Returns:
            How the ledger stands afterwards.

        Raises:
            BadSetting: They are more than the cap allows or one of them can't be drawn, which
                means that another draw came between; or the ledger can't be written.
            AuditFailed: The audit can't be. In each case nothing was drawn.
        """
        with self._transaction() as database:
            before = self._stand(database)
            (last,) = database.execute("SELECT coalesce(max(draw), 0) FROM recordings").fetchone()
            marked = database.executemany(
                "UPDATE recordings SET draw = ? WHERE pseudonym = ? AND draw IS NULL",
                ((last + 1, one) for one in pseudonyms),
            )
            if len(pseudonyms) > before.allowed or marked.rowcount != len(pseudonyms):
                raise BadSetting(
                    f"{len(pseudonyms)} recordings were to be drawn; the sampling cap allows "
                    f"{before.allowed} now, none of them a second time. Another draw may have "
                    "come between: run this one again.",
                    limit=before.allowed,
                )
            body = {
                **how,
                "draw": last + 1,
                "seen": before.seen,
                "drawn_before": before.drawn,
                "drawn_now": len(pseudonyms),
                "cap": self._cap,
                "sha256": digest(pseudonyms),
            }
            self._audit.append("sample", body, at)
            return self._stand(database)

    def _stand(self, database: sqlite3.Connection) -> Sampled:
        seen, drawn = database.execute("SELECT count(*), count(draw) FROM recordings").fetchone()
        return Sampled(seen, drawn, self._cap)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The ledger, locked: all that is done to it is on the disk at the end, or none of it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(self._connected()) as database, database:
                database.execute("BEGIN IMMEDIATE")
                database.execute(_TABLE)
                yield database
        except sqlite3.Error as error:
            # Its message may quote a statement; its name says enough.
            raise BadSetting(
                f"The sampling ledger in the state folder can't be used "
                f"({getattr(error, 'sqlite_errorname', type(error).__name__)}), so nothing was "
                "drawn. Free the disk or the lock, or restore the file from a backup."
            ) from None
        except OSError as error:
            raise BadSetting(
                f"The sampling ledger can't be kept in the state folder: {error.strerror}. Set "
                "TRIAGE_STATE to a folder that can be written."
            ) from None

    def _connected(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=LOCK_SECONDS, isolation_level=None)
        # A draw that was given out must be in the ledger even if the power goes right after it.
        database.execute("PRAGMA synchronous = EXTRA")
        return database


def pseudonym(recording: Recording, pseudonymiser: Pseudonymiser) -> str:
    """What the ledger knows a recording by: 30 ASCII characters.

    Raises:
        OSError: Its sound can't be read.
    """
    if recording.audio is None:
        return pseudonymiser.pseudonym(recording.id)
    if isinstance(recording.audio, Path):
        return pseudonymiser.pseudonym(sha256(recording.audio), "sound")
    return pseudonymiser.pseudonym(hashlib.sha256(recording.audio).hexdigest(), "sound")


def digest(pseudonyms: Iterable[str]) -> str:
    """SHA-256 of pseudonyms in the order of the alphabet, one a line."""
    return hashlib.sha256("\n".join(sorted(pseudonyms)).encode()).hexdigest()


def _exact(cap: float) -> Fraction:
    """The cap as it was written: 0.29 of 100 are 29, though the nearest binary number says 28."""
    return Fraction(repr(cap))
