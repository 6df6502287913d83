"""Features of labelled rows, cached by content, so that a run that was stopped goes on.

What is cached is keyed by the digest of everything it depends on: the encoder, the content and
the settings. A cache is therefore never stale, only unused; deleting it costs time and no more.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triage.acoustic import pool
from triage.audio import Limits, decode
from triage.encoder import LONGEST_CHUNK, SpeechEncoder
from triage.errors import InputError
from triage.labels.rows import Labelled
from triage.records import SAMPLE_RATE, Floats, Report, Span
from triage.segment import windows
from triage.text import TextEncoder, spoken_words
from triage.training.augment import vary
from triage.weights import sha256

TEXT_BLOCK = 4096  # rows
SOUND_BLOCK = 64  # clips
VARIANTS = 3  # the clip as it is, and two variations of it
RECIPE = "2"  # raised when the same content should give other features

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class SoundFeatures:
    """Pooled encoder frames of many clips, row by row.

    Attributes:
        vectors: Shape (rows, 3 * width), float32.
        clip: Index of each row's clip, shape (rows,).
        variant: 0 for the clip as it is, shape (rows,).
        whole: True for the row that pools the whole clip, False for a window; shape (rows,).
        failed: Indices of clips that couldn't be decoded; they have no rows.
    """

    vectors: Floats = field(repr=False)
    clip: NDArray[np.int64] = field(repr=False)
    variant: NDArray[np.int64] = field(repr=False)
    whole: NDArray[np.bool_] = field(repr=False)
    failed: tuple[int, ...] = ()


def text_features(
    rows: Sequence[Labelled], encoder: TextEncoder, digest: str, cache: Path, report: Report
) -> Floats:
    """The sentence vector of each row's text, shape (rows, width).

    Args:
        rows: Each with a text.
        encoder: What makes the vectors.
        digest: SHA-256 of the encoder's file.
        cache: Folder that features are kept in.
        report: Told of the progress.
    """
    blocks = []
    for start, block in _blocks(rows, TEXT_BLOCK):
        words = [spoken_words(row.text or "") for row in block]
        key = _key("text", digest, *(" ".join(line) for line in words))
        blocks.append(_kept(cache / key, partial(_read, words, encoder))["x"])
        report("text features", start + len(block), len(rows))
    return np.concatenate(blocks)


def sound_features(
    rows: Sequence[Labelled],
    encoder: SpeechEncoder,
    digest: str,
    cache: Path,
    limits: Limits,
    seed: int,
    report: Report,
) -> SoundFeatures:
    """Pooled frames of each row's audio: whole and in windows, as it is and varied.

    Args:
        rows: Each with an audio file; only its first 26 s are heard.
        encoder: What makes the frames.
        digest: SHA-256 of the encoder's file.
        cache: Folder that features are kept in.
        limits: As in serving.
        seed: Of the variations.
        report: Told of the progress.
    """
    blocks = []
    for start, block in _blocks(rows, SOUND_BLOCK):
        content = [sha256(_audio(row)) for row in block]
        key = _key("sound", digest, str(seed), repr(limits), *content)
        kept = _kept(cache / key, partial(_listen, block, content, encoder, limits, seed))
        blocks.append(kept | {"clip": kept["clip"] + start, "failed": kept["failed"] + start})
        report("sound features", start + len(block), len(rows))
    joined = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return SoundFeatures(
        joined["x"].astype(np.float32),
        joined["clip"],
        joined["variant"],
        joined["whole"],
        tuple(joined["failed"].tolist()),
    )


def _read(words: Sequence[Sequence[str]], encoder: TextEncoder) -> Arrays:
    return {"x": encoder.pooled(words)}


def _listen(
    block: Sequence[Labelled],
    content: Sequence[str],
    encoder: SpeechEncoder,
    limits: Limits,
    seed: int,
) -> Arrays:
    out: dict[str, list[Any]] = {"x": [], "clip": [], "variant": [], "whole": [], "failed": []}
    for index, (row, digest) in enumerate(zip(block, content, strict=True)):
        # Chance is drawn from the content, so a clip's variations don't depend on its neighbours.
        rng = np.random.default_rng([seed, int(digest[:16], 16)])
        try:
            samples = decode(_audio(row), limits).samples[: LONGEST_CHUNK * SAMPLE_RATE]
        except InputError:
            out["failed"].append(index)
            continue
        for variant in range(VARIANTS):
            sound, lead = vary(samples, rng) if variant else (samples, 0)
            sound = sound[: LONGEST_CHUNK * SAMPLE_RATE]
            first, seconds = lead / SAMPLE_RATE, len(sound) / SAMPLE_RATE
            spans = [Span(first + s.start, first + s.end) for s in windows(seconds - first)]
            vectors = pool(encoder.encode(sound).frames, [Span(first, seconds), *spans])
            out["x"].append(vectors.astype(np.float16))
            out["clip"] += [index] * len(vectors)
            out["variant"] += [variant] * len(vectors)
            out["whole"] += [True] + [False] * len(spans)
    width = 3 * encoder.width
    return {
        "x": np.concatenate(out["x"]) if out["x"] else np.empty((0, width), np.float16),
        "clip": np.array(out["clip"], np.int64),
        "variant": np.array(out["variant"], np.int64),
        "whole": np.array(out["whole"], bool),
        "failed": np.array(out["failed"], np.int64),
    }


def _kept(stem: Path, make: Callable[[], Arrays]) -> Arrays:
    """Arrays from the cache, or made and put there whole: a kill leaves nothing half-written."""
    file = stem.with_suffix(".npz")
    if not file.is_file():
        arrays = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}.npz")
        np.savez(part, allow_pickle=False, **arrays)
        part.replace(file)
        return arrays
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _blocks(rows: Sequence[Labelled], size: int) -> Iterator[tuple[int, Sequence[Labelled]]]:
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join((RECIPE, *parts)).encode()).hexdigest()


def _audio(row: Labelled) -> Path:
    if row.audio is None:
        raise ValueError("a row without audio has no sound features")
    return row.audio
