"""Recordings and texts to measure with, made from the project's own samples."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from triage.audio import Limits, decode
from triage.records import SAMPLE_RATE, Floats
from triage.settings import PROJECT

SAMPLES = PROJECT / "data" / "samples"
SPEECH = (
    "clipped.flac",
    "disclosure.flac",
    "weather.wav",
    "talk.ogg",
    "timer.wav",
    "help-at-home.ogg",
    "lights.m4a",
    "collapse.wav",
    "threat.mp3",
)
PAUSE = 0.4  # s between two of them
LIMITS = Limits(max_bytes=2**30, max_seconds=3600, max_channels=8)
CODECS = {".wav": "pcm_s16le", ".ogg": "libopus"}
VOCABULARY = (
    "please turn the music down in kitchen and set timer for ten minutes what is weather like "
    "tomorrow morning call my sister when i get home remind me to buy bread"
).split()


def write(folder: Path, seconds: float, suffix: str = ".wav") -> Path:
    """Speech of a given length in a file: the samples one after another, from the start again.

    Args:
        folder: Where to write.
        seconds: How long it is to be.
        suffix: ".wav" (16 bit, 16 kHz) or ".ogg" (Opus).
    """
    import av

    file = folder / f"{seconds:g}s{suffix}"
    samples = np.resize(_tape(), round(seconds * SAMPLE_RATE))
    with av.open(file, "w") as container:
        stream = container.add_stream(CODECS[suffix], rate=SAMPLE_RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            (samples[None] * np.iinfo(np.int16).max).astype(np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = SAMPLE_RATE
        for source in (frame, None):
            container.mux(stream.encode(source))
    return file


def utterances(count: int, words: int = 14, seed: int = 0) -> list[str]:
    """Texts that no two of are alike, of words that are one word piece each.

    Fourteen words are sixteen tokens, with the two that frame them.
    """
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(VOCABULARY, words)) for _ in range(count)]


@lru_cache(maxsize=1)
def _tape() -> Floats:
    pause = np.zeros(round(PAUSE * SAMPLE_RATE), np.float32)
    parts = [part for name in SPEECH for part in (decode(SAMPLES / name, LIMITS).samples, pause)]
    tape: Floats = np.concatenate(parts)
    return tape
