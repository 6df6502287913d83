"""The chain that an audit log is made of: the form of its lines, and what makes them follow.

An entry is one JSON object on one line in its one canonical form: ASCII, keys sorted, no spaces.

    {"at":…,"body":{…},"hash":…,"kind":…,"previous":…,"seq":…}

`seq` counts from 1. `at` is RFC 3339 in UTC. `hash` is "sha256:" and the SHA-256 of the canonical
form of the entry without `hash`. `previous` is the hash of the entry before, `GENESIS` in the
first one. Since there is one form only, a changed byte is a changed entry; and a changed,
removed, added or moved entry breaks the chain at its place.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from triage.errors import AuditTampered

GENESIS = "sha256:" + "0" * 64
TORN = "torn"  # the kind of the entry that notes bytes which are no entry

_FIELDS = {"at", "body", "hash", "kind", "previous", "seq"}


def canonical(value: Any) -> bytes:  # whatever JSON can say
    """The one form of a JSON value.

    Raises:
        TypeError, ValueError, RecursionError: It isn't JSON: another type, NaN, nested too deep.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def seal(fields: dict[str, Any], seq: int, previous: str) -> tuple[bytes, str]:
    """The line of an entry, with its newline, and the entry's hash.

    Args:
        fields: Its `at`, `body` and `kind`.
        seq: Its number.
        previous: The hash of the entry before it.
    """
    entry = {**fields, "previous": previous, "seq": seq}
    entry["hash"] = _hash(entry)
    return canonical(entry) + b"\n", entry["hash"]


def parse(line: bytes, place: str) -> dict[str, Any] | None:
    """The entry of a line without its newline; None where the line isn't JSON, so may be torn.

    A torn line is never JSON, because the last byte of an entry closes its first.

    Args:
        line: The line.
        place: What to call it in an error ("entry 17").

    Raises:
        AuditTampered: It is JSON, but no entry, or not one that hashes to its hash.
    """
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or entry.keys() != _FIELDS or type(entry["seq"]) is not int:
        raise broken(place, "it doesn't have the fields of an entry")
    if not _is_canonical(entry, line):
        raise broken(place, "it isn't in the form that it was written in")
    if entry["hash"] != _hash({name: entry[name] for name in _FIELDS - {"hash"}}):
        raise broken(place, "its content doesn't match its hash")
    return entry


class Tail(NamedTuple):
    """The end of a log: its last whole entry, and what stands after that."""

    seq: int = 0
    head: str = GENESIS
    rest: bytes = b""  # of torn lines
    ended: bool = True  # whether the last byte ends a line


def find_tail(end: bytes, is_whole: bool) -> Tail | None:
    """The tail of a log, or None where no entry begins and ends in the bytes given.

    Args:
        end: The last bytes of the log.
        is_whole: Whether they are all of it.

    Raises:
        AuditTampered: The last line that could be an entry is none.
    """
    ended = not end or end.endswith(b"\n")
    after = len(end)  # where the line ends that is looked at, its newline not included
    while after >= 0:
        start = end.rfind(b"\n", 0, after) + 1
        if start == 0 and not is_whole:
            return None
        entry = parse(end[start:after], "its end")
        if entry is not None:
            return Tail(entry["seq"], entry["hash"], end[after + 1 :], ended)
        after = start - 1
    return Tail(rest=end, ended=ended)


class Damage:
    """The bytes between two entries that are none: what a kill in the middle of a write leaves.

    Attributes:
        size: How many there are.
        ended: Whether a newline is among them.
    """

    def __init__(self, data: bytes = b"") -> None:
        self.size = 0
        self.ended = False
        self._digest = hashlib.sha256()
        self.add(data)

    def add(self, data: bytes) -> None:
        """Takes more of them, in their order."""
        self.size += len(data)
        self.ended = self.ended or b"\n" in data
        self._digest.update(data)

    def note(self) -> dict[str, int | str]:
        """The body of the torn entry that vouches for them."""
        return {"bytes": self.size, "sha256": self._digest.hexdigest()}


class Walk:
    """A chain, as far as it has been followed.

    Attributes:
        seq, head: Number and hash of the last entry.
        torn: How many notes of torn lines there were.
        damage: The bytes after the last entry that are none.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.head = GENESIS
        self.torn = 0
        self.damage = Damage()

    def take(self, line: bytes) -> None:
        """Follows the chain over its next line, newline included.

        Raises:
            AuditTampered: The line doesn't follow.
        """
        place = f"entry {self.seq + 1}"
        entry = parse(line.removesuffix(b"\n"), place)
        if entry is None:
            self.damage.add(line)
            return
        if (entry["seq"], entry["previous"]) != (self.seq + 1, self.head):
            raise broken(place, "what stands there doesn't follow from the entry before it")
        is_note = entry["kind"] == TORN
        if is_note != (self.damage.size > 0) or (is_note and entry["body"] != self.damage.note()):
            raise broken(place, "the bytes before it aren't those that it notes as torn")
        self.seq, self.head, self.torn = entry["seq"], entry["hash"], self.torn + is_note
        self.damage = Damage()

    def end(self) -> None:
        """Says that there are no more lines.

        Raises:
            AuditTampered: The last one is damaged, and not as a kill leaves it.
        """
        if self.damage.ended:
            raise broken(f"entry {self.seq + 1}", "its line is damaged")


def broken(place: str, why: str) -> AuditTampered:
    """The error for a chain that breaks at a place."""
    return AuditTampered(
        f"The audit log breaks at {place}: {why}. Keep the file as it is and compare it with a "
        f"copy."
    )


def _hash(entry: dict[str, Any]) -> str:
    return f"sha256:{hashlib.sha256(canonical(entry)).hexdigest()}"


def _is_canonical(entry: dict[str, Any], line: bytes) -> bool:
    try:
        return canonical(entry) == line
    except ValueError:  # NaN, which Python reads though JSON has none
        return False
