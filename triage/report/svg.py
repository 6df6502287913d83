"""How matplotlib draws here: without pyplot, in one style, and the same data to the same bytes.

Letters stay letters in the SVG: it is small, can be searched, and takes the page's typeface.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from triage.report.page import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Okabe and Ito's palette, which the colour-blind can tell apart.
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
SKY, ORANGE, QUIET = "#56b4e9", "#e69f00", "#9aa5b1"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE)
MARKERS = "osD^vP"

STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#5b6675",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "triage",
    "text.parse_math": False,  # a name with two dollars in it is a name
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}
ALONE = threading.Lock()  # a style is of the whole process: two at once would mix, and stay
WIDTH = 10.5  # inches, of all figures: their letters are of one size on the page

T = TypeVar("T")


def figure(height: float, draw: Callable[[Canvas], Any], caption: str, alt: str) -> Figure:
    """Draws a figure, height in inches, and takes it down as an `<svg>` element."""
    from matplotlib import style
    from matplotlib.figure import Figure as Canvas

    out = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with ALONE, style.context(["default", STYLE]):  # whatever the user's own settings are
        canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
        draw(canvas)
        canvas.savefig(out, format="svg", metadata=nothing)
    return Figure(_own_ids(out.getvalue()[out.getvalue().index("<svg") :]), caption, alt)


def grid(
    panels: Mapping[str, T],
    draw: Callable[[Axes, T], None],
    x: str,
    y: str,
    caption: str,
    alt: str,
    columns: int = 4,
    shared: bool = True,
) -> Figure:
    """Small multiples: a panel for each name, one legend over all if there is more to tell."""
    rows = -(-len(panels) // columns)

    def all_of_them(canvas: Canvas) -> None:
        cells = canvas.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared)
        panes = cells.ravel()
        for (name, panel), axes in zip(panels.items(), panes, strict=False):
            draw(axes, panel)
            axes.set_title(name)
        for axes in panes[len(panels) :]:
            axes.remove()
        for axes in panes[max(len(panels) - columns, 0) : len(panels)]:
            axes.tick_params(axis="x", labelbottom=True)  # those with no panel under them too
        canvas.supxlabel(x, fontsize=9)
        canvas.supylabel(y, fontsize=9)
        handles, labels = panes[0].get_legend_handles_labels()
        if len(labels) > 1:
            canvas.legend(handles, labels, loc="outside upper right", ncols=len(labels))

    return figure(0.5 + 2.4 * rows, all_of_them, caption, alt)


def _own_ids(svg: str) -> str:
    """The same drawing with its digest before every id, so that two on a page don't clash."""
    mine = "f" + hashlib.sha256(svg.encode()).hexdigest()[:8]
    named = re.sub(r'(<[^<>]*? id=")', rf"\1{mine}-", svg)
    return re.sub(r'(="url\(|href=")#', rf"\1#{mine}-", named)
