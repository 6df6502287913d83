"""The parts that a policy is made of. How they must fit together is the policy's own business.

What a rule says of the scores is a text here; `conditions` reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from datetime import date, time
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from triage.policy.conditions import KINDS, Kind, nearest
from triage.records import InputKind

ANY = "any"  # every category of a history together
MAX_DEADLINE = 30 * 86_400  # s; by then the default deletion clock has run out

Tier = Literal["E0", "E1", "E2", "E3", "E4"]
TIERS: tuple[Tier, ...] = get_args(Tier)  # lowest first
LOOKED_AT: tuple[Tier, ...] = TIERS[2:]  # the tiers in which somebody must look
Mode = Literal["live", "shadow", "off"]


class Verb(StrEnum):
    """What can be done about a recording."""

    PAGE = "page"  # wake whoever is on call
    QUEUE = "queue"  # put before specialists
    COUNT = "count"  # into the statistics and nowhere else
    WITHHOLD = "withhold"  # out of the annotation sample; a queue's specialists still hear it

    @property
    def reaches_somebody(self) -> bool:
        """Whether it puts the recording before a person, who must then be named."""
        return self in (Verb.PAGE, Verb.QUEUE)


@dataclass(frozen=True, slots=True)
class Action:
    """A verb and, for the verbs that reach somebody, whom. Its text is "verb:whom"."""

    verb: Verb
    whom: str = ""

    def __str__(self) -> str:
        return f"{self.verb}:{self.whom}" if self.whom else str(self.verb)

    @classmethod
    def parse(cls, value: object) -> Action:
        """Reads "verb" or "verb:whom".

        Raises:
            ValueError: The verb is unknown, lacks whom it reaches, or names somebody it can't.
        """
        if isinstance(value, Action):
            return value
        name, colon, whom = str(value).partition(":")
        if name not in list(Verb):
            raise ValueError(f"there is no action {name}{nearest(name, list(Verb))}")
        verb = Verb(name)
        if verb.reaches_somebody and not whom.strip():
            raise ValueError(f"{name} must say whom it reaches, as in {name}:on-call")
        if colon and not verb.reaches_somebody:
            raise ValueError(f"{name} reaches nobody; write it alone")
        return cls(verb, whom.strip())


def _level(value: object, info: ValidationInfo) -> object:
    """The number that a named level stands for; whatever is no name, as it is."""
    levels: Mapping[str, object] = (info.context or {}).get("levels", {})
    if not isinstance(value, str) or not value[:1].isalpha():
        return value
    if value not in levels:
        raise ValueError(f"there is no level {value}{nearest(value, levels)}")
    return levels[value]


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
Number = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Probability = Annotated[Number, BeforeValidator(_level)]
Condition = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]  # as in CEL
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Severity = Annotated[int, Field(ge=0, le=7)]


class Part(BaseModel):
    """What all parts share: they can't be changed, and take no field that they don't know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Category(Part):
    """One category: flagged at `threshold` (calibrated probability), and how bad it would be.

    What is `critical` must not be missed: no model is promoted that finds less of it.
    """

    threshold: Probability
    severity: Severity
    critical: bool = False


class Terms(Part):
    """Who must look, and within how many seconds."""

    deadline: Annotated[int, Field(gt=0, le=MAX_DEADLINE)] | None
    who: Sentence | None


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


Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)


class Hours(Part):
    """When a queue is worked: from one time of the day until another, on these days.

    Attributes:
        zone: As in the IANA time zone database.
        start, end: Local times; an end that isn't later than the start is on the next day.
    """

    zone: str
    start: time
    end: time
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.zone not in available_timezones():
            known = nearest(self.zone, available_timezones())
            raise ValueError(f"there is no time zone {self.zone}{known}")
        return self

    @property
    def tzinfo(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


class Queue(Part):
    """Who looks at what is put before them.

    Attributes:
        members: What they are known by; never shown with a recording.
        capacity: Reviews a day of all members together.
        hours: When they work; always if not given.
    """

    members: Annotated[tuple[Sentence, ...], Field(min_length=1)]
    capacity: Annotated[int, Field(gt=0, le=1_000_000)]
    hours: Hours | None = None


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
        return value
    if kind == "bool" and value in (True, False, "true", "false"):
        return value in (True, "true")
    number = isinstance(value, int | float | str) and not isinstance(value, bool)
    if number and kind == "int" and not isinstance(value, float):
        return int(value)
    if number and kind == "double" and math.isfinite(out := float(value)):
        return out
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


class Consequence(Part):
    """What follows, and why, in the policy's own words."""

    tier: Tier
    actions: tuple[Annotated[Action, BeforeValidator(Action.parse)], ...]
    reason: Sentence

    @property
    def reaches_somebody(self) -> bool:
        """Whether any of its actions puts the recording before a person."""
        return any(action.verb.reaches_somebody for action in self.actions)


class Rule(Consequence):
    """A consequence and when it follows.

    Attributes:
        when: In CEL; see `conditions`.
        falls_with: Scores that may rise and the condition no longer hold. No score may that isn't
            named here, so no rule is lost by accident because something was heard better.
        mode: "live" decides, "shadow" is only tried, "off" is kept for the record.
        legal: Notes for counsel. Only people read them.
    """

    id: Slug
    when: Condition
    falls_with: tuple[str, ...] = ()
    mode: Mode = "live"
    legal: Mapping[Slug, Sentence] = Field(default_factory=dict)


class UnknownCategory(Consequence, Category):
    """What follows from a category of the model that the policy doesn't know."""


class Fallbacks(Part):
    """What follows when the scores are not what rules can be asked about.

    Attributes:
        stage_failed: A stage failed, or nothing was scored.
        unknown_category: A category that the policy doesn't know is at or over the threshold
            given here; the severity given here is then its severity.
        invalid_score: A score is not a number from 0 to 1.
        rule_failed: A condition couldn't be evaluated: it divided by zero, say, or hung on a score
            that the model doesn't give.
    """

    stage_failed: Consequence
    unknown_category: UnknownCategory
    invalid_score: Consequence
    rule_failed: Consequence

    def each(self) -> Iterator[tuple[str, Consequence]]:
        """Each with its name, in their order."""
        for name in type(self).model_fields:
            yield name, getattr(self, name)


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


class Graver(Part):
    """What makes categories worse than their own severity says: `add` to each, at most to 7."""

    when: Condition
    categories: Annotated[tuple[Slug, ...], Field(min_length=1)]
    add: Annotated[int, Field(ge=1, le=7)]
