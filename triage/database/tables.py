"""The tables of a store. Times are seconds since 1970 in UTC; whose a recording is, a pseudonym.

A change here needs a migration (`migrations/versions`), and a test holds the two together. One
schema serves both stores, the one of decisions and the one of labels: they may be one database,
and are two files by default.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What all tables share."""

    metadata = sa.MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {str: sa.Text(), float: sa.Double()}  # noqa: RUF012  # as SQLAlchemy has it


def _of_case() -> Mapped[str]:
    return mapped_column(sa.ForeignKey("cases.id", ondelete="CASCADE"), index=True)


class DecisionRow(Base):
    """A decision and the scores it was made on."""

    __tablename__ = "decisions"

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float] = mapped_column(index=True)
    account: Mapped[str]  # empty if nobody said whose it is
    recording: Mapped[str]
    model: Mapped[str]
    policy: Mapped[str]  # digest
    tier: Mapped[str]
    rule: Mapped[str]
    flagged: Mapped[str]  # categories, JSON
    case: Mapped[str] = mapped_column(index=True)  # empty where nobody has to look
    shadow_tier: Mapped[str]  # as without shadow rules if there are none
    shadow_rule: Mapped[str]
    scores: Mapped[str]  # JSON; see `triage.decisions`

    __table_args__ = (
        sa.Index("decisions_by_account", "account", "at"),
        sa.Index("decisions_by_recording", "recording", "at"),
    )


class CaseRow(Base):
    """What somebody has to look at, until it is resolved."""

    __tablename__ = "cases"

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]
    account: Mapped[str]
    recording: Mapped[str]  # the first one's
    rule: Mapped[str]
    reason: Mapped[str]  # in the policy's words
    policy: Mapped[str]  # digest
    model: Mapped[str]
    tier: Mapped[str]
    severity: Mapped[int]
    scores: Mapped[str]  # of flagged categories and of events, JSON
    recordings: Mapped[int]  # that joined it, with the first
    raised_by: Mapped[str]  # empty if the policy did
    state: Mapped[str]
    owner: Mapped[str]  # empty if nobody has it
    clock_at: Mapped[float]  # when its clock began: as it was raised or reopened
    due_at: Mapped[float]
    missed_at: Mapped[float | None]
    acknowledged_at: Mapped[float | None]
    moved_at: Mapped[float]
    snoozed_until: Mapped[float | None]
    resolved_at: Mapped[float | None]

    __table_args__ = (sa.Index("cases_by_state", "state", "due_at"),)


class EscalationRow(Base):
    """A case before one of its queues, and when whom there is told next."""

    __tablename__ = "escalations"

    case: Mapped[str] = mapped_column(
        sa.ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True
    )
    queue: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]
    asked: Mapped[str]  # the queue that the policy asked for, where that one was full
    told: Mapped[int]  # how often somebody of its line was told
    told_at: Mapped[float]  # when that, or the time of the next, was last changed
    next_at: Mapped[float | None] = mapped_column(index=True)  # None: nobody need be told again

    __table_args__ = (sa.Index("escalations_by_queue", "queue", "at"),)


class NotificationRow(Base):
    """What somebody is to be told: the outbox."""

    __tablename__ = "notifications"

    id: Mapped[str] = mapped_column(primary_key=True)  # the idempotency key
    case: Mapped[str] = _of_case()
    queue: Mapped[str]  # empty if it is of the whole case
    kind: Mapped[str]
    person: Mapped[str]  # empty if it is told to a place and not to somebody
    target: Mapped[str]
    rank: Mapped[int]  # 0 for the highest tier: lower ones are sent first
    times: Mapped[int]  # how often somebody was told before
    at: Mapped[float]
    payload: Mapped[str]  # JSON
    state: Mapped[str]  # waiting, sent, dead, moot
    attempts: Mapped[int]
    failures: Mapped[int]
    tried_at: Mapped[float]
    next_at: Mapped[float]
    sent_at: Mapped[float | None]
    error: Mapped[str]  # a code of ours

    __table_args__ = (sa.Index("notifications_to_send", "state", "target", "rank", "next_at"),)


class AcknowledgementRow(Base):
    """Somebody said that they will look."""

    __tablename__ = "acknowledgements"

    id: Mapped[int] = mapped_column(primary_key=True)
    case: Mapped[str] = _of_case()
    at: Mapped[float]
    actor: Mapped[str]


class MoveRow(Base):
    """Everything that was done with a case."""

    __tablename__ = "moves"

    id: Mapped[int] = mapped_column(primary_key=True)
    case: Mapped[str] = _of_case()
    at: Mapped[float] = mapped_column(index=True)
    actor: Mapped[str]
    move: Mapped[str]
    before: Mapped[str]  # state
    after: Mapped[str]
    to: Mapped[str]  # whom it was handed to, or how it ended
    reason: Mapped[str]  # in the actor's words; never told to anybody else than those who may see


class OutcomeRow(Base):
    """How a case ended, and what was heard: what labels for retraining are made of."""

    __tablename__ = "outcomes"

    id: Mapped[str] = mapped_column(primary_key=True)  # of the message, where one brought it
    case: Mapped[str] = _of_case()
    at: Mapped[float]
    actor: Mapped[str]
    outcome: Mapped[str]
    heard: Mapped[str]  # categories, JSON; null if nobody said


class LabelRow(Base):
    """What one annotator says of one recording."""

    __tablename__ = "labels"

    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    licence: Mapped[str]
    group: Mapped[str]
    split: Mapped[str]
    labels: Mapped[str]  # JSON, its names sorted
    events: Mapped[str]  # likewise
    text: Mapped[str | None]
    audio: Mapped[str | None]
    annotator: Mapped[str] = mapped_column(primary_key=True)  # empty: nobody knows
    golden: Mapped[bool]
    weight: Mapped[float]
    labelled_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))  # UTC

    __table_args__ = ({"sqlite_with_rowid": False},)  # kept in the order in which it is read
