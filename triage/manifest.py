"""What a model says of itself: a manifest that vouches for every file, read before any is.

FORMAT is raised by one whenever a reader of today would misread what a writer of tomorrow wrote:
a tensor renamed or reshaped, a manifest field with a new meaning. A new optional field does not
raise it. A reader refuses every FORMAT but its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from triage.errors import ArtefactRefused
from triage.taxonomy import MUSIC

FORMAT = 2
MANIFEST = "manifest.json"
NAME = r"[a-z0-9][a-z0-9.\-]{0,63}"  # of a model
LARGEST_MANIFEST = 4 * 2**20  # bytes

Probability = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class EncoderNote(Part):
    """A frozen encoder that the heads were fitted on: its name, width and file digests."""

    name: str
    width: int = Field(gt=0)
    licence: str
    files: Mapping[str, str]


class SourceNote(Part):
    """One source of labelled data: how much of it went in, under which licence."""

    kind: str
    source: str
    licence: str
    train: int
    val: int


class Parent(Part):
    """The model that another one was made from."""

    name: str
    digest: str


class Guarantee(Part):
    """What may be promised of a category's misses (see `triage.training.guarantee`).

    Attributes:
        threshold: Flagged from this score on, no more than `miss` of the cases are missed, with
            this confidence; None where there are too few labels to promise that.
        miss, confidence: The promise, in 0..1.
        cases: Groups with a positive, held out from fitting and calibration.
        needed: Groups that the promise takes at least.
        flagged: Share of the negatives that the threshold flags; None without one.
    """

    threshold: float | None
    miss: Probability
    confidence: Probability
    cases: int
    needed: int
    flagged: float | None


class Histogram(Part):
    """How often a score or a measurement fell where, on the rows that a model was measured on.

    Attributes:
        edges: Rising; what is under the first or at and over the last has a bin of its own.
        counts: One more than there are edges.
    """

    edges: tuple[float, ...] = Field(min_length=1)
    counts: tuple[float, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if len(self.counts) != len(self.edges) + 1 or min(self.counts) < 0:
            raise ValueError("a histogram takes one count, 0 or more, for each bin")
        if any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError("a histogram's edges don't rise")
        return self


class Manifest(Part):
    """All that is to be known of a model before it is loaded.

    Attributes:
        format: FORMAT of the writer.
        name: The model's name, with its version.
        created: When, RFC 3339.
        code: Version of Triage that wrote it.
        files: SHA-256 by file name; exactly these files make the model.
        encoders: "speech" and "text".
        categories, events: What it scores, in the order of the heads' rows.
        event_thresholds: Probability from which a windowed event is reported.
        strengths: By event and category, see `triage.fusion`.
        lineage: The data that went in.
        training: Settings and seed, as used.
        metrics: On held-out data, with intervals.
        parent: The model it was made from; None for one that was made from nothing but data.
        guarantees: By category, for those that were asked for.
        reference: What live scores are compared with, by name (see `triage.drift`).
        accidental_below: Probability of being spoken to the device, under which words are
            likely to have been recorded by accident; None if the model can't tell.
        media_from: Probability of music, from which a recording is likely to hold a film or a
            song; None if the model can't tell.
        positives: Items with each category and event that it was fitted on, its parents' included.
    """

    format: int
    name: str = Field(pattern=f"^{NAME}$")
    created: str
    code: str
    files: Mapping[str, str]
    encoders: Mapping[str, EncoderNote]
    categories: tuple[str, ...] = Field(min_length=1)
    events: tuple[str, ...] = Field(min_length=1)
    event_thresholds: Mapping[str, Probability]
    strengths: Mapping[str, Mapping[str, Probability]]
    lineage: tuple[SourceNote, ...]
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]
    parent: Parent | None = None
    guarantees: Mapping[str, Guarantee] = {}
    reference: Mapping[str, Histogram] = {}
    positives: Mapping[str, int] = {}
    accidental_below: Probability | None = None
    media_from: Probability | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of all that it says but when it was made: the same data and seed give the same.

        The manifest holds the digests of the model's files, so this stands for them too.
        """
        told = self.model_dump(mode="json", exclude={"created"})
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        for name, names in (("categories", self.categories), ("events", self.events)):
            if len(set(names)) < len(names):
                raise ValueError(f"{name} names one twice")
        if {"speech", "text"} - set(self.encoders):
            raise ValueError("encoders must name speech and text")
        if (set(self.event_thresholds) | set(self.strengths)) - set(self.events):
            raise ValueError("a threshold or a strength is of an event that isn't scored")
        if self.media_from is not None and MUSIC not in self.events:
            raise ValueError("media_from is of music, which isn't scored")
        if {c for row in self.strengths.values() for c in row} - set(self.categories):
            raise ValueError("a strength is for a category that isn't scored")
        return self


def read_manifest(folder: Path) -> Manifest:
    """Looks inside a model without loading any of it.

    Raises:
        ArtefactRefused: No manifest, not of this FORMAT, or not valid.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise ArtefactRefused(
            f"There is no {MANIFEST} in the model's folder. Point TRIAGE_MODEL at a model."
        )
    if file.stat().st_size > LARGEST_MANIFEST:
        raise ArtefactRefused("The manifest is larger than any.", limit=LARGEST_MANIFEST)
    try:
        raw = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise ArtefactRefused(
            "The manifest isn't JSON. Restore the model from its source."
        ) from None
    found = raw.get("format") if isinstance(raw, dict) else None
    if found != FORMAT:
        raise ArtefactRefused(
            f"The model is of format {found!r:.40}, this version reads format {FORMAT}. "
            "Retrain it, or use the version that wrote it.",
            limit=FORMAT,
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        where = "; ".join(
            ": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"])))
            for e in error.errors()[:5]
        )
        raise ArtefactRefused(f"The manifest doesn't hold together: {where}.") from None
