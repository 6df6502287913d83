"""Features of labelled rows, cached by content, so that a run that was stopped goes on."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triage.acoustic import pool
from triage.audio import Limits, decode
from triage.encoder import LONGEST_CHUNK, SpeechEncoder
from triage.errors import InputError
from triage.labels.rows import Labelled
from triage.records import SAMPLE_RATE, Floats, Report, Span, Waveform
from triage.segment import chunks, speech_spans, windows
from triage.text import TextEncoder, spoken_words
from triage.training.augment import vary
from triage.training.cache import FeatureCache, key
from triage.transcribe import Transcriber, Utterance
from triage.weights import sha256

TEXT_BLOCK = 2048  # rows
SOUND_BLOCK = 16  # clips
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


@dataclass(frozen=True, slots=True)
class Ears:
    """What hears a clip in training as in serving.

    Attributes:
        encoder: What makes the frames.
        digest: SHA-256 of its file.
        limits: What one recording may be.
        seed: Of the variations.
        workers: Clips heard side by side.
    """

    encoder: SpeechEncoder
    digest: str
    limits: Limits
    seed: int
    workers: int = 1


def text_features(
    rows: Sequence[Labelled], encoder: TextEncoder, digest: str, cache: FeatureCache, report: Report
) -> Floats:
    """The sentence vector of each row's text: shape (rows, width), mapped from disk.

    Not a number where a row has no text.

    Args:
        rows: With and without text.
        encoder: What makes the vectors.
        digest: SHA-256 of the encoder's file.
        cache: Where features are kept.
        report: Told of the progress.
    """
    out = _mapped(cache.folder, len(rows), encoder.width)
    for start, block in _blocks(rows, TEXT_BLOCK):
        out[start : start + len(block)] = np.nan
        written = [n for n, row in enumerate(block) if row.text is not None]
        words = [spoken_words(block[n].text or "") for n in written]
        keys = [key(RECIPE, "text", digest, " ".join(line)) for line in words]
        known = cache.found(keys)
        new = [n for n, one in enumerate(keys) if one not in known]
        if new:
            vectors = encoder.pooled([words[n] for n in new])
            made = {keys[n]: vector.tobytes() for n, vector in zip(new, vectors, strict=True)}
            cache.keep(made)
            known |= made
        for n, one in zip(written, keys, strict=True):
            out[start + n] = np.frombuffer(known[one], np.float32)
        report("text features", start + len(block), len(rows))
    return out


def add_heard(
    vectors: Floats,
    rows: Sequence[Labelled],
    ears: Ears,
    encoder: TextEncoder,
    digest: str,
    cache: FeatureCache,
    report: Report,
) -> None:
    """Puts in the sentence vectors of what is heard in recordings that came without text.

    What was said is not kept, only its vector. Where nothing was said reliably, none is put in.

    Args:
        vectors: What `text_features` gave for these rows.
        rows: With and without text.
        ears: What hears.
        encoder, digest, cache, report: As in `text_features`.
    """
    unwritten = [n for n, row in enumerate(rows) if row.text is None]
    if not unwritten:
        return
    transcriber = Transcriber(ears.encoder)
    for done, n in enumerate(unwritten, 1):
        audio = _audio(rows[n])
        one = key(RECIPE, "heard", ears.digest, digest, repr(ears.limits), sha256(audio))
        known = cache.found([one])
        if one not in known:
            words = _said(audio, ears, transcriber)
            known = {one: encoder.pooled([words])[0].tobytes() if words else b""}
            cache.keep(known)
        if known[one]:
            vectors[n] = np.frombuffer(known[one], np.float32)
        report("words in recordings", done, len(unwritten))


def sound_features(
    rows: Sequence[Labelled], ears: Ears, cache: FeatureCache, report: Report
) -> SoundFeatures:
    """Pooled frames of each row's audio: whole and in windows, as it is and varied.

    Args:
        rows: Each with an audio file; only its first 26 s are heard.
        ears: What hears.
        cache: Where features are kept.
        report: Told of the progress.
    """
    none, found = _rows([], 3 * ears.encoder.width), list[Arrays]()
    for start, block in _blocks(rows, SOUND_BLOCK):
        content = [sha256(_audio(row)) for row in block]
        keys = [
            key(RECIPE, "sound", ears.digest, str(ears.seed), repr(ears.limits), one)
            for one in content
        ]
        known = cache.found(keys)
        new = [n for n, one in enumerate(keys) if one not in known]
        with ThreadPoolExecutor(ears.workers) as side_by_side:
            heard = side_by_side.map(lambda n: _listen(_audio(block[n]), content[n], ears), new)  # noqa: B023
            made = {keys[n]: _packed(arrays) for n, arrays in zip(new, heard, strict=True)}
        cache.keep(made)
        found += [_unpacked((known | made)[one]) for one in keys]
        report("sound features", start + len(block), len(rows))
    counts = [len(one["x"]) for one in found]
    joined = {name: np.concatenate([one[name] for one in (none, *found)]) for name in none}
    return SoundFeatures(
        joined["x"].astype(np.float32),
        np.repeat(np.arange(len(found)), np.array(counts, np.int64)),
        joined["variant"].astype(np.int64),
        joined["whole"],
        tuple(n for n, count in enumerate(counts) if not count),
    )


def _listen(file: Path, content: str, ears: Ears) -> Arrays:
    """All rows of one clip; none if it can't be decoded."""
    found: list[tuple[int, Floats]] = []
    # Chance is drawn from the content, so a clip's variations don't depend on its neighbours.
    rng = np.random.default_rng([ears.seed, int(content[:16], 16)])
    try:
        samples = decode(file, ears.limits).samples[: LONGEST_CHUNK * SAMPLE_RATE]
    except InputError:
        samples = np.empty(0, np.float32)
    for variant in range(VARIANTS if len(samples) else 0):
        sound, lead = vary(samples, rng) if variant else (samples, 0)
        sound = sound[: LONGEST_CHUNK * SAMPLE_RATE]
        first, seconds = lead / SAMPLE_RATE, len(sound) / SAMPLE_RATE
        spans = [Span(first + s.start, first + s.end) for s in windows(seconds - first)]
        vectors = pool(ears.encoder.encode(sound).frames, [Span(first, seconds), *spans])
        found.append((variant, vectors))
    return _rows(found, 3 * ears.encoder.width)


def _rows(found: Sequence[tuple[int, Floats]], width: int) -> Arrays:
    """The rows of all variants, of which the first is the whole clip's."""
    counts = [len(vectors) for _, vectors in found]
    return {
        "x": np.concatenate([np.empty((0, width)), *(x for _, x in found)]).astype(np.float16),
        "variant": np.repeat(np.array([n for n, _ in found], np.int8), counts),
        "whole": np.array([n == 0 for count in counts for n in range(count)], bool),
    }


def _said(file: Path, ears: Ears, transcriber: Transcriber) -> list[str]:
    """The words that were heard reliably, as in serving."""
    try:
        waveform: Waveform = decode(file, ears.limits)
    except InputError:
        return []
    speech = speech_spans(waveform)
    words = []
    for chunk in chunks(waveform, speech):
        if chunk.speaks:
            encoded = ears.encoder.encode(waveform.samples[chunk.start : chunk.end])
            (said,) = transcriber.transcribe(
                [Utterance(encoded, chunk.start / SAMPLE_RATE, speech)]
            )
            words += [word.text for word in said.words] if said.reliable else []
    return spoken_words(" ".join(words))


def _packed(arrays: Arrays) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def _unpacked(packed: bytes) -> Arrays:
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        return dict(arrays)


def _mapped(folder: Path, rows: int, width: int) -> Floats:
    """An array on disk that is gone with the process, so that a million rows need no memory.

    Its place is claimed at once: a disk that fills up later would end the process by a signal.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, max(4 * rows * width, 1))
        mapped = np.memmap(file, np.float32, "r+", shape=(max(rows, 1), width))
    out: Floats = mapped[:rows]
    return out


def _blocks(rows: Sequence[Labelled], size: int) -> Iterator[tuple[int, Sequence[Labelled]]]:
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def _audio(row: Labelled) -> Path:
    if row.audio is None:
        raise ValueError("a row without audio has no sound features")
    return row.audio
