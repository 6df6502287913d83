"""The policy in service: read again when its file changes, and never lost because it did.

A file that is refused changes nothing: the last good policy goes on deciding, and says so until
the file is good again. A copy of it is kept in the state folder, for a start with a file that has
been broken meanwhile. With no good policy at all, everything goes to people.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from triage.errors import AuditFailed, AuditTampered, BadSetting, PolicyRefused
from triage.files import put
from triage.policy.loading import approved, as_written, read_policy
from triage.policy.model import Policy, parse_policy
from triage.policy.signing import signature_file, signer

KEPT = "policy-last-good.yaml"
EVERYTHING = Path(__file__).with_name("everything.yaml")

log = logging.getLogger(__name__)

# Told of a change before it takes effect: the policy before, the new one, and the fingerprint of
# the key that vouches for it. Raises AuditFailed if it can't be written; then the old one stays.
Changed = Callable[[Policy, Policy, str], None]
_Stamp = tuple[tuple[int, int, int] | None, ...]


def _untold(old: Policy, new: Policy, signed_by: str) -> None:
    """For those who keep no audit."""


@dataclass(slots=True)
class PolicyInService:
    """Gives the policy that decides.

    Attributes:
        path: Its file; None for a policy that came from none and is never read again.
        keys: Public keys of which one must have signed it; None if it needn't be signed.
        state: Folder for the copy of the last good one; None keeps none.
        changed: Told of every change.
        problem: Why the file isn't what decides; empty if it is.
    """

    path: Path | None
    keys: Path | None = None
    state: Path | None = None
    changed: Changed = _untold
    problem: str = ""
    _policy: Policy | None = None
    _stamp: _Stamp = ()
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def fixed(cls, policy: Policy) -> PolicyInService:
        """One that never changes."""
        return cls(None, _policy=policy)

    def current(self) -> Policy:
        """The policy to decide with; looks at the file first, if nobody else is at it."""
        path = self.path
        if path is not None and self._lock.acquire(blocking=self._policy is None):
            try:
                stamp = _stamp(path), _stamp(signature_file(path)) if self.keys else None
                if self._policy is None or stamp != self._stamp:
                    self._stamp = stamp
                    self._read(path)
            finally:
                self._lock.release()
        if self._policy is None:
            raise PolicyRefused("There is no policy.")
        return self._policy

    def _read(self, path: Path) -> None:
        """The edge of a changed file: what is wrong is told, and the last good one stays."""
        try:
            data = read_policy(path)
            by = signer(path, data, self.keys)
            fresh = approved(parse_policy(data))
            served = self._policy
            # At a start the bytes tell whether it is the one of before, which needn't be parsed.
            if (served.digest != fresh.digest) if served else (data != self._kept_data()):
                if before := served or self._kept():
                    self.changed(before, fresh, by)
                self._keep(data)
            self._policy = fresh
        except (PolicyRefused, BadSetting, AuditFailed, AuditTampered) as error:
            self.problem = error.detail
            self._policy = self._policy or self._fallen_back()
            log.error(
                "the policy file isn't in service: %s %s decides instead: %s",
                self._policy.name,
                self._policy.version,
                error.detail,
            )
        else:
            self.problem = ""
            log.info("policy %s %s (%s) is in service", fresh.name, fresh.version, fresh.digest)

    def _fallen_back(self) -> Policy:
        """The last good policy, or the one by which people look at everything."""
        if kept := self._kept():
            return kept
        log.error("there is no last good policy either: everything goes to people")
        return as_written(EVERYTHING)

    def _kept(self) -> Policy | None:
        """The last good policy; one that isn't in effect any more still is better than none."""
        data = self._kept_data()
        try:
            return None if data is None else parse_policy(data)
        except PolicyRefused:
            return None

    def _kept_data(self) -> bytes | None:
        """The bytes of its copy, which tell whether anything changed without being parsed."""
        if self.state is None or not (self.state / KEPT).exists():
            return None
        try:
            return read_policy(self.state / KEPT)
        except PolicyRefused:
            return None

    def _keep(self, data: bytes) -> None:
        if self.state is None:
            return
        try:
            self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
            put(self.state / KEPT, data)
        except OSError as error:
            log.warning("the last good policy can't be kept: %s", error.strerror)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None if it can't be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
