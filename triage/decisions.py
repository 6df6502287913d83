"""The store of decisions: what was decided and on which scores, by pseudonym.

It is what a policy's history is counted from, what its shadow rules are compared by, and what a new
policy is tried on. It holds scores and no words, sound or id of a caller, and forgets after
`TRIAGE_DECISION_DAYS`. SQLite in a file, or another database by its URL.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from triage.database import engine, told
from triage.errors import BadSetting, DecisionsFailed
from triage.policy.surroundings import ANY
from triage.records import Decision, Event, Scores

STORE = "store of decisions"
READ_AT_ONCE = 1_000

METADATA = sa.MetaData()
DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, nullable=False, index=True),  # s since 1970, UTC
    sa.Column("account", sa.Text, nullable=False),  # a pseudonym; empty if nobody said whose it is
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),  # digest
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("flagged", sa.Text, nullable=False),  # categories, JSON
    sa.Column("case", sa.Text, nullable=False),  # empty where nobody has to look
    sa.Column("shadow_tier", sa.Text, nullable=False),  # as without shadow rules if there are none
    sa.Column("shadow_rule", sa.Text, nullable=False),
    sa.Column("scores", sa.Text, nullable=False),  # JSON, see `_scores_told`
    sa.Index("decisions_by_account", "account", "at"),
)


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as it is kept.

    Attributes:
        id: Triage's own id of the pass.
        at: When, with its time zone.
        account: Pseudonym of whom the recording is of; empty if that isn't known.
        scores: What it was decided on, without words and evidence.
        decision: What was decided.
        shadow: What would have been with the policy's shadow rules.
    """

    id: str
    at: datetime
    account: str
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


class Decisions:
    """Decisions in a database; made at first use.

    Args:
        url: As SQLAlchemy has it. It may hold a password, so no error tells it.
        days: Until a decision is forgotten; None forgets none, as for those who only read.

    Raises:
        BadSetting: The database can't be opened.
    """

    def __init__(self, url: str, days: int | None = None) -> None:
        self._days = days
        self._engine = engine(url, setting="TRIAGE_DECISIONS", file="decisions.db", kept_open=True)
        remedy = "Look at TRIAGE_DECISIONS and the database's rights"
        with told(STORE, BadSetting, "can't be opened", remedy):
            self._prepare()

    def add(self, made: Sequence[Decided]) -> None:
        """Keeps decisions, all of them or none, and forgets those that are too old beside them.

        Raises:
            DecisionsFailed: They can't be written.
        """
        with self._failing("can't be written"), self._engine.begin() as connection:
            connection.execute(DECISIONS.insert(), [_columns(one) for one in made])
            if self._days is not None:
                oldest = max(one.at for one in made) - timedelta(days=self._days)
                old = DECISIONS.c.at < oldest.timestamp()
                connection.execute(DECISIONS.delete().where(old))

    def history(
        self, account: str, windows: Mapping[str, int], now: datetime
    ) -> dict[str, Counter[str]]:
        """How often an account's recordings were flagged before now, by window and category.

        Args:
            account: A pseudonym; of an empty one nothing is known.
            windows: Their lengths in seconds, by name.
            now: When they end.

        Raises:
            DecisionsFailed: They can't be read.
        """
        counts = {name: Counter[str]() for name in windows}
        if not account or not windows:
            return counts
        until = now.timestamp()
        query = sa.select(DECISIONS.c.at, DECISIONS.c.flagged).where(
            DECISIONS.c.account == account,
            DECISIONS.c.at >= until - max(windows.values()),
            DECISIONS.c.at <= until,
        )
        with self._failing("can't be read"), self._engine.connect() as connection:
            for at, flagged in connection.execute(query):
                names = json.loads(flagged)
                for window, length in windows.items():
                    if at >= until - length:
                        counts[window].update([*names, *([ANY] if names else [])])
        return counts

    def open_case(self, account: str, rule: str, within: int, now: datetime) -> str:
        """The case of an account's latest decision by a rule in so many seconds; empty if none.

        Raises:
            DecisionsFailed: They can't be read.
        """
        if not account or not within:
            return ""
        query = (
            sa.select(DECISIONS.c.case)
            .where(
                DECISIONS.c.account == account,
                DECISIONS.c.at >= now.timestamp() - within,
                DECISIONS.c.rule == rule,
                DECISIONS.c.case != "",
            )
            .order_by(DECISIONS.c.at.desc())
            .limit(1)
        )
        with self._failing("can't be read"), self._engine.connect() as connection:
            return connection.execute(query).scalar() or ""

    def compared(self, since: datetime) -> Iterator[Compared]:
        """Every decision beside its shadow, in the order of time.

        Raises:
            DecisionsFailed: They can't be read.
        """
        c = DECISIONS.c
        query = sa.select(c.id, c.at, c.policy, c.tier, c.rule, c.shadow_tier, c.shadow_rule)
        for id, at, *rest in self._since(query, since):
            yield Compared(id, datetime.fromtimestamp(at, UTC), *rest)

    def kept(self, since: datetime) -> Iterator[Kept]:
        """Every decision's scores, in the order of time.

        Raises:
            DecisionsFailed: They can't be read.
        """
        c = DECISIONS.c
        query = sa.select(c.id, c.at, c.account, c.model, c.scores)
        for id, at, account, model, scores in self._since(query, since):
            yield Kept(id, datetime.fromtimestamp(at, UTC), account, _scores(model, scores))

    def _prepare(self) -> None:
        """Makes the table where it isn't there; other processes may be doing the same."""
        with self._engine.begin() as connection:
            connection.execute(CreateTable(DECISIONS, if_not_exists=True))
            for index in sorted(DECISIONS.indexes, key=lambda one: str(one.name)):
                connection.execute(CreateIndex(index, if_not_exists=True))

    def _since(self, query: sa.Select[Any], since: datetime) -> Iterator[tuple[Any, ...]]:
        asked = query.where(DECISIONS.c.at >= since.timestamp()).order_by(DECISIONS.c.at)
        with self._failing("can't be read"), self._engine.connect() as connection:
            found = connection.execution_options(yield_per=READ_AT_ONCE).execute(asked)
            yield from (tuple(row) for row in found)

    def _failing(self, what: str) -> AbstractContextManager[None]:
        remedy = "Nothing was answered; try again when it is back"
        return told(STORE, DecisionsFailed, what, remedy)


def _columns(one: Decided) -> dict[str, Any]:
    decision, shadow = one.decision, one.shadow
    return {
        "id": one.id,
        "at": one.at.timestamp(),
        "account": one.account,
        "model": one.scores.model,
        "policy": decision.policy_digest,
        "tier": decision.tier,
        "rule": decision.rule,
        "flagged": json.dumps(decision.flagged),
        "case": decision.case,
        "shadow_tier": shadow.tier,
        "shadow_rule": shadow.rule,
        "scores": _scores_told(one.scores),
    }


def _scores_told(scores: Scores) -> str:
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
