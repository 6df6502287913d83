"""The one guarded way out: pseudonymise, decide, store what follows, audit, only then answer.

The service, the command line and a batch all come through here, so none of them can skip the
audit. An outcome exists only once its audit entry does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

from triage.artefact import Artefact
from triage.decisions import Decided, Decisions, Past
from triage.errors import InputError
from triage.escalate.casebook import Casebook
from triage.escalate.roster_file import RosterInService
from triage.live import Window, no_window
from triage.memory import Memory
from triage.policy.decide import decide
from triage.policy.model import Policy
from triage.records import Outcome, Recording, Scores
from triage.safeguards.audit import AuditEntry, AuditLog
from triage.safeguards.pseudonym import Pseudonymiser

ACCOUNT = "account"  # what a context calls the one whom a recording is of


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
Keep = Callable[[Sequence[Answer]], None]


class InService(Protocol):
    """What scores and what decides, wherever the scoring is done."""

    @property
    def artefact(self) -> Artefact:
        """The model."""

    @property
    def policy(self) -> Policy:
        """What decides at this moment."""


@dataclass(frozen=True, slots=True)
class OfRun:
    """A part of a run that is to come out the same however often it is interrupted.

    Attributes:
        run: Which run, for the audit.
        ids: Triage's own ids of the passes, the same again if the part is done again.
        past: What the policy's history is counted from.
        keep: Told of the answers when all is written and before the decisions are committed. If
            it raises, they aren't.
    """

    run: str
    ids: Sequence[str]
    past: Past
    keep: Keep


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return f"tri_{uuid4().hex}"


@dataclass(frozen=True, slots=True)
class Guard:
    """The guarded way of what has been scored.

    Attributes:
        triage: Model and policy.
        pseudonymiser: Turns the caller's ids into pseudonyms for the audit.
        audit: Where every pass is written.
        book: Where decisions are kept, with their cases and what is to be told of them.
        rosters: Where the book's roster comes from.
        live: Counts every scored pass, for drift.
        now: The clock.
        new_id: Makes Triage's own id of a pass.
    """

    triage: InService
    pseudonymiser: Pseudonymiser
    audit: AuditLog
    book: Casebook
    rosters: RosterInService = field(default_factory=lambda: RosterInService(None))
    live: Window = field(default_factory=no_window)
    now: Callable[[], datetime] = _now
    new_id: Callable[[], str] = _new_id

    def settle(
        self,
        recordings: Sequence[Recording],
        passes: Sequence[Scores | InputError],
        way: str,
        of: OfRun | None = None,
        *,
        escalate: bool = True,
    ) -> list[Answer]:
        """Decides what was scored, and stores and writes down what follows.

        Args:
            recordings: Of which only id and context are looked at; ids need not differ.
            passes: Their scores, or why there are none.
            way: How they came in: "http", "cli", "suggest" or "batch".
            of: Of which run; None for passes that stand by themselves.
            escalate: Whether cases are raised, and people told.

        Returns:
            An answer for each, in their order, each already in the audit.

        Raises:
            AuditFailed: The audit couldn't be written. No answer is given out then.
            StoreFailed: The decisions and what follows from them couldn't be stored. Neither is
                it then.
        """
        now, policy = self.now(), self.triage.policy
        past = Past(now) if of is None else of.past
        memory = Memory(Decisions(self.book.opened), policy.history, past)
        ids = [self.new_id() for _ in recordings] if of is None else of.ids
        made = [
            self._decided(id, recording, scored, policy, memory, now)
            for id, recording, scored in zip(ids, recordings, passes, strict=True)
        ]
        common: dict[str, Any] = {
            "way": way,
            "model": self.triage.artefact.manifest.name,
            "policy": policy.digest,
            **({} if of is None else {"run": of.run}),
            **({} if escalate else {"decide_only": True}),
        }
        with self._recorded(made, policy, escalate=escalate) as made:
            hashes = self.audit.append_many(
                [
                    AuditEntry(_kind(one), common | self._body(one, recording), now)
                    for one, recording in zip(made, recordings, strict=True)
                ]
            )
            answers = [
                _answer(one, recording.id, audit_hash)
                for one, recording, audit_hash in zip(made, recordings, hashes, strict=True)
            ]
            if of is not None:
                of.keep(answers)
        self.live.add(one for one in passes if isinstance(one, Scores) and not one.screened)
        return answers

    @contextmanager
    def _recorded(
        self, made: list[Decided | _Refused], policy: Policy, *, escalate: bool
    ) -> Iterator[list[Decided | _Refused]]:
        """Keeps what was decided, with its cases, once what is done with it has gone well."""
        decided = [one for one in made if isinstance(one, Decided)]
        if not decided:
            yield made
            return
        with self.book.record(decided, policy, escalate=escalate) as kept:
            cased = iter(kept)
            yield [next(cased) if isinstance(one, Decided) else one for one in made]

    def _decided(
        self,
        id: str,
        recording: Recording,
        scored: Scores | InputError,
        policy: Policy,
        memory: Memory,
        now: datetime,
    ) -> Decided | _Refused:
        if isinstance(scored, InputError):
            return _Refused(id, scored)
        account = self._account(recording)
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

    def _body(self, one: Decided | _Refused, recording: Recording) -> dict[str, Any]:
        common = {"id": one.id, "recording": self.pseudonymiser.pseudonym(recording.id)}
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
