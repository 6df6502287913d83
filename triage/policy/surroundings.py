"""What stands around a policy's rules: when it is in effect, who looks, what is asked of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from triage.policy.conditions import KINDS, Kind
from triage.policy.hours import Hours
from triage.policy.parts import MAX_DEADLINE, Name, Part, Sentence, Share, Slug, Tier
from triage.records import InputKind

MAX_INT = 2**63 - 1  # of CEL
ANY = "any"  # every category of a history together


class Effective(Part):
    """The first day on which a policy may decide, and the last; either may be open. In UTC."""

    since: date | None = None
    until: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since and self.until and self.until < self.since:
            raise ValueError(f"until {self.until} is before since {self.since}")
        return self

    def holds(self, day: date) -> bool:
        """Whether a day is one of them."""
        return (self.since is None or self.since <= day) and (
            self.until is None or day <= self.until
        )


class Terms(Part):
    """Who must look at what is of a tier, and by when.

    Attributes:
        deadline: Seconds from the decision to the look.
        who: In words, for people.
        again: Seconds until somebody is told again as long as nobody has acknowledged: the same
            one once more, then the next in line. Without it, people see what is there in their
            queue, and are told only when the deadline has passed.
        hours: When its clock runs and people are told; always if not given.
    """

    deadline: Annotated[int, Field(gt=0, le=MAX_DEADLINE)] | None
    who: Sentence | None
    again: Annotated[int, Field(ge=10, le=MAX_DEADLINE)] | None = None
    hours: Hours | None = None

    def due(self, now: datetime) -> datetime | None:
        """When somebody must have looked at what is decided now; None if nobody must."""
        if self.deadline is None:
            return None
        if self.hours is not None:
            return self.hours.add(now, self.deadline)
        return now + timedelta(seconds=self.deadline)


class Queue(Part):
    """Who looks at what is put before them.

    Attributes:
        members: What they are known by, in the order in which they are told; never shown with a
            recording.
        capacity: Reviews a day of all members together.
        hours: When they work; always if not given.
        overflow: The queue that takes what comes beyond the capacity, and whose members are told
            when all of this one's were in vain. Without it, this queue takes everything.
    """

    members: Annotated[tuple[Sentence, ...], Field(min_length=1)]
    capacity: Annotated[int, Field(gt=0, le=1_000_000)]
    hours: Hours | None = None
    overflow: Slug | None = None


class ContextField(Part):
    """Something that callers may say of a recording, for conditions as `context.<name>`.

    Attributes:
        kind: What it is.
        default: What it is taken for where the caller doesn't say, or says something else.
    """

    kind: Kind
    default: bool | int | float | str

    @model_validator(mode="before")
    @classmethod
    def _typed(cls, fields: object) -> object:
        if not isinstance(fields, Mapping) or not {"kind", "default"} <= set(fields):
            return fields  # told by the fields themselves
        kind, default = fields["kind"], fields["default"]
        if kind not in KINDS:
            return fields
        return {**fields, "default": typed(default, kind)}


def typed(value: object, kind: Kind) -> bool | int | float | str:
    """A value as a kind, from its own type or from the text of a file.

    Raises:
        ValueError: It isn't one.
    """
    if kind == "string" and isinstance(value, str):
        value.encode()  # CEL has no half characters, and JSON may; it raises a ValueError
        return value
    if kind == "bool" and value in (True, False, "true", "false"):
        return value in (True, "true")
    if kind == "int" and isinstance(value, int | str) and not isinstance(value, bool):
        whole = int(value)
        if abs(whole) <= MAX_INT:
            return whole
    if kind == "double" and isinstance(value, int | float | str) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number):
            return number
    raise ValueError(f"this is no {kind}")


class History(Part):
    """What a policy remembers of a pseudonym.

    Attributes:
        windows: Lengths by name, in seconds. `history.<window>.<category>` is how many earlier
            incidents of that category there were in it; `history.<window>.any` of any.
        cool_down: Seconds in which another recording with the same rule joins the case that is
            there, rather than opening one.
    """

    windows: Mapping[Name, Annotated[int, Field(gt=0, le=MAX_DEADLINE)]] = Field(
        default_factory=dict
    )
    cool_down: Annotated[int, Field(ge=0, le=MAX_DEADLINE)] = 0


class Given(Part):
    """A made recording: whatever isn't said of it is 0, unknown, or the default.

    Attributes:
        sound: Whether it has any; a text has no events and no flags of sound.
    """

    scores: Mapping[Name, Share] = Field(default_factory=dict)
    event_scores: Mapping[Name, Share] = Field(default_factory=dict)
    flags: Mapping[Name, bool] = Field(default_factory=dict)
    context: Mapping[Name, bool | int | float | str] = Field(default_factory=dict)
    history: Mapping[Name, Mapping[Name, Annotated[int, Field(ge=0)]]] = Field(default_factory=dict)
    text: bool = True
    sound: bool = True

    @property
    def inputs(self) -> tuple[InputKind, ...]:
        """As scores name them."""
        asked: tuple[tuple[InputKind, bool], ...] = (("audio", self.sound), ("text", self.text))
        return tuple(name for name, there in asked if there)


class Expected(Part):
    """What is to be decided: all that is said here, and all that isn't as it comes."""

    tier: Tier
    rule: Sentence | None = None
    actions: tuple[Sentence, ...] | None = None


class Example(Part):
    """One test of a policy, kept beside its rules: given this, expect that."""

    name: Sentence
    given: Given
    expect: Expected
