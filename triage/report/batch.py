"""The page of a run: what was found, what went wrong, how fast it went.

Nothing on it names a recording, and nothing was said on it: counts, and the policy's own words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from triage.batch.figures import Found, Pace
from triage.batch.plan import Plan
from triage.policy.model import Policy
from triage.policy.parts import LOOKED_AT, TIERS
from triage.report import batch_plots
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
    "sidecar-unreadable": "transcripts that couldn't be read: the sound was transcribed",
    "special-file": "devices, pipes and folders",
    "text-without-audio": "transcripts without their audio beside them, not scored",
    "where-unanswered": "recordings of which --where couldn't be said",
}


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
    return render(
        f"Run {told.plan.run}",
        [
            Section("What was found", _verdict(told)),
            Section("Tiers", _tiers(told)),
            Section("Categories", _categories(told)),
            Section("Scores", _scores(told)),
            Section("Busiest hours", _hours(told)),
            Section("What went wrong", _wrong(told)),
            Section("Speed", _speed(told)),
            Section("The run", _run(told)),
        ],
        subtitle=f"{told.found.rows:,} recordings. Model {told.plan.model.split()[0]}, policy "
        f"{told.policy.name} {told.policy.version}",
    )


def summary(told: Told) -> list[str]:
    """What it comes to, a sentence each."""
    found, pace = told.found, told.pace
    looks = sum(found.tiers[tier] for tier in LOOKED_AT)
    lines = [f"{found.rows:,} recordings; somebody has to look at {looks:,} of them."]
    if not told.plan.escalate:
        lines.append("Nobody was told, and no case was raised (--decide-only).")
    if found.errors:
        lines.append(f"{sum(found.errors.values()):,} couldn't be scored: {_listed(found.errors)}.")
    if found.failures:
        lines.append(
            f"A stage failed {sum(found.failures.values()):,} times; somebody has to look at those."
        )
    if found.twice:
        lines.append(f"{found.twice:,} ids are of more than one recording; all were scored.")
    lines += [
        f"Passed over: {count:,} {PASSED_OVER.get(kind, kind)}."
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
        lines.append(f"{_time(pace.took)} at {rate}{real}.")
    return lines


def _verdict(told: Told) -> list[Block]:
    found = told.found
    lines = summary(told)
    unscored = told.pace.passed_over["text-without-audio"]
    bad = told.changed or found.errors or found.failures or found.twice or unscored
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
    rules = found.rules.most_common(MOST_RULES)
    reasons = {rule.id: rule.reason for rule in policy.rules}
    blocks: list[Block] = [
        Table(("Tier", ">Recordings", ">Share", "Who looks"), rows),
        Facts([("Kept out of the annotation sample", f"{found.withheld:,}")]),
    ]
    if rules:
        blocks.append(
            Table(
                ("Rule", ">Recordings", "Why"),
                [(rule, f"{count:,}", reasons.get(rule, "")) for rule, count in rules],
                caption="The rules that decided",
            )
        )
    return blocks


def _categories(told: Told) -> list[Block]:
    found = told.found
    rows = [
        (name, f"{found.categories[name]:,}", _share(found.categories[name], found.rows))
        for name in told.policy.categories
        if name in found.scores
    ]
    return [Table(("Category", ">Flagged", ">Share"), rows)] if rows else []


def _scores(told: Told) -> list[Block]:
    found, policy = told.found, told.policy
    filled = {name: counts for name, counts in found.scores.items() if counts.sum()}
    if not filled:
        return []
    highest = sorted(filled, key=lambda name: -filled[name][HIGH:].sum())[:PANELS]
    panels = {name: (filled[name], _threshold(policy, name)) for name in filled if name in highest}
    caption = (
        "How many recordings have which score; red is at or over the policy's threshold of a "
        "category. Shown are the categories and sounds with the most scores of a half and more."
    )
    return [batch_plots.scores(panels, caption)]


def _threshold(policy: Policy, name: str) -> float | None:
    """Of a category; an event has none."""
    known = policy.categories.get(name)
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
        f"By hour of the day, UTC; {told.found.timed:,} of {told.found.rows:,} recordings say "
        "when they were made."
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


def _speed(told: Told) -> list[Block]:
    found, pace = told.found, told.pace
    if not pace.took:
        return []
    facts = [
        ("Time", _time(pace.took)),
        ("Recordings a second", f"{found.rows / pace.took:,.1f}"),
        ("Sound", _time(found.seconds)),
        ("Times real time", f"{found.seconds / pace.took:,.0f}"),
        ("Scored before, or twice the same", f"{pace.known:,}"),
    ]
    blocks: list[Block] = [Facts(facts)]
    spent = [(name, seconds) for name, seconds in pace.stages.most_common() if seconds > 0]
    if spent:
        fresh = max(found.rows - pace.known, 1)
        blocks.append(batch_plots.stages(spent, "Where the processes' time went."))
        blocks.append(
            Table(
                ("Stage", ">Seconds of all processes", ">ms a recording", ">Times real time"),
                [
                    (
                        name,
                        f"{seconds:,.1f}",
                        f"{1000 * seconds / fresh:,.2f}",
                        f"{found.seconds / seconds:,.0f}" if found.seconds else "",
                    )
                    for name, seconds in spent
                ],
                caption="By stage, of one core",
            )
        )
    blocks.append(batch_plots.course(pace.over_time, "Speed and memory, part by part."))
    return blocks


def _run(told: Told) -> list[Block]:
    plan = told.plan
    facts = [
        ("Begun", f"{plan.began:%Y-%m-%d %H:%M} UTC by {plan.by}"),
        ("Reason", plan.reason or "none given"),
        ("Model", plan.model),
        ("Policy", plan.policy),
        ("Source's digest", plan.survey),
        ("Asked for", str(plan.picked.model_dump(exclude_defaults=True) or "all")),
        ("Transcribed", "no (--sound-only)" if plan.sound_only else "yes"),
        ("Changes accepted", "; ".join(plan.accepted) or "none"),
    ]
    return [Facts(facts)]


def _by_hour(counted: Counter[datetime]) -> Sequence[int]:
    hours = [0] * 24
    for time, count in counted.items():
        hours[time.hour] += count
    return hours


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {code}" for code, count in counts.most_common())


def _share(count: int, of: int) -> str:
    return f"{count / of:.2%}" if of else ""


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
