"""Throats: screams, sobs, babies, laughter, songs and animals, by harmonics through formants.

A voice is a sum of harmonics of a moving pitch, weighed by a spectral slope and by the resonances
of a mouth, with breath in it. What makes a scream of it is a high pitch, a slope that hardly
falls, and roughness: loudness that trembles 30 to 150 times a second (L. Arnal et al., "Human
screams occupy a privileged niche in the communication soundscape", Current Biology 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

RATE = 16_000
HIGHEST = 7800  # Hz

Sound = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Throat:
    """What makes one voice another.

    Attributes:
        formants: Of the mouth, Hz.
        slope: Of the harmonics, dB an octave down.
        breath: Noise beside the harmonics, by amplitude.
        jitter: Random walk of the pitch, a sample.
        rough: Tremble of the loudness, Hz and depth in 0..1.
        sub: Of harmonics halfway between the others, by amplitude.
    """

    formants: tuple[float, ...]
    slope: float
    breath: float = 0.02
    jitter: float = 0.0002
    rough: tuple[float, float] = (0.0, 0.0)
    sub: float = 0.0


def seconds(length: float) -> Sound:
    """Times of so many seconds of samples."""
    return np.arange(max(1, round(length * RATE))) / RATE


def rest(length: float) -> Sound:
    """Silence."""
    return np.zeros(max(0, round(length * RATE)))


def faded(sound: Sound, rise: float, fall: float) -> Sound:
    """With a beginning and an end, in s."""
    time = np.arange(len(sound)) / RATE
    ramp = np.minimum(1, (time + 1 / RATE) / rise) * np.minimum(1, (time[-1] - time) / fall)
    return sound * ramp


def band(noise: Sound, low: float, high: float) -> Sound:
    """A band of it, scaled to a peak of 1."""
    if len(noise) < 2:
        return noise
    out: Sound = sosfilt(butter(2, [low, high], "band", fs=RATE, output="sos"), noise)
    return out / max(float(np.abs(out).max()), 1e-9)


def voiced(pitch: Sound, throat: Throat, rng: np.random.Generator) -> Sound:
    """A voice at a pitch that is given for each sample, in Hz; scaled to a peak of 1."""
    count = len(pitch)
    walk = np.cumsum(rng.standard_normal(count)) * throat.jitter
    walk -= np.linspace(0, walk[-1], count)
    pitch = pitch * (1 + np.clip(walk, -0.12, 0.12))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    mouth = np.array(throat.formants)
    widths = 80 + 0.08 * mouth
    out = np.zeros(count)
    steps = [*range(1, 41), *(np.arange(0.5, 20) if throat.sub else ())]
    for n in steps:
        at = pitch * n
        if at.min() > HIGHEST:
            continue
        gain = 10 ** (-throat.slope * np.log2(max(n, 1)) / 20)
        shape = sum(
            0.8**k / (1 + ((at - one) / (1.5 * width)) ** 2)
            for k, (one, width) in enumerate(zip(mouth, widths, strict=True))
        )
        level = gain * (shape + 0.02) * (at < HIGHEST) * (1 if n == int(n) else throat.sub)
        out += level * np.sin(n * phase + rng.uniform(0, 2 * np.pi))
    out /= max(float(np.abs(out).max()), 1e-9)
    out += throat.breath * band(rng.standard_normal(count), 800, 6000)
    rate, depth = throat.rough
    if depth:
        time = np.arange(count) / RATE
        wander = 2 * np.sin(2 * np.pi * rng.uniform(3, 9) * time) + rng.uniform(0, 6)
        out *= np.clip(1 - depth / 2 * (1 + np.sin(2 * np.pi * rate * time + wander)), 0.02, None)
    return out / max(float(np.abs(out).max()), 1e-9)


def mouth(rng: np.random.Generator, size: float = 1.0) -> tuple[float, ...]:
    """Open vowels, Hz; the smaller the head, the higher."""
    middle = np.array([rng.uniform(700, 1200), rng.uniform(1200, 2200), rng.uniform(2400, 3500)])
    return (*(middle / size).tolist(), rng.uniform(3600, 5000))


def scream(rng: np.random.Generator) -> Sound:
    """One to four of them, by a child, a woman or a man; shrill, hoarse, or a yell of help."""
    who = rng.choice(["child", "woman", "man"])
    top = rng.uniform(*{"child": (1000, 2600), "woman": (700, 1800), "man": (380, 1000)}[who])
    size = {"child": 0.8, "woman": 0.95, "man": 1.1}[who]
    shrill = rng.random() < 0.3
    parts: list[Sound] = []
    for _ in range(rng.integers(1, 5)):
        time = seconds(rng.uniform(0.3, 2.4))
        at = time / time[-1]
        onset = 1 - rng.uniform(0.05, 0.55) * np.exp(-time / rng.uniform(0.02, 0.25))
        end = 1 - rng.uniform(0, 0.45) * at ** rng.uniform(1.5, 6)
        wave = 1 + rng.uniform(0, 0.04) * np.sin(2 * np.pi * rng.uniform(3, 8) * time)
        throat = Throat(
            formants=mouth(rng, size),
            slope=rng.uniform(2, 9),
            breath=rng.uniform(0.02, 0.3),
            jitter=rng.uniform(0.0001, 0.001),
            rough=(rng.uniform(30, 150), rng.uniform(0, 0.3) if shrill else rng.uniform(0.2, 1)),
            sub=rng.uniform(0.1, 0.6) if rng.random() < 0.4 and not shrill else 0.0,
        )
        out = voiced(top * rng.uniform(0.85, 1.1) * onset * end * wave, throat, rng)
        if rng.random() < 0.3:  # a word begins it
            start = band(rng.standard_normal(int(rng.uniform(0.03, 0.1) * RATE)), 1500, 7000)
            parts.append(0.3 * faded(start, 0.01, 0.02))
        parts += [faded(out, rng.uniform(0.005, 0.1), rng.uniform(0.03, 0.3))]
        parts += [_gasp(rng) if rng.random() < 0.3 else rest(rng.uniform(0.05, 0.7))]
    return np.concatenate(parts)


def _gasp(rng: np.random.Generator) -> Sound:
    noise = band(rng.standard_normal(int(rng.uniform(0.15, 0.5) * RATE)), 600, 5000)
    return rng.uniform(0.03, 0.2) * faded(noise, 0.1, 0.05)


def sobbing(rng: np.random.Generator) -> Sound:
    """A grown person or a child crying: short falling moans that shake, and breath between."""
    child = rng.random() < 0.4
    pitch = rng.uniform(350, 700) if child else rng.uniform(150, 450)
    parts: list[Sound] = []
    for _ in range(rng.integers(2, 6)):
        if rng.random() < 0.5:  # a wail
            time = seconds(rng.uniform(0.5, 1.8))
            fall = 1 + rng.uniform(0.1, 0.6) * np.exp(-time / rng.uniform(0.1, 0.5))
            shake = 1 + rng.uniform(0.01, 0.08) * np.sin(2 * np.pi * rng.uniform(5, 11) * time)
            shaken = 1 - rng.uniform(0, 0.8) * (np.sin(2 * np.pi * rng.uniform(3, 7) * time) > 0)
            throat = Throat(mouth(rng), rng.uniform(8, 16), rng.uniform(0.05, 0.4), 0.0006)
            out = voiced(pitch * fall * shake, throat, rng) * np.convolve(
                shaken, np.ones(400) / 400, "same"
            )
            parts.append(faded(out, 0.05, 0.2))
        else:  # sobs
            beat = rng.uniform(0.14, 0.3)
            for _ in range(rng.integers(2, 7)):
                time = seconds(beat * rng.uniform(0.4, 0.7))
                throat = Throat(mouth(rng), rng.uniform(8, 16), rng.uniform(0.2, 0.9), 0.0006)
                out = voiced(pitch * rng.uniform(0.9, 1.3) * (1 - time), throat, rng)
                parts += [rng.uniform(0.4, 1) * faded(out, 0.02, 0.05), rest(beat * 0.4)]
        parts += [2 * _gasp(rng), rest(rng.uniform(0, 0.4))]
    return np.concatenate(parts)


def baby(rng: np.random.Generator) -> Sound:
    """Cries of about a second that rise and fall, and a breath between them."""
    pitch, size = rng.uniform(330, 620), rng.uniform(0.6, 0.75)
    beat = rng.uniform(0.5, 1.4)
    parts: list[Sound] = []
    for _ in range(rng.integers(3, 7)):
        time = seconds(beat * rng.uniform(0.7, 1.3))
        at = time / time[-1]
        arc = 1 + rng.uniform(0.05, 0.35) * np.sin(np.pi * at ** rng.uniform(0.5, 1.2))
        height = rng.choice([1.0, 2.5], p=[0.9, 0.1])  # now and then hyperphonation
        throat = Throat(
            mouth(rng, size),
            rng.uniform(2, 8),
            rng.uniform(0.02, 0.2),
            rng.uniform(0.0001, 0.0006),
            (rng.uniform(30, 90), rng.uniform(0, 0.8) * (rng.random() < 0.4)),
        )
        out = voiced(pitch * height * arc * rng.uniform(0.95, 1.05), throat, rng)
        parts += [faded(out, rng.uniform(0.02, 0.1), rng.uniform(0.05, 0.2))]
        parts += [rest(0.05), _gasp(rng) if rng.random() < 0.6 else rest(rng.uniform(0.1, 0.5))]
    return np.concatenate(parts)


def laughing(rng: np.random.Generator) -> Sound:
    """Bursts of breathy vowels, four or five a second."""
    pitch, size = rng.uniform(150, 700), rng.uniform(0.75, 1.15)
    parts: list[Sound] = []
    for _ in range(rng.integers(1, 4)):
        beat = rng.uniform(0.16, 0.26)
        for n in range(rng.integers(3, 9)):
            time = seconds(beat * rng.uniform(0.45, 0.65))
            throat = Throat(mouth(rng, size), rng.uniform(8, 14), rng.uniform(0.1, 0.6))
            out = voiced(pitch * (1 - 0.03 * n) * (1 - 0.6 * time), throat, rng)
            parts += [0.95**n * faded(out, 0.015, 0.04), rest(beat * 0.45)]
        parts += [_gasp(rng), rest(rng.uniform(0, 0.5))]
    return np.concatenate(parts)


def singing(rng: np.random.Generator) -> Sound:
    """A few notes with vibrato, seldom in tune; hummed or sung, and loud in a shower."""
    tonic, size = rng.uniform(110, 600), rng.uniform(0.75, 1.15)
    hummed = rng.random() < 0.3
    slope = rng.uniform(14, 20) if hummed else rng.uniform(7, 14)
    parts: list[Sound] = []
    for _ in range(rng.integers(3, 9)):
        note = tonic * 2 ** ((rng.integers(-5, 8) + rng.normal(0, 0.3)) / 12)
        time = seconds(rng.uniform(0.2, 1.4))
        slide = 1 - rng.uniform(0, 0.1) * np.exp(-time / 0.05)
        vibrato = 1 + rng.uniform(0, 0.025) * np.sin(2 * np.pi * rng.uniform(4.5, 7) * time)
        throat = Throat(mouth(rng, size), slope, rng.uniform(0.005, 0.08))
        parts += [faded(voiced(note * slide * vibrato, throat, rng), 0.04, 0.08)]
        parts += [rest(rng.uniform(0, 0.15))]
    return np.concatenate(parts)


def playing(rng: np.random.Generator) -> Sound:
    """Children at play: short squeals, calls and laughs, none of them long or hoarse."""
    parts: list[Sound] = []
    for _ in range(rng.integers(2, 6)):
        if rng.random() < 0.3:
            parts.append(laughing(rng)[: int(1.5 * RATE)])
            continue
        time = seconds(rng.uniform(0.12, 0.45))
        arc = 1 + rng.uniform(-0.25, 0.35) * np.sin(np.pi * time / time[-1])
        throat = Throat(mouth(rng, 0.75), rng.uniform(8, 15), rng.uniform(0.02, 0.15))
        out = voiced(rng.uniform(350, 1000) * arc, throat, rng)
        parts += [rng.uniform(0.3, 1) * faded(out, 0.02, 0.06), rest(rng.uniform(0.1, 0.9))]
    return np.concatenate(parts)


def animal(rng: np.random.Generator) -> Sound:
    """Barks, meows, crowing and birds."""
    kind = rng.choice(["bark", "meow", "bird", "crow"])
    parts: list[Sound] = []
    for _ in range(rng.integers(1, 6)):
        length = {"bark": 0.15, "meow": 0.7, "bird": 0.1, "crow": 0.9}[kind] * rng.uniform(0.7, 1.4)
        time = seconds(length)
        at = time / time[-1]
        arc = 1 + rng.uniform(0.1, 0.6) * np.sin(np.pi * at ** rng.uniform(0.4, 1.5))
        low, high = {"bark": (250, 700), "meow": (350, 800), "bird": (2000, 5000)}.get(
            str(kind), (400, 900)
        )
        noisy = rng.uniform(0.4, 1.2) if kind == "bark" else rng.uniform(0.01, 0.1)
        throat = Throat(mouth(rng, 0.7), rng.uniform(5, 14), noisy, 0.0004)
        out = voiced(rng.uniform(low, high) * arc, throat, rng)
        parts += [faded(out, 0.01 + length / 20, length / 3), rest(rng.uniform(0.05, 0.7))]
    return np.concatenate(parts)
