"""A whole policy: read from a file, taken whole or refused.

Whatever could keep a recording from the person who has to look at it is refused here, so that
`decide` needs no cases for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from triage.errors import PolicyRefused
from triage.policy.conditions import Conditions, Kind, Vocabulary, Wrong, nearest
from triage.policy.document import Document, Where
from triage.policy.monotone import failing, falling
from triage.policy.parts import (
    LOOKED_AT,
    TIERS,
    Category,
    Consequence,
    Fallbacks,
    Graver,
    Name,
    Number,
    Part,
    Rule,
    Sentence,
    Slug,
    Tier,
)
from triage.policy.surroundings import ANY, ContextField, Effective, Example, History, Queue, Terms
from triage.policy.waiting import Problem, clock_problems, overflow_problems
from triage.taxonomy import EVENTS, FLAGS

NO_RULE = "none"  # the rule that a decision names when none was met

# A problem, and on which line and column of the text that stands there.
_Problem = Problem | tuple[Where, str, tuple[int, int]]


class Policy(Part):
    """A policy that can decide.

    Attributes:
        owner: Who answers for it.
        effective: When it may decide.
        levels: Probabilities by name, for use wherever the file asks for a probability.
        events: The sounds that conditions may speak of.
        context: What callers may say of a recording.
        history: What is remembered of a pseudonym.
        severity_if: What adds to the severity of categories.
        tiers: All of E0 to E4.
        queues: Everybody who is reached, by the name that actions use.
        rules: In the order of the file, which settles ties and the order of actions.
        tests: What the rules must do; a policy that fails its own is never put into service.
        digest: "sha256:…" of the file's bytes.
    """

    name: Slug
    version: Sentence
    owner: Sentence
    effective: Effective = Effective()
    levels: Mapping[Name, Number] = Field(default_factory=dict)
    categories: Annotated[Mapping[Name, Category], Field(min_length=1)]
    events: tuple[Name, ...] = EVENTS
    context: Mapping[Name, ContextField] = Field(default_factory=dict)
    history: History = History()
    severity_if: tuple[Graver, ...] = ()
    tiers: Mapping[Tier, Terms]
    queues: Annotated[Mapping[Slug, Queue], Field(min_length=1)]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    fallbacks: Fallbacks
    tests: tuple[Example, ...] = ()
    digest: str

    @property
    def critical(self) -> tuple[str, ...]:
        """The categories that must not be missed."""
        return tuple(name for name, one in self.categories.items() if one.critical)

    @cached_property
    def has_shadow(self) -> bool:
        """Whether any rule is only tried."""
        return any(rule.mode == "shadow" for rule in self.rules)

    @cached_property
    def rules_reach(self) -> tuple[bool, ...]:
        """Of each rule, whether it puts recordings before somebody; asked at every decision."""
        return tuple(rule.reaches_somebody for rule in self.rules)

    @cached_property
    def counted(self) -> tuple[str, ...]:
        """What is counted in a pseudonym's history, as conditions name it."""
        categories = (*self.categories, ANY)
        return tuple(f"history.{w}.{c}" for w in self.history.windows for c in categories)

    @cached_property
    def graver_words(self) -> Vocabulary:
        """What conditions of `severity_if` may speak of."""
        kinds: dict[str, Kind] = {"text_present": "bool", "sound_present": "bool"}
        kinds |= {f"scores.{name}": "double" for name in self.categories}
        kinds |= {f"event_scores.{name}": "double" for name in self.events}
        kinds |= {f"flags.{name}": "bool" for name in FLAGS}
        kinds |= {f"context.{name}": one.kind for name, one in self.context.items()}
        kinds |= dict.fromkeys(self.counted, "int")
        return Vocabulary(kinds, self.levels)

    @cached_property
    def rule_words(self) -> Vocabulary:
        """What rules may speak of: severity too."""
        return Vocabulary({**self.graver_words.kinds, "severity": "int"}, self.levels)

    @cached_property
    def rule_conditions(self) -> Conditions:
        """Of the rules, in their order."""
        return Conditions([rule.when for rule in self.rules], self.rule_words)

    @cached_property
    def graver_conditions(self) -> Conditions:
        """Of `severity_if`, in its order."""
        return Conditions([graver.when for graver in self.severity_if], self.graver_words)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        found = _tier_problems, _consequence_problems, _name_problems, _condition_problems
        for problems in found:
            for where, why, *at in problems(self):
                # A validator of the whole can't set the place of an error, so it goes beside it.
                told = {"why": why, "where": where, "at": at[0] if at else (0, 0)}
                raise PydanticCustomError("inconsistent", "{why}", told)
        return self


def parse_policy(data: bytes) -> Policy:
    """Reads a policy from the bytes of its file.

    Raises:
        PolicyRefused: They aren't a policy; says where and why, the first five times.
    """
    document = Document(data)
    if "digest" in document.fields:
        raise PolicyRefused(f"{document.place(('digest',))}: it is worked out; remove it.")
    levels = document.fields.get("levels")
    try:
        return Policy.model_validate(
            {**document.fields, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}"},
            context={"levels": levels if isinstance(levels, dict) else {}},
        )
    except ValidationError as error:
        wrong = [_told(one, document) for one in error.errors(include_url=False)[:5]]
        raise PolicyRefused("; ".join(wrong) + ".") from None


def _told(error: ErrorDetails, document: Document) -> str:
    """One validation error with its place."""
    context = error.get("ctx", {})
    where: Where = context.get("where", error["loc"])
    place = document.place(where, *context.get("at", (0, 0)))
    return f"{place}: {error['msg'].removeprefix('Value error, ')}"


def _tier_problems(policy: Policy) -> Iterator[_Problem]:
    for tier in TIERS:
        terms = policy.tiers.get(tier)
        if terms is None:
            yield ("tiers",), f"tier {tier} is missing"
        elif (terms.deadline is None) != (terms.who is None):
            yield ("tiers", tier), "deadline and who belong together; give both or neither"
        elif tier in LOOKED_AT and terms.deadline is None:
            yield ("tiers", tier), f"somebody must look in tier {tier}; say who and by when"
        elif tier not in LOOKED_AT and terms.deadline is not None:
            yield ("tiers", tier), f"nobody looks in tier {tier}; leave who and deadline null"
        elif terms.deadline is None and (terms.again or terms.hours):
            yield ("tiers", tier), f"nobody looks in tier {tier}; leave again and hours out"
    yield from clock_problems(policy.tiers)


def _consequence_problems(policy: Policy) -> Iterator[_Problem]:
    for index, rule in enumerate(policy.rules):
        yield from _reach_problems(policy, ("rules", index), rule)
    for name, fallback in policy.fallbacks.each():
        yield from _reach_problems(policy, ("fallbacks", name), fallback)
        if not fallback.reaches_somebody:
            yield ("fallbacks", name), "a fallback must end with somebody who looks"


def _reach_problems(policy: Policy, where: Where, one: Consequence) -> Iterator[_Problem]:
    if one.tier in LOOKED_AT and not one.reaches_somebody:
        yield where, f"somebody must look in tier {one.tier}; add a queue or a page"
    if one.tier not in LOOKED_AT and one.reaches_somebody:
        yield where, f"nobody looks in tier {one.tier}; take a higher tier or no queue"
    for action in one.actions:
        if action.whom and action.whom not in policy.queues:
            known = nearest(action.whom, policy.queues)
            yield (*where, "actions"), f"{action.whom} is not among the queues{known}"


def _name_problems(policy: Policy) -> Iterator[_Problem]:
    taken = {NO_RULE}
    for index, rule in enumerate(policy.rules):
        if rule.id in taken:
            yield ("rules", index, "id"), f"{rule.id} is taken; every rule needs an id of its own"
        taken.add(rule.id)
    for index, graver in enumerate(policy.severity_if):
        for name in graver.categories:
            if name not in policy.categories:
                known = nearest(name, policy.categories)
                yield ("severity_if", index), f"{name} is not among the categories{known}"
    yield from overflow_problems(policy.queues)
    for index, example in enumerate(policy.tests):
        yield from _example_problems(policy, ("tests", index), example)
    if ANY in policy.categories:
        yield ("categories", ANY), f"{ANY} means every category of a history; take another name"


def _example_problems(policy: Policy, where: Where, example: Example) -> Iterator[_Problem]:
    given, expect = example.given, example.expect
    rules = [*(rule.id for rule in policy.rules), NO_RULE]
    rules += [f"fallback:{name}" for name, _ in policy.fallbacks.each()]
    named: list[tuple[str, Collection[str], Collection[str]]] = [
        ("scores", given.scores, policy.categories),
        ("event_scores", given.event_scores, policy.events),
        ("flags", given.flags, FLAGS),
        ("context", given.context, policy.context),
        ("history", given.history, policy.history.windows),
    ]
    for part, names, known in named:
        for name in names:
            if name not in known:
                told = f"nothing is named {name}{nearest(name, known)}"
                yield (*where, "given", part, name), told
    if expect.rule is not None and expect.rule not in rules:
        known = nearest(expect.rule, rules)
        yield (*where, "expect", "rule"), f"there is no rule {expect.rule}{known}"


def _condition_problems(policy: Policy) -> Iterator[_Problem]:
    for index, rule in enumerate(policy.rules):
        where = ("rules", index)
        for name in rule.falls_with:
            if name not in policy.rule_words.names(rule.when):
                known = nearest(name, policy.rule_words.names(rule.when))
                yield (*where, "falls_with"), f"the condition doesn't speak of {name}{known}"
        yield from _condition_problem((*where, "when"), rule.when, policy.rule_words, rule)
    for index, graver in enumerate(policy.severity_if):
        yield from _condition_problem(
            ("severity_if", index, "when"), graver.when, policy.graver_words, None
        )


def _condition_problem(
    where: Where, text: str, words: Vocabulary, rule: Rule | None
) -> Iterator[_Problem]:
    try:
        words.compiled(text)
    except Wrong as wrong:
        yield where, str(wrong), (wrong.line, wrong.column)
        return
    if place := failing(text, words):
        yield where, f"this can't be evaluated {place}; guard it, as in x != 0 && 1 / x > 2"
    if lost := falling(text, words, rule.falls_with if rule else ()):
        yield (
            where,
            f"this may no longer hold because {lost} rose, and would lower a tier"
            + (f"; turn it around, or say `falls_with: [{lost}]`" if rule else "; turn it around"),
        )
