"""What changes from one policy to another, in words, for whoever is affected. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from triage.policy.model import Policy
from triage.policy.parts import MAX_DEADLINE, TIERS, Consequence, Graver, Rule
from triage.policy.surroundings import Terms

EVERYBODY = "everybody"
NOBODY = "nobody: only counted, withheld or tried"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        whom: A queue, or `EVERYBODY`.
        what: A sentence without its stop.
        weaker: Whether less may be looked at, or later, than before.
    """

    whom: str
    what: str
    weaker: bool = False


def diff(old: Policy, new: Policy) -> tuple[Change, ...]:
    """What changes, in the order of the file; nothing if the policies decide alike."""
    return tuple(
        chain(
            _head(old, new),
            _levels(old, new),
            _categories(old, new),
            _gravers(old, new),
            _tiers(old, new),
            _queues(old, new),
            _rules(old, new),
            _fallbacks(old, new),
            _memory(old, new),
        )
    )


def by_whom(changes: tuple[Change, ...]) -> dict[str, list[Change]]:
    """Changes by whoever is affected, everybody first."""
    names = sorted({one.whom for one in changes}, key=lambda whom: (whom != EVERYBODY, whom))
    return {whom: [one for one in changes if one.whom == whom] for whom in names}


def _head(old: Policy, new: Policy) -> Iterator[Change]:
    for name in ("name", "version", "owner"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield Change(EVERYBODY, f"the {name} is {after} instead of {before}")
    if old.effective != new.effective:
        since, until = new.effective.since or "now", new.effective.until or "it is replaced"
        yield Change(EVERYBODY, f"it is in effect from {since} until {until}")


def _levels(old: Policy, new: Policy) -> Iterator[Change]:
    for name in _names(old.levels, new.levels):
        before, after = old.levels.get(name), new.levels.get(name)
        if before == after:
            continue
        users = [rule for rule in new.rules if re.search(rf"\b{name}\b", rule.when)]
        for whom in dict.fromkeys(chain.from_iterable(map(_reached, users))) or [EVERYBODY]:
            raised = before is not None and after is not None and after > before
            more = "fewer" if raised else "more"
            yield Change(
                whom,
                f"the level {name} is {_or_none(after)} instead of {_or_none(before)}: {more} "
                "recordings reach it",
                weaker=raised,
            )


def _categories(old: Policy, new: Policy) -> Iterator[Change]:
    for name in _names(old.categories, new.categories):
        before, after = old.categories.get(name), new.categories.get(name)
        if before is None and after is not None:
            yield Change(EVERYBODY, f"{name} is a category, flagged from {after.threshold:g}")
        elif after is None:
            yield Change(EVERYBODY, f"{name} is no category any more", weaker=True)
        elif before is not None and before != after:
            yield from _category(name, before.model_dump(), after.model_dump())


def _category(
    name: str, before: Mapping[str, float], after: Mapping[str, float]
) -> Iterator[Change]:
    if before["threshold"] != after["threshold"]:
        weaker = after["threshold"] > before["threshold"]
        told = f"{name} is flagged from {after['threshold']:g} instead of {before['threshold']:g}"
        yield Change(EVERYBODY, told, weaker)
    if before["severity"] != after["severity"]:
        weaker = after["severity"] < before["severity"]
        told = f"{name} has severity {after['severity']} instead of {before['severity']}"
        yield Change(EVERYBODY, told, weaker)
    if before["critical"] != after["critical"]:
        told = "critical" if after["critical"] else "no longer critical"
        yield Change(EVERYBODY, f"{name} is {told}", weaker=not after["critical"])


def _gravers(old: Policy, new: Policy) -> Iterator[Change]:
    if old.severity_if != new.severity_if:
        gone = [one for one in old.severity_if if one not in new.severity_if]
        come = [one for one in new.severity_if if one not in old.severity_if]
        for one in gone:
            yield Change(EVERYBODY, f"no longer {_graver(one)}", weaker=True)
        for one in come:
            yield Change(EVERYBODY, _graver(one))


def _graver(one: Graver) -> str:
    return f"{one.add} is added to the severity of {', '.join(one.categories)} {_when(one.when)}"


def _tiers(old: Policy, new: Policy) -> Iterator[Change]:
    for tier in TIERS:
        before, after = old.tiers[tier], new.tiers[tier]
        if before != after:
            weaker = (after.deadline or 0) > (before.deadline or 0)
            weaker |= (after.again or MAX_DEADLINE) > (before.again or MAX_DEADLINE)
            weaker |= after.hours not in (None, before.hours)
            told = f"{tier} asks for {_terms(after)} instead of {_terms(before)}"
            yield Change(EVERYBODY, told, weaker)


def _terms(terms: Terms) -> str:
    if not terms.deadline:
        return "nobody"
    told = f"{terms.who} within {terms.deadline:,} s"
    told += f", told again every {terms.again:,} s" if terms.again else ""
    return told + (f", in hours of {terms.hours.zone}" if terms.hours else "")


def _queues(old: Policy, new: Policy) -> Iterator[Change]:
    for name in _names(old.queues, new.queues):
        before, after = old.queues.get(name), new.queues.get(name)
        if before is None and after is not None:
            yield Change(name, f"it is a new queue of {', '.join(after.members)}")
        elif after is None:
            yield Change(name, "it is gone", weaker=True)
        elif before is not None and before != after:
            if before.members != after.members:
                was = ", ".join(before.members)
                yield Change(name, f"its members are {', '.join(after.members)} instead of {was}")
            if before.capacity != after.capacity:
                told = f"it takes {after.capacity:,} reviews a day instead of {before.capacity:,}"
                yield Change(name, told, weaker=after.capacity < before.capacity)
            if before.hours != after.hours:
                yield Change(name, "its hours are others")
            if before.overflow != after.overflow:
                told = f"beyond its capacity {after.overflow or 'it'} takes what comes"
                yield Change(name, told)


def _rules(old: Policy, new: Policy) -> Iterator[Change]:
    before, after = ({rule.id: rule for rule in one.rules} for one in (old, new))
    for name in _names(before, after):
        was, now = before.get(name), after.get(name)
        if was is None and now is not None:
            for whom in _reached(now):
                yield Change(whom, f"{name} is a new {now.mode} rule: {now.tier} {_when(now.when)}")
        elif was is not None and now is None:
            for whom in _reached(was):
                yield Change(whom, f"{name} is gone: {was.tier} {_when(was.when)}", weaker=True)
        elif was is not None and now is not None and was != now:
            everyone = dict.fromkeys([*_reached(was), *_reached(now)])
            for told, weaker in _rule(was, now):
                yield from (Change(one, f"{name} {told}", weaker) for one in everyone)
    order = [name for name in before if name in after]
    if order != [name for name in after if name in before]:
        yield Change(EVERYBODY, "rules come in another order, which settles ties between them")


def _rule(was: Rule, now: Rule) -> Iterator[tuple[str, bool]]:
    if was.mode != now.mode:
        yield f"is {now.mode} instead of {was.mode}", was.mode == "live"
    if was.when != now.when:
        yield f"holds {_when(now.when)} instead of {_when(was.when)}", False
    if was.falls_with != now.falls_with:
        yield f"may fall with {', '.join(now.falls_with) or 'nothing'}", bool(now.falls_with)
    yield from _consequence(was, now)


def _consequence(was: Consequence, now: Consequence) -> Iterator[tuple[str, bool]]:
    if was.tier != now.tier:
        weaker = TIERS.index(now.tier) < TIERS.index(was.tier)
        yield f"asks for {now.tier} instead of {was.tier}", weaker
    if was.actions != now.actions:
        lost = set(map(str, was.actions)) - set(map(str, now.actions)) - {"withhold"}
        yield f"does {_actions(now)} instead of {_actions(was)}", bool(lost)
    if was.reason != now.reason:
        yield "gives another reason", False


def _fallbacks(old: Policy, new: Policy) -> Iterator[Change]:
    for (name, was), (_, now) in zip(old.fallbacks.each(), new.fallbacks.each(), strict=True):
        for told, weaker in _consequence(was, now):
            for whom in dict.fromkeys([*_reached(was), *_reached(now)]):
                yield Change(whom, f"the fallback {name} {told}", weaker)


def _memory(old: Policy, new: Policy) -> Iterator[Change]:
    if old.history != new.history:
        windows = ", ".join(f"{name} {s:,} s" for name, s in new.history.windows.items()) or "none"
        told = f"history is kept over {windows}; duplicates join for {new.history.cool_down:,} s"
        yield Change(EVERYBODY, told)
    if old.context != new.context:
        yield Change(EVERYBODY, f"callers may say: {', '.join(new.context) or 'nothing'}")


def _reached(one: Consequence) -> list[str]:
    return list(one.whom) or [NOBODY]


def _actions(one: Consequence) -> str:
    return ", ".join(map(str, one.actions)) or "nothing"


def _when(text: str) -> str:
    return f"when {' '.join(text.split())}"


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _names(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return list(dict.fromkeys([*old, *new]))
