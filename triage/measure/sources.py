"""How well heads do on sources that they have never seen: each one left out in turn.

Rows of split "val" come from the sources that were trained on, and a head that has learnt a
source's habits does well on them. Recordings in service come from no source that anybody labelled.
So the heads are fitted anew without a source, and measured on it: D. Lopez-Paz et al. and
I. Gulrajani call it leave-one-domain-out ("In search of lost domain generalization", ICLR 2021).

The encoders stay as they are. One that was tuned on a source flatters the figures of that source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triage import metrics
from triage.classifier import Head
from triage.errors import LabelsRefused
from triage.labels.rows import Kind, Labelled
from triage.measure.evaluate import ANY, any_label
from triage.metrics import Metric
from triage.records import Doubles, Report
from triage.training.dataset import Measured, named, split, trainable
from triage.training.fit import Rows, fit_head, scaling_of

LEAST = 20  # positives of a source that its recall is worth measuring on


@dataclass(frozen=True, slots=True)
class Unseen:
    """One source, scored by heads that were fitted without it.

    Attributes:
        kind: Whether its words ("labels") or its sounds ("events") are scored.
        source: Its name.
        left_out: All sources that the heads were fitted without, itself among them.
        rows: How many of it are labelled and scored.
        figures: By name: its rows, and rows of split "val" of the sources fitted on that don't
            hold the name; the world that it must be told from.
        within: Its own rows by themselves: by name with both labels, and of categories `ANY`.
        flagged: Share of its rows with any positive label that the thresholds flag; None if
            there is none.
        falsely: Share of its rows with no positive label that they flag; None if there is none.
    """

    kind: Kind
    source: str
    left_out: tuple[str, ...]
    rows: int
    figures: tuple[Metric, ...]
    within: tuple[Metric, ...]
    flagged: float | None
    falsely: float | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be fitted, and on what.

    Attributes:
        kind: Which of the labels.
        rows: Features of all items, without labels.
        labelled: By item.
        regularisation: scikit-learn's C.
        thresholds: By name, from where on it is flagged; a name that is missing never is.
    """

    kind: Kind
    rows: Rows = field(repr=False)
    labelled: Sequence[Labelled] = field(repr=False)
    regularisation: float
    thresholds: Mapping[str, float]


def leave_sources_out(task: Task, folds: int, repeats: int, report: Report) -> Iterator[Unseen]:
    """Measures every source that has something to be found in it, by heads fitted without it.

    Args:
        task: What to fit.
        folds: How many sources are left out at once: so that there are this many fits; 0 for one
            source at a time.
        repeats: Bootstrap resamples behind each interval.
        report: Told of the progress: stage, done, of how many.

    Raises:
        LabelsRefused: There is only one source, so nothing is left to fit on.
    """
    sources = sorted({row.source for row in task.labelled})
    if len(sources) < 2:
        raise LabelsRefused(
            f"All rows come from one source ({sources[0] if sources else 'there is no row'}), so "
            "nothing would be left to train on. Bring rows of another."
        )
    dealt = _dealt(task, sources, folds or len(sources))
    for done, left_out in enumerate(dealt):
        report(f"leaving sources out, {task.kind}", done, len(dealt))
        yield from _measured(task, left_out, repeats)
    report(f"leaving sources out, {task.kind}", len(dealt), len(dealt))


def _dealt(task: Task, sources: Sequence[str], folds: int) -> list[tuple[str, ...]]:
    """The sources that are left out together: the largest ones apart from each other."""
    sizes = {source: sum(row.source == source for row in task.labelled) for source in sources}
    order = sorted(sources, key=lambda source: (-sizes[source], source))
    return [tuple(order[fold::folds]) for fold in range(min(folds, len(order)))]


def _measured(task: Task, left_out: tuple[str, ...], repeats: int) -> Iterator[Unseen]:
    """Every source of a fold; nothing if too little is left to fit on."""
    labelled = [
        replace(row, split="val") if row.source in left_out else row for row in task.labelled
    ]
    there = np.zeros(len(labelled), bool)
    there[task.rows.item] = True
    usable = [row for row, at in zip(labelled, there, strict=True) if at]
    try:
        names = trainable(usable, task.kind, named(usable, task.kind))
    except LabelsRefused:
        return
    training, measured = split(
        task.rows, labelled, task.kind, names, names, np.ones(len(labelled), bool)
    )
    scaling = scaling_of(task.rows.vectors, training.at)
    head = fit_head(training, names, scaling, task.regularisation, lambda *_: None).head
    scores = measured.scores(head)
    source = np.array([labelled[item].source for item in measured.items])
    ordinary = ~np.isin(source, left_out)
    for one in left_out:
        if (source == one).any():
            yield _source(
                task, one, left_out, head, measured, scores, source == one, ordinary, repeats
            )


def _source(
    task: Task,
    source: str,
    left_out: tuple[str, ...],
    head: Head,
    measured: Measured,
    scores: Doubles,
    own: NDArray[np.bool_],
    ordinary: NDArray[np.bool_],
    repeats: int,
) -> Unseen:
    """One source's figures, among all that was held out.

    Args:
        task: What was fitted.
        source, left_out: Its name, and all sources that the head doesn't know.
        head: Whose scores they are.
        measured, scores: Everything held out, and what the head says of it.
        own, ordinary: Which of that is the source's, and which is of sources that it knows.
        repeats: Bootstrap resamples behind each interval.
    """
    found: list[Metric] = []
    within: list[Metric] = []
    labels, groups = measured.labels, measured.groups
    for column, name in enumerate(head.names):
        positives = int((labels[own, column] == 1).sum())
        if positives < LEAST:
            continue
        at = own | (ordinary & (labels[:, column] == 0))
        found += _figures(name, labels[at, column], scores[at, column], groups[at], repeats)
        if (labels[own, column] == 0).sum() >= LEAST:
            within += _figures(name, labels[own, column], scores[own, column], groups[own], repeats)
    any_ = any_label(labels[own])
    case: NDArray[np.bool_] = any_ == 1
    other: NDArray[np.bool_] = any_ == 0
    if task.kind == "labels" and min(other.sum(), case.sum()) >= LEAST:
        known, top = case | other, scores[own].max(axis=1)
        within += _figures(ANY, any_[known], top[known], groups[own][known], repeats)
    limits = np.array([task.thresholds.get(name, np.inf) for name in head.names])
    flagged: NDArray[np.bool_] = np.any(scores[own] >= limits, axis=1)
    return Unseen(
        task.kind,
        source,
        left_out,
        int(own.sum()),
        tuple(found),
        tuple(within),
        float(flagged[case].mean()) if case.any() else None,
        float(flagged[other].mean()) if other.any() else None,
    )


def _figures(
    name: str, labels: Doubles, scores: Doubles, groups: NDArray[np.int64], repeats: int
) -> list[Metric]:
    return metrics.evaluate(labels[:, None], scores[:, None], [name], groups, repeats)
