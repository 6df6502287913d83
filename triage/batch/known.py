"""Scores by the digest of what was scored, so that nothing is scored twice.

A digest is keyed with the installation's secret: without it, nobody can try whether a short saying
is among them. What is kept holds no word that was said (the pooled vectors would: a sentence can
be made from its vector again, Morris et al. 2023, so scores are kept and vectors aren't).

It is a convenience: whatever goes wrong with it costs time, and no recording.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from triage.files import OWN
from triage.records import Recording, Scores

WAIT = 30.0  # s for another process's write

_SCORES = TypeAdapter(Scores)


class Known:
    """Scores on disk; any number of processes may use it.

    Args:
        file: Where; None keeps nothing.
        key: The secret, see `secret`.
        about: What else the scores depend on: model, encoder, limits.
    """

    def __init__(self, file: Path | None, key: bytes, about: str) -> None:
        self._key = hmac.digest(key, about.encode(), "sha256")
        self._database: sqlite3.Connection | None = None
        if file is not None:
            # One at a time: that it is to be a WAL is not waited for.
            with suppress(sqlite3.Error, OSError), FileLock(f"{file}.lock", WAIT, mode=OWN):
                file.touch(OWN)  # before SQLite makes it, which would let others read it
                database = sqlite3.connect(file, timeout=WAIT, isolation_level=None)
                database.execute("PRAGMA journal_mode=WAL")
                # A power cut may lose what was written last, or all: it is scored again then.
                database.execute("PRAGMA synchronous=OFF")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS scores (content TEXT PRIMARY KEY, scores TEXT)"
                )
                self._database = database

    def content(self, recording: Recording) -> str:
        """The keyed digest of what is to be scored of a recording, 32 hex digits.

        Raises:
            OSError: Its file can't be read.
        """
        digest = hmac.new(self._key, digestmod="sha256")
        text = recording.transcript
        said = b"" if text is None else _hash(text.encode("utf-8", "surrogatepass"))
        digest.update(bytes([len(said)]) + said)
        if isinstance(recording.audio, bytes):
            digest.update(_hash(recording.audio))
        elif recording.audio is not None:
            # By and by: what is scored is decoded from the file again, so nothing is held whole.
            with recording.audio.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()[:32]

    def get(self, contents: Sequence[str]) -> dict[str, Scores]:
        """The scores that are there of these contents."""
        found: dict[str, Scores] = {}
        if self._database is None:
            return found
        marks = ", ".join("?" * len(contents))
        query = f"SELECT content, scores FROM scores WHERE content IN ({marks})"  # noqa: S608 - marks
        with suppress(sqlite3.Error, ValidationError):
            for content, scores in self._database.execute(query, list(contents)):
                found[content] = _SCORES.validate_json(scores)
        return found

    def put(self, scores: Mapping[str, Scores]) -> None:
        """Keeps scores, none of which may hold words."""
        if self._database is None or not scores:
            return
        rows = [(content, _SCORES.dump_json(one)) for content, one in scores.items()]
        with suppress(sqlite3.Error), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)


def secret(key: bytes) -> bytes:
    """The secret for contents, made from the installation's own, which workers need not know."""
    return hmac.digest(key, b"triage content", "sha256")


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
