"""Cases for tests: policies, rosters, decisions of a few words, and a casebook with its clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from policies import NOBODY as NO_TERMS
from policies import policy_of, rule, scores_of

from benchmarks.receiver import SECRET
from triage.database.store import open_store
from triage.database.tables import NotificationRow
from triage.decisions import Decided
from triage.escalate.casebook import Casebook
from triage.escalate.clocks import Clocks
from triage.escalate.records import Case, State
from triage.escalate.roster import NOBODY, Roster
from triage.policy.decide import decide
from triage.policy.model import Policy
from triage.records import Event
from triage.safeguards.audit import AuditLog
from triage.settings import Settings

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp()  # a Monday
TIERS: dict[str, Any] = {
    "E0": NO_TERMS,
    "E1": NO_TERMS,
    "E2": {"deadline": 86_400, "who": "a specialist"},
    "E3": {"deadline": 3_600, "who": "whoever is on call", "again": 1_200},
    "E4": {"deadline": 300, "who": "whoever is on call", "again": 120},
}
QUEUES: dict[str, Any] = {
    "on-call": {"members": ["on-call"], "capacity": 1_000_000},
    "violence": {"members": ["violence"], "capacity": 1_000_000, "overflow": "on-call"},
    "hate": {"members": ["hate"], "capacity": 1_000_000},
    "unscored": {"members": ["hate"], "capacity": 1_000_000},
}
RULES = (
    rule("page", "E4", ["page:on-call", "queue:violence"], "scores.violence >= 0.9"),
    rule("threat", "E3", ["queue:violence"], "scores.violence >= 0.5"),
    rule("cry", "E3", ["queue:on-call"], "scores.distress >= 0.5"),
    rule("hate", "E2", ["queue:hate"], "scores.hate >= 0.5"),
    rule("counted", "E1", ["count"], "scores.sexual >= 0.5"),
)


def casework_policy(**changes: Any) -> Policy:
    fields: dict[str, Any] = {"tiers": TIERS, "queues": QUEUES, "history": {"cool_down": 600}}
    return policy_of(*RULES, **fields | changes)


def roster_of(**fields: Any) -> Roster:
    """Ann and Bob on call, Cyn and Dan for violence, Eve for hate, Lea who leads; all by `hook`."""
    people = {name: {"targets": ["hook"]} for name in ("ann", "bob", "cyn", "dan", "eve")}
    people["lea"] = {"targets": ["hook"], "lead": True}
    given: dict[str, Any] = {
        "targets": {"hook": hook()},
        "people": people,
        "lines": {"on-call": ["ann", "bob"], "violence": ["cyn", "dan"], "hate": ["eve"]},
        "link": "https://triage.example/cases/",
    }
    return Roster.model_validate(given | fields)


def hook(url: str = "http://127.0.0.1:9/", **terms: Any) -> dict[str, Any]:
    """A target on this machine."""
    from pydantic import SecretStr

    return {"webhook": url, "secret": SecretStr(SECRET), "allow": ["127.0.0.1"]} | terms


def made(
    id: str,
    policy: Policy,
    at: float = NOON,
    account: str = "",
    recording: str = "",
    **scores: float,
) -> Decided:
    """A decision on scores of categories; E3 by `threat` if none are given."""
    found = replace(
        scores_of(scores or {"violence": 0.6}, {"scream": 0.7}),
        applied={"violence": ("audio", "text")},
        events=(Event("scream", 0.5, 1.5, 0.7),),
    )
    when = datetime.fromtimestamp(at, UTC)
    decision = decide(found, policy, when)
    return Decided(id, when, account, recording or f"rec_{id}", found, decision, decision)


def case_of(id: str = "a", **changes: Any) -> Case:
    """A case of E3 before `violence`, as it is raised."""
    fields: dict[str, Any] = {
        "id": id, "at": NOON, "account": "", "recording": "rec_a", "rule": "threat",
        "reason": "threat.", "policy": "sha256:0", "model": "m", "tier": "E3", "severity": 4,
        "scores": {"categories": {"violence": 0.6}, "events": {}}, "recordings": 1,
        "raised_by": "", "state": State.OPEN, "owner": "", "clock_at": NOON,
        "due_at": NOON + 3_600, "missed_at": None, "acknowledged_at": None, "moved_at": NOON,
        "snoozed_until": None, "resolved_at": None, "queues": ("violence",),
    }  # fmt: skip
    return Case(**fields | changes)


def plain_book(own: Settings, policy: Policy, audit: AuditLog) -> Casebook:
    """The casebook of settings, with nobody to tell."""
    return Casebook(open_store(own.store_url), lambda: policy, lambda: NOBODY, audit)


@dataclass
class Desk:
    """A casebook with a clock and a roster that can be turned and changed.

    Attributes:
        now: s since 1970.
    """

    url: str
    folder: Path
    policy: Policy = field(default_factory=casework_policy)
    roster: Roster = field(default_factory=roster_of)
    now: float = NOON

    def __post_init__(self) -> None:
        self.audit = AuditLog(self.folder / "audit.jsonl")
        self.book = self.opened()
        self.clocks = Clocks(self.book, 30, 365)

    def opened(self) -> Casebook:
        """The casebook as another process would open it."""
        engine = open_store(self.url)
        return Casebook(
            engine, lambda: self.policy, lambda: self.roster, self.audit, lambda: self.now
        )

    def decided(self, *ids: str, **scores: float) -> list[Decided]:
        """Decisions, recorded together now."""
        return self.recorded([made(id, self.policy, self.now, **scores) for id in ids])

    def recorded(self, decisions: Sequence[Decided]) -> list[Decided]:
        with self.book.record(decisions, self.policy) as kept:
            pass
        return kept

    def passes(self, seconds: float) -> None:
        """Time passes, and the clocks are looked at."""
        self.now += seconds
        self.clocks.tick()

    def told(self) -> list[tuple[str, str]]:
        """Kind and person of everything that was to be told, in order."""
        return [(row["kind"], row["person"]) for row in self.messages()]

    def messages(self) -> list[Mapping[str, Any]]:
        c = NotificationRow
        query = sa.select(*c.__table__.columns).order_by(c.at, c.queue, c.target)
        with self.book.opened.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
