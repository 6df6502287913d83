"""The plots of the pages about policies, drawn as `triage.report.svg` has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from triage.policy.parts import TIERS
from triage.report.page import Figure
from triage.report.svg import BLUE, ORANGE, QUIET, VERMILION, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas
    from matplotlib.patches import Patch

OLD, NEW = "old", "new"


def matrix(counts: Mapping[tuple[str, str], int], caption: str) -> Figure:
    """How many recordings went from each tier to each other: what rose blue, what fell red.

    Args:
        counts: By tier under the old and the new policy.
        caption: Under the figure.
    """
    size = len(TIERS)
    table = np.array([[counts.get((old, new), 0) for new in TIERS] for old in TIERS], float)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        largest = np.log1p(table[~np.eye(size, dtype=bool)].max(initial=1))
        for row in range(size):
            for column in range(size):
                count = int(table[row, column])
                colour = QUIET if row == column else BLUE if column > row else VERMILION
                strength = 0.15 if row == column else 0.1 + 0.6 * np.log1p(count) / largest
                axes.add_patch(_cell(column, row, colour, float(strength) if count else 0.0))
                axes.text(column, row, f"{count:,}" if count else "·", ha="center", va="center")
        axes.set_xlim(-0.5, size - 0.5)
        axes.set_ylim(size - 0.5, -0.5)
        axes.set_xticks(range(size), TIERS)
        axes.set_yticks(range(size), TIERS)
        axes.set_xlabel("new policy")
        axes.set_ylabel("old policy")

    moved = ", ".join(f"{a} to {b}: {n:,}" for (a, b), n in sorted(counts.items()) if a != b)
    return figure(3.2, draw, caption, f"Recordings by tier. {moved or 'None moved'}.")


def queues(rows: Sequence[tuple[str, float, float, float]], unit: str, caption: str) -> Figure:
    """Looks asked for by queue under two policies, with what the queue can take.

    Args:
        rows: Name, old, new and capacity of each, at least one; the first is on top.
        unit: What they are counted in.
        caption: Under the figure.
    """

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        places = np.arange(len(rows))
        for shift, values, colour, label in (
            (-0.2, [old for _, old, _, _ in rows], QUIET, OLD),
            (0.2, [new for _, _, new, _ in rows], BLUE, NEW),
        ):
            axes.barh(places + shift, values, 0.38, color=colour, label=label)
        capacity = [most for *_, most in rows]
        axes.plot(capacity, places, "|", color=VERMILION, ms=16, mew=2, label="capacity")
        axes.set_yticks(places, [name for name, *_ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0)
        axes.set_xlabel(unit)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))

    told = ", ".join(f"{name} {old:g} to {new:g} of {most:g}" for name, old, new, most in rows)
    return figure(0.8 + 0.42 * len(rows), draw, caption, f"{unit}: {told}.")


def hours(old: Mapping[int, int], new: Mapping[int, int], caption: str) -> Figure:
    """Looks asked for by hour of the day under two policies."""

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        day = np.arange(24)
        for counts, colour, label in ((old, QUIET, OLD), (new, BLUE, NEW)):
            values = [counts.get(int(hour), 0) for hour in day]
            axes.step(day, values, where="mid", color=colour, label=label)
        axes.set_xticks(range(0, 24, 3), [f"{hour:02}:00" for hour in range(0, 24, 3)])
        axes.set_ylim(0)
        axes.set_ylabel("looks")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))

    busiest = max(range(24), key=lambda hour: new.get(hour, 0))
    return figure(2.4, draw, caption, f"Looks by hour; under the new policy most at {busiest}:00.")


def trade_off(
    points: Sequence[tuple[float, float, float]],
    chosen: int,
    capacity: float,
    caption: str,
) -> Figure:
    """What is found against the reviews that it takes, and how long people wait for them.

    Args:
        points: Reviews a day, share of the cases found, mean wait in hours (infinite where reviews
            pile up) of each threshold.
        chosen: The place of the one to take; -1 for none.
        capacity: Reviews a day that there is time for.
        caption: Under the figure.
    """

    def draw(canvas: Canvas) -> None:
        found, waits = canvas.subplots(1, 2)
        reviews, share, wait = (np.array(column, float) for column in zip(*points, strict=True))
        known = np.isfinite(wait)
        for axes, x, y, label in (
            (found, reviews, share, "share of cases found"),
            (waits, reviews[known], wait[known], "mean wait, hours"),
        ):
            axes.plot(x, y, "o-", color=BLUE, ms=3.5)
            axes.axvline(capacity, color=VERMILION, lw=1, ls="--")
            axes.set_xlim(0)
            axes.set_xlabel("reviews a day")
            axes.set_ylabel(label)
        found.set_ylim(0, 1.02)
        waits.set_ylim(0)
        if chosen >= 0:
            found.plot(reviews[chosen], share[chosen], "D", color=ORANGE, ms=8, zorder=3)

    told = "; ".join(f"{n:.3g} reviews find {share:.0%}" for n, share, _ in points)
    return figure(2.9, draw, caption, f"{told}. There is time for {capacity:g}.")


def _cell(column: int, row: int, colour: str, strength: float) -> Patch:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=colour, alpha=strength, lw=0)
