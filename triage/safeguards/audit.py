"""A log that can't be changed without it showing. What its lines look like: see `chain`.

What the chain alone can't show: that entries were cut off at its end, or that the whole file was
written anew. Keep the head's hash elsewhere from time to time and hand it to `verify`.

A kill in the middle of a write leaves a torn line. It isn't deleted: the next write ends it and
begins with an entry of kind "torn", whose body holds the number and the SHA-256 of the bytes
since the last whole entry, that newline included. `verify` accepts exactly that. (A second kill
while that is written shows as damage until the next write notes both.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NamedTuple

from filelock import FileLock, Timeout

from triage.errors import AuditFailed, AuditTampered, BadSetting
from triage.files import append, sync
from triage.safeguards.chain import (
    GENESIS,
    TORN,
    Damage,
    Tail,
    Walk,
    broken,
    canonical,
    find_tail,
    seal,
)

MAX_LINE = 2**20  # bytes of one entry
LOCK_SECONDS = 30.0  # how long to wait for other processes' writes

# How far from its end a file is searched for its last entry. A torn write ends in less than one
# line, and a kill while that is being noted adds less than one more.
_WINDOWS = (2**16, 4 * MAX_LINE)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What is to be written.

    Attributes:
        kind: What sort of thing happened; "torn" is the log's own.
        body: What happened, as plain JSON. Never an id that a caller gave, never a word said.
        at: When, with its time zone.
    """

    kind: str
    body: Mapping[str, Any] = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True)
class AuditReport:
    """A log whose chain holds.

    Attributes:
        entries: How many there are, notes of torn lines among them.
        head: The hash of the last one; keep it elsewhere for `expected_head`.
        torn: How many notes of torn lines there are.
        unfinished: Bytes of a torn line at the end, which the next write will note.
    """

    entries: int
    head: str
    torn: int
    unfinished: int


class _Known(NamedTuple):
    """How this process left the file."""

    device: int
    inode: int
    size: int
    tail: Tail


class AuditLog:
    """An append-only log that any number of threads and processes may write to.

    Args:
        path: The file; made, readable by its owner only, at the first entry. A lock file stands
            beside it. To move the log away, stop every process that writes to it first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread_lock = Lock()
        self._process_lock = FileLock(
            f"{path}.lock", timeout=LOCK_SECONDS, mode=0o600, poll_interval=0.002
        )
        self._known: _Known | None = None

    def append(self, kind: str, body: Mapping[str, Any], at: datetime) -> str:
        """Writes one entry through to the disk and returns its hash. See `append_many`."""
        return self.append_many([AuditEntry(kind, body, at)])[0]

    def append_many(self, entries: Sequence[AuditEntry]) -> list[str]:
        """Writes entries through to the disk, all or none, with one write and one fsync.

        Returns:
            Their hashes.

        Raises:
            AuditFailed: They can't be written, and none was. (A kill or a power cut may leave
                the first of them: the log may hold more than was answered, never less.)
            AuditTampered: The end of the log isn't as it was left.
            ValueError: A kind is empty or the log's own, or a time has no zone.
        """
        fields = [_fields(entry) for entry in entries]
        if not fields:
            return []
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._thread_lock, self._process_lock:
                return self._append(fields)
        except Timeout:
            raise AuditFailed(
                f"Another process has held the audit log for {LOCK_SECONDS:.0f} s. Find and end "
                f"it.",
                limit=LOCK_SECONDS,
            ) from None
        except OSError as error:
            raise AuditFailed(
                f"The audit log can't be written: {error.strerror}. Put its disk or folder right."
            ) from None

    def _append(self, fields: list[dict[str, Any]]) -> list[str]:
        # A log that this process has written to and that is gone must not be begun anew.
        create = os.O_CREAT if self._known is None else 0
        with _opened(self._path, os.O_RDWR | os.O_APPEND | create) as file:
            before = os.fstat(file)
            if before.st_size == 0:
                sync(self._path.parent)  # or a power cut could take the whole file
            tail = self._tail(file, before)
            lead = b"" if tail.ended else b"\n"
            if tail.rest:
                note = {**fields[0], "kind": TORN, "body": Damage(tail.rest + lead).note()}
                fields = [note, *fields]
            lines, hashes = _sealed(fields, tail)
            append(file, lead + b"".join(lines), before.st_size)
            after = os.fstat(file)
        end = Tail(tail.seq + len(lines), hashes[-1])
        self._known = _Known(after.st_dev, after.st_ino, after.st_size, end)
        return hashes[1:] if tail.rest else hashes

    def _tail(self, file: int, stat: os.stat_result) -> Tail:
        known = self._known
        if known and known[:3] == (stat.st_dev, stat.st_ino, stat.st_size):
            return known.tail
        tail = _read_tail(file, stat.st_size)
        if known and tail.seq < known.tail.seq:
            raise broken(f"entry {tail.seq + 1}", "it was written and is gone")
        return tail


def verify(path: Path, expected_head: str | None = None) -> AuditReport:
    """Follows a log's chain from its first entry to its last.

    Reads line by line, takes no lock and writes nothing: a log in use will do, and so will a
    copy that can't be written to.

    Args:
        path: The file.
        expected_head: The hash of an entry that was the last one once, kept elsewhere. It must
            still be there. Without it, entries cut off at the end can't be noticed.

    Raises:
        AuditTampered: The chain breaks; says at which entry and how.
        BadSetting: The file can't be read.
    """
    walk = Walk()
    found = expected_head in (None, GENESIS)
    try:
        with path.open("rb") as file:
            for line in _lines(file):
                walk.take(line)
                found = found or walk.head == expected_head
    except OSError as error:
        raise BadSetting(f"The audit log can't be read: {error.strerror}.") from None
    walk.end()
    if not found:
        raise AuditTampered(
            f"The chain holds for {walk.seq} entries, but the expected head isn't among them. "
            f"Entries were cut off at the end, or the log was written anew."
        )
    return AuditReport(walk.seq, walk.head, walk.torn, walk.damage.size)


def _fields(entry: AuditEntry) -> dict[str, Any]:
    if entry.kind in ("", TORN):
        raise ValueError("an audit entry needs a kind that isn't the log's own")
    if entry.at.tzinfo is None:
        raise ValueError("an audit entry's time needs a time zone")
    try:
        # There and back, so that what is hashed is what will be read: keys become text.
        body = json.loads(canonical(dict(entry.body)))
    except (TypeError, ValueError, RecursionError):
        raise AuditFailed(
            "The body of an audit entry isn't plain JSON, so nothing was written."
        ) from None
    at = entry.at.astimezone(UTC).isoformat(timespec="milliseconds")
    return {"at": at.replace("+00:00", "Z"), "body": body, "kind": entry.kind}


def _sealed(fields: list[dict[str, Any]], tail: Tail) -> tuple[list[bytes], list[str]]:
    lines: list[bytes] = []
    hashes = [tail.head]
    for seq, one in enumerate(fields, start=tail.seq + 1):
        line, hash_ = seal(one, seq, hashes[-1])
        if len(line) > MAX_LINE:
            raise AuditFailed(
                f"An audit entry has {len(line)} bytes, so nothing was written.", limit=MAX_LINE
            )
        lines.append(line)
        hashes.append(hash_)
    return lines, hashes[1:]


def _read_tail(file: int, size: int) -> Tail:
    for window in _WINDOWS:
        start = max(0, size - window)
        tail = find_tail(os.pread(file, size - start, start), is_whole=start == 0)
        if tail is not None:
            return tail
    raise broken("its end", f"there is no entry in the last {_WINDOWS[-1]} bytes")


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    file = os.open(path, flags, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines that are there now; one longer than any entry comes in pieces."""
    left = os.fstat(file.fileno()).st_size
    while line := file.readline(min(left, MAX_LINE)):
        left -= len(line)
        yield line
