"""The one guarded way: score, pseudonymise, decide, write to the audit, and only then answer.

The service, the command line and a batch all come through here, so none of them can skip the
audit. An outcome exists only once its audit entry does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from triage.errors import InputError
from triage.live import Window, folder_of, no_window
from triage.pipeline import Triage
from triage.records import Decision, Outcome, Recording, Scores
from triage.safeguards.audit import AuditEntry, AuditLog
from triage.safeguards.pseudonym import Pseudonymiser, load_key
from triage.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A recording that couldn't be scored as it was, and why; in the audit like any other.

    Attributes:
        id: Triage's own id of this pass.
        recording: The caller's id, for the caller only.
        error: What was wrong with it.
        audit_hash: The hash of the audit entry.
    """

    id: str
    recording: str = field(repr=False)
    error: InputError
    audit_hash: str


Answer = Outcome | Refusal


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return f"tri_{uuid4().hex}"


@dataclass(frozen=True, slots=True)
class Processor:
    """The guarded way, with its parts.

    Attributes:
        triage: Models and policy.
        pseudonymiser: Turns the caller's ids into pseudonyms for the audit.
        audit: Where every pass is written.
        live: Counts every scored pass, for drift.
        workers: Recordings scored side by side.
        now: The clock.
        new_id: Makes Triage's own id of a pass.
    """

    triage: Triage
    pseudonymiser: Pseudonymiser
    audit: AuditLog
    live: Window = field(default_factory=no_window)
    workers: int = 1
    now: Callable[[], datetime] = _now
    new_id: Callable[[], str] = _new_id

    @classmethod
    def load(cls, settings: Settings) -> Processor:
        """Everything that the settings name.

        Raises:
            SetupError: What is missing or refused, and what to do.
        """
        triage = Triage.load(settings)
        manifest = triage.artefact.manifest
        return cls(
            triage,
            Pseudonymiser(load_key(settings)),
            AuditLog(settings.state / "audit.jsonl"),
            Window(folder_of(manifest, settings.state), manifest.reference),
            workers=settings.cores,
        )

    def process(self, recordings: Sequence[Recording], way: str) -> list[Answer]:
        """Takes recordings the guarded way; one that can't be scored doesn't stop the others.

        Args:
            recordings: What to score; their ids need not differ.
            way: How they came in: "http", "cli", "suggest" or "batch".

        Returns:
            An answer for each, in their order, each already in the audit.

        Raises:
            AuditFailed: The audit couldn't be written. No answer is given out then.
        """
        passes = list(self._score(recordings))
        now = self.now()
        made = [(self.new_id(), self._decided(scored, now)) for scored in passes]
        hashes = self.audit.append_many(
            [
                AuditEntry(_kind(result), self._body(id, recording, result, way), now)
                for (id, result), recording in zip(made, recordings, strict=True)
            ]
        )
        self.live.add(scored for scored in passes if isinstance(scored, Scores))
        return [
            _answer(id, recording.id, result, audit_hash)
            for (id, result), recording, audit_hash in zip(made, recordings, hashes, strict=True)
        ]

    def _score(self, recordings: Sequence[Recording]) -> Iterator[Scores | InputError]:
        if self.workers == 1 or len(recordings) == 1:
            yield from map(self._score_one, recordings)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(self._score_one, recordings)

    def _score_one(self, recording: Recording) -> Scores | InputError:
        """The edge of one recording: whatever stops its scoring ends in a refusal or a human look.

        A caller's mistake is told to the caller. Anything else is Triage's own, and since nothing
        was scored, the policy's fallback sends the recording to a person.
        """
        try:
            return self.triage.score(recording)
        except InputError as error:
            return error
        except Exception as error:
            log.error("scoring failed: %s", type(error).__name__)
            return Scores(
                model=self.triage.artefact.manifest.name,
                categories={},
                applied={},
                flags={"stage_failed": True},
                failures={"score": type(error).__name__},
            )

    def _decided(self, scored: Scores | InputError, now: datetime) -> _Decided | InputError:
        if isinstance(scored, InputError):
            return scored
        return _Decided(scored, self.triage.decide(scored, now))

    def _body(
        self, id: str, recording: Recording, result: _Decided | InputError, way: str
    ) -> Mapping[str, Any]:
        common = {
            "id": id,
            "way": way,
            "recording": self.pseudonymiser.pseudonym(recording.id),
            "model": self.triage.artefact.manifest.name,
            "policy": self.triage.policy.digest,
        }
        if isinstance(result, InputError):
            return common | {"refused": result.slug}
        scores, decision = result.scores, result.decision
        return common | {
            "tier": decision.tier,
            "rule": decision.rule,
            "actions": list(decision.actions),
            "due_at": decision.due_at,
            "severity": decision.severity,
            "categories": [name for name, on in decision.category_flagged.items() if on],
            "failures": dict(scores.failures),
        }


@dataclass(frozen=True, slots=True)
class _Decided:
    scores: Scores
    decision: Decision


def _kind(result: _Decided | InputError) -> str:
    return "refusal" if isinstance(result, InputError) else "decision"


def _answer(id: str, recording: str, result: _Decided | InputError, audit_hash: str) -> Answer:
    if isinstance(result, InputError):
        return Refusal(id, recording, result, audit_hash)
    return Outcome(id, recording, result.scores, result.decision, audit_hash)
