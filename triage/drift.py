"""How far live scores have moved from those that the model was measured on.

The population stability index of each score and each measurement: with p and q the shares of the
reference and of the live values in each of B bins,

    PSI = Σ (q - p) ln(q / p)

the symmetric Kullback-Leibler divergence. By the credit trade's old rule (Siddiqi 2006, chapter
8), up to 0.1 is no drift and over 0.25 is much. But few rows drift by chance: without any drift
PSI · nm / (n + m) follows χ² with B - 1 degrees of freedom for n live and m reference rows, so
that PSI is about (B - 1)(1/n + 1/m) on average (Yurdakul 2018). What chance explains is no drift.

Every value has a name: "category violence", "event scream", "flag noisy", "measurement seconds".
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from triage.manifest import Histogram
from triage.records import Doubles, Scores

BINS = 10
DECIMALS = 6  # closer values are one: a probability comes out a rounding error off its like
SOME, MUCH = 0.1, 0.25
LEAST_ROWS = 200  # fewer tell little: for 40 names of 10 bins, chance alone explains .15 of these
SMOOTHING = 0.5  # added to each count (Jeffreys), or one empty bin would make PSI infinite
FALSE_ALARMS = 0.05  # share of windows without drift in which any name is over chance

Counts = Mapping[str, ArrayLike]  # by name, each of shape (bins,)


class Verdict(StrEnum):
    """What a PSI is taken for."""

    NONE = "none"
    SOME = "some"
    MUCH = "much"
    TOO_FEW = "too few rows"


_WORST = (Verdict.MUCH, Verdict.SOME, Verdict.NONE, Verdict.TOO_FEW)


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one score or measurement has moved.

    Attributes:
        name: What was compared.
        rows: Live rows that had it.
        psi: Population stability index, 0 or more.
        chance: What the PSI of that many rows reaches without any drift. It is under this for
            all names at once in 95 % of windows of independent rows; recordings of one device
            are not that, so a PSI just over it says little.
        verdict: Over SOME or MUCH, and over chance; on LEAST_ROWS live and reference rows.
    """

    name: str
    rows: int
    psi: float
    chance: float
    verdict: Verdict


# What is counted --------------------------------------------------------------------------


def values(scores: Scores) -> Iterator[tuple[str, float]]:
    """The named values of one recording.

    A category's score is among them where words were read. Without words it follows from the
    events, which are there themselves, and a mean of both kinds would only follow their mix.
    """
    for name, score in scores.categories.items():
        if "text" in scores.applied.get(name, ()):
            yield f"category {name}", score
    for kind, named in (
        ("event", scores.event_scores),
        ("flag", scores.flags),
        ("measurement", scores.measurements),
    ):
        for name, value in named.items():
            yield f"{kind} {name}", float(value)


def place(value: float, edges: Sequence[float]) -> int:
    """The bin that a value falls into, 0 to len(edges)."""
    return bisect_right(edges, value)


# The reference ----------------------------------------------------------------------------


def reference(scores: Iterable[Scores]) -> dict[str, Histogram]:
    """What live scores are to be compared with, from recordings scored as in service."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for one in scores:
        for name, value in values(one):
            found[name].append(value)
    return reference_of(found)


def reference_of(named: Mapping[str, ArrayLike]) -> dict[str, Histogram]:
    """What live scores are to be compared with, from values by name.

    Args:
        named: Shape (n,) each, n may differ; named as in the module's head. What isn't a finite
            number is left out, and so is a name without any other.
    """
    finite = {name: _finite(array) for name, array in named.items()}
    return {name: histogram(array, edges_of(array)) for name, array in finite.items() if len(array)}


def edges_of(array: ArrayLike, bins: int = BINS) -> tuple[float, ...]:
    """Edges of bins that hold about equally many values each.

    Most scores lie close to 0 and many are equal, so a value that fills a bin by itself has one
    of its own and there may be fewer bins or a few more. Edges lie halfway between values: a
    rounding error moves nothing into the next bin.

    Args:
        array: Finite, shape (n,), n > 0.
        bins: How many, if all values differ.

    Returns:
        At least one, rising.
    """
    distinct, counts = np.unique(_rounded(array), return_counts=True)
    if len(distinct) == 1:
        margin = 10.0**-DECIMALS / 2
        return float(distinct[0] - margin), float(distinct[0] + margin)
    cumulated = np.cumsum(counts)
    quantiles = np.searchsorted(cumulated, np.arange(1, bins) / bins * cumulated[-1])
    alone = np.flatnonzero(counts * bins >= cumulated[-1])
    starts = np.unique(np.concatenate((quantiles, alone, alone + 1)))
    starts = starts[(starts > 0) & (starts < len(distinct))]
    return tuple(((distinct[starts - 1] + distinct[starts]) / 2).tolist())


def histogram(array: ArrayLike, edges: Sequence[float]) -> Histogram:
    """How many of the values, shape (n,), fall into each bin."""
    places = np.searchsorted(edges, _rounded(array), side="right")
    counts = np.bincount(places, minlength=len(edges) + 1)
    return Histogram(edges=tuple(edges), counts=tuple(counts.tolist()))


def _finite(array: ArrayLike) -> Doubles:
    whole = np.asarray(array, dtype=np.float64)
    finite: Doubles = whole[np.isfinite(whole)]
    return finite


def _rounded(array: ArrayLike) -> Doubles:
    rounded: Doubles = np.asarray(array, dtype=np.float64).round(DECIMALS)
    return rounded


# The comparison ---------------------------------------------------------------------------


def compare(expected: Mapping[str, Histogram], live: Counts) -> tuple[Drift, ...]:
    """Every name of the reference beside its live counts, worst first.

    Args:
        expected: The reference.
        live: Counts by name, over the bins of the reference. A name that is missing or has no
            counts is left out: nothing can be said of it.
    """
    rows = {name: live[name] for name in expected if np.sum(live.get(name, 0)) > 0}
    found = [_drift(name, expected[name].counts, rows[name], len(rows)) for name in rows]
    return tuple(sorted(found, key=lambda one: (_WORST.index(one.verdict), -one.psi, one.name)))


def worst(found: Iterable[Drift]) -> Verdict:
    """The verdict over all names: the worst that could be told; too few rows if none could."""
    return min((one.verdict for one in found), key=_WORST.index, default=Verdict.TOO_FEW)


def psi(expected: ArrayLike, live: ArrayLike) -> float:
    """Population stability index of two rows of counts over the same bins, 0 or more."""
    p, q = _shares(expected), _shares(live)
    return float(np.sum((q - p) * np.log(q / p)))


def by_chance(bins: int, rows: float, reference_rows: float, level: float) -> float:
    """The PSI that rows of one distribution stay under with a probability of `level`.

    Args:
        bins: 2 or more.
        rows, reference_rows: Independent ones on each side, 1 or more.
        level: Between 0 and 1.
    """
    from scipy.special import chdtri

    return float(chdtri(bins - 1, 1 - level)) * (1 / rows + 1 / reference_rows)


def _drift(name: str, expected: Sequence[float], live: ArrayLike, names: int) -> Drift:
    rows, reference_rows = float(np.sum(live)), sum(expected)
    found = psi(expected, live)
    level = 1 - FALSE_ALARMS / names  # Bonferroni: each name is one more chance to be wrong
    chance = by_chance(len(expected), rows, reference_rows, level)
    enough = min(rows, reference_rows) >= LEAST_ROWS
    verdict = _verdict(found, chance) if enough else Verdict.TOO_FEW
    return Drift(name, int(rows), found, chance, verdict)


def _verdict(found: float, chance: float) -> Verdict:
    if found <= max(SOME, chance):
        return Verdict.NONE
    return Verdict.MUCH if found > MUCH else Verdict.SOME


def _shares(counts: ArrayLike) -> Doubles:
    smoothed = np.asarray(counts, dtype=np.float64) + SMOOTHING
    shares: Doubles = smoothed / smoothed.sum()
    return shares
