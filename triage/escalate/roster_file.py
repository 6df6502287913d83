"""From a roster's file to the roster in service: read, checked, and read again when it changes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from pydantic import ValidationError

from triage.errors import RosterRefused
from triage.escalate.roster import NOBODY, Roster
from triage.escalate.sending import silence_apprise
from triage.policy.conditions import nearest
from triage.policy.document import MAX_BYTES, Document
from triage.policy.model import Policy

BEGINS = "targets"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RosterInService:
    """Gives the roster. A file that is refused changes nothing: the last good one stays.

    Attributes:
        path: Its file; None: there is nobody.
        problem: Why the file isn't what is in service; empty if it is.

    Raises:
        RosterRefused: There is no good one yet.
    """

    path: Path | None
    problem: str = ""
    _roster: Roster = NOBODY
    _stamp: tuple[int, int, int] | None = None
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        self._stamp, self._roster = _stamp(self.path), load_roster(self.path)

    def current(self) -> Roster:
        """The roster; looks at the file first, if nobody else is at it."""
        if self.path is not None and self._lock.acquire(blocking=False):
            try:
                stamp = _stamp(self.path)
                if stamp != self._stamp:
                    self._stamp = stamp
                    self._roster = load_roster(self.path)
                    self.problem = ""
                    log.info("a new roster is in service")
            except RosterRefused as error:
                self.problem = error.detail
                log.error("the roster's file isn't in service, the one before is: %s", error.detail)
            finally:
                self._lock.release()
        return self._roster


def load_roster(path: Path | None) -> Roster:
    """Reads a roster; without a file there is nobody.

    Raises:
        RosterRefused: The file can't be read or isn't a roster; says where and why.
    """
    if path is None:
        return NOBODY
    try:
        with path.open("rb") as file:
            return parse_roster(file.read(MAX_BYTES + 1))
    except OSError as error:
        raise RosterRefused(
            f"The roster can't be read ({error.strerror}). Look at TRIAGE_ROSTER."
        ) from None


def parse_roster(data: bytes) -> Roster:
    """A roster from the bytes of its file.

    Raises:
        RosterRefused: They aren't one; says where and why, the first five times.
    """
    document = Document(data, "roster", BEGINS, RosterRefused)
    try:
        roster = Roster.model_validate(document.fields)
        for name, target in roster.targets.items():
            if target.apprise and not _is_known(target.apprise.get_secret_value()):
                place = document.place(("targets", name, "apprise"))
                raise RosterRefused(f"{place}: Apprise can't use this address.")
        return roster
    except ValidationError as error:
        wrong = [
            f"{document.place(one.get('ctx', {}).get('where', one['loc']))}: "
            f"{one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_url=False, include_input=False)[:5]
        ]
        raise RosterRefused("; ".join(wrong) + ".") from None


def _is_known(address: str) -> bool:
    import apprise

    silence_apprise()
    try:
        return apprise.Apprise.instantiate(address) is not None
    except Exception:  # a plugin's own, which could hold the address
        return False


def problems(roster: Roster, policy: Policy) -> list[str]:
    """What a roster lacks for a policy, in words: queues that reach nobody, unknown names."""
    if roster == NOBODY:
        return ["there is no roster, or nobody in it: NOBODY IS TOLD of any case"]
    found = []
    for name, queue in policy.queues.items():
        if not any(roster.people[one].targets for one in roster.line(queue.members)):
            told = "NOBODY IS TOLD of what is there"
            if queue.overflow and _is_told(queue.overflow, roster, policy):
                told = "those who take its overflow are told"
            elif roster.fallback:
                told = "the fallback is told"
            found.append(f"queue {name}: nobody of its line has a target; {told}")
    known = [member for queue in policy.queues.values() for member in queue.members]
    for line_ in roster.lines:
        if line_ not in known:
            found.append(f"line {line_} is no member of the policy{nearest(line_, known)}")
    found += [
        f"queue {name} is not of the policy{nearest(name, policy.queues)}"
        for name in roster.queues
        if name not in policy.queues
    ]
    for name, person in roster.people.items():
        found += [
            f"person {name} is spared {one}, which the policy doesn't know"
            for one in person.opt_out
            if one not in policy.categories
        ]
    return found


def _is_told(queue: str, roster: Roster, policy: Policy) -> bool:
    """Whether somebody of a queue's line, or of those that take its overflow, has a target."""
    name: str | None = queue
    while name is not None:
        if any(roster.people[one].targets for one in roster.line(policy.queues[name].members)):
            return True
        name = policy.queues[name].overflow
    return False


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    """What changes when a file does; None if it can't be looked at."""
    try:
        found = path and path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None
