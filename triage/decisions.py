"""The store of decisions: what was decided and on which scores, by pseudonym.

It is what a policy's history is counted from, what its shadow rules are compared by, and what a new
policy is tried on. It holds scores and no words, sound or id of a caller, and forgets after
`TRIAGE_DECISION_DAYS`. What follows from a decision stands in the same store: see `escalate`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from triage.database.engine import Query, writing
from triage.database.store import failing
from triage.database.tables import CaseRow, DecisionRow
from triage.policy.surroundings import ANY
from triage.records import Decision, Event, Scores

READ_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as it is kept.

    Attributes:
        id: Triage's own id of the pass.
        at: When, with its time zone.
        account: Pseudonym of whom the recording is of; empty if that isn't known.
        recording: Pseudonym of the recording.
        scores: What it was decided on, without words and evidence.
        decision: What was decided.
        shadow: What would have been with the policy's shadow rules.
    """

    id: str
    at: datetime
    account: str
    recording: str
    scores: Scores = field(repr=False)
    decision: Decision
    shadow: Decision


@dataclass(frozen=True, slots=True)
class Compared:
    """A decision beside its shadow.

    Attributes:
        id, at, policy: Of which pass, when, and by which policy (digest).
        tier, rule: What was decided.
        shadow_tier, shadow_rule: What would have been.
    """

    id: str
    at: datetime
    policy: str
    tier: str
    rule: str
    shadow_tier: str
    shadow_rule: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What can be decided anew.

    Attributes:
        id, at: Of which pass, and when.
        account: As in `Decided`.
        scores: As in `Decided`.
    """

    id: str
    at: datetime
    account: str
    scores: Scores = field(repr=False)


@dataclass(frozen=True, slots=True)
class Past:
    """What a decision's history is counted from.

    Attributes:
        until: When it ends.
        run: What the ids of a long run's own passes begin with: they count whenever they were
            made, so that the run comes out the same however long it takes. Empty without one.
    """

    until: datetime
    run: str = ""


class Decisions:
    """Decisions in the store.

    Args:
        opened: The store, as `open_store` gives it.
    """

    def __init__(self, opened: sa.Engine) -> None:
        self._engine = opened

    def forget(self, before: datetime) -> int:
        """Forgets decisions of before a time, but for those of cases that aren't resolved.

        Returns:
            How many.

        Raises:
            StoreFailed: They can't be.
        """
        unresolved = sa.select(CaseRow.id).where(CaseRow.resolved_at.is_(None))
        old = sa.delete(DecisionRow).where(
            DecisionRow.at < before.timestamp(), DecisionRow.case.not_in(unresolved)
        )
        with failing("can't be written"), writing(self._engine) as connection:
            return connection.execute(old).rowcount

    def history(
        self, account: str, windows: Mapping[str, int], past: Past
    ) -> dict[str, Counter[str]]:
        """How often an account's recordings were flagged in the past, by window and category.

        Args:
            account: A pseudonym; of an empty one nothing is known.
            windows: Their lengths in seconds, by name.
            past: When they end.

        Raises:
            StoreFailed: They can't be read.
        """
        counts = {name: Counter[str]() for name in windows}
        if not account or not windows:
            return counts
        until, c = past.until.timestamp(), DecisionRow
        counted = sa.and_(c.at >= until - max(windows.values()), c.at <= until)
        own = c.id.startswith(past.run, autoescape=True) if past.run else sa.false()
        query = sa.select(c.id, c.at, c.flagged).where(c.account == account, counted | own)
        with failing("can't be read"), self._engine.connect() as connection:
            for id, at, flagged in connection.execute(query):
                names = json.loads(flagged)
                of_run = bool(past.run) and id.startswith(past.run)
                for window, length in windows.items():
                    if of_run or at >= until - length:
                        counts[window].update([*names, *([ANY] if names else [])])
        return counts

    def holds(self, id: str) -> bool:
        """Whether the decision of a pass is there.

        Raises:
            StoreFailed: It can't be read.
        """
        query = sa.select(sa.exists().where(DecisionRow.id == id))
        with failing("can't be read"), self._engine.connect() as connection:
            return bool(connection.execute(query).scalar_one())

    def compared(self, since: datetime) -> Iterator[Compared]:
        """Every decision beside its shadow, in the order of time.

        Raises:
            StoreFailed: They can't be read.
        """
        c = DecisionRow
        query = sa.select(c.id, c.at, c.policy, c.tier, c.rule, c.shadow_tier, c.shadow_rule)
        for id, at, *rest in self._since(query, since):
            yield Compared(id, datetime.fromtimestamp(at, UTC), *rest)

    def kept(self, since: datetime) -> Iterator[Kept]:
        """Every decision's scores, in the order of time.

        Raises:
            StoreFailed: They can't be read.
        """
        c = DecisionRow
        query = sa.select(c.id, c.at, c.account, c.model, c.scores)
        for id, at, account, model, scores in self._since(query, since):
            yield Kept(id, datetime.fromtimestamp(at, UTC), account, _scores(model, scores))

    def _since(self, query: Query, since: datetime) -> Iterator[tuple[Any, ...]]:
        asked = query.where(DecisionRow.at >= since.timestamp()).order_by(DecisionRow.at)
        with failing("can't be read"), self._engine.connect() as connection:
            found = connection.execution_options(yield_per=READ_AT_ONCE).execute(asked)
            yield from (tuple(row) for row in found)


def insert(connection: sa.Connection, made: Sequence[Decided]) -> None:
    """Writes decisions within a transaction."""
    if made:
        connection.execute(sa.insert(DecisionRow), [_columns(one) for one in made])


def _columns(one: Decided) -> dict[str, Any]:
    decision, shadow = one.decision, one.shadow
    return {
        "id": one.id,
        "at": one.at.timestamp(),
        "account": one.account,
        "recording": one.recording,
        "model": one.scores.model,
        "policy": decision.policy_digest,
        "tier": decision.tier,
        "rule": decision.rule,
        "flagged": json.dumps(decision.flagged),
        "case": decision.case,
        "shadow_tier": shadow.tier,
        "shadow_rule": shadow.rule,
        "scores": scores_told(one.scores),
    }


def scores_told(scores: Scores) -> str:
    """All that conditions can speak of, and whether anything was said; never what."""
    events = [[one.event, one.start, one.end, one.score] for one in scores.events]
    return json.dumps(
        {
            "categories": dict(scores.categories),
            "event_scores": dict(scores.event_scores),
            "events": events,
            "flags": dict(scores.flags),
            "failures": dict(scores.failures),
            "seconds": scores.seconds,
            "applied": {name: list(inputs) for name, inputs in scores.applied.items()},
        }
    )


def _scores(model: str, told_: str) -> Scores:
    known = json.loads(told_)
    return Scores(
        model=model,
        categories=known["categories"],
        applied={name: tuple(inputs) for name, inputs in known["applied"].items()},
        seconds=known["seconds"],
        event_scores=known["event_scores"],
        events=tuple(Event(*one) for one in known["events"]),
        flags=known["flags"],
        failures=known["failures"],
    )
