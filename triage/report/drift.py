"""The page of `triage monitor`: the verdict first, then what moved, when, and how.

Names are the model's own, and all else on it is counts; so it can be sent around.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from triage.drift import LEAST_ROWS, MUCH, SOME, Drift, Verdict, psi, worst
from triage.live import Live
from triage.manifest import Histogram, Manifest
from triage.records import Doubles
from triage.report import plots, svg
from triage.report.page import Block, Note, Section, Table, render
from triage.report.page import Verdict as Banner

MOST_BARS, MOST_LINES, MOST_HISTOGRAMS = 20, 5, 6
LIMITS, UNIT = (SOME, MUCH), "PSI"
KINDS: Mapping[Verdict, Literal["good", "warn", "bad"]] = {
    Verdict.NONE: "good",
    Verdict.SOME: "warn",
    Verdict.MUCH: "bad",
    Verdict.TOO_FEW: "warn",
}
COLOURS = {
    Verdict.NONE: svg.BLUE,
    Verdict.SOME: svg.ORANGE,
    Verdict.MUCH: svg.VERMILION,
    Verdict.TOO_FEW: svg.QUIET,
}
MEANING = {
    Verdict.NONE: "Live scores are distributed as those that the model was measured on.",
    Verdict.SOME: "Some live values have moved. Look at which, and whether they go on moving.",
    Verdict.MUCH: "Live values have moved far from those that the model was measured on: its "
    "figures need not hold for them. Label some of these recordings and measure anew.",
    Verdict.TOO_FEW: f"Nothing can be told on fewer than {LEAST_ROWS} rows. Look at a longer time.",
}


def page(manifest: Manifest, live: Live, drift: Sequence[Drift], unseen: Sequence[str]) -> bytes:
    """The page as UTF-8 HTML that needs no other file.

    Args:
        manifest: Of the model, with a reference.
        live: Its window; not empty.
        drift: Of `triage.drift.compare` over the whole window.
        unseen: Names of the reference that no live row had.
    """
    told = [one for one in drift if one.verdict is not Verdict.TOO_FEW]
    return render(
        f"Drift of {manifest.name}",
        [
            Section("Verdict", _verdict(manifest, live, worst(drift))),
            Section("What moved", _what(told[:MOST_BARS])),
            Section("When", _when(told[:MOST_LINES], manifest.reference, live)),
            Section("How", _how(told[:MOST_HISTOGRAMS], manifest.reference, live.total)),
            Section("Every name", _every(drift, unseen)),
        ],
    ).encode()


def by_hour(reference: Histogram, live: Live, name: str) -> Doubles:
    """The PSI of each hour of the window, shape (hours,); not a number on too few rows."""
    rows = [hour.get(name, np.zeros(1)) for hour in live.hours.values()]
    enough = [counts if counts.sum() >= LEAST_ROWS else None for counts in rows]
    return np.array(
        [np.nan if counts is None else psi(reference.counts, counts) for counts in enough]
    )


def _verdict(manifest: Manifest, live: Live, verdict: Verdict) -> list[Block]:
    hours = list(live.hours)
    window = f"{hours[0]:%Y-%m-%d %H:00} to {hours[-1]:%Y-%m-%d %H:59} UTC."
    left_out = f" Files left out as unreadable: {live.unreadable}." if live.unreadable else ""
    return [
        Banner(KINDS[verdict], f"Drift: {verdict}", [MEANING[verdict]]),
        Note(f"{window} Model {manifest.digest[:16]}.{left_out}"),
    ]


def _what(drift: Sequence[Drift]) -> list[Block]:
    if not drift:
        return []
    caption = (
        f"Population stability index, worst first; some over {SOME}, much over {MUCH}. The mark "
        "is what as many rows reach by chance: what stays under it is no drift."
    )
    rows = [(one.name, one.psi, one.chance, COLOURS[one.verdict]) for one in drift]
    return [plots.bars(rows, LIMITS, UNIT, caption)]


def _when(drift: Sequence[Drift], reference: Mapping[str, Histogram], live: Live) -> list[Block]:
    series = {one.name: by_hour(reference[one.name], live, one.name) for one in drift}
    if not any(np.isfinite(index).any() for index in series.values()):
        return []
    caption = (
        f"Hours of {LEAST_ROWS} rows and more. The rows that a model is measured on are rich in "
        "cases, and the field is not: a line may be high for good. Look for one that moves."
    )
    return [plots.lines(series, list(live.hours), LIMITS, UNIT, caption)]


def _how(
    drift: Sequence[Drift], reference: Mapping[str, Histogram], total: Mapping[str, Doubles]
) -> list[Block]:
    if not drift:
        return []
    panels = {
        f"{one.name}: {UNIT} {one.psi:.2f}": (
            reference[one.name].edges,
            {"reference": np.array(reference[one.name].counts), "live": total[one.name]},
        )
        for one in drift
    }
    caption = "Share of rows in each bin. The bins hold about equally many rows of the reference."
    return [plots.histograms(panels, caption)]


def _every(drift: Sequence[Drift], unseen: Sequence[str]) -> list[Block]:
    rows = [
        [one.name, f"{one.rows:,}", f"{one.psi:.3f}", f"{one.chance:.3f}", one.verdict]
        for one in drift
    ]
    moved = frozenset(n for n, one in enumerate(drift) if one.verdict is Verdict.MUCH)
    table = Table(("name", ">rows", f">{UNIT}", ">by chance", "drift"), rows, moved)
    return [table, Note(f"In no live row: {', '.join(unseen)}.")] if unseen else [table]
