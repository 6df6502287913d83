"""Which model took which one's place, when, by whom and why: the records, and the log of them.

The log is chained like the audit log (see `triage.safeguards.chain`): what was written can't be
changed or taken out without it showing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from triage.errors import AuditFailed, AuditTampered
from triage.model_store import DIGITS
from triage.safeguards.audit import AuditLog
from triage.safeguards.chain import TORN, Walk, parse


@dataclass(frozen=True, slots=True)
class Model:
    """A model and where it is served from.

    Attributes:
        name, digest: Of its manifest.
        folder: Absolute.
        tag: In BentoML's store; empty for one that was in service without a promotion.
    """

    name: str
    digest: str
    folder: Path
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.digest[:DIGITS]})"


@dataclass(frozen=True, slots=True)
class Change:
    """One model taking another's place.

    Attributes:
        at: When.
        kind: How.
        before, after: The model that was in service, and the one that is from then on.
        by, reason: Who did it, and why.
        override: Why it was promoted in spite of the findings.
        findings: What spoke against it.
        comparison: Digest of the comparison that was looked at; empty if there was none.
    """

    at: datetime
    kind: Literal["promote", "rollback"]
    before: Model
    after: Model
    by: str
    reason: str
    override: str = ""
    findings: tuple[str, ...] = ()
    comparison: str = ""


_CHANGE = TypeAdapter(Change)


def standing(changes: Sequence[Change]) -> list[Model]:
    """The models that rollbacks walk back over, the one in service last.

    A promotion adds one, a rollback takes one away, so two rollbacks go back two promotions.
    """
    models = [change.before for change in changes[:1]]
    for change in changes:
        if change.kind == "rollback" or change.after.digest == models[-1].digest:
            models.pop()  # the same model promoted again has only moved
        if change.kind == "promote":
            models.append(change.after)
    return models


def append(file: Path, change: Change) -> None:
    """Writes a change to the log, through to the disk.

    Raises:
        AuditFailed: It can't be written, and wasn't.
        AuditTampered: The log's end isn't as it was left.
    """
    body = _CHANGE.dump_python(change, mode="json", exclude={"at", "kind"})
    try:
        AuditLog(file).append(change.kind, body, change.at)
    except (AuditFailed, AuditTampered) as error:
        raise type(error)(f"{file.name}: {error.detail}") from None


def read(file: Path) -> tuple[Change, ...]:
    """Every change in the log, in their order; none where there is no log.

    Raises:
        AuditTampered: The chain breaks, or an entry is no change of models.
        AuditFailed: The log can't be read.
    """
    try:
        lines = file.read_bytes().splitlines(keepends=True)
        return tuple(_CHANGE.validate_python(entry) for entry in _entries(lines))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise AuditFailed(f"{file.name} can't be read: {error.strerror}.") from None
    except ValidationError:
        raise AuditTampered(f"{file.name}: an entry is no change of models.") from None
    except AuditTampered as error:
        raise AuditTampered(f"{file.name}: {error.detail}") from None


def _entries(lines: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    walk = Walk()
    for line in lines:
        walk.take(line)
        entry = parse(line.removesuffix(b"\n"), f"entry {walk.seq}")
        if entry is not None and entry["kind"] != TORN:
            yield {"at": entry["at"], "kind": entry["kind"], **entry["body"]}
    walk.end()
