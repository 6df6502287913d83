"""The page of `triage policy simulate`: what each threshold finds, costs, and makes wait."""

from __future__ import annotations

import math
from collections.abc import Sequence

from triage.measure.simulate import HEADROOM, Curve, Point, left_out
from triage.policy.model import Policy
from triage.report import policy_plots
from triage.report.page import Block, Note, Section, Table, Verdict, render

COLUMNS = (
    ">threshold",
    ">reviews a day",
    ">precision",
    ">found",
    ">missed a day",
    ">wait",
    ">past deadline",
)
UNTOLD = "Of {} nothing is told: no level of the policy lets recordings in by a category."
ASSUMED = (
    "Recordings come at random through the day, each is looked at by one reviewer, and a review's "
    "length varies as an exponential one does. Waits in the curves are by Erlang's formula, or by "
    "a short run of events where a queue has hours; the wait at the threshold to take is by a long "
    "run. All wait in one line, and what is late is late by the deadline of the queue's lowest "
    "tier: what is graver has to be taken first, which isn't counted here.",
    f"A threshold fits if it takes at most {HEADROOM:.0%} of the reviews that there is time for. "
    "Found is what comes to this queue; what another queue finds counts as missed here.",
    "What is a case is told by labels; without any, calibrated probabilities are taken at their "
    "word. Labelled sets are richer in cases than a service: unless their rows say what they stand "
    "for, take from the curves which threshold is better, and not how many cases there are a day.",
    "Every other level, and every other rule, is as in the policy.",
)


def page(policy: Policy, curves: Sequence[Curve], recordings: int, a_day: float) -> bytes:
    """The page as UTF-8 HTML that needs no other file.

    Args:
        policy: Whose levels are moved.
        curves: Of `simulate`.
        recordings: How many were decided anew.
        a_day: For how many a day they stand.
    """
    return render(
        f"Thresholds of {policy.name} {policy.version}",
        [
            Section("Verdict", _verdict(policy, curves)),
            *(Section(curve.queue, [_figure(curve), _table(curve)]) for curve in curves),
            Section("What is assumed", [Note(one) for one in ASSUMED]),
        ],
        subtitle=f"{recordings:,} recordings stand for {a_day:,.0f} a day. {policy.digest}",
    ).encode()


def told(curve: Curve) -> str:
    """What a queue's curve comes to, in a sentence."""
    if curve.chosen < 0:
        least = curve.points[-1]
        return (
            f"{curve.queue}: no threshold of {curve.level} leaves time: {least.threshold:g} still "
            f"asks for {least.reviews:,.0f} reviews a day, more than "
            f"{HEADROOM:.0%} of {curve.capacity:,}."
        )
    point = curve.points[curve.chosen]
    wait = curve.checked or point.wait
    return (
        f"{curve.queue}: {curve.level} from {point.threshold:g} (now {curve.now:g}) asks for "
        f"{point.reviews:,.1f} of {curve.capacity:,} reviews a day and finds {point.found:.0%} of "
        f"the cases ({point.low:.0%} to {point.high:.0%}), missing {point.missed:,.1f} a day; "
        f"people wait {_hours(wait.mean)}, {wait.late:.1%} past the deadline."
    )


def _verdict(policy: Policy, curves: Sequence[Curve]) -> list[Block]:
    never = [curve.queue for curve in curves if curve.chosen < 0]
    raised = [
        c.queue for c in curves if c.chosen >= 0 and c.points[c.chosen].threshold > c.now + 0.025
    ]
    points = [told(curve) for curve in curves]
    if missing := left_out(policy, curves):
        points.append(UNTOLD.format(", ".join(missing)))
    if never:
        return [Verdict("bad", f"No threshold leaves time for: {', '.join(never)}", points)]
    if raised:
        return [Verdict("warn", f"Too little time as it is: {', '.join(raised)}", points)]
    if missing:
        return [Verdict("warn", f"Nothing can be said of: {', '.join(missing)}", points)]
    return [Verdict("good", "There is time for all that the policy asks for", points)]


def _figure(curve: Curve) -> Block:
    points = [(p.reviews, p.found, p.wait.mean) for p in curve.points]
    return policy_plots.trade_off(
        points,
        curve.chosen,
        curve.capacity,
        f"Each point is a threshold of {curve.level}, from .95 on the left to .05. The line is "
        "what there is time for; the diamond is the lowest threshold that fits.",
    )


def _table(curve: Curve) -> Block:
    return Table(COLUMNS, [_row(p) for p in curve.points], frozenset({curve.chosen}), told(curve))


def _row(point: Point) -> Sequence[str]:
    return (
        f"{point.threshold:g}",
        f"{point.reviews:,.1f}",
        f"{point.precision:.2f}",
        f"{point.found:.2f} ({point.low:.2f}–{point.high:.2f})",  # noqa: RUF001
        f"{point.missed:,.1f}",
        _hours(point.wait.mean),
        f"{point.wait.late:.1%}",
    )


def _hours(hours: float) -> str:
    if math.isinf(hours):
        return "without end"
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
