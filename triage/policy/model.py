"""A whole policy: read from a file, taken whole or refused.

Whatever could keep a recording from the person who has to look at it is refused here, so that
`decide` needs no cases for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from triage.errors import PolicyRefused
from triage.policy.document import MAX_BYTES, Document, Where
from triage.policy.parts import (
    LOOKED_AT,
    TIERS,
    Category,
    Consequence,
    Fallbacks,
    Graver,
    Number,
    Part,
    Rule,
    Sentence,
    Slug,
    Terms,
    Tier,
    nearest,
)
from triage.taxonomy import FLAGS

NO_RULE = "none"  # the rule that a decision names when none was met


class Policy(Part):
    """A policy that can decide.

    Attributes:
        levels: Probabilities by name, for use wherever the file asks for a probability.
        severity_if: What adds to the severity of categories.
        tiers: All of E0 to E4.
        rules: In the order of the file, which settles ties and the order of actions.
        digest: "sha256:…" of the file's bytes.
    """

    name: Slug
    version: Sentence
    levels: Mapping[Slug, Number] = Field(default_factory=dict)
    categories: Annotated[Mapping[Slug, Category], Field(min_length=1)]
    severity_if: tuple[Graver, ...] = ()
    tiers: Mapping[Tier, Terms]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    fallbacks: Fallbacks
    digest: str

    @property
    def critical(self) -> tuple[str, ...]:
        """The categories that must not be missed."""
        return tuple(name for name, one in self.categories.items() if one.critical)

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for problems in (_tier_problems, _consequence_problems, _name_problems):
            for where, why in problems(self):
                # A validator of the whole can't set the place of an error, so it goes beside it.
                raise PydanticCustomError("inconsistent", "{why}", {"why": why, "where": where})
        return self


def load_policy(path: Path) -> Policy:
    """Reads a policy file.

    Raises:
        PolicyRefused: The file can't be read or isn't a policy; says where and why.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyRefused(
            f"The policy file can't be read: {error.strerror}. Set TRIAGE_POLICY to one that can."
        ) from None
    return parse_policy(data)


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


def check(policy: Policy, categories: Collection[str], events: Collection[str]) -> list[str]:
    """What a policy and a model don't know of each other, one sentence each.

    None of it stops a decision: a rule on what the model can't score is never met, and what the
    policy doesn't know goes to a person.

    Args:
        categories, events: The names that the model scores.
    """
    conditions = [*(rule.when for rule in policy.rules), *(one.when for one in policy.severity_if)]
    named = [one.names() for one in conditions]
    spoken = {"category": dict.fromkeys(policy.categories), "event": {}, "flag": {}}
    for kind, names in spoken.items():
        names.update(dict.fromkeys(name for one in named for name in one[kind]))
    known = {"category": categories, "event": events, "flag": FLAGS}
    return [
        f"The policy names the {kind} {name}, which nothing scores{nearest(name, known[kind])}"
        for kind, names in spoken.items()
        for name in names
        if name not in known[kind]
    ] + [
        f"The policy doesn't know the category {name}: its scores go to a person"
        f"{nearest(name, policy.categories)}"
        for name in categories
        if name not in policy.categories
    ]


def _told(error: ErrorDetails, document: Document) -> str:
    """One validation error with its place."""
    where: Where = error.get("ctx", {}).get("where", error["loc"])
    return f"{document.place(where)}: {error['msg'].removeprefix('Value error, ')}"


def _tier_problems(policy: Policy) -> Iterator[tuple[Where, str]]:
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
    clocks = [(tier, terms.deadline) for tier, terms in sorted(policy.tiers.items())]
    for (_, slower), (tier, faster) in pairwise((t, d) for t, d in clocks if d is not None):
        if faster > slower:
            yield ("tiers", tier), f"{faster} s is longer than the {slower} s of a tier below"


def _consequence_problems(policy: Policy) -> Iterator[tuple[Where, str]]:
    for index, rule in enumerate(policy.rules):
        yield from _reach_problems(("rules", index), rule)
    for name, fallback in policy.fallbacks.each():
        yield from _reach_problems(("fallbacks", name), fallback)
        if not fallback.reaches_somebody:
            yield ("fallbacks", name), "a fallback must end with somebody who looks"


def _reach_problems(where: Where, one: Consequence) -> Iterator[tuple[Where, str]]:
    if one.tier in LOOKED_AT and not one.reaches_somebody:
        yield where, f"somebody must look in tier {one.tier}; add a queue or a page"
    if one.tier not in LOOKED_AT and one.reaches_somebody:
        yield where, f"nobody looks in tier {one.tier}; take a higher tier or no queue"


def _name_problems(policy: Policy) -> Iterator[tuple[Where, str]]:
    taken = {NO_RULE}
    for index, rule in enumerate(policy.rules):
        if rule.id in taken:
            yield ("rules", index, "id"), f"{rule.id} is taken; every rule needs an id of its own"
        taken.add(rule.id)
    for where, name in _category_names(policy):
        if name not in policy.categories:
            yield where, f"{name} is not among the categories{nearest(name, policy.categories)}"


def _category_names(policy: Policy) -> Iterator[tuple[Where, str]]:
    """Every category that the policy speaks of outside its table, with the place."""
    for index, rule in enumerate(policy.rules):
        for name in rule.when.names()["category"]:
            yield ("rules", index, "when"), name
    for index, graver in enumerate(policy.severity_if):
        for name in (*graver.when.names()["category"], *graver.categories):
            yield ("severity_if", index), name
