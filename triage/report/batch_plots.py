"""The plots of a run's page, drawn as `triage.report.svg` has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from triage.batch.figures import EDGES
from triage.records import Doubles
from triage.report.page import Figure
from triage.report.svg import BLUE, COLOURS, QUIET, VERMILION, figure, grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

LEAST = 0.7  # where the logarithmic axis begins: one recording is seen, none isn't
MOST_TICKS = 5

Point = tuple[int, float, float]  # recordings so far, seconds that the part took, megabytes


def scores(counted: Mapping[str, tuple[Doubles, float | None]], caption: str) -> Figure:
    """How scores are distributed, one panel for each name; counts on a logarithmic axis.

    Args:
        counted: By name, how many between each two `EDGES`, and the threshold where there is one.
        caption: Under the figure.
    """
    top = max(float(counts.max()) for counts, _ in counted.values())
    decades = [10.0**power for power in range(0, int(np.log10(max(top, 1))) + 1)]
    ticks = decades[:: max(1, -(-len(decades) // MOST_TICKS))]

    def draw(axes: Axes, panel: tuple[Doubles, float | None]) -> None:
        counts, threshold = panel
        over = EDGES[:-1] >= (np.inf if threshold is None else threshold)
        for those, colour in ((~over, QUIET), (over, VERMILION)):
            shown = np.where(those & (counts > 0), counts, LEAST)
            axes.stairs(shown, EDGES, baseline=LEAST, fill=True, color=colour)
        axes.set(xlim=(0, 1), ylim=(LEAST, 2 * max(top, 1)), yscale="log")
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.minorticks_off()

    alt = f"Distributions of the scores of {', '.join(counted)}."
    return grid(counted, draw, "score", "recordings", caption, alt)


def hours(every: Sequence[int], looked_at: Sequence[int], caption: str) -> Figure:
    """Recordings by hour of the day, all of them and those that somebody looks at.

    Args:
        every, looked_at: Counts of 24 hours each.
        caption: Under the figure.
    """

    def draw(canvas: Canvas) -> None:
        above, below = canvas.subplots(2, 1, sharex=True)
        day = np.arange(24)
        for axes, counts, colour, label in (
            (above, every, QUIET, "recordings"),
            (below, looked_at, BLUE, "to be looked at"),
        ):
            axes.bar(day, counts, 0.85, color=colour)
            axes.set_ylabel(label)
            axes.set_ylim(0)
        below.set_xticks(range(0, 24, 3), [f"{hour:02}:00" for hour in range(0, 24, 3)])

    busiest = int(np.argmax(looked_at))
    return figure(3.4, draw, caption, f"Recordings by hour; most to be looked at at {busiest}:00.")


def stages(rows: Sequence[tuple[str, float]], caption: str) -> Figure:
    """Where the time goes.

    Args:
        rows: Stages with their seconds, at least one; the first is on top.
        caption: Under the figure.
    """
    total = sum(seconds for _, seconds in rows) or 1.0

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        places = np.arange(len(rows))
        shares = [seconds / total for _, seconds in rows]
        axes.barh(places, shares, 0.7, color=BLUE)
        for place, share in enumerate(shares):
            axes.text(share + 0.005 * max(shares), place, f"{share:.0%}", va="center", fontsize=8)
        axes.set_yticks(places, [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 1.1 * max(*shares, 0.01))
        axes.set_xlabel("share of the processes' time")
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")

    told = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in rows)
    return figure(0.8 + 0.3 * len(rows), draw, caption, f"Time by stage: {told}.")


def course(points: Sequence[Point], caption: str) -> Figure:
    """Speed and memory over the run.

    Args:
        points: After each part, at least two.
        caption: Under the figure.
    """
    done, took, megabytes = (np.array(column, float) for column in zip(*points, strict=True))
    rows = np.diff(done, prepend=0)

    def draw(canvas: Canvas) -> None:
        fast, memory = canvas.subplots(1, 2)
        for axes, values, colour, label in (
            (fast, rows / np.maximum(took, 1e-3), COLOURS[0], "recordings a second"),
            (memory, megabytes, COLOURS[1], "memory of all processes, MB"),
        ):
            axes.plot(done, values, "o-", color=colour, ms=2.5, lw=1)
            axes.set(ylim=(0, 1.15 * max(values.max(), 1)), xlabel="recordings done", ylabel=label)
            axes.set_xlim(0)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(lambda value, _: f"{value:,.10g}")

    alt = (
        f"Over {done[-1]:,.0f} recordings memory went from {megabytes[0]:,.0f} to "
        f"{megabytes[-1]:,.0f} MB, at most {megabytes.max():,.0f}."
    )
    return figure(2.8, draw, caption, alt)
