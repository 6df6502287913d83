"""The page of `triage policy backtest`: what somebody wants to see before signing a new policy.

Ids on it are Triage's own; all else is counts and the policies' words, so it can be sent around.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from triage.measure.backtest import KINDS, Backtest
from triage.policy.diff import by_whom, diff
from triage.policy.model import Policy
from triage.policy.parts import LOOKED_AT
from triage.report import policy_plots
from triage.report.page import Block, Facts, Note, Section, Table, Verdict, render

LOST, LATER = "not looked at any more", "later"
WHOLE_DAY = timedelta(hours=20)  # scores of less tell too little of what a day asks for
NONE = "–"  # noqa: RUF001 - what a policy doesn't have


def page(found: Backtest, unusable: int) -> bytes:
    """The page as UTF-8 HTML that needs no other file.

    Args:
        found: Of at least one recording.
        unusable: How many lines held no scores.
    """
    old, new = found.old, found.new
    return render(
        f"{new.name} {new.version} against {old.name} {old.version}",
        [
            Section("Verdict", _verdict(found, unusable)),
            Section("Who looks", _tiers(found)),
            Section("Queues", _queues(found)),
            Section("Hours", _hours(found)),
            Section("Rules", _rules(found)),
            Section("Examples", _examples(found)),
            Section("What changes in the file", _changes(found)),
        ],
        subtitle=f"{found.decided:,} recordings. Old {old.digest}, new {new.digest}",
    ).encode()


def summary(found: Backtest) -> list[str]:
    """What it comes to, a sentence each."""
    before, after = found.looks(0), found.looks(1)
    told = [f"Somebody looks at {after:,} of {found.decided:,} recordings instead of {before:,}."]
    if found.days:
        told.append(
            f"That is {after / found.days:,.1f} a day instead of {before / found.days:,.1f}."
        )
    if found.span is not None and found.span < WHOLE_DAY:
        hours = found.span / timedelta(hours=1)
        told.append(f"The scores span {hours:.1f} hours only: a whole day may ask for more.")
    for kind in KINDS:
        if count := found.changes[kind]:
            low, high = found.interval(kind)
            told.append(f"{count:,} {kind} ({low:.2%} to {high:.2%} of all, 95 % interval).")
    for name, a_day in _over(found).items():
        most = found.new.queues[name].capacity
        told.append(f"{name} is asked for {a_day:,.0f} a day and can take {most:,}.")
    return told


def _over(found: Backtest) -> dict[str, float]:
    """Looks a day by queue, of those that the new policy asks for more than they can take."""
    if not found.days:
        return {}
    asked = {name: found.queues[1][name] / found.days for name in found.new.queues}
    return {n: a_day for n, a_day in asked.items() if a_day > found.new.queues[n].capacity}


def _verdict(found: Backtest, unusable: int) -> list[Block]:
    kind, text = _gravest(found)
    blocks: list[Block] = [Verdict(kind, text, summary(found))]
    if unusable:
        blocks.append(Note(f"{unusable:,} lines held no scores and are left out."))
    return blocks


def _gravest(found: Backtest) -> tuple[Literal["good", "warn", "bad"], str]:
    if lost := found.changes[LOST]:
        return "bad", f"Nobody would look at {lost:,} recordings that somebody looks at now"
    if later := found.changes[LATER]:
        return "warn", f"Somebody would look at {later:,} recordings later than now"
    if _over(found):
        return "warn", "More is asked of a queue than it can take"
    return "good", "Nothing that somebody looks at now would be missed, or looked at later"


def _tiers(found: Backtest) -> list[Block]:
    withheld = f"{found.withheld[0]:,} recordings are withheld from annotation by the old policy, "
    return [
        policy_plots.matrix(
            found.tiers,
            f"Recordings by tier. From {LOOKED_AT[0]} up somebody must look. What moves to the "
            "right is looked at sooner, what moves to the left later or not at all.",
        ),
        Facts([("Withheld", f"{withheld}{found.withheld[1]:,} by the new one.")]),
    ]


def _queues(found: Backtest) -> list[Block]:
    per = found.days or 1.0
    names = dict.fromkeys([*found.new.queues, *found.old.queues])
    queues = {**found.old.queues, **found.new.queues}
    rows = [
        (name, found.queues[0][name] / per, found.queues[1][name] / per, queues[name].capacity)
        for name in names
        if found.queues[0][name] or found.queues[1][name]
    ]
    if not rows:
        return []
    unit = "looks a day" if found.days else "looks, of scores whose days aren't known"
    return [policy_plots.queues([(n, o, w, float(c)) for n, o, w, c in rows], unit, f"{unit}.")]


def _hours(found: Backtest) -> list[Block]:
    if not (found.hours[0] or found.hours[1]):
        return []
    caption = "By the hour of the day, UTC, over all days."
    return [policy_plots.hours(found.hours[0], found.hours[1], caption)]


def _rules(found: Backtest) -> list[Block]:
    ids = [rule.id for policy in (found.old, found.new) for rule in policy.rules]
    counted = [found.rules[0], found.rules[1], found.met_by_shadow]
    names = dict.fromkeys([*ids, *(name for counts in counted for name in counts)])
    known = (_modes(found.old), _modes(found.new))
    rows = [_rule(found, name, *(modes.get(name, NONE) for modes in known)) for name in names]
    shadow = (">with shadow rules",) if found.met_by_shadow else ()
    columns = ("rule", "in old", "in new", ">old", ">new", *shadow)
    return [Table(columns, rows, caption="Recordings that each rule decides.")]


def _rule(found: Backtest, name: str, old: str, new: str) -> Sequence[str]:
    counts = [
        f"{counts[name]:,}" if counts[name] or mode != NONE else NONE
        for counts, mode in zip(found.rules, (old, new), strict=True)
    ]
    shadow = [f"{found.met_by_shadow[name]:,}"] if found.met_by_shadow else []
    return (name, old, new, *counts, *shadow)


def _modes(policy: Policy) -> dict[str, str]:
    return {rule.id: rule.mode for rule in policy.rules}


def _examples(found: Backtest) -> list[Block]:
    rows = [(kind, ", ".join(found.examples[kind])) for kind in KINDS if found.examples[kind]]
    return [Table(("change", "ids"), rows)] if rows else []


def _changes(found: Backtest) -> list[Block]:
    rows: list[Sequence[str]] = []
    marked = set[int]()
    for whom, changes in by_whom(diff(found.old, found.new)).items():
        for one in changes:
            if one.weaker:
                marked.add(len(rows))
            rows.append((whom, one.what))
    if not rows:
        return [Note("The policies are the same but for their words.")]
    caption = "Marked is what asks for less, or later."
    return [Table(("whom", "what"), rows, frozenset(marked), caption)]
