"""Whether words are spoken to the device: what `likely_accidental` is told by.

Rows say it with a label of their own, which is no category: 1 for commands, 0 for people among
themselves, on the phone or in the room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from triage.artefact import Artefact
from triage.classifier import Head
from triage.errors import LabelsRefused
from triage.labels.rows import YES, Labelled
from triage.taxonomy import ADDRESSED
from triage.training.fit import Rows
from triage.training.heads import Base, Figures, part
from triage.training.plan import TEXT_REGULARISATION, TEXT_UPDATE

WRONGLY = 0.025  # of what is spoken to the device may be taken for an accident


@dataclass(frozen=True, slots=True)
class Addressed:
    """The fitted head and where to cut.

    Attributes:
        head: Of one name, `ADDRESSED`.
        positives: Items spoken to the device that it was fitted on, its base's included.
        below: Probability under which words are likely to have been recorded by accident.
        figures: How good it is on the rows of split "val".
        withheld: Share of those that were not spoken to the device and fall under it; None
            without one.
        wrongly: Share of those that were and do; None without one.
    """

    head: Head
    positives: Mapping[str, int]
    below: float
    figures: list[Figures] = field(repr=False)
    withheld: float | None
    wrongly: float | None


def addressed(
    rows: Rows,
    labelled: Sequence[Labelled],
    report: Callable[[int, int], None],
    base: Artefact | None,
    new: NDArray[np.bool_],
) -> Addressed | None:
    """Fits the head, and cuts where `WRONGLY` of what it wasn't fitted on falls under.

    Args:
        rows: Features of all texts, without labels.
        labelled: By item.
        report: Told how many names are done.
        base: Whose head is kept where the rows say nothing, and started from where they do.
        new: Which items to fit on, shape (items,).

    Returns:
        None if neither the rows nor the base can tell.
    """
    start = None
    if base and base.addressed:
        start = Base(base.addressed, base.text_scaling, TEXT_UPDATE, base.manifest.positives)
    try:
        found = part(
            rows, labelled, "labels", TEXT_REGULARISATION, report, start, new, of=(ADDRESSED,)
        )
    except LabelsRefused:
        return None
    below = base.manifest.accidental_below if base and not found.fitted else None
    if below is None:
        scores = found.held_out[ADDRESSED]
        known = np.flatnonzero(~np.isnan(scores))
        spoken = [item for item in known.tolist() if labelled[item].labels[ADDRESSED] >= YES]
        below = float(np.quantile(scores[spoken], WRONGLY))
    truth, under = found.measured.labels[:, 0], found.scores[:, 0] < below
    return Addressed(
        found.head,
        found.positives,
        below,
        found.figures,
        *(float(under[truth == one].mean()) if (truth == one).any() else None for one in (0, 1)),
    )
