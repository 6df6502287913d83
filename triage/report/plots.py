"""The plots of the pages, each drawn as `triage.report.svg` has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from triage.records import Doubles
from triage.reliability import Bin
from triage.report.page import Figure
from triage.report.svg import BLUE, COLOURS, GREEN, MARKERS, QUIET, VERMILION, figure, grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Canvas

LEAST_SHOWN = 1e-4  # of a probability, on a logarithmic axis
BEYOND = (1, 3, 10, 30, 100)  # ticks, where an axis is logarithmic past its limits

Points = tuple[ArrayLike, ArrayLike]  # x and y, each of shape (n,)


def reliability(panels: Mapping[str, Mapping[str, Sequence[Bin]]], caption: str) -> Figure:
    """Reliability diagrams, one for each name, with each model's bins.

    Both axes are logarithmic, for nearly all probabilities are small. A point on the diagonal
    came true as often as it was promised. Bins that lie under the axes in both directions, as
    far as their rows can tell, are left out.

    Args:
        panels: By name and model, at least one.
        caption: Under the figure; how to read it is added.
    """

    def draw(axes: Axes, models: Mapping[str, Sequence[Bin]]) -> None:
        axes.plot([LEAST_SHOWN, 1], [LEAST_SHOWN, 1], color=QUIET, lw=1, zorder=0)
        for (label, bins), colour, marker in zip(models.items(), COLOURS, MARKERS, strict=False):
            _bins(axes, [one for one in bins if _shown(one)], label, colour, marker)
        axes.set(xscale="log", yscale="log", xlim=(LEAST_SHOWN, 1.3), ylim=(LEAST_SHOWN, 1.3))
        ticks = [10.0**power for power in range(-4, 1)]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.set_ticks([], minor=True)

    reading = (
        "Dots on the diagonal came true as often as they promised; bars are 95 % intervals, and "
        "one without a dot is of rows none of which came true. What promised under "
        f"{LEAST_SHOWN:.4f} and came true no oftener is not shown."
    )
    every = [one for models in panels.values() for bins in models.values() for one in bins]
    off = sum(not one.low <= one.mean <= one.high for one in every)
    alt = (
        f"Reliability diagrams of {', '.join(panels)}. {off} of {len(every)} bins are off the "
        "diagonal by more than their interval."
    )
    return grid(panels, draw, "promised", "came true", f"{caption} {reading}", alt)


def precision_recall(panels: Mapping[str, Mapping[str, Points]], caption: str) -> Figure:
    """Precision over recall, one panel for each name, with each model's curve.

    Args:
        panels: Recall and precision by name and model, at least one.
        caption: Under the figure.
    """

    def draw(axes: Axes, models: Mapping[str, Points]) -> None:
        # The first is the widest, so that it is seen under one that is equal.
        for n, (label, (recall, precision)) in enumerate(models.items()):
            width = 1.2 * (len(models) - n)
            axes.step(recall, precision, where="pre", color=COLOURS[n], lw=width, label=label)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02))

    alt = f"Precision-recall curves of {', '.join(panels)}."
    return grid(panels, draw, "recall", "precision", caption, alt)


def differences(rows: Sequence[tuple[str, float, float, float]], unit: str, caption: str) -> Figure:
    """Values with their intervals around a line at zero.

    Args:
        rows: Name, value, low and high of each, at least one; the first is on top.
        unit: What the values are.
        caption: Under the figure.
    """

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for place, (_, value, low, high) in enumerate(rows):
            colour = VERMILION if high < 0 else GREEN if low > 0 else QUIET
            inside = "white" if low <= 0 <= high else colour  # not by colour alone
            axes.plot([low, high], [place, place], color=colour, lw=2, solid_capstyle="butt")
            axes.plot(value, place, "o", color=colour, mfc=inside, ms=6, mew=1.5)
            beside = axes.get_yaxis_transform()
            axes.text(1.01, place, f"{value:+.3f}", transform=beside, va="center", size=8)
        axes.axvline(0, color="black", lw=0.8, zorder=0)
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(unit)

    told = (f"{name} {value:+.3f} ({low:+.3f} to {high:+.3f})" for name, value, low, high in rows)
    return figure(0.9 + 0.28 * len(rows), draw, caption, f"{unit}: {'; '.join(told)}.")


def bars(
    rows: Sequence[tuple[str, float, float, str]],
    limits: Sequence[float],
    unit: str,
    caption: str,
) -> Figure:
    """A bar for each name, with a mark on it.

    Args:
        rows: Name, value from 0 on, mark and colour of each, at least one; the first is on top.
        limits: Dashed; the axis is logarithmic past the last of them.
        unit: What the values are.
        caption: Under the figure.
    """
    names, values, marks, colours = zip(*rows, strict=True)

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        places = np.arange(len(rows))
        axes.barh(places, values, color=colours)
        axes.plot(marks, places, "|", color="black", ms=10, mew=2)
        axes.set_yticks(places, names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(unit)
        axes.set_xscale("symlog", linthresh=limits[-1])
        axes.set_xlim(0, _marked(axes.xaxis, axes.axvline, limits, [values]))

    told = ", ".join(f"{name} {value:.3f}" for name, value, *_ in rows)
    return figure(0.6 + 0.28 * len(rows), draw, caption, f"{unit}: {told}.")


def lines(
    series: Mapping[str, Doubles],
    times: Sequence[datetime],
    limits: Sequence[float],
    unit: str,
    caption: str,
) -> Figure:
    """A line for each name over time.

    Args:
        series: By name, as many values from 0 on as there are times; what isn't a number is a gap.
        times: UTC, rising, at least one.
        limits, unit, caption: As in `bars`.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        when = np.array([time.replace(tzinfo=None) for time in times], "datetime64[s]")
        for (name, values), colour, marker in zip(series.items(), COLOURS, MARKERS, strict=False):
            axes.plot(when, values, color=colour, marker=marker, ms=4, label=name)
        axes.set_yscale("symlog", linthresh=limits[-1])
        axes.set_ylim(0, _marked(axes.yaxis, axes.axhline, limits, series.values()))
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        form = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(form)
        axes.set_ylabel(unit)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))

    span = f"{times[0]:%Y-%m-%d %H:%M} to {times[-1]:%Y-%m-%d %H:%M}"
    return figure(3.6, draw, caption, f"{unit} from {span} of {', '.join(series)}.")


def histograms(
    panels: Mapping[str, tuple[Sequence[float], Mapping[str, Doubles]]], caption: str
) -> Figure:
    """Shares of the rows in each bin, one panel for each name, side by side where there are more.

    Args:
        panels: By name, at least one: the edges between bins, and the counts by what they are of.
        caption: Under the figure.
    """

    def draw(axes: Axes, panel: tuple[Sequence[float], Mapping[str, Doubles]]) -> None:
        edges, counted = panel
        width = 0.8 / len(counted)
        for n, (label, counts) in enumerate(counted.items()):
            places = np.arange(len(counts)) + (n - (len(counted) - 1) / 2) * width
            colour = (QUIET, BLUE)[n % 2]
            axes.bar(places, counts / counts.sum(), width, color=colour, label=label)
        axes.set_xticks(np.arange(len(edges)) + 0.5, [f"{edge:.3g}" for edge in edges])
        axes.tick_params(axis="x", labelrotation=45)

    alt = f"Histograms of {', '.join(panels)}."
    return grid(panels, draw, "", "share of rows", caption, alt, columns=2, shared=False)


# Parts --------------------------------------------------------------------------------------


def _shown(one: Bin) -> bool:
    return max(one.mean, one.low) >= LEAST_SHOWN


def _bins(axes: Axes, bins: Sequence[Bin], label: str, colour: str, marker: str) -> None:
    """Bars of the intervals, faint where nothing came true, and dots where something did."""
    mean, share, low, high = (
        np.array([getattr(one, name) for one in bins]).clip(LEAST_SHOWN, 1)
        for name in ("mean", "share", "low", "high")
    )
    some: NDArray[np.bool_] = np.array([one.share > 0 for one in bins], bool)
    for these, alpha in ((some, 1.0), (~some, 0.35)):
        axes.vlines(mean[these], low[these], high[these], color=colour, lw=1, alpha=alpha)
    axes.plot(mean[~some], high[~some], "_", color=colour, ms=4, alpha=0.6)
    axes.plot(mean[some], share[some], marker, color=colour, ms=3.5, label=label, clip_on=False)


def _marked(
    axis: Axis, line: Callable[..., object], limits: Sequence[float], rows: Iterable[ArrayLike]
) -> float:
    """Draws the limits, sets ticks at them and past them, and gives the end of the axis."""
    ticks = (0, *limits, *(tick for tick in BEYOND if tick > limits[-1]))
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    for limit in limits:
        line(limit, color=QUIET, lw=1, ls="--", zorder=0)
    return float(max(2 * limits[-1], *(1.1 * np.nanmax(row, initial=0) for row in rows)))
