"""The page of a run: what was found, what went wrong, how fast it went.

Nothing on it names a recording, and nothing was said on it: counts, and the policy's own words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from triage.batch.figures import Found, Pace
from triage.batch.plan import Picked, Plan
from triage.policy.decide import FIRST_LOOK, MET_BY_NOTHING, SCREENED
from triage.policy.model import NO_RULE, Policy
from triage.policy.parts import LOOKED_AT, TIERS
from triage.report import batch_plots
from triage.report.batch_speed import speed, time_of
from triage.report.page import Block, Facts, Note, Section, Table, Verdict, render

MOST_RULES, MOST_HOURS = 15, 10
PANELS = 12  # distributions that are drawn, of the names with the highest scores
HIGH = 25  # the bin that scores of a half and more begin in

# What the source holds besides recordings, in words.
PASSED_OVER = {
    "hidden": "hidden files and folders",
    "linked-folder": "folders behind links",
    "manifest": "manifests inside the folder",
    "not-audio": "files that aren't audio",
    "not-picked": "recordings that weren't asked for",
    "sidecar-unreadable": "transcripts beside audio that couldn't be used",
    "special-file": "devices, pipes and folders",
    "text-without-audio": "transcripts without their audio beside them, not scored",
    "where-unanswered": "recordings of which it couldn't be said whether --where holds",
}
TO_BE_SEEN = ("sidecar-unreadable", "text-without-audio", "where-unanswered")  # may be a mistake


@dataclass(frozen=True, slots=True)
class Told:
    """What a page is made from.

    Attributes:
        plan: The run.
        policy: What decided.
        found: What was found.
        pace: How fast it was.
        changed: Whether the source changed while it was read.
    """

    plan: Plan
    policy: Policy
    found: Found
    pace: Pace
    changed: bool


def page(told: Told) -> str:
    """The page as HTML that needs no other file."""
    rows = _count(told.found.rows, "recording")
    return render(
        f"Run {told.plan.run}",
        [
            Section("What was found", _verdict(told)),
            Section("Tiers", _tiers(told)),
            Section("Categories", _categories(told)),
            Section("Scores", _scores(told)),
            Section("Busiest hours", _hours(told)),
            Section("What went wrong", _wrong(told)),
            Section("Speed", speed(told.found, told.pace)),
            Section("The run", _run(told)),
        ],
        subtitle=f"{rows}. Model {told.plan.model.split()[0]}, policy "
        f"{told.policy.name} {told.policy.version}",
    )


def summary(told: Told) -> list[str]:
    """What it comes to, a sentence each."""
    found, pace = told.found, told.pace
    looks = sum(found.tiers[tier] for tier in LOOKED_AT)
    lines = [f"{_count(found.rows, 'recording')}; somebody has to look at {looks:,} of them."]
    if not told.plan.escalate:
        lines.append("Nobody was told, and no case was raised (--decide-only).")
    if found.screened:
        lines.append(
            f"{_count(found.screened, 'text')} got a first look only (--screen), in which nothing "
            "was found; what it misses is on the screen's card."
        )
    if found.errors:
        lines.append(f"{sum(found.errors.values()):,} couldn't be scored: {_listed(found.errors)}.")
    if found.failures:
        times = _count(sum(found.failures.values()), "time")
        lines.append(f"A stage failed {times}; somebody has to look at those recordings.")
    if found.twice:
        of = "id is" if found.twice == 1 else "ids are"
        lines.append(f"{found.twice:,} {of} of more than one recording; all were scored.")
    lines += [
        f"Passed over: {PASSED_OVER.get(kind, kind)} ({count:,})."
        for kind, count in sorted(pace.passed_over.items())
    ]
    if told.changed:
        lines.append(
            "The source changed while it was read. What was read is here; what was added or "
            "changed meanwhile may not be."
        )
    if pace.took:
        rate = f"{found.rows / pace.took:,.1f} recordings a second"
        real = f", {found.seconds / pace.took:,.0f} times real time" if found.seconds else ""
        lines.append(f"{time_of(pace.took)} at {rate}{real}.")
    return lines


def _verdict(told: Told) -> list[Block]:
    found = told.found
    lines = summary(told)
    missed = any(told.pace.passed_over[kind] for kind in TO_BE_SEEN)
    bad = told.changed or found.errors or found.failures or found.twice or missed
    return [Verdict("warn" if bad else "good", lines[0], lines[1:])]


def _tiers(told: Told) -> list[Block]:
    found, policy = told.found, told.policy
    rows = [
        (
            tier,
            f"{found.tiers[tier]:,}",
            _share(found.tiers[tier], found.rows),
            policy.tiers[tier].who or "nobody",
        )
        for tier in reversed(TIERS)
    ]
    blocks: list[Block] = [Table(("Tier", ">Recordings", ">Share", "Who looks"), rows)]
    if found.rules:
        blocks.append(_rules(found.rules, policy))
    blocks.append(Facts([("Kept out of the annotation sample", f"{found.withheld:,}")]))
    return blocks


def _rules(counted: Counter[str], policy: Policy) -> Table:
    reasons = {rule.id: rule.reason for rule in policy.rules}
    reasons |= {f"fallback:{name}": one.reason for name, one in policy.fallbacks.each()}
    reasons |= {NO_RULE: MET_BY_NOTHING.reason, SCREENED: FIRST_LOOK.reason}
    shown = counted.most_common(MOST_RULES)
    more = f", the {MOST_RULES} most often of {len(counted):,}" if len(counted) > MOST_RULES else ""
    return Table(
        ("Rule", ">Recordings", "Why"),
        [(rule, f"{count:,}", reasons.get(rule, "")) for rule, count in shown],
        caption=f"The rules that decided{more}",
    )


def _categories(told: Told) -> list[Block]:
    found = told.found
    rows = [
        (name, f"{found.categories[name]:,}", _share(found.categories[name], found.rows))
        for name in dict.fromkeys([*told.policy.categories, *sorted(found.categories)])
        if name in found.scores
    ]
    return [Table(("Category", ">Flagged", ">Share"), rows)] if rows else []


def _scores(told: Told) -> list[Block]:
    found, policy = told.found, told.policy
    filled = {name: counts for name, counts in found.scores.items() if counts.sum()}
    if not filled:
        return []
    highest = sorted(filled, key=lambda name: -filled[name][HIGH:].sum())[:PANELS]
    panels = {
        name: (filled[name], _threshold(policy, name, found.categories))
        for name in filled
        if name in highest
    }
    caption = (
        "How many recordings have which score; orange is at or over the policy's threshold of a "
        "category. Shown are the categories and sounds with the most scores of a half and more."
    )
    return [batch_plots.scores(panels, caption)]


def _threshold(policy: Policy, name: str, flagged: Counter[str]) -> float | None:
    """Of a category, be it one that the policy doesn't know; an event has none."""
    known = policy.categories.get(name)
    if known is None and name in flagged:
        known = policy.fallbacks.unknown_category
    return None if known is None else float(known.threshold)


def _hours(told: Told) -> list[Block]:
    every, looked_at = told.found.busiest
    if not told.found.timed:
        return [
            Note(
                "No recording says when it was made. Where a manifest's context has recorded_at "
                "(as 2026-05-04T12:30:00Z), the busiest hours are here."
            )
        ]
    days = [_by_hour(counted) for counted in (every, looked_at)]
    caption = (
        f"By hour of the day, UTC. When they were made is known of {told.found.timed:,} of "
        f"{_count(told.found.rows, 'recording')}."
    )
    busiest = sorted(every, key=lambda hour: (-looked_at[hour], -every[hour], hour))[:MOST_HOURS]
    return [
        batch_plots.hours(days[0], days[1], caption),
        Table(
            ("Hour (UTC)", ">Recordings", ">To be looked at"),
            [(f"{h:%Y-%m-%d %H}:00", f"{every[h]:,}", f"{looked_at[h]:,}") for h in busiest],
            caption="The hours with the most to look at",
        ),
    ]


def _wrong(told: Told) -> list[Block]:
    found, blocks = told.found, list[Block]()
    if found.errors:
        rows = [(code, f"{count:,}") for code, count in found.errors.most_common()]
        blocks.append(Table(("Error", ">Recordings"), rows, caption="What couldn't be scored"))
    if found.failures:
        failed = [(*names, f"{count:,}") for names, count in found.failures.most_common()]
        blocks.append(
            Table(("Stage", "Kind", ">Times"), failed, caption="Stages that failed: a person looks")
        )
    if not blocks:
        blocks.append(Note("Nothing."))
    return blocks


def _run(told: Told) -> list[Block]:
    plan = told.plan
    facts = [
        ("Begun", f"{plan.began:%Y-%m-%d %H:%M} UTC by {plan.by}"),
        ("Reason", plan.reason or "none given"),
        ("Model", plan.model),
        ("Policy", plan.policy),
        ("Source's digest", plan.survey),
        ("Asked for", _asked(plan.picked)),
        ("Transcribed", "no (--sound-only)" if plan.sound_only else "yes"),
        ("Texts", "screened (--screen)" if plan.screen else "all read whole"),
        ("Changes accepted", "; ".join(plan.accepted) or "none"),
    ]
    return [Facts(facts)]


def _asked(picked: Picked) -> str:
    """Which recordings; a condition isn't repeated, for it may name one."""
    told = [] if picked.limit is None else [f"the first {picked.limit:,}"]
    if picked.sample < 1:
        told.append(f"a share of {picked.sample:g} drawn with seed {picked.seed}")
    if picked.where:
        told.append("those of which --where holds, as run.json has it")
    return "; ".join(told) or "all"


def _by_hour(counted: Counter[datetime]) -> Sequence[int]:
    hours = [0] * 24
    for time, count in counted.items():
        hours[time.hour] += count
    return hours


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {code}" for code, count in counts.most_common())


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _share(count: int, of: int) -> str:
    return f"{count / of:.2%}" if of else ""
