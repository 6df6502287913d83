"""The tables and plots of `python -m benchmarks.batch`: Markdown and PNG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.batch_beside import AFTERNOON, BATCH, LOOP
from benchmarks.batch_runs import Ran
from benchmarks.timing import Spread, ratios
from triage.report.svg import BLUE, COLOURS, MARKERS, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

REPORT = "report"
QUIET = 0.1  # share of the cores that others may take before the figures are worth little
LEAST_SHARE = 0.001  # of a stage that is drawn
REST = "all else"  # start, policy, audit, store, writing

# The aims.
REAL_TIME: Mapping[str, float] = {"transcribed": 25, "--sound-only": 150}
TEXTS_A_SECOND = 400
TIMES_AS_LONG: Mapping[str, float] = {LOOP: 2, AFTERNOON: 6}

SIZE = (7.0, 3.4)  # inches
DPI = 150

Told = Mapping[str, Any]


def report(figures: Mapping[str, Told], pictures: Path | None) -> str:
    """All that was measured, in Markdown.

    Args:
        figures: Of each part, as its file has them.
        pictures: Folder that plots are drawn in; None for no plots.
    """
    told = {part: one["found"] for part, one in figures.items()}
    blocks = [_about(figures)]
    if "once" in told:
        blocks.append(_exactly_once(told))
    for title, ran in _staged(told).items():
        blocks.append(f"By stage, {title}:\n\n{_stages(stage_rows(ran))}")
    for part, show in (
        ("commands", _commands), ("texts", _texts), ("memory", _memory), ("beside", _beside),
    ):  # fmt: skip
        if part in told:
            blocks.append(show(told[part]))
    if pictures is not None:
        blocks.append(_drawn(told, pictures))
    return "\n\n".join(filter(None, blocks))


def is_as_once(once: Told, other: Told) -> bool:
    """Whether a run gave the rows of the unbroken one, and lost and doubled nothing."""
    counts = ("decided", "decisions", "cases", "messages")
    return (
        not other["unlike"]
        and all(one["kept"]["is_whole"] for one in (once, other))
        and all(once["kept"][name] == other["kept"][name] for name in counts)
        and not any(one["kept"][name] for one in (once, other) for name in ("lost", "strange"))
        and not other["ran"]["outlived"]
    )


def stage_rows(ran: Ran) -> list[dict[str, Any]]:
    """What each stage took: seconds, share of them all, ms a recording, x real time of a core.

    Real time is counted over sound that came for the first time: what is known is not listened to.
    """
    stages = dict(sorted(ran.stages.items(), key=lambda one: -one[1]))
    rest = ran.cores - sum(stages.values())
    if rest > 0 and not ran.kills:
        stages[REST] = rest
    whole = sum(stages.values()) or 1.0
    return [
        {
            "stage": stage,
            "seconds": seconds,
            "share": seconds / whole,
            "ms": 1000 * seconds / max(ran.rows, 1),
            "times": ran.fresh / seconds if seconds else 0.0,
        }
        for stage, seconds in stages.items()
    ]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first column is of names."""
    marks = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, marks, *rows))


# Tables -------------------------------------------------------------------------------------


def _about(figures: Mapping[str, Told]) -> str:
    lines = []
    for one in list(figures.values())[:1]:
        on = one["machine"]
        lines.append(f"{on['cores']} cores of {on['processor']}, {on['date'][:10]}.")
    small = [part for part, one in figures.items() if one["scale"] != 1]
    if small:
        lines.append(f"**Not at full size, and so worth nothing: {', '.join(small)}.**")
    busy = {part: max(one["busy"]) for part, one in figures.items() if max(one["busy"]) > QUIET}
    if busy:
        told = ", ".join(f"{part} {100 * share:.0f} %" for part, share in busy.items())
        lines.append(f"**Others took a share of the cores, so rates are too low: {told}.**")
    return "\n".join(lines)


def _exactly_once(told: Mapping[str, Told]) -> str:
    once = told["once"]
    ways = _ways(told)
    wanted: dict[str, Callable[[Told, Ran], str]] = {
        "recordings": lambda _, ran: f"{ran.rows:,}",
        "of them refused": lambda _, ran: f"{ran.refused:,}",
        "a stage failed": lambda _, ran: f"{ran.failed:,}",
        "kills": lambda _, ran: f"{ran.kills:,}",
        "workers that outlived one": lambda _, ran: f"{ran.outlived:,}",
        "s": lambda _, ran: f"{ran.seconds:,.0f}",
        "rows a second": lambda _, ran: f"{ran.rate:.1f}",
        "x real time": lambda _, ran: f"{ran.times:.1f}",
        "x real time, sound that came twice counted once": lambda _, ran: (
            f"{ran.fresh / ran.seconds:.1f}"
        ),
        "s of a core": lambda _, ran: "" if ran.kills else f"{ran.cores:,.0f}",
        "MB at most": lambda _, ran: f"{ran.peak:,.0f}",
        "rows unlike those of the whole run": lambda one, _: f"{max([0, *unlike_of(one)]):,}",
        "decisions in the store": lambda one, _: f"{one['kept']['decisions']:,}",
        "of them lost, of no row": lambda one, _: (
            f"{one['kept']['lost']:,}, {one['kept']['strange']:,}"
        ),
        "cases": lambda one, _: f"{one['kept']['cases']:,}",
        "audit": lambda one, _: "whole" if one["kept"]["is_whole"] else "**damaged**",
        "the same": lambda one, _: (
            "" if one is once else "yes" if is_as_once(once, one) else "**no**"
        ),
    }
    rans = {name: Ran.of(one["ran"]) for name, one in ways.items()}
    rows = [
        [what, *(show(one, rans[name]) for name, one in ways.items())]
        for what, show in wanted.items()
    ]
    text = table(["", *ways], rows)
    if "killed" in rans:
        whole, broken = rans["whole"], rans["killed"]
        cost = broken.seconds - whole.seconds
        text += (
            f"\n\n{broken.kills} kills cost {cost:,.0f} s, {cost / max(broken.kills, 1):.1f} s "
            f"each, {100 * cost / whole.seconds:+.0f} % of the unbroken run."
        )
    return text


def unlike_of(one: Told) -> list[int]:
    """How many rows of each column differ."""
    return list(one.get("unlike", {}).values())


def _staged(told: Mapping[str, Told]) -> dict[str, Ran]:
    found = {}
    if "once" in told:
        found["a mixed archive"] = Ran.of(told["once"]["ran"])
    for part, name in (("commands", "commands, {}"), ("texts", "texts, {}")):
        for variant, one in told.get(part, {}).items():
            found[name.format(variant)] = Ran.of(one["ran"])
    return found


def _stages(rows: Sequence[Told]) -> str:
    return table(
        ["", "s", "share", "ms a recording", "x real time of one core"],
        [
            [
                one["stage"],
                f"{one['seconds']:,.1f}",
                f"{100 * one['share']:.0f} %",
                f"{one['ms']:.2f}",
                f"{one['times']:,.0f}" if one["times"] else "",
            ]
            for one in rows
        ],
    )


def _commands(found: Told) -> str:
    rows = []
    for name, one in found.items():
        ran, aim = Ran.of(one["ran"]), REAL_TIME[name]
        without = ran.sound / ran.after(one["start"])
        rows.append(
            [
                name, f"{ran.rows:,}", f"{ran.sound:,.0f}", f"{ran.seconds:,.1f}",
                f"{ran.times:.1f}", f"{without:.1f}", f"{aim:g}", _met(ran.times, aim),
            ]
        )  # fmt: skip
    heads = ["commands", "clips", "s of sound", "s", "x real time", "without the start"]
    return table([*heads, "aim", ""], rows)


def _texts(found: Told) -> str:
    rows = []
    for name, one in found.items():
        ran = Ran.of(one["ran"])
        without = ran.rows / ran.after(one["start"])
        rows.append(
            [
                name, f"{ran.rows:,}", f"{ran.seconds:,.1f}", f"{ran.rate:,.0f}",
                f"{without:,.0f}", f"{TEXTS_A_SECOND}", _met(ran.rate, TEXTS_A_SECOND),
            ]
        )  # fmt: skip
    heads = ["texts, all different", "rows", "s", "rows a second", "without the start"]
    return table([*heads, "aim", ""], rows)


def _memory(found: Told) -> str:
    start = found["start"]
    rans = [Ran.of(one) for one in found["sizes"]]
    costs = [1000 * ran.after(start) / ran.rows for ran in rans]
    rows = [
        [
            f"{ran.rows:,}", f"{ran.seconds:,.1f}", f"{cost:.2f}",
            f"{median(one[2] for one in ran.over_time):,.0f}", f"{ran.peak:,.0f}",
        ]
        for ran, cost in zip(rans, costs, strict=True)
    ]  # fmt: skip
    heads = ["texts, all different", "s", "s per 1,000, without the start", "MB, median"]
    text = table([*heads, "MB at most"], rows)
    return text + (
        f"\n\nA thousand of {rans[-1].rows:,} cost {costs[-1] / costs[-2]:.2f} times what a "
        f"thousand of {rans[-2].rows:,} do, and take {rans[-1].peak / rans[-2].peak:.2f} times "
        "the memory."
    )


def _beside(found: Told) -> str:
    ways: Told = found["ways"]
    rows = []
    for name, rounds in ways.items():
        row = [name]
        for what in ("whole", "working"):
            taken, ours = ([one[what] for one in rounds] for rounds in (ways[name], ways[BATCH]))
            row.append(f"{median(taken):,.1f}")
            row.append("" if name == BATCH else _spread(ratios(taken, ours)))
        aim = TIMES_AS_LONG.get(name)
        whole = ratios(*([one["whole"] for one in ways[way]] for way in (name, BATCH)))
        row += ["", ""] if aim is None else [f"{aim:g}", _met(whole.median, aim)]
        rows.append(row)
    heads = ["", "s", "times as long", "s without the start", "times as long", "aim", ""]
    counted = f"{found['recordings']:,} commands, {len(ways[BATCH])} times each, in turn:"
    return f"{counted}\n\n{table(heads, rows)}"


def _spread(ratio: Spread) -> str:
    return f"{ratio.median:.1f} ({ratio.least:.1f} to {ratio.most:.1f})"


def _met(value: float, aim: float) -> str:
    return "met" if value >= aim else "missed"


# Plots --------------------------------------------------------------------------------------


def _drawn(told: Mapping[str, Told], pictures: Path) -> str:
    pictures.mkdir(parents=True, exist_ok=True)
    lines = []
    ways = {name: Ran.of(one["ran"]) for name, one in _ways(told).items()}
    sizes = [Ran.of(one) for one in told.get("memory", {}).get("sizes", [])]
    if ways or sizes:
        draw_memory(ways, sizes, pictures / "batch-memory.png")
        lines.append("![Memory of all processes over a run](pictures/batch-memory.png)")
    if "once" in told:
        draw_stages(stage_rows(Ran.of(told["once"]["ran"])), pictures / "batch-stages.png")
        lines.append("![Throughput of a core by stage](pictures/batch-stages.png)")
    return "\n".join(lines)


def _ways(told: Mapping[str, Told]) -> dict[str, Told]:
    """The ways in which the mixed archive was run, by what they are called."""
    names = {"once": "whole", "killed": "killed", "ray": "on Ray"}
    return {name: told[part] for part, name in names.items() if part in told}


def draw_memory(ways: Mapping[str, Ran], sizes: Sequence[Ran], file: Path) -> None:
    """Memory of all processes over what is done: of the mixed archive, and of ever more texts."""
    texts = {f"{ran.rows:,} texts": ran for ran in sizes}

    def draw(canvas: Canvas) -> None:
        shown = [one for one in (ways, texts) if one]
        panels = canvas.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axes, runs in zip(panels, shown, strict=True):
            for (name, ran), colour, marker in zip(runs.items(), COLOURS, MARKERS, strict=False):
                done, _, megabytes = zip(*ran.over_time, strict=True)
                axes.plot(done, megabytes, color=colour, marker=marker, ms=3, label=name)
            if runs is texts:
                axes.set(xscale="log", xlabel="texts done")
            else:
                axes.set(xlabel="recordings of the mixed archive done")
            axes.xaxis.set_major_formatter("{x:,.0f}")
            axes.yaxis.set_major_formatter("{x:,.0f}")
            axes.legend(loc="lower right")
            axes.grid(axis="y", color="#e3e7ec")
            axes.set_ylim(0, None)
        panels[0].set_ylabel("MB of all processes")

    _draw(draw, file)


def draw_stages(rows: Sequence[Told], file: Path) -> None:
    """How many times faster than real time a core is at each stage."""
    shown = [one for one in rows if one["times"] and one["share"] >= LEAST_SHARE]

    def draw(canvas: Canvas) -> None:
        axes = canvas.subplots()
        bars = axes.barh([one["stage"] for one in shown], [one["times"] for one in shown])
        for bar in bars:
            bar.set_color(BLUE)
        axes.bar_label(bars, [f"{one['times']:,.0f}" for one in shown], padding=3, size=8)
        least = min(1.0, *(one["times"] for one in shown))
        axes.set(xscale="log", xlabel="seconds of sound that one core takes in a second")
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.set_xlim(least, 2.5 * max(one["times"] for one in shown))
        axes.invert_yaxis()

    _draw(draw, file)


def _draw(draw: Callable[[Canvas], None], file: Path) -> None:
    from matplotlib import style
    from matplotlib.figure import Figure as Canvas

    with style.context(["default", STYLE]):
        canvas = Canvas(figsize=SIZE, layout="constrained")
        draw(canvas)
        canvas.savefig(file, dpi=DPI, metadata={"Software": None})
