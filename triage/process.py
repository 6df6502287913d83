"""The one guarded way: score, pseudonymise, decide, store what follows, audit, only then answer.

The service, the command line and a batch all come through here, so none of them can skip the
audit. An outcome exists only once its audit entry does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from triage.decisions import Decided, Decisions
from triage.errors import InputError
from triage.escalate.casebook import Casebook
from triage.escalate.opening import open_casebook, written_down
from triage.escalate.roster_file import RosterInService
from triage.live import Window, folder_of, no_window
from triage.memory import Memory
from triage.pipeline import Triage
from triage.policy.decide import decide
from triage.policy.model import Policy
from triage.records import Outcome, Recording, Scores
from triage.safeguards.audit import AuditEntry, AuditLog
from triage.safeguards.pseudonym import Pseudonymiser, load_key
from triage.settings import Settings

ACCOUNT = "account"  # what a context calls the one whom a recording is of

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
        book: Where decisions are kept, with their cases and what is to be told of them.
        rosters: Where the book's roster comes from.
        live: Counts every scored pass, for drift.
        workers: Recordings scored side by side.
        now: The clock.
        new_id: Makes Triage's own id of a pass.
    """

    triage: Triage
    pseudonymiser: Pseudonymiser
    audit: AuditLog
    book: Casebook
    rosters: RosterInService = field(default_factory=lambda: RosterInService(None))
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
        triage, audit = Triage.load(settings), AuditLog(settings.state / "audit.jsonl")
        triage.policies.changed = partial(written_down, audit)
        rosters = RosterInService(settings.roster)
        triage.policies.current()  # a policy that can't decide is told of now
        manifest = triage.artefact.manifest
        return cls(
            triage,
            Pseudonymiser(load_key(settings)),
            audit,
            open_casebook(settings, triage.policies, rosters, audit),
            rosters,
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
            StoreFailed: The decisions and what follows from them couldn't be stored. Neither is
                it then.
        """
        passes = list(self._score(recordings))
        now, policy = self.now(), self.triage.policy
        memory = Memory(Decisions(self.book.opened), policy.history, now)
        made = [
            self._decided(recording, scored, policy, memory, now)
            for recording, scored in zip(recordings, passes, strict=True)
        ]
        with self._recorded(made, policy) as made:
            hashes = self.audit.append_many(
                [
                    AuditEntry(_kind(one), self._body(one, recording, way, policy), now)
                    for one, recording in zip(made, recordings, strict=True)
                ]
            )
        self.live.add(scored for scored in passes if isinstance(scored, Scores))
        return [
            _answer(one, recording.id, audit_hash)
            for one, recording, audit_hash in zip(made, recordings, hashes, strict=True)
        ]

    @contextmanager
    def _recorded(
        self, made: list[Decided | _Refused], policy: Policy
    ) -> Iterator[list[Decided | _Refused]]:
        """Keeps what was decided, with its cases, once what is done with it has gone well."""
        decided = [one for one in made if isinstance(one, Decided)]
        if not decided:
            yield made
            return
        with self.book.record(decided, policy) as kept:
            cased = iter(kept)
            yield [next(cased) if isinstance(one, Decided) else one for one in made]

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

    def _decided(
        self,
        recording: Recording,
        scored: Scores | InputError,
        policy: Policy,
        memory: Memory,
        now: datetime,
    ) -> Decided | _Refused:
        if isinstance(scored, InputError):
            return _Refused(self.new_id(), scored)
        id, account = self.new_id(), self._account(recording)
        counts = memory.counts(account)
        decision = decide(scored, policy, now, context=recording.context, history=counts)
        shadow = decision
        if policy.has_shadow:
            shadow = decide(
                scored, policy, now, context=recording.context, history=counts, mode="shadow"
            )
        memory.add(account, decision)
        pseudonym = self.pseudonymiser.pseudonym(recording.id)
        return Decided(id, now, account, pseudonym, scored, decision, shadow)

    def _account(self, recording: Recording) -> str:
        """The pseudonym of whom a recording is of; empty if the caller doesn't say."""
        account = recording.context.get(ACCOUNT)
        if not isinstance(account, str | int) or account == "":
            return ""
        return self.pseudonymiser.pseudonym(str(account), ACCOUNT)

    def _body(
        self, one: Decided | _Refused, recording: Recording, way: str, policy: Policy
    ) -> Mapping[str, Any]:
        common = {
            "id": one.id,
            "way": way,
            "recording": self.pseudonymiser.pseudonym(recording.id),
            "model": self.triage.artefact.manifest.name,
            "policy": policy.digest,
        }
        if isinstance(one, _Refused):
            return common | {"refused": one.error.slug}
        scores, decision = one.scores, one.decision
        return common | {
            "account": one.account,
            "tier": decision.tier,
            "rule": decision.rule,
            "actions": list(decision.actions),
            "due_at": decision.due_at,
            "severity": decision.severity,
            "case": decision.case,
            "categories": list(decision.flagged),
            "failures": dict(scores.failures),
        }


@dataclass(frozen=True, slots=True)
class _Refused:
    id: str
    error: InputError


def _kind(one: Decided | _Refused) -> str:
    return "refusal" if isinstance(one, _Refused) else "decision"


def _answer(one: Decided | _Refused, recording: str, audit_hash: str) -> Answer:
    if isinstance(one, _Refused):
        return Refusal(one.id, recording, one.error, audit_hash)
    return Outcome(one.id, recording, one.scores, one.decision, audit_hash)
