"""Raising cases: from decisions, by hand; each before its queues, with those told who must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from triage.database.tables import CaseRow, DecisionRow, EscalationRow, MoveRow
from triage.decisions import Decided, scores_told
from triage.escalate import telling
from triage.escalate.moves import due
from triage.escalate.records import Case, Message, Move, State
from triage.escalate.roster import Roster
from triage.escalate.rows import case_columns, case_of, put, tell
from triage.policy.model import Policy
from triage.policy.parts import LOOKED_AT, Action, Verb

FULL_AFTER = 86_400  # s over which a queue's capacity counts
DIGITS = 4  # of scores that are told

Asked = tuple[str, bool]  # a queue, and whether it is a page


@dataclass(slots=True)
class Raising:
    """Cases that are raised in one transaction.

    Attributes:
        connection: In it.
        policy: What decided.
        roster: Who everybody is.
        now: s since 1970.
    """

    connection: sa.Connection
    policy: Policy
    roster: Roster
    now: float
    _known: dict[tuple[str, ...], str] = field(default_factory=dict)
    _loads: Counter[str] = field(default_factory=Counter)
    _cases: list[Case] = field(default_factory=list)
    _escalations: list[dict[str, Any]] = field(default_factory=list)
    _messages: list[Message] = field(default_factory=list)

    def decided(self, one: Decided) -> Decided:
        """A decision with its case: a new one, or that which it joins."""
        if one.decision.tier not in LOOKED_AT:
            return one
        id = self._joined(one)
        if id:
            self._join(id, one)
        else:
            id = one.id
            actions = [Action.parse(text) for text in one.decision.actions]
            asked = [(a.whom, a.verb is Verb.PAGE) for a in actions if a.verb.reaches_somebody]
            self.raised(self._case(one), asked)
        for key in _keys(one):
            self._known[key] = id
        return replace(one, decision=replace(one.decision, case=id))

    def raised(self, case: Case, asked: Iterable[Asked]) -> None:
        """Puts a new case before its queues and tells whoever must be told now."""
        pages: dict[str, tuple[str, bool]] = {}
        for queue, paged in asked:
            takes = self._takes(queue)
            pages[takes] = (queue, paged or pages.get(takes, ("", False))[1])
        case = replace(case, queues=tuple(pages))
        self._cases.append(case)
        for queue, (wanted, paged) in pages.items():
            self._loads[queue] += 1
            self._messages += telling.queued(case, queue, self.now, self.roster)
            first = telling.first_at(case, self.policy, paged=paged)
            times = 0
            if first <= self.now:
                now = telling.told(case, queue, 0, self.now, self.roster, self.policy)
                self._messages += now.messages
                first, times = now.next_at, 1
            self._escalations.append(
                {
                    "case": case.id,
                    "queue": queue,
                    "at": self.now,
                    "asked": wanted,
                    "told": times,
                    "told_at": self.now,
                    "next_at": first,
                }
            )

    def write(self) -> None:
        """Writes all of it."""
        if not self._cases:
            return
        self.connection.execute(sa.insert(CaseRow), [case_columns(one) for one in self._cases])
        self.connection.execute(sa.insert(EscalationRow), self._escalations)
        tell(self.connection, self._messages, self.now)
        raised = [
            move_row(one.id, self.now, one.raised_by or one.rule, Move.RAISE, "", one.state)
            for one in self._cases
        ]
        self.connection.execute(sa.insert(MoveRow), raised)
        self._cases, self._escalations, self._messages = [], [], []

    def _joined(self, one: Decided) -> str:
        """The unresolved case that a decision joins: its account's by the same rule, or its own.

        A recording that comes a second time, by way of a second server or because nobody answered
        the first time, has the same id and the same scores. The same id alone proves nothing:
        callers may call all of theirs the same.
        """
        within = self.policy.history.cool_down
        if not within:
            return ""
        for key in _keys(one):
            if key in self._known:
                return self._known[key]
        rows = DecisionRow
        same = (rows.recording == one.recording) & (rows.scores == scores_told(one.scores))
        for whose in ([rows.account == one.account] if one.account else []) + [same]:
            query = (
                sa.select(CaseRow.id)
                .join(rows, rows.case == CaseRow.id)
                .where(
                    whose,
                    rows.rule == one.decision.rule,
                    rows.at >= self.now - within,
                    CaseRow.state != State.RESOLVED,
                )
                .order_by(rows.at.desc())
                .limit(1)
            )
            if found := self.connection.execute(query).scalar():
                return str(found)
        return ""

    def _join(self, id: str, one: Decided) -> None:
        fresh = next((case for case in self._cases if case.id == id), None)
        if fresh is not None:
            index = self._cases.index(fresh)
            self._cases[index] = _with(fresh, one)
            return
        case = case_of(self.connection, id, locked=True)
        put(self.connection, [_with(case, one)])
        joined = move_row(id, self.now, one.decision.rule, Move.JOIN, case.state, case.state)
        self.connection.execute(sa.insert(MoveRow), [joined])

    def _case(self, one: Decided) -> Case:
        decision = one.decision
        return fresh(
            one.id,
            self.policy,
            self.now,
            tier=decision.tier,
            severity=decision.severity,
            scores=_told(one),
            rule=decision.rule,
            reason=decision.reason,
            account=one.account,
            recording=one.recording,
            model=one.scores.model,
        )

    def _takes(self, queue: str) -> str:
        """The queue that takes what one is asked for: itself, or the next in its overflow.

        If all are full it is itself: nothing is dropped.
        """
        name: str | None = queue
        while name is not None and name in self.policy.queues:
            if self._load(name) < self.policy.queues[name].capacity:
                return name
            name = self.policy.queues[name].overflow
        return queue

    def _load(self, queue: str) -> int:
        if queue not in self._loads:
            query = (
                sa.select(sa.func.count())
                .select_from(EscalationRow)
                .where(EscalationRow.queue == queue, EscalationRow.at > self.now - FULL_AFTER)
            )
            self._loads[queue] = self.connection.execute(query).scalar_one()
        return self._loads[queue]


def fresh(
    id: str,
    policy: Policy,
    now: float,
    *,
    tier: str,
    severity: int,
    scores: Mapping[str, Mapping[str, float]],
    rule: str,
    reason: str,
    account: str = "",
    recording: str = "",
    model: str = "",
    raised_by: str = "",
) -> Case:
    """A case whose clock begins now. See `Case`."""
    return Case(
        id=id,
        at=now,
        account=account,
        recording=recording,
        rule=rule,
        reason=reason,
        policy=policy.digest,
        model=model,
        tier=tier,
        severity=severity,
        scores=scores,
        recordings=1,
        raised_by=raised_by,
        state=State.OPEN,
        owner="",
        clock_at=now,
        due_at=due(tier, now, policy),
        missed_at=None,
        acknowledged_at=None,
        moved_at=now,
        snoozed_until=None,
        resolved_at=None,
    )


def names_of(made: Sequence[Decided]) -> list[str]:
    """What must not be raised by two at once."""
    looked_at = (one for one in made if one.decision.tier in LOOKED_AT)
    return [f"case {'|'.join(key[:2])}" for one in looked_at for key in _keys(one)]


def _keys(one: Decided) -> list[tuple[str, ...]]:
    """By what a decision may join a case of its rule."""
    rule = one.decision.rule
    of_account = [(rule, one.account)] if one.account else []
    return [*of_account, (rule, one.recording, scores_told(one.scores))]


def _with(case: Case, one: Decided) -> Case:
    worst = max(case.severity, one.decision.severity)
    scores = {
        kind: {
            name: max(case.scores.get(kind, {}).get(name, 0.0), told.get(name, 0.0))
            for name in sorted({*case.scores.get(kind, {}), *told})
        }
        for kind, told in _told(one).items()
    }
    return replace(case, recordings=case.recordings + 1, severity=worst, scores=scores)


def _told(one: Decided) -> Mapping[str, Mapping[str, float]]:
    """The scores that carry a decision: of what is flagged, and of what was heard."""
    heard: dict[str, float] = {}
    for event in one.scores.events:
        heard[event.event] = max(heard.get(event.event, 0.0), round(event.score, DIGITS))
    flagged = {n: round(one.scores.categories[n], DIGITS) for n in one.decision.flagged}
    return {"categories": flagged, "events": heard}


def move_row(
    case: str, at: float, actor: str, move: Move, before: str, after: str
) -> dict[str, Any]:
    """What was done with a case, as its row has it."""
    return {
        "case": case,
        "at": at,
        "actor": actor,
        "move": str(move),
        "before": str(before),
        "after": str(after),
        "to": "",
        "reason": "",
    }
