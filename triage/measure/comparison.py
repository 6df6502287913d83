"""What a comparison of two models found, and where it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from triage.errors import ArtefactRefused
from triage.labels.write import whole
from triage.manifest import Part
from triage.measure.counterfactual import Moved
from triage.measure.latency import Latency
from triage.measure.paired import Difference
from triage.reliability import Bin

FORMAT = 1  # raised when a reader of today would misread a comparison of tomorrow
FOLDER = "comparisons"


class Curve(Part):
    """What a model's plots are drawn from."""

    recall: tuple[float, ...]
    precision: tuple[float, ...]
    reliability: tuple[Bin, ...]


class Compared(Part):
    """Both models on one category or event.

    Attributes:
        kind: "category" or "event".
        name: Its name.
        positives, negatives: Rows whose label is known.
        groups: With a positive.
        threshold: Where the policy flags it; None for an event.
        differences: By measure: "auprc", "recall at 1 % false alarms", "calibration error"; and
            where there is a threshold "recall" and "false alarms" at it.
        ppv: Of the champion and of the challenger at the stated prevalence and the threshold; None
            of a model that flags nothing there.
        ppv_at_1pct_fpr: The same where 1 % of the negatives are flagged.
        curves: Of the champion and of the challenger.
    """

    kind: str
    name: str
    positives: int
    negatives: int
    groups: int
    threshold: float | None
    differences: Mapping[str, Difference]
    ppv: tuple[float | None, float | None] | None
    ppv_at_1pct_fpr: tuple[float | None, float | None] | None
    curves: tuple[Curve, Curve]


class Sliced(Part):
    """Both models on a part of the rows: AUPRC of one category."""

    kind: str
    slice: str
    category: str
    positives: int
    negatives: int
    auprc: Difference


class Side(Part):
    """One of the two models.

    Attributes:
        name, digest: Of its manifest.
        bytes: On disk.
        alone: Categories and events that only this one scores.
        failed: Rows it couldn't score, of the challenger those that the champion could.
        moved: How far names and groups move its scores.
        latency: How long it takes for a row.
    """

    name: str
    digest: str
    bytes: int
    alone: tuple[str, ...]
    failed: int
    moved: tuple[Moved, ...]
    latency: Latency


class Comparison(Part):
    """What came out.

    Attributes:
        format: FORMAT of the writer.
        champion, challenger: The models.
        policy: Digest of the policy whose thresholds were taken.
        data: Digest of the rows with their labels.
        rows: That both scored.
        left_out: Rows that either model was fitted on.
        failed: Rows that one of them couldn't score, by the slug of the error.
        prevalence: Share of recordings that are cases, for the PPV.
        compared: By category, then by event.
        slices: Parts of the rows that hold enough of both labels.
        thin: The other parts, with their rows.
    """

    format: int
    champion: Side
    challenger: Side
    policy: str
    data: str
    rows: int
    left_out: int
    failed: Mapping[str, int]
    prevalence: float
    compared: tuple[Compared, ...]
    slices: tuple[Sliced, ...]
    thin: Mapping[str, int]

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def store(comparison: Comparison, state: Path) -> Path:
    """Keeps a comparison where `stored` finds it."""
    file = _file(state, comparison.champion.digest, comparison.challenger.digest)
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as out:
        out.write(comparison.model_dump_json(indent=1).encode())
    return file


def stored(state: Path, champion: str, challenger: str) -> Comparison | None:
    """The last comparison of exactly these two models, by digest; None if there is none.

    Raises:
        ArtefactRefused: It can't be read.
    """
    file = _file(state, champion, challenger)
    if not file.is_file():
        return None
    try:
        found = Comparison.model_validate_json(file.read_bytes())
    except ValidationError:
        raise ArtefactRefused("The stored comparison can't be read. Compare again.") from None
    if found.format != FORMAT:
        raise ArtefactRefused("The stored comparison is of another version. Compare again.")
    return found


def _file(state: Path, champion: str, challenger: str) -> Path:
    return state / FOLDER / f"{champion[:16]}-{challenger[:16]}.json"
