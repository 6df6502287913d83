"""The page of `triage monitor`: the verdict first, then what moved, when, and how.

Names are the model's own, and all else on it is counts; so it can be sent around.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from triage.drift import LEAST_ROWS, MUCH, SOME, Drift, Verdict, psi, worst
from triage.live import Live
from triage.manifest import Histogram, Manifest
from triage.records import Doubles

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

MOST_BARS, MOST_LINES, MOST_HISTOGRAMS = 20, 5, 6
COLOURS = {
    Verdict.NONE: "#4c78a8",
    Verdict.SOME: "#e0912f",
    Verdict.MUCH: "#c0392b",
    Verdict.TOO_FEW: "#b8b8b8",
}
REFERENCE, LIVE = "#9aa5b1", "#2f6fb0"
MEANING = {
    Verdict.NONE: "Live scores are distributed as those that the model was measured on.",
    Verdict.SOME: "Some live values have moved. Look at which, and whether they go on moving.",
    Verdict.MUCH: "Live values have moved far from those that the model was measured on: its "
    "figures need not hold for them. Label some of these recordings and measure anew.",
    Verdict.TOO_FEW: f"Nothing can be told on fewer than {LEAST_ROWS} rows. Look at a longer time.",
}

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Drift of {{ model }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.verdict { border-left: .5rem solid {{ colour }}; padding: .5rem 1rem; background: #f5f7fa; }
.verdict b { color: {{ colour }}; font-size: 1.3rem; }
.note { color: #616e7c; font-size: .9rem; }
svg { max-width: 100%; height: auto; }
.table { overflow-x: auto; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: right; }
td:first-child, th:first-child, td:last-child, th:last-child { text-align: left; }
tr { border-bottom: 1px solid #e4e7eb; }
</style>
<h1>Drift of {{ model }}</h1>
<div class="verdict"><b>{{ verdict }}</b><br>{{ meaning }}</div>
<p class="note">{{ first }} to {{ last }} UTC. Model {{ digest }}.
{% if unreadable %}Files left out as unreadable: {{ unreadable }}.{% endif %}</p>
{% for title, note, svg in plots %}<h2>{{ title }}</h2><p class="note">{{ note }}</p>
<figure role="img" aria-label="{{ title }}" style="margin:0">{{ svg|safe }}</figure>
{% endfor %}<h2>Every name</h2>
<div class="table"><table><tr><th>name<th>rows<th>PSI<th>by chance<th>drift</tr>
{% for one in drift %}<tr><td>{{ one.name }}<td>{{ "{:,}".format(one.rows) }}
<td>{{ "%.3f"|format(one.psi) }}<td>{{ "%.3f"|format(one.chance) }}
<td style="color: {{ colours[one.verdict] }}">{{ one.verdict }}</tr>
{% endfor %}</table></div>
{% if unseen %}<p class="note">In no live row: {{ unseen|join(", ") }}.</p>{% endif %}
</html>
"""


def page(manifest: Manifest, live: Live, drift: Sequence[Drift], unseen: Sequence[str]) -> bytes:
    """The page as UTF-8 HTML that needs no other file.

    Args:
        manifest: Of the model, with a reference.
        live: Its window; not empty.
        drift: Of `triage.drift.compare` over the whole window.
        unseen: Names of the reference that no live row had.
    """
    from jinja2 import Environment

    verdict, hours = worst(drift), list(live.hours)
    html = (
        Environment(autoescape=True)
        .from_string(_PAGE)
        .render(
            model=manifest.name,
            digest=manifest.digest[:16],
            verdict=f"Drift: {verdict}",
            meaning=MEANING[verdict],
            colour=COLOURS[verdict],
            colours=COLOURS,
            first=f"{hours[0]:%Y-%m-%d %H:00}",
            last=f"{hours[-1]:%Y-%m-%d %H:59}",
            unreadable=live.unreadable,
            unseen=unseen,
            drift=drift,
            plots=_plots(manifest.reference, live, drift),
        )
    )
    return html.encode()


def by_hour(reference: Histogram, live: Live, name: str) -> Doubles:
    """The PSI of each hour of the window, shape (hours,); not a number on too few rows."""
    rows = [hour.get(name, np.zeros(1)) for hour in live.hours.values()]
    enough = [counts if counts.sum() >= LEAST_ROWS else None for counts in rows]
    return np.array(
        [np.nan if counts is None else psi(reference.counts, counts) for counts in enough]
    )


def _plots(
    reference: Mapping[str, Histogram], live: Live, drift: Sequence[Drift]
) -> list[tuple[str, str, str]]:
    told = [one for one in drift if one.verdict is not Verdict.TOO_FEW]
    if not told:
        return []
    lines = {one.name: by_hour(reference[one.name], live, one.name) for one in told[:MOST_LINES]}
    plots = [
        (
            "What moved",
            f"Population stability index, worst first; some over {SOME}, much over {MUCH}. The "
            "mark is what as many rows reach by chance: what stays under it is no drift.",
            _svg(_bars(told[:MOST_BARS])),
        ),
    ]
    if np.isfinite(list(lines.values())).any():
        note = (
            f"Hours of {LEAST_ROWS} rows and more. The rows that a model is measured on are rich "
            "in cases, and the field is not: a line may be high for good. Look for one that moves."
        )
        plots.append(("When", note, _svg(_lines(lines, live))))
    note = "Share of rows in each bin. The bins hold about equally many rows of the reference."
    worst_ones = told[:MOST_HISTOGRAMS]
    plots.append(("How", note, _svg(_histograms(worst_ones, reference, live.total))))
    return plots


def _bars(drift: Sequence[Drift]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.6 + 0.28 * len(drift)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(drift))
    axes.barh(places, [one.psi for one in drift], color=[COLOURS[one.verdict] for one in drift])
    axes.plot([one.chance for one in drift], places, "|", color="black", ms=10, mew=2)
    axes.set_yticks(places, [one.name for one in drift])
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.set_xlabel("PSI")
    axes.set_xscale("symlog", linthresh=MUCH)
    _marked(axes.xaxis, axes.axvline)
    axes.set_xlim(0, _upper([[one.psi for one in drift]]))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _lines(lines: Mapping[str, Doubles], live: Live) -> Figure:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    hours = np.array([hour.replace(tzinfo=None) for hour in live.hours], "datetime64[s]")
    for name, index in lines.items():
        axes.plot(hours, index, "o-", ms=3, label=name)
    axes.set_yscale("symlog", linthresh=MUCH)
    _marked(axes.yaxis, axes.axhline)
    axes.set_ylim(0, _upper(lines.values()))
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_ylabel("PSI")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _histograms(
    drift: Sequence[Drift], reference: Mapping[str, Histogram], total: Mapping[str, Doubles]
) -> Figure:
    from matplotlib.figure import Figure

    columns = 2
    rows = -(-len(drift) // columns)
    figure = Figure(figsize=(9, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, one in zip(grid, drift, strict=False):
        expected, edges = np.array(reference[one.name].counts), reference[one.name].edges
        places = np.arange(len(expected))
        counted = ((expected, REFERENCE, -0.2), (total[one.name], LIVE, 0.2))
        for (counts, colour, offset), label in zip(counted, ("reference", "live"), strict=True):
            axes.bar(places + offset, counts / counts.sum(), 0.4, color=colour, label=label)
        axes.set_xticks(np.arange(len(edges)) + 0.5, [f"{edge:.3g}" for edge in edges])
        axes.tick_params(axis="x", labelrotation=45, labelsize=8)
        axes.set_title(f"{one.name}: PSI {one.psi:.2f}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=8)
    for axes in figure.axes[len(drift) :]:
        axes.remove()
    return figure


def _marked(axis: Axis, line: Callable[..., object]) -> None:
    """Ticks of a PSI, and the limits of the old rule.

    The axis is linear only as far as PSI is small: one that is large may be a hundredfold.
    """
    ticks = (0, SOME, MUCH, 1, 3, 10)
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    for limit in (SOME, MUCH):
        line(limit, color=REFERENCE, lw=1, ls="--", zorder=0)


def _upper(rows: Iterable[ArrayLike]) -> float:
    return float(max(2 * MUCH, *(1.1 * np.nanmax(row, initial=0) for row in rows)))


def _svg(figure: Figure) -> str:
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "triage", "font.size": 10}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()[out.getvalue().index("<svg") :]
