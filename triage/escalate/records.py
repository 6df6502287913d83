"""The records of casework: a case, what may be done with it, what is told. Nothing computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """Where a case is."""

    OPEN = "open"  # nobody has said that they will look
    ACKNOWLEDGED = "acknowledged"  # somebody will; others may still take it
    CLAIMED = "claimed"  # somebody looks
    SNOOZED = "snoozed"  # somebody looks again later
    RESOLVED = "resolved"


UNRESOLVED = tuple(state for state in State if state is not State.RESOLVED)


class Move(StrEnum):
    """What is done with a case."""

    RAISE = "raise"
    JOIN = "join"  # another recording belongs to it
    ACKNOWLEDGE = "acknowledge"
    CLAIM = "claim"
    HAND_OVER = "hand-over"
    RELEASE = "release"
    SNOOZE = "snooze"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    WAKE = "wake"  # by the clock: a snooze is over
    RETURN = "return"  # by the clock: who had it has done nothing with it
    MISS = "miss"  # by the clock: its deadline has passed and nobody has acknowledged


class Ending(StrEnum):
    """How a case ended."""

    FALSE_ALARM = "false_alarm"  # nothing of what was flagged was there
    HELPED = "helped"
    REFERRED = "referred"  # to another team or to whoever can help
    REPORTED = "reported"  # to an authority, by a person
    NO_ACTION = "no_action"  # it was there, and nothing could or should be done
    UNCLEAR = "unclear"  # it can't be told


CLOCK = "the clock"  # who moves what nobody moved; no person may be called so
SENDER = "sender:"  # before the name of one who told an outcome from elsewhere; no person's has it


@dataclass(frozen=True, slots=True)
class Case:
    """What somebody has to look at.

    Attributes:
        id: As in the answers of the recordings that belong to it.
        at: When it was raised, s since 1970; so are all times here.
        account, recording: Pseudonyms, of the first recording; empty if not known.
        rule, reason, policy, model: What raised it; reason is in the policy's words.
        tier, severity: The gravest of its recordings.
        scores: Of flagged categories and of events heard, by "categories" and "events".
        recordings: How many belong to it.
        raised_by: Who raised it by hand; empty if the policy did.
        state, owner: Where it is, and who has it.
        clock_at, due_at: When its clock began, and by when somebody must look.
        missed_at: When that was missed.
        acknowledged_at: When somebody said that they look.
        moved_at: When it was last moved.
        snoozed_until, resolved_at: Of those states.
        queues: Before which it is.
    """

    id: str
    at: float
    account: str
    recording: str
    rule: str
    reason: str
    policy: str
    model: str
    tier: str
    severity: int
    scores: Mapping[str, Mapping[str, float]]
    recordings: int
    raised_by: str
    state: State
    owner: str
    clock_at: float
    due_at: float
    missed_at: float | None
    acknowledged_at: float | None
    moved_at: float
    snoozed_until: float | None
    resolved_at: float | None
    queues: tuple[str, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """Those that are flagged."""
        return tuple(self.scores.get("categories", {}))


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants done with a case.

    Attributes:
        move: What.
        actor: Who wants it.
        reason: Why, in their words; kept with the case and told to nobody else.
        to: Whom it is handed to.
        until: Until when it is snoozed, s since 1970.
        ending: How it ended.
        heard: The categories that were heard; None if that isn't said.
        key: Of the message that brought an ending; the same message counts once.
    """

    move: Move
    actor: str
    reason: str = field(default="", repr=False)
    to: str = ""
    until: float | None = None
    ending: Ending | None = None
    heard: tuple[str, ...] | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was done with a case, as its history has it."""

    at: float
    actor: str
    move: str
    before: str
    after: str
    to: str
    reason: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody is to be told, once.

    Attributes:
        id: The idempotency key: the same for every attempt, another for everything else.
        case: Of which it tells.
        queue: Before which the case is; empty if it is of the whole case.
        kind: "case.escalated", "case.reminded", "case.queued" or "case.resolved".
        person: Who is told; empty if it is a place and not somebody.
        target: By the roster's name.
        tier: Higher ones are sent first.
        payload: Plain JSON; no word said, no id that a caller gave.
    """

    id: str
    case: str
    queue: str
    kind: str
    person: str
    target: str
    tier: str
    payload: Mapping[str, Any] = field(repr=False)
