"""What labels are worth: how far annotators agree, who knows the answers, what is likely wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triage.labels.resolve import FIELD
from triage.labels.rows import YES, Labelled
from triage.metrics import Estimate
from triage.records import Doubles, Floats
from triage.reliability import wilson

OVERALL = "all"
REPEATS = 1_000  # resamples behind an interval
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far annotators agree on one answer.

    Attributes:
        name: As in `label.violence` and `event.scream`.
        items: Ids on which two annotators or more voted.
        votes: Theirs.
        alpha: 1 for agreement throughout, 0 for what chance gives, below it for less; None where
            no id has two votes, or all votes are the same and nothing can be told from chance.
    """

    name: str
    items: int
    votes: int
    alpha: Estimate | None


@dataclass(frozen=True, slots=True)
class GoldenScore:
    """How one annotator does on items whose answers are known.

    Attributes:
        annotator: Their pseudonym.
        name: As in `label.violence`; `OVERALL` for items on which every answer given is right.
        items: How many they answered.
        share: Of them that they answered right, with its 95 % interval.
    """

    annotator: str
    name: str
    items: int
    share: Estimate


@dataclass(frozen=True, slots=True)
class LikelyError:
    """A label that the model doubts.

    Attributes:
        id: Of the row.
        name: Of the label.
        given: What the label says, 0..1.
        probability: What the model says, 0..1.
        quality: 0..1, low for a label that is likely wrong.
    """

    id: str
    name: str
    given: float
    probability: float
    quality: float


# Annotators ---------------------------------------------------------------------------------


def agreement(rows: Sequence[Labelled], seed: int = 0) -> list[Agreement]:
    """Krippendorff's alpha of every answer for which there are votes.

    Args:
        rows: Not yet joined, one for each annotator of each id. Golden rows are no votes, and
            neither are rows of unknown annotators.
        seed: Of the bootstrap, which draws whole items.
    """
    votes: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for row in rows:
        if row.annotator is not None and not row.golden:
            for name, vote in _votes(row):
                votes[name][row.id][vote] += 1
    return [_agreement(name, list(items.values()), seed) for name, items in sorted(votes.items())]


def _agreement(name: str, items: Sequence[Sequence[int]], seed: int) -> Agreement:
    # Items with the same votes are alike, so a resample is how often each kind of them is drawn.
    kinds = Counter((no, yes) for no, yes in items if no + yes > 1)
    if not kinds:
        return Agreement(name, 0, 0, None)
    counts, often = np.array(list(kinds), np.float64), np.array(list(kinds.values()), np.float64)
    total = int(often.sum())
    value = float(krippendorff_alpha(counts, often))
    draws = np.random.default_rng(seed).multinomial(total, often / total, REPEATS)
    drawn = krippendorff_alpha(counts, draws.astype(np.float64))
    drawn = drawn[~np.isnan(drawn)]
    alpha = None
    if not np.isnan(value):
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        alpha = Estimate(value, float(low), float(high))
    return Agreement(name, total, int(often @ counts.sum(axis=1)), alpha)


def krippendorff_alpha(counts: Doubles, often: Doubles) -> Doubles:
    """Krippendorff's alpha for nominal data, votes missing or not.

    Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C: from the
    coincidences of values within items. The package of that name is under the GPL, so it is no
    dependency.

    Args:
        counts: How many annotators gave each value to each kind of item, shape (kinds, values);
            two or more to each.
        often: How often there is such an item, shape (kinds,) or (repeats, kinds).

    Returns:
        Shape () or (repeats,), at most 1; not a number where there is but one value.
    """
    voters = counts.sum(axis=1, keepdims=True)
    agreeing = often @ (counts * (counts - 1) / (voters - 1)).sum(axis=1)
    values = often @ counts
    pairable = values.sum(axis=-1)
    by_chance = (values * (values - 1)).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        alpha: Doubles = ((pairable - 1) * agreeing - by_chance) / (
            pairable * (pairable - 1) - by_chance
        )
    return alpha


def golden_scores(rows: Sequence[Labelled]) -> list[GoldenScore]:
    """How annotators do on golden items, by annotator and name, `OVERALL` first.

    Args:
        rows: Not yet joined. A golden row holds the answers; the others of its id are judged by
            them, in so far as both say something.
    """
    golden: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.golden:
            golden |= {(row.id, name): vote for name, vote in _votes(row)}
    answered: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in rows:
        if row.golden or row.annotator is None:
            continue
        right = {
            name: vote == golden[row.id, name]
            for name, vote in _votes(row)
            if (row.id, name) in golden
        }
        if right:
            answered[row.annotator, ""].append(all(right.values()))
        for name, one in right.items():
            answered[row.annotator, name].append(one)
    return [
        GoldenScore(annotator, name or OVERALL, len(right), _share(right))
        for (annotator, name), right in sorted(answered.items())
    ]


def _share(right: Sequence[bool]) -> Estimate:
    share = sum(right) / len(right)
    return Estimate(share, *wilson(share, len(right)))


def _votes(row: Labelled) -> Iterator[tuple[str, int]]:
    for kind, field in FIELD.items():
        for name, share in getattr(row, kind).items():
            yield f"{field}.{name}", int(share >= YES)


# Labels -------------------------------------------------------------------------------------


def likely_errors(
    names: Sequence[str],
    labels: Floats,
    probabilities: Floats,
    ids: Sequence[str],
    most: int,
) -> list[LikelyError]:
    """The labels that are likeliest wrong, the likeliest first.

    Ranked by cleanlab's label quality: the probability of the label as it was given (Northcutt,
    Jiang and Chuang 2021, "Confident learning"), name by name.

    Args:
        names: Of the columns.
        labels: 0..1, not a number where unknown, shape (n, names).
        probabilities: Calibrated, of a model that was not fitted on these rows, the same shape;
            not a number where it has none.
        ids: Of the rows.
        most: How many to give at most; among equals the first row comes first.
    """
    quality = np.full(labels.shape, np.inf)
    for column in range(len(names)):
        known = ~np.isnan(labels[:, column]) & ~np.isnan(probabilities[:, column])
        quality[known, column] = _quality(labels[known, column], probabilities[known, column])
    ranked = np.argsort(quality, axis=None, kind="stable")[:most]
    return [
        LikelyError(
            ids[row],
            names[column],
            float(labels[row, column]),
            float(probabilities[row, column]),
            float(quality[row, column]),
        )
        for row, column in np.column_stack(np.unravel_index(ranked, quality.shape)).tolist()
        if np.isfinite(quality[row, column])
    ]


def _quality(labels: Floats, probabilities: Floats) -> NDArray[np.float64]:
    from cleanlab.rank import get_label_quality_scores

    if not len(labels):
        return np.empty(0)
    both = np.column_stack([1 - probabilities, probabilities]).astype(np.float64)
    scores: Doubles = get_label_quality_scores((labels >= YES).astype(np.int64), both)
    return scores
