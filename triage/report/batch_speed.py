"""How fast a run was, for its page."""

from __future__ import annotations

from collections.abc import Sequence

from triage.batch.figures import Found, Pace
from triage.report import batch_plots
from triage.report.page import Block, Facts, Table


def speed(found: Found, pace: Pace) -> list[Block]:
    """How fast it was, as a whole and by stage; nothing if no time was taken."""
    if not pace.took:
        return []
    facts = [
        ("Time", time_of(pace.took)),
        ("Recordings a second", f"{found.rows / pace.took:,.1f}"),
    ]
    if found.seconds:
        facts += [
            ("Sound", time_of(found.seconds)),
            ("Times real time", f"{found.seconds / pace.took:,.0f}"),
        ]
    if pace.over_time:
        facts.append(("Memory at most", f"{max(one[2] for one in pace.over_time):,.0f} MB"))
    facts.append(("Scored before, or twice the same", f"{pace.known:,}"))
    blocks: list[Block] = [Facts(facts)]
    spent = [(name, seconds) for name, seconds in pace.stages.most_common() if seconds > 0]
    if spent:
        blocks.append(batch_plots.stages(spent, "Where the processes' time went."))
        blocks.append(_stages(spent, found.rows - pace.known, found.seconds))
    if len(pace.over_time) > 1:
        blocks.append(batch_plots.course(pace.over_time, "Speed and memory, part by part."))
    return blocks


def _stages(spent: Sequence[tuple[str, float]], fresh: int, sound: float) -> Table:
    """What each stage cost, of what was scored here and not known before."""
    rows = [
        (
            name,
            f"{seconds:,.1f}",
            f"{1000 * seconds / fresh:,.2f}" if fresh else "",
            f"{sound / seconds:,.0f}" if sound else "",
        )
        for name, seconds in spent
    ]
    return Table(
        ("Stage", ">Seconds of all processes", ">ms a recording scored here", ">Times real time"),
        rows,
        caption="By stage, of one core; times real time is of all sound, scored here or before",
    )


def time_of(seconds: float) -> str:
    """Seconds, as one says them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
