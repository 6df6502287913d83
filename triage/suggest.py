"""What to label next: a sample that teaches the most and still estimates without bias.

Every recording of the pool gets a chance π > 0 of being drawn, Σπ = n, and exactly n are drawn
with exactly these chances. A label weighted by 1/π (Horvitz and Thompson 1952) then stands for
all the recordings that weren't drawn: prevalence and recall in the pool are estimated without
bias, however uneven the chances are. The weight goes with each pick into `Labelled.weight`.

The chances are a mixture. A share is the same for all (a defensive mixture, Hesterberg 1995): no
weight is over 1 / `RANDOM_SHARE` times that of a plain random sample, and what the model is
blind to is met. The rest follows what a label would teach:

    u = sqrt(Σ_c p_c (1 - p_c) / (V_c sqrt(1 + known_c)))

With p_c calibrated, p_c (1 - p_c) is the variance of the label that is still open, and chances
that follow its root give the estimate with the least variance (Neyman 1934; Särndal, Swensson and
Wretman 1992, chapter 12). V_c is its mean over the pool: a category counts by its share of what
is open in it, so a rare one counts as much as a common one, unless the pool is expected to hold
less than one case (V_c is 1 / pool at least): then there is little to be found. 1 / sqrt(1 + known)
is the standard error of what its known positives tell: the fewer there are, the more it counts.

Diversity comes from the draw (Stevens and Olsen 2004, generalized random tessellation): the pool
is halved again and again across the widest spread of its scores until a cell holds about one
draw; cells in order, the halves of each swapped at random, are drawn from systematically (Madow
1949). Of recordings that the model says the same of, hardly more are drawn than their chances add
up to.

Left out of the pool: what the policy withholds, for it is private; what a tier from E2 up sends to
specialists anyway, for its outcome comes back as a label of weight 1 without anybody else having
to hear it, so a sample of it would tell nothing new; what was drawn before. So a sum over the pool
plus the outcomes of the queues is a sum over all but what is withheld and was drawn before.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triage.policy.parts import LOOKED_AT, TIERS, Verb
from triage.records import Decision, Doubles, Floats, Outcome

RANDOM_SHARE = 0.3  # of the picks: intervals at most 1.8 times (0.3 ** -0.5) a random sample's
CERTAIN = 1 - 1e-9  # a chance from here on is 1, up to rounding
PSEUDONYM = np.dtype("S30")

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The pool that is drawn from, in the order of the pseudonyms, each of them once.

    Attributes:
        places: Where each stands in the archive, from 0, shape (n,).
        pseudonyms: By which the sampling ledger knows them, shape (n,).
        tiers: Indices into `TIERS`, shape (n,).
        scores: Calibrated probabilities by category, shape (n, categories).
        events: Likewise by acoustic event, 0 without sound, shape (n, events).
    """

    places: NDArray[np.int64] = field(repr=False)
    pseudonyms: NDArray[np.bytes_] = field(repr=False)
    tiers: NDArray[np.uint8] = field(repr=False)
    scores: Floats = field(repr=False)
    events: Floats = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pick:
    """A recording that was drawn.

    Attributes:
        place: Where it stands in the archive, from 0.
        pseudonym: By which the sampling ledger knows it.
        tier: What the policy says of it.
        chance: Its chance of being drawn, over 0 and up to 1.
        why: "random" if it was no likelier than in a plain random sample; else "uncertain", or
            "rare" if it would be wanted for another category but for the few labels of this one.
        category: That it is uncertain or rare in; empty for "random".
        scores: Calibrated probabilities by category.
    """

    place: int
    pseudonym: str = field(repr=False)
    tier: str
    chance: float
    why: str
    category: str
    scores: Mapping[str, float]


class Pool:
    """What is kept of each recording until the draw: a few numbers, no id and no word.

    Takes 39 bytes and 4 for each category and event, so a million recordings fit anywhere.

    Args:
        categories, events: The names that the model scores.

    Attributes:
        left_out: How many are not candidates, by reason.
    """

    def __init__(self, categories: Sequence[str], events: Sequence[str]) -> None:
        self.left_out: Counter[str] = Counter()
        self._categories, self._events = tuple(categories), tuple(events)
        self._places, self._scores = array("q"), array("f")
        self._pseudonyms, self._tiers = bytearray(), bytearray()
        self._kept_from_people: set[str] = set()

    def add(self, place: int, pseudonym: str, outcome: Outcome) -> None:
        """Adds a recording that was scored and decided on."""
        self._pseudonyms += pseudonym.encode("ascii")
        self._places.append(place)
        self._tiers.append(TIERS.index(outcome.decision.tier))
        for names, scores in (
            (self._categories, outcome.scores.categories),
            (self._events, outcome.scores.event_scores),
        ):
            self._scores.extend(scores.get(name, 0.0) for name in names)
        if why := left_out(outcome.decision):
            self.left_out[why] += 1
            self._kept_from_people.add(pseudonym)

    def pseudonyms(self) -> list[str]:
        """Of all that were added."""
        return [one.decode() for one in np.frombuffer(self._pseudonyms, PSEUDONYM).tolist()]

    def candidates(self, drawn: Collection[str]) -> Candidates:
        """Those that may be drawn.

        A recording that was added twice is one; if it is left out once, it is left out.

        Args:
            drawn: Pseudonyms of those that were drawn before.
        """
        names, first = np.unique(np.frombuffer(self._pseudonyms, PSEUDONYM), return_index=True)
        barred = np.array(sorted({*drawn, *self._kept_from_people}), PSEUDONYM)
        chosen = first[~np.isin(names, barred)]
        width = len(self._categories) + len(self._events)
        scores = np.frombuffer(self._scores, np.float32).reshape(-1, width)[chosen]
        return Candidates(
            np.frombuffer(self._places, np.int64)[chosen],
            np.frombuffer(self._pseudonyms, PSEUDONYM)[chosen],
            np.frombuffer(self._tiers, np.uint8)[chosen],
            scores[:, : len(self._categories)],
            scores[:, len(self._categories) :],
        )


def left_out(decision: Decision) -> str:
    """Why a recording is kept out of the annotation sample; empty if it isn't."""
    if Verb.WITHHOLD in decision.actions:
        return "withheld"
    return "looked at by specialists" if decision.tier in LOOKED_AT else ""


def known_positives(metrics: Mapping[str, Any], categories: Sequence[str]) -> Doubles:
    """Labelled positives of each category that the model was measured on, shape (categories,).

    Args:
        metrics: Of its manifest: lists of `triage.metrics.Metric` as mappings.
        categories: The names.
    """
    known = dict.fromkeys(categories, 0)
    for row in (row for table in metrics.values() for row in table):
        if row["name"] in known:
            known[row["name"]] = max(known[row["name"]], row["positives"])
    return np.array(list(known.values()), np.float64)


def choose(
    pool: Candidates, n: int, categories: Sequence[str], known: Doubles, seed: int
) -> list[Pick]:
    """Draws n recordings; the same pool, n and seed give the same ones.

    Args:
        pool: Whom to draw from.
        n: How many, up to as many as there are.
        categories: The names of its scores.
        known: Positives that are known of each, shape (categories,).
        seed: Of the draw.

    Returns:
        The picks in the order of the pool, which says nothing of their scores.
    """
    if not n:
        return []
    open_ = _open(pool.scores)
    wanted = open_ / np.sqrt(1 + known)
    useful = np.sqrt(wanted.sum(axis=1))
    chances = inclusion(useful, n)
    space = np.arcsin(np.sqrt(np.hstack([pool.scores, pool.events])))
    picked = np.sort(draw(chances, space, np.random.default_rng(seed)))
    at_random = useful[picked] <= useful.mean() * (1 + 1e-9)
    most, most_open = wanted[picked].argmax(axis=1), open_[picked].argmax(axis=1)
    return [
        Pick(
            place=int(pool.places[row]),
            pseudonym=pool.pseudonyms[row].decode(),
            tier=TIERS[pool.tiers[row]],
            chance=float(chances[row]),
            why="random" if random else "uncertain" if top == open_top else "rare",
            category="" if random else categories[top],
            scores=dict(zip(categories, pool.scores[row].tolist(), strict=True)),
        )
        for row, random, top, open_top in zip(picked, at_random, most, most_open, strict=True)
    ]


def inclusion(useful: Doubles, n: int) -> Doubles:
    """Chances of being drawn, each over 0 and up to 1, that add up to n.

    Those that would exceed 1 are drawn for certain and the rest shares what is left (Särndal,
    Swensson and Wretman 1992, 3.6.2).

    Args:
        useful: What each is worth, 0 or more, shape (pool,).
        n: 1 up to the size of the pool.
    """
    size, total = len(useful), useful.sum()
    by_use = useful / total if total > 0 else np.full(size, 1 / size)
    share = RANDOM_SHARE / size + (1 - RANDOM_SHARE) * by_use
    certain = np.full(size, n >= size)
    while not certain.all():
        scale = (n - certain.sum()) / share[~certain].sum()
        if not (over := ~certain & (share * scale > 1)).any():
            return np.where(certain, 1.0, share * scale)
        certain |= over
    return np.ones(size)


def draw(chances: Doubles, space: Floats, rng: np.random.Generator) -> Indices:
    """Draws with exactly these chances, spread over a space.

    Args:
        chances: Up to 1, with a whole number as their sum, shape (pool,).
        space: Where each lies, shape (pool, dimensions); neighbours are seldom drawn together.
        rng: The source of chance.

    Returns:
        As many different indices as the chances add up to.
    """
    certain = np.flatnonzero(chances >= CERTAIN)
    rest = np.flatnonzero(chances < CERTAIN)
    n = round(chances.sum()) - len(certain)
    if not n:
        return certain
    order = rest[_tessellated(chances[rest], space[rest], rng)]
    reached = np.cumsum(chances[order])
    steps = (rng.random() + np.arange(n)) * (reached[-1] / n)  # which is 1 up to rounding
    drawn = np.searchsorted(reached, steps, side="right").clip(max=len(order) - 1)
    return np.concatenate([certain, order[drawn]])


def _tessellated(chances: Doubles, space: Floats, rng: np.random.Generator) -> Indices:
    """An order in which neighbours stand together: halves of halves, in random order."""
    cells, waiting = list[Indices](), [np.arange(len(chances))]
    while waiting:
        cell = waiting.pop()
        chance = chances[cell]
        if len(cell) < 2 or chance.sum() <= 1:
            cells.append(rng.permutation(cell))
            continue
        axis = np.average((space[cell] - space[cell].mean(axis=0)) ** 2, axis=0, weights=chance)
        along = np.argsort(space[cell, axis.argmax()], kind="stable")
        reached = np.cumsum(chance[along])
        half = int(np.searchsorted(reached, reached[-1] / 2).clip(1, len(cell) - 1))
        halves = [cell[along[:half]], cell[along[half:]]]
        waiting += halves if rng.random() < 0.5 else halves[::-1]
    return np.concatenate(cells)


def _open(scores: Floats) -> Doubles:
    """Variance of each label by its calibrated score, over its mean in the pool; same shape."""
    p = scores.astype(np.float64)
    variance = p * (1 - p)
    relative: Doubles = variance / np.maximum(variance.mean(axis=0), 1 / len(p))
    return relative
