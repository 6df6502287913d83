"""Who is told of a case, when, and what. Pure.

As long as nobody has acknowledged, the first in line is told, told once more, then the next in
line, and so on, and after the last the line of the queue that takes its overflow; then it begins
again. People who are spared what may be heard are passed over. Where nobody is left, the roster's
fallback is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from triage.escalate.moves import due, spared
from triage.escalate.records import Case, Message
from triage.escalate.roster import Roster
from triage.policy.model import Policy
from triage.policy.surroundings import Terms

TWICE = 2  # how often one is told before the next in line is

ESCALATED = "case.escalated"  # somebody must look
REMINDED = "case.reminded"  # somebody still must
QUEUED = "case.queued"  # it came before a queue
RESOLVED = "case.resolved"  # how it ended


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody told, or a place.

    Attributes:
        messages: One for each of their targets; none if nobody can be told.
        next_at: When somebody is to be told again, s since 1970.
    """

    messages: tuple[Message, ...]
    next_at: float


def line(case: Case, queue: str, roster: Roster, policy: Policy) -> tuple[str, ...]:
    """Who may be told of a case before a queue, in order."""
    members: list[str] = []
    name: str | None = queue
    while name is not None and name in policy.queues:
        members += policy.queues[name].members
        name = policy.queues[name].overflow
    return tuple(
        one
        for one in roster.line(tuple(members))
        if roster.people[one].targets and not spared(case, roster.people[one])
    )


def told(case: Case, queue: str, times: int, now: float, roster: Roster, policy: Policy) -> Told:
    """Who is told now, and when somebody is to be told again.

    Args:
        case: Which.
        queue: Before which it is.
        times: How often somebody was told already.
        now: s since 1970.
        roster: Who everybody is.
        policy: Whom the queue has, and when they are told.
    """
    people = line(case, queue, roster, policy)
    person = people[times // TWICE % len(people)] if people else ""
    targets = roster.people[person].targets if person else roster.fallback
    kind = REMINDED if times else ESCALATED
    messages = tuple(_message(case, queue, kind, person, t, times, now, roster) for t in targets)
    return Told(messages, again_at(case, now, policy))


def skipped(times: int) -> int:
    """How often somebody counts as told once the present one can't be reached."""
    return (times // TWICE + 1) * TWICE


def first_at(case: Case, policy: Policy, *, paged: bool) -> float:
    """When somebody is first told of a case whose clock begins.

    At once where it is a page or where the tier tells again, in the tier's hours; else when the
    deadline is missed.
    """
    terms = _terms(case, policy)
    return _in_hours(terms, case.clock_at) if paged or terms.again else case.due_at


def again_at(case: Case, now: float, policy: Policy) -> float:
    """When somebody is told again if they are told now."""
    terms = _terms(case, policy)
    return _in_hours(terms, now + terms.again) if terms.again else due(case.tier, now, policy)


def queued(case: Case, queue: str, now: float, roster: Roster) -> Iterator[Message]:
    """What the places that follow a queue are told of a case that comes before it."""
    for target in roster.queues.get(queue, ()):
        yield _message(case, queue, QUEUED, "", target, 0, now, roster)


def resolved(
    case: Case, ending: str, heard: tuple[str, ...] | None, now: float, roster: Roster
) -> Iterator[Message]:
    """What whoever raised a case is told of its end: the callers' service, and the one by hand."""
    person = case.raised_by
    targets = roster.people[person].targets if person in roster.people else ()
    for target in dict.fromkeys((*roster.outcomes, *targets)):
        whom = person if target in targets else ""
        one = _message(case, "", RESOLVED, whom, target, 0, now, roster)
        ended = {"outcome": ending, "heard": None if heard is None else list(heard)}
        yield Message(
            one.id, one.case, "", one.kind, whom, target, one.tier, {**one.payload, **ended}
        )


def woken(case: Case, now: float, roster: Roster) -> Iterator[Message]:
    """What whoever snoozed a case is told when that is over."""
    person = roster.people.get(case.owner)
    for target in person.targets if person else ():
        yield _message(case, "", REMINDED, case.owner, target, 1, now, roster)


def about(case: Case, kind: str, roster: Roster) -> Message:
    """A message to nobody in particular, of a case as it was raised."""
    return _message(case, ", ".join(case.queues), kind, "", "", 0, case.at, roster)


def moment(at: float) -> str:
    """A time as RFC 3339 has it, in UTC, to the millisecond."""
    told_ = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return told_.replace("+00:00", "Z")


def _message(
    case: Case,
    queue: str,
    kind: str,
    person: str,
    target: str,
    times: int,
    now: float,
    roster: Roster,
) -> Message:
    # The same telling has the same id, whoever makes it and however often: so none is made twice.
    state = [repr(case.clock_at), repr(case.moved_at), repr(case.resolved_at)]
    what = "|".join([case.id, queue, kind, target, str(times), *state])
    id = f"msg_{hashlib.sha256(what.encode()).hexdigest()[:32]}"
    return Message(
        id,
        case.id,
        queue,
        kind,
        person,
        target,
        case.tier,
        _payload(case, queue, times, now, roster),
    )


def _payload(case: Case, queue: str, times: int, now: float, roster: Roster) -> dict[str, Any]:
    """What is told: pseudonyms and scores, never a word, a name or an id that a caller gave."""
    return {
        "case": case.id,
        "tier": case.tier,
        "severity": case.severity,
        "rule": case.rule,
        "reason": case.reason,
        "queue": queue,
        "account": case.account or None,
        "recording": case.recording or None,
        "recordings": case.recordings,
        "scores": {kind: dict(scores) for kind, scores in case.scores.items()},
        "raised_at": moment(case.at),
        "due_at": moment(case.due_at),
        "is_late": now > case.due_at,
        "times_told": times,
        "link": roster.link_of(case.id),
    }


def _terms(case: Case, policy: Policy) -> Terms:
    return policy.tiers[case.tier]  # type: ignore[index]  # a row holds what a policy said


def _in_hours(terms: Terms, at: float) -> float:
    if terms.hours is None:
        return at
    return terms.hours.opens(datetime.fromtimestamp(at, UTC)).timestamp()
