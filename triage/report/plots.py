"""Plots as SVG, drawn by matplotlib without its global state; the same data give the same bytes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from triage.reliability import Bin
from triage.report.page import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Okabe and Ito's palette, which the colour-blind can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
QUIET = "#9aa5b1"
COLUMNS = 4
LEAST_SHOWN = 1e-4  # of a probability, on a logarithmic axis

Points = tuple[Sequence[float], Sequence[float]]  # x and y
Panel = Callable[["Axes", Any], None]


def reliability(panels: Mapping[str, Mapping[str, Sequence[Bin]]], caption: str) -> Figure:
    """Reliability diagrams, one for each name, with each model's bins.

    Both axes are logarithmic, for nearly all probabilities are small. A point on the diagonal
    came true as often as it was promised; its bar is the 95 % interval.
    """

    def draw(axes: Axes, models: Mapping[str, Sequence[Bin]]) -> None:
        axes.plot([LEAST_SHOWN, 1], [LEAST_SHOWN, 1], color=QUIET, lw=1, zorder=0)
        for (label, bins), colour in zip(models.items(), COLOURS, strict=False):
            mean, share, low, high = (
                np.array([getattr(one, name) for one in bins]).clip(LEAST_SHOWN, 1)
                for name in ("mean", "share", "low", "high")
            )
            errors = np.maximum([share - low, high - share], 0)
            axes.errorbar(mean, share, errors, fmt="o", ms=3, lw=1, color=colour, label=label)
        axes.set(xscale="log", yscale="log", xlim=(LEAST_SHOWN, 1.3), ylim=(LEAST_SHOWN, 1.3))

    alt = f"Reliability diagrams of {', '.join(panels)}"
    return _grid(panels, draw, "promised", "came true", caption, alt)


def precision_recall(panels: Mapping[str, Mapping[str, Points]], caption: str) -> Figure:
    """Precision over recall, one panel for each name, with each model's curve."""

    def draw(axes: Axes, models: Mapping[str, Points]) -> None:
        for (label, (recall, precision)), colour in zip(models.items(), COLOURS, strict=False):
            axes.step(recall, precision, where="pre", color=colour, lw=1.3, label=label)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02))

    alt = f"Precision-recall curves of {', '.join(panels)}"
    return _grid(panels, draw, "recall", "precision", caption, alt)


def differences(rows: Sequence[tuple[str, float, float, float]], unit: str, caption: str) -> Figure:
    """Values with their intervals around a line at zero.

    Args:
        rows: Name, value, low and high of each; the first is on top.
        unit: What the values are.
        caption: Under the figure.
    """
    canvas = _canvas(9, 0.9 + 0.3 * len(rows))
    axes = canvas.subplots()
    for place, (_, value, low, high) in enumerate(rows):
        sure = COLOURS[1] if high < 0 else COLOURS[2] if low > 0 else QUIET
        axes.plot([low, high], [place, place], color=sure, lw=2, solid_capstyle="butt")
        axes.plot(value, place, "o", color=sure, ms=5)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(unit)
    _bare(axes)
    return Figure(svg(canvas), caption, f"{unit} of {', '.join(name for name, *_ in rows)}")


def svg(canvas: Canvas) -> str:
    """A drawn figure as an `<svg>` element whose ids clash with those of no other figure."""
    import matplotlib as mpl

    def drawn(salt: str) -> str:
        out = io.StringIO()
        with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path", "font.size": 9}):
            canvas.savefig(out, format="svg", metadata={"Date": None})
        return out.getvalue()[out.getvalue().index("<svg") :]

    return _own_ids(drawn("triage"))


def _own_ids(drawing: str) -> str:
    """The same drawing with its digest before every id."""
    import re

    mine = "f" + hashlib.sha256(drawing.encode()).hexdigest()[:8]
    named = re.sub(r'\bid="([^"]+)"', rf'id="{mine}-\1"', drawing)
    return re.sub(r'(url\(|href=")#', rf"\1#{mine}-", named)


def _canvas(width: float, height: float) -> Canvas:
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height), layout="constrained")


def _grid(panels: Mapping[str, Any], draw: Panel, x: str, y: str, caption: str, alt: str) -> Figure:
    """Small multiples: a panel for each name, the legend beside the last."""
    rows = -(-len(panels) // COLUMNS)
    canvas = _canvas(11, 0.3 + 2.5 * max(rows, 1))
    grid = canvas.subplots(max(rows, 1), COLUMNS, squeeze=False, sharex=True, sharey=True)
    cells: Iterator[Axes] = iter(grid.flat)
    for (name, models), axes in zip(panels.items(), cells, strict=False):
        draw(axes, models)
        axes.set_title(name, fontsize=9)
        _bare(axes)
    for axes in cells:
        axes.set_visible(False)
    canvas.supxlabel(x, fontsize=9)
    canvas.supylabel(y, fontsize=9)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    if len(labels) > 1:
        canvas.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)
    return Figure(svg(canvas), caption, alt)


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
