"""espeak-ng (Debian package) as a voice: lines of `data/authored` said aloud."""

from __future__ import annotations

import subprocess

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

RATE = 16_000  # Hz, of what is given
ESPEAK_RATE = 22_050  # Hz
WAV_HEADER = 44  # bytes
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp")
VARIANTS = ("+m1", "+m3", "+m7", "+f1", "+f2", "+f4", "+croak", "")
SPEEDS = (130, 190)  # words a minute
PITCHES = (25, 75)  # of 0..99


def said(text: str, chance: np.random.Generator) -> NDArray[np.float64]:
    """A line by a voice, at a speed and a pitch of chance: shape (n,), 16 kHz, its peak at 1."""
    voice = str(chance.choice(VOICES)) + str(chance.choice(VARIANTS))
    speed, pitch = (str(chance.integers(*limits)) for limits in (SPEEDS, PITCHES))
    command = ["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "--stdout", text]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    pcm = np.frombuffer(wav[WAV_HEADER:], dtype="<i2").astype(np.float64)
    sound: NDArray[np.float64] = resample_poly(pcm, RATE, ESPEAK_RATE)
    return sound / np.abs(sound).max()
