"""Figures as tables for people, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import AFTERNOON, COMPARED, MANY, OURS, STAGES, Serving, Timed
from benchmarks.timing import Spread, ratios


@dataclass(frozen=True, slots=True)
class Figures:
    """All that one run measured.

    Attributes:
        machine: What it ran on.
        busy: Share of the cores that others took, in 0..1, before and after.
        timed: Tasks of both pipelines.
        serving: The service.
    """

    machine: dict[str, Any]
    busy: tuple[float, float]
    timed: list[Timed]
    serving: Serving

    def pairs(self, task: str) -> list[tuple[Timed, Timed | None]]:
        """A task side by side: ours, and the afternoon's where there is one, by amount."""
        ours, theirs = (
            {one.amount: one for one in self.timed if (one.pipeline, one.task) == (pipeline, task)}
            for pipeline in (OURS, AFTERNOON)
        )
        return [(ours[amount], theirs.get(amount)) for amount in sorted(ours)]

    def save(self, file: Path) -> None:
        """Everything, each run's seconds included, as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")


@dataclass(frozen=True, slots=True)
class Aim:
    """What was wanted, and what was got."""

    name: str
    wanted: float
    got: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.got <= self.wanted if self.at_most else self.got >= self.wanted


def aims(figures: Figures) -> list[Aim]:
    """The aims that the project set itself, each by the median; of several lengths the worst."""
    whole, texts = figures.pairs("whole"), figures.pairs("texts")
    alone = [median(one.rates) for one in figures.timed if one.task == "events" and one.cores == 1]
    pairs = [pair for task in COMPARED for pair in figures.pairs(task)]
    times = [_ratio(one, other).median for one, other in pairs if other]
    found = [
        Aim("sounds alone on one core, times real time", 80, min(alone)),
        Aim("whole path on the shortest, times real time", 15, median(whole[0][0].rates)),
        Aim("texts of 16 tokens a second", 300, median(texts[0][0].rates)),
        Aim("service ready, s", 5, median(figures.serving.ready), at_most=True),
        Aim("service's memory at its most, MB", 900, figures.serving.most_megabytes, at_most=True),
    ]
    return found + ([Aim("times the afternoon's pipeline", 5, min(times))] if times else [])


def show(figures: Figures, console: Console) -> None:
    """Prints all tables."""
    for table in (_stages(figures), _side_by_side(figures), _service(figures), _aims(figures)):
        console.print(table)
        console.print()


def _stages(figures: Figures) -> Table:
    """Times real time, a row a stage and a column a length."""
    stages = [one for one in figures.timed if one.pipeline == OURS and one.task in STAGES]
    lengths = sorted({one.amount for one in stages})
    table = Table(title="Triage's stages, times real time: median (least to most)")
    table.add_column("stage")
    for name in ("cores", *map(_length, lengths)):
        table.add_column(name, justify="right")
    for task, cores in dict.fromkeys((one.task, one.cores) for one in stages):
        row = {one.amount: one.rates for one in stages if (one.task, one.cores) == (task, cores)}
        table.add_row(task, str(cores), *(_spread(Spread.of(row[length])) for length in lengths))
    return table


def _side_by_side(figures: Figures) -> Table:
    table = Table(title="Side by side, in turn: median (least to most)")
    table.add_column("task")
    for name in ("Triage, s", "afternoon, s", "times as fast"):
        table.add_column(name, justify="right")
    for task in COMPARED:
        for one, other in figures.pairs(task):
            table.add_row(
                _named(one),
                _spread(Spread.of(one.seconds)),
                _spread(Spread.of(other.seconds)) if other else "-",
                _spread(_ratio(one, other)) if other else "-",
            )
    return table


def _service(figures: Figures) -> Table:
    table = Table(title="The service over HTTP, its clients on the same cores")
    table.add_column("request")
    for name in ("clients", "requests", "p50, ms", "p95, ms", "a second"):
        table.add_column(name, justify="right")
    for one in figures.serving.served:
        table.add_row(
            one.request,
            str(one.clients),
            str(one.requests),
            f"{1000 * one.p50:.1f}",
            f"{1000 * one.p95:.1f}",
            f"{one.per_second:.3g}",
        )
    ready, now = Spread.of(figures.serving.ready), figures.serving.megabytes
    table.caption = f"ready after {_spread(ready)} s, {now:.0f} MB then"
    return table


def _aims(figures: Figures) -> Table:
    table = Table(title="Aims")
    for name in ("aim", "wanted", "got", "met"):
        table.add_column(name, justify="left" if name == "aim" else "right")
    for aim in aims(figures):
        wanted = f"{'≤' if aim.at_most else '≥'} {aim.wanted:g}"
        table.add_row(aim.name, wanted, f"{aim.got:.3g}", "yes" if aim.met else "no")
    return table


def _ratio(one: Timed, other: Timed) -> Spread:
    return ratios(other.seconds, one.seconds)


def _named(one: Timed) -> str:
    if one.task == "texts":
        return f"{one.amount:g} texts"
    if one.task == "many":
        return f"{MANY} times {_length(one.amount / MANY)} at once, whole path"
    return f"{_length(one.amount)}, whole path"


def _length(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:g} min"


def _spread(one: Spread) -> str:
    return f"{one.median:.3g} ({one.least:.3g} to {one.most:.3g})"
