"""A model on disk: one folder, a manifest that vouches for every file, and no pickle.

    manifest.json               what the model is, from what it was made, how good it is
    heads.safetensors           weights, biases and calibrations of the linear heads
    text/encoder.onnx           the sentence encoder, int8
    text/tokenizer.json
    seen.safetensors            digests of the rows that it was fitted on
    README.md                   the model card

FORMAT is raised by one whenever a reader of today would misread what a writer of tomorrow wrote:
a tensor renamed or reshaped, a manifest field with a new meaning. A new optional field does not
raise it. A reader refuses every FORMAT but its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from triage.calibrate import Calibrator
from triage.classifier import Head
from triage.errors import ArtefactRefused
from triage.fusion import Fusion
from triage.weights import sha256

FORMAT = 2
MANIFEST, HEADS, SEEN = "manifest.json", "heads.safetensors", "seen.safetensors"
ENCODER, TOKENIZER = "text/encoder.onnx", "text/tokenizer.json"
FILES = frozenset({HEADS, ENCODER, TOKENIZER, SEEN})
NAME = r"[a-z0-9][a-z0-9.\-]{0,63}"  # of a model
LARGEST_MANIFEST = 4 * 2**20  # bytes

Probability = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class EncoderNote(_Part):
    """A frozen encoder that the heads were fitted on: its name, width and file digests."""

    name: str
    width: int = Field(gt=0)
    licence: str
    files: Mapping[str, str]


class SourceNote(_Part):
    """One source of labelled data: how much of it went in, under which licence."""

    kind: str
    source: str
    licence: str
    train: int
    val: int


class Parent(_Part):
    """The model that another one was made from."""

    name: str
    digest: str


class Guarantee(_Part):
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


class Histogram(_Part):
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


class Manifest(_Part):
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
        if {c for row in self.strengths.values() for c in row} - set(self.categories):
            raise ValueError("a strength is for a category that isn't scored")
        return self


@dataclass(frozen=True, slots=True)
class Artefact:
    """A loaded model, verified.

    Attributes:
        folder: Where the text encoder's files are.
        manifest: What it says of itself.
        text, sound: The heads, over the sentence vectors and the pooled encoder frames.
        fusion: Words and sounds to recording.
    """

    folder: Path
    manifest: Manifest
    text: Head
    sound: Head
    fusion: Fusion


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


def load(folder: Path) -> Artefact:
    """Verifies and loads a model.

    Raises:
        ArtefactRefused: A file is missing, is not the one that the manifest vouches for, or its
            arrays don't have the shapes that the manifest implies.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    manifest = read_manifest(folder)
    if set(manifest.files) != FILES:
        raise ArtefactRefused(
            f"The manifest names {sorted(manifest.files)}; a model is {sorted(FILES)}, no more "
            "and no less."
        )
    for name, pinned in manifest.files.items():
        _verify(folder, name, pinned)
    try:
        tensors = load_tensors((folder / HEADS).read_bytes())
    except (SafetensorError, KeyError):  # KeyError: a kind of number that numpy lacks
        raise ArtefactRefused(f"{HEADS} is not a safetensors file.") from None
    speech, text = manifest.encoders["speech"].width, manifest.encoders["text"].width
    return Artefact(
        folder=folder,
        manifest=manifest,
        text=_head("text", manifest.categories, text, tensors),
        sound=_head("sound", manifest.events, 3 * speech, tensors),
        fusion=Fusion(manifest.categories, manifest.strengths),
    )


def heads_to_bytes(text: Head, sound: Head) -> bytes:
    """Both heads as the content of `heads.safetensors`."""
    from safetensors.numpy import save

    tensors: dict[str, np.ndarray] = {}
    for kind, head in (("text", text), ("sound", sound)):
        tensors[f"{kind}.weights"], tensors[f"{kind}.bias"] = head.weights, head.bias
        for name, calibrator in zip(head.names, head.calibrators, strict=True):
            for key, array in calibrator.to_arrays().items():
                tensors[f"{kind}.calibrator.{name}.{key}"] = array
    return save({key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)})


def seen_to_bytes(rows: Iterable[int]) -> bytes:
    """Digests of rows (see `triage.labels.rows`) as the content of `seen.safetensors`."""
    from safetensors.numpy import save

    return save({"rows": np.array(sorted(rows), np.uint64)})


def seen(folder: Path) -> frozenset[int]:
    """Digests of the rows that a model was fitted on, its parents' included.

    Raises:
        ArtefactRefused: The file isn't the one that the manifest vouches for.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    _verify(folder, SEEN, read_manifest(folder).files.get(SEEN, ""))
    try:
        return frozenset(load_tensors((folder / SEEN).read_bytes())["rows"].tolist())
    except (SafetensorError, KeyError):
        raise ArtefactRefused(f"{SEEN} is not a safetensors file of rows.") from None


def _verify(folder: Path, name: str, pinned: str) -> None:
    file = folder / name
    if not file.is_file():
        raise ArtefactRefused(f"{name} is missing from the model. Restore it from its source.")
    found = sha256(file)
    if found != pinned:
        raise ArtefactRefused(
            f"{name} has SHA-256 {found[:12]}…, its manifest says {pinned[:12]}…. The file was "
            "changed after training; restore the model from its source."
        )


def _head(kind: str, names: tuple[str, ...], width: int, tensors: Mapping[str, Any]) -> Head:
    try:
        weights, bias = tensors[f"{kind}.weights"], tensors[f"{kind}.bias"]
    except KeyError as error:
        raise ArtefactRefused(f"{HEADS} has no {error}.") from None
    if {weights.dtype, bias.dtype} != {np.dtype(np.float32)}:
        raise ArtefactRefused(f"The {kind} head is not of 32-bit floats. Train the model again.")
    wanted = (len(names), width), (len(names),)
    if (weights.shape, bias.shape) != wanted:
        raise ArtefactRefused(
            f"The {kind} head is {weights.shape} and {bias.shape}; {len(names)} names over vectors "
            f"of {width} need {wanted[0]} and {wanted[1]}. It belongs to another encoder."
        )
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise ArtefactRefused(f"The {kind} head holds values that are no numbers.")
    return Head(names, weights, bias, tuple(_calibrator(kind, name, tensors) for name in names))


def _calibrator(kind: str, name: str, tensors: Mapping[str, Any]) -> Calibrator:
    prefix = f"{kind}.calibrator.{name}."
    arrays = {key.removeprefix(prefix): tensors[key] for key in tensors if key.startswith(prefix)}
    try:
        return Calibrator.from_arrays(arrays)
    except ArtefactRefused as error:
        raise ArtefactRefused(f"The calibration of {name}: {error.detail}") from None
