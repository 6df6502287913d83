"""The parts that a policy is made of. How they must fit together is the policy's own business.

What a rule says of the scores is a text here; `conditions` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
)

from triage.policy.conditions import nearest

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
# What stands before it stays, so that lines and columns are those of the file.
Condition = Annotated[str, StringConstraints(min_length=1), AfterValidator(str.rstrip)]
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


class Consequence(Part):
    """What follows, and why, in the policy's own words."""

    tier: Tier
    actions: tuple[Annotated[Action, BeforeValidator(Action.parse)], ...]
    reason: Sentence

    @property
    def whom(self) -> tuple[str, ...]:
        """Whom its actions reach, each once."""
        return tuple(dict.fromkeys(action.whom for action in self.actions if action.whom))

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


class Graver(Part):
    """What makes categories worse than their own severity says: `add` to each, at most to 7."""

    when: Condition
    categories: Annotated[tuple[Slug, ...], Field(min_length=1)]
    add: Annotated[int, Field(ge=1, le=7)]
