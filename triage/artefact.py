"""A model on disk: one folder, a manifest that vouches for every file, and no pickle.

manifest.json               what the model is, from what it was made, how good it is
heads.safetensors           weights, biases and calibrations of the linear heads
text/encoder.onnx           the sentence encoder, int8
text/tokenizer.json
seen.safetensors            digests of the rows that it was fitted on
README.md                   the model card
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triage.calibrate import Calibrator
from triage.classifier import Head, Scaling
from triage.errors import ArtefactRefused
from triage.fusion import Fusion
from triage.manifest import Manifest, read_manifest
from triage.taxonomy import ADDRESSED
from triage.weights import sha256

HEADS, SEEN = "heads.safetensors", "seen.safetensors"
ENCODER, TOKENIZER = "text/encoder.onnx", "text/tokenizer.json"
FILES = frozenset({HEADS, ENCODER, TOKENIZER, SEEN})


@dataclass(frozen=True, slots=True)
class Artefact:
    """A loaded model, verified.

    Attributes:
        folder: Where the text encoder's files are.
        manifest: What it says of itself.
        text, sound: The heads, over the sentence vectors and the pooled encoder frames.
        text_scaling, sound_scaling: Mean and deviation of the vectors that they were fitted on.
        fusion: Words and sounds to recording.
        addressed: Whether words are spoken to the device; None if the model can't tell.
    """

    folder: Path
    manifest: Manifest
    text: Head
    sound: Head
    text_scaling: Scaling
    sound_scaling: Scaling
    fusion: Fusion
    addressed: Head | None = None


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
        text_scaling=_scaling("text", text, tensors),
        sound_scaling=_scaling("sound", 3 * speech, tensors),
        fusion=Fusion(manifest.categories, manifest.strengths),
        addressed=None
        if manifest.accidental_below is None
        else _head("addressed", (ADDRESSED,), text, tensors),
    )


def heads_to_bytes(
    text: tuple[Head, Scaling], sound: tuple[Head, Scaling], addressed: Head | None = None
) -> bytes:
    """All heads as the content of `heads.safetensors`."""
    from safetensors.numpy import save

    tensors: dict[str, np.ndarray] = {}
    for kind, scaling in (("text", text[1]), ("sound", sound[1])):
        tensors[f"{kind}.mean"], tensors[f"{kind}.scale"] = scaling.mean, scaling.scale
    heads = {"text": text[0], "sound": sound[0], "addressed": addressed}
    for kind, head in heads.items():
        if head is None:
            continue
        tensors[f"{kind}.weights"], tensors[f"{kind}.bias"] = head.weights, head.bias
        for name, calibrator in zip(head.names, head.calibrators, strict=True):
            for key, array in calibrator.to_arrays().items():
                tensors[f"{kind}.calibrator.{name}.{key}"] = array
    return save({key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)})


def seen_to_bytes(rows: Iterable[int], tuned: Iterable[int] = ()) -> bytes:
    """Digests of rows (see `triage.labels.rows`) as the content of `seen.safetensors`.

    Args:
        rows: That the heads were fitted on.
        tuned: That the text encoder was tuned on.
    """
    from safetensors.numpy import save

    told = {"rows": rows, "tuned": tuned}
    return save({name: np.array(sorted(each), np.uint64) for name, each in told.items()})


def seen(folder: Path) -> frozenset[int]:
    """Digests of the rows that a model was fitted on, its parents' included.

    Raises:
        ArtefactRefused: The file isn't the one that the manifest vouches for.
    """
    return _seen(folder, "rows")


def tuned(folder: Path) -> frozenset[int]:
    """Digests of the rows that a model's text encoder was tuned on.

    Raises:
        ArtefactRefused: The file isn't the one that the manifest vouches for.
    """
    return _seen(folder, "tuned")


def _seen(folder: Path, name: str) -> frozenset[int]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    _verify(folder, SEEN, read_manifest(folder).files.get(SEEN, ""))
    try:
        found = load_tensors((folder / SEEN).read_bytes())
        return frozenset({"tuned": np.empty(0, np.uint64), **found}[name].tolist())
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


def _scaling(kind: str, width: int, tensors: Mapping[str, Any]) -> Scaling:
    mean, scale = (tensors.get(f"{kind}.{name}", np.empty(0)) for name in ("mean", "scale"))
    if {mean.dtype, scale.dtype} != {np.dtype(np.float32)} or {mean.shape, scale.shape} != {
        (width,)
    }:
        raise ArtefactRefused(f"{HEADS} has no mean and deviation of {width} 32-bit floats each.")
    if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ArtefactRefused(f"The {kind} vectors' mean or deviation is no usable number.")
    return Scaling(mean, scale)


def _calibrator(kind: str, name: str, tensors: Mapping[str, Any]) -> Calibrator:
    prefix = f"{kind}.calibrator.{name}."
    arrays = {key.removeprefix(prefix): tensors[key] for key in tensors if key.startswith(prefix)}
    try:
        return Calibrator.from_arrays(arrays)
    except ArtefactRefused as error:
        raise ArtefactRefused(f"The calibration of {name}: {error.detail}") from None
