"""Recordings and texts to measure with, made from the project's own samples."""

from __future__ import annotations

import wave
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
SENTENCES = (
    "please turn the music down in kitchen and set timer for ten minutes what is weather like "
    "tomorrow morning call my sister when i get home remind me to buy bread"
)


def write(folder: Path, seconds: float) -> Path:
    """Speech of a given length, as WAV of 16 bit at 16 kHz.

    The samples that are spoken, one after another, from the start again until it is long enough.

    Args:
        folder: Where to write.
        seconds: How long it is to be.
    """
    file = folder / f"{seconds:g}s.wav"
    samples = np.resize(_tape(), round(seconds * SAMPLE_RATE))
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes((samples * np.iinfo(np.int16).max).astype("<i2").tobytes())
    return file


def utterances(count: int, words: int = 14) -> list[str]:
    """Texts of words that are one word piece each.

    Fourteen words are sixteen tokens, with the two that frame them.
    """
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(SENTENCES.split(), words)) for _ in range(count)]


@lru_cache(maxsize=1)
def _tape() -> Floats:
    pause = np.zeros(round(PAUSE * SAMPLE_RATE), np.float32)
    parts = [part for name in SPEECH for part in (decode(SAMPLES / name, LIMITS).samples, pause)]
    tape: Floats = np.concatenate(parts)
    return tape
