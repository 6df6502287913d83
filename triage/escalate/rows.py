"""Cases and messages as rows of the store, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from triage.database.engine import Query
from triage.database.tables import CaseRow, EscalationRow, NotificationRow, OutcomeRow
from triage.errors import NoSuchCase
from triage.escalate.records import Case, Message, State
from triage.policy.parts import TIERS

WAITING, SENT, DEAD, MOOT = "waiting", "sent", "dead", "moot"
AT_ONCE = 500  # ids in one query: SQLite takes 32,766 parameters, and a plan is no better for them

RANKED = TIERS[::-1]  # rising, as an index has them: the first is sent first

_FIELDS = tuple(one.name for one in fields(Case) if one.name != "queues")


def case_columns(case: Case) -> dict[str, Any]:
    """A case as its row has it."""
    return {name: getattr(case, name) for name in _FIELDS} | {
        "scores": json.dumps(case.scores, sort_keys=True),
        "state": str(case.state),
    }


def message_columns(message: Message, at: float) -> dict[str, Any]:
    """A message as it is when it waits to be sent for the first time."""
    return {
        "id": message.id,
        "case": message.case,
        "queue": message.queue,
        "kind": message.kind,
        "person": message.person,
        "target": message.target,
        "rank": RANKED.index(message.tier),
        "times": message.payload["times_told"],
        "at": at,
        "payload": json.dumps(message.payload),
        "state": WAITING,
        "attempts": 0,
        "failures": 0,
        "tried_at": at,
        "next_at": at,
        "sent_at": None,
        "error": "",
    }


def message_of(row: sa.RowMapping) -> Message:
    """A message from its row."""
    return Message(
        row["id"],
        row["case"],
        row["queue"],
        row["kind"],
        row["person"],
        row["target"],
        RANKED[row["rank"]],
        json.loads(row["payload"]),
    )


def cases_of(connection: sa.Connection, query: Query) -> list[Case]:
    """Cases with their queues, in the order of a query of their rows."""
    rows = connection.execute(query).mappings().all()
    queues: dict[str, list[str]] = {row["id"]: [] for row in rows}
    for ids in _parts(list(queues)):
        asked = sa.select(EscalationRow.case, EscalationRow.queue).where(
            EscalationRow.case.in_(ids)
        )
        for case, queue in connection.execute(
            asked.order_by(EscalationRow.at, EscalationRow.queue)
        ):
            queues[case].append(queue)
    return [_case(row, queues[row["id"]]) for row in rows]


def case_of(connection: sa.Connection, id: str, *, locked: bool = False) -> Case:
    """A case by its id.

    Args:
        connection: In a transaction.
        id: Of the case.
        locked: Whether nobody else may change it until the transaction ends.

    Raises:
        NoSuchCase: There is none.
    """
    query = all_cases().where(CaseRow.id == id)
    found = cases_of(connection, locking(query) if locked else query)
    if not found:
        raise NoSuchCase("There is no case of this id. `triage cases list` and /cases have them.")
    return found[0]


def locking(query: Query, *, skip: bool = False) -> Query:
    """The query with its cases' rows locked, but for what refers to them: that may go on.

    Args:
        query: Of cases.
        skip: Whether rows that somebody else has locked are left out, and not waited for.
    """
    return query.with_for_update(key_share=True, skip_locked=skip)


def moot(connection: sa.Connection, of: sa.ColumnElement[bool]) -> None:
    """Takes back what people are still to be told of some cases; not what is being sent."""
    n = NotificationRow
    waiting = sa.select(n.id).where(of, n.state == WAITING, n.person != "", n.queue != "")
    if connection.dialect.name == "postgresql":
        waiting = waiting.with_for_update(skip_locked=True)
    connection.execute(sa.update(n).where(n.id.in_(waiting)).values(state=MOOT))


def all_cases() -> Query:
    """The query of every case, to be narrowed."""
    return sa.select(*(getattr(CaseRow, name) for name in _FIELDS))


def put(connection: sa.Connection, cases: Iterable[Case]) -> None:
    """Writes cases that are there already."""
    for case in cases:
        connection.execute(sa.update(CaseRow).where(CaseRow.id == case.id), case_columns(case))


def tell(connection: sa.Connection, messages: Iterable[Message], at: float) -> None:
    """Puts messages into the outbox."""
    if waiting := [message_columns(one, at) for one in messages]:
        connection.execute(sa.insert(NotificationRow), waiting)


def has_outcome(connection: sa.Connection, id: str) -> bool:
    """Whether an outcome of this id is known."""
    query = sa.select(OutcomeRow.id).where(OutcomeRow.id == id)
    return connection.execute(query).first() is not None


def _case(row: sa.RowMapping, queues: Sequence[str]) -> Case:
    known = dict(row) | {"scores": json.loads(row["scores"]), "state": State(row["state"])}
    return Case(**known, queues=tuple(queues))


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[first : first + AT_ONCE] for first in range(0, len(ids), AT_ONCE))
