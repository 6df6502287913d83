"""One kind of heads, over words or over sounds: fitted, joined with a base's, and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triage.classifier import Head, Scaling
from triage.errors import LabelsRefused
from triage.labels.rows import YES, Kind, Labelled
from triage.metrics import evaluate
from triage.records import Doubles
from triage.reliability import reliability
from triage.training.dataset import Measured, named, split, trainable
from triage.training.fit import Integers, Prior, Rows, fit_head, scaling_of

REPEATS = 500  # of the bootstrap
BINS = 15  # of a reliability diagram

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Base:
    """The heads that a fit starts from, and how strongly it is held there.

    Attributes:
        head: Of the base model.
        scaling: What its vectors were scaled by.
        regularisation: As scikit-learn's C, of the distance from its weights.
        positives: Items that each name was fitted on.
    """

    head: Head
    scaling: Scaling
    regularisation: float
    positives: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Part:
    """Fitted heads and what came out for them.

    Attributes:
        head: Of every name: fitted here, or kept from the base.
        scaling: What the vectors were scaled by.
        fitted, recalibrated: The names that were.
        positives: Items that each name was fitted on, the base's included.
        too_few: The names with too few labels to fit.
        held_out: Out-of-fold probabilities by fitted name, shape (items,), NaN where unknown.
        measured: The rows of split "val".
        scores: Of those by `head`, shape (measured items, names).
        figures: How good it is on those, by name.
        refused: Why nothing was fitted; empty if something was.
    """

    head: Head
    scaling: Scaling = field(repr=False)
    fitted: tuple[str, ...]
    recalibrated: tuple[str, ...]
    positives: Mapping[str, int]
    too_few: tuple[str, ...]
    held_out: Mapping[str, Doubles] = field(repr=False)
    measured: Measured = field(repr=False)
    scores: Doubles = field(repr=False)
    figures: list[Figures] = field(repr=False)
    refused: str = ""

    def probabilities(self, rows: Rows, items: Integers) -> Doubles:
        """Some items' probabilities, out of fold where they were fitted on.

        Args:
            rows: Of all items.
            items: Which ones, each once.

        Returns:
            Shape (items, names); 0 for an item without rows.
        """
        served = rows.only(rows.served & np.isin(rows.item, items))
        place = np.zeros(max(items.max(initial=0), rows.item.max(initial=0)) + 1, np.int64)
        place[items] = np.arange(len(items))
        highest = np.full((len(items), len(self.head.names)), -np.inf, np.float32)
        logits = self.head.logits(served.vectors[served.at])
        np.maximum.at(highest, place[served.item], logits)
        found = np.zeros(highest.shape)
        there = np.isfinite(highest[:, 0])
        found[there] = self.head.calibrated(highest[there])
        for name, held_out in self.held_out.items():
            column, inside = self.head.names.index(name), items < len(held_out)
            known = np.flatnonzero(inside)[~np.isnan(held_out[items[inside]])]
            found[known, column] = held_out[items[known]]
        return found


def part(
    rows: Rows,
    labelled: Sequence[Labelled],
    kind: Kind,
    regularisation: float,
    report: Callable[[int, int], None],
    base: Base | None,
    new: NDArray[np.bool_],
    of: Sequence[str] | None = None,
) -> Part:
    """Fits the heads of every name that has labels enough, and measures them and the base's.

    With a base and labels enough for no name, the base's heads are kept as they are.

    Args:
        rows: Features of all items, without labels.
        labelled: By item.
        kind: Which of their labels.
        regularisation: scikit-learn's C, of names that the base doesn't have.
        report: Told how many names are done.
        base: What is kept where the rows say nothing, and started from where they do.
        new: Which items to fit on, those that the base was not fitted on; shape (items,).
        of: The names to fit; every one that is labelled and is to be scored if not given.

    Raises:
        LabelsRefused: No name has labels enough, and there is no base.
    """
    there = np.zeros(len(labelled), bool)  # not a clip that couldn't be decoded
    there[rows.item] = True
    fresh = [row for row, taken in zip(labelled, new & there, strict=True) if taken]
    asked, refused = named(fresh, kind) if of is None else tuple(of), ""
    try:
        names = trainable(fresh, kind, asked)
    except LabelsRefused as error:
        if base is None:
            raise
        names, refused = (), error.detail
    measurable = tuple(dict.fromkeys((*(base.head.names if base else ()), *names)))
    training, measured = split(rows, labelled, kind, names, measurable, new)
    scaling = base.scaling if base else scaling_of(rows.vectors, training.at)
    positives = {name: _positives(fresh, kind, name) for name in names}
    before = base.positives if base else {}
    prior = Prior(_known(base, positives), base.regularisation) if base else None
    fitted = fit_head(training, names, scaling, regularisation, report, prior)
    head = base.head.updated(fitted.head) if base else fitted.head
    scores, figures = figures_of(head, measured)
    return Part(
        head=head,
        scaling=scaling,
        fitted=names,
        recalibrated=fitted.recalibrated,
        positives={name: before.get(name, 0) + positives.get(name, 0) for name in measurable},
        too_few=tuple(name for name in asked if name not in names),
        held_out=fitted.held_out,
        measured=measured,
        scores=scores,
        figures=figures,
        refused=refused,
    )


def _positives(labelled: Sequence[Labelled], kind: Kind, name: str) -> int:
    return sum(row.split == "train" and getattr(row, kind).get(name, 0) >= YES for row in labelled)


def _known(base: Base, positives: Mapping[str, int]) -> Head:
    """The base's heads of what it was fitted on more cases of than there are now.

    Where it has seen fewer, what it knows is in the way (docs/decisions/0008).
    """
    names = [
        name for name in base.head.names if base.positives.get(name, 0) > positives.get(name, 0)
    ]
    return base.head.only(names)


def figures_of(head: Head, measured: Measured) -> tuple[Doubles, list[Figures]]:
    """Scores of held-out items, and how good they are: intervals and reliability by name."""
    scores = measured.scores(head)
    found = evaluate(measured.labels, scores, head.names, measured.groups, REPEATS)
    figures = []
    for column, one in enumerate(found):
        known = ~np.isnan(measured.labels[:, column])
        bins = reliability(measured.labels[known, column], scores[known, column], BINS)
        figures.append(asdict(one) | {"reliability": [asdict(each) for each in bins]})
    return scores, figures
