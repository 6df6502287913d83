"""The sounds that are not speech, synthesised with numpy, and the room they are heard in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

Sound = NDArray[np.float64]  # shape (n,), or (2, n) for stereo, nominally in -1..1

RATE = 44_100  # Hz; all sounds are made at it
HIGHEST = 16_000  # Hz; no harmonic above, well below half the rate


# Building blocks --------------------------------------------------------------------------


def clock(seconds: float) -> Sound:
    """Times of the samples of so many seconds, from 0."""
    return np.arange(round(seconds * RATE)) / RATE


def noise(rng: Generator, seconds: float, slope: float = 1.0) -> Sound:
    """Noise at peak 1 whose power falls as 1/f**slope: 0 is white, 1 pink, 2 brown."""
    n = round(seconds * RATE)
    frequencies = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20.0)
    return peak(np.fft.irfft(np.fft.rfft(rng.normal(size=n)) / frequencies ** (slope / 2), n))


def wander(rng: Generator, seconds: float, hz: float) -> Sound:
    """A random curve of deviation 1 that holds nothing faster than `hz`."""
    n = round(seconds * RATE)
    spectrum = np.fft.rfft(rng.normal(size=n))
    spectrum[np.fft.rfftfreq(n, 1 / RATE) > hz] = 0
    curve = np.fft.irfft(spectrum, n)
    return curve / float(curve.std())


def band(sound: Sound, low: float, high: float) -> Sound:
    """What of a sound lies between two frequencies (Hz)."""
    passed: Sound = sosfilt(butter(2, (low, high), "bandpass", fs=RATE, output="sos"), sound)
    return passed


def peak(sound: Sound, level: float = 1.0) -> Sound:
    return sound * (level / float(np.abs(sound).max()))


def fade(sound: Sound, seconds: float = 0.05) -> Sound:
    ramp = np.minimum(clock(sound.shape[-1] / RATE) / seconds, 1.0)
    return sound * ramp * ramp[::-1]


def join(*parts: Sound, gap: float = 0.3) -> Sound:
    """The parts one after another with `gap` seconds of nothing between them."""
    pause = np.zeros(round(gap * RATE))
    return np.concatenate([piece for part in parts for piece in (part, pause)][:-1])


def reverb(rng: Generator, sound: Sound, seconds: float, wet: float) -> Sound:
    """Convolve with noise that has fallen by 60 dB after `seconds`."""
    tail = rng.normal(size=round(seconds * RATE)) * 10 ** (-3 * clock(seconds) / seconds)
    echo = fftconvolve(np.pad(sound, (0, len(tail))), tail)[: len(sound) + len(tail)]
    return np.pad(sound, (0, len(tail))) + wet * peak(echo, np.abs(sound).max())


def room(
    rng: Generator, sound: Sound, seconds: float, at: float = 0.4, floor: float = 0.01
) -> Sound:
    """Put a sound into a small room with pink noise of peak `floor`, and cut at `seconds`."""
    heard = peak(reverb(rng, sound, 0.35, 0.25), 0.7)
    placed = np.pad(heard, (round(at * RATE), round(seconds * RATE)))[: round(seconds * RATE)]
    return placed + floor * noise(rng, seconds)


def harmonics(f0: Sound, gain: Callable[[Sound], Sound]) -> Sound:
    """Every harmonic of a moving fundamental (Hz), each as loud as `gain` says of its Hz."""
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    tones = np.zeros(len(f0))
    for k in range(1, int(HIGHEST / f0.min()) + 1):
        tones += np.where(k * f0 < HIGHEST, gain(k * f0), 0) * np.sin(k * phase)
    return peak(tones)


def throat(*formants: float) -> Callable[[Sound], Sound]:
    """Gain of a voice with resonances at these frequencies (Hz)."""

    def gain(hz: Sound) -> Sound:
        resonances = sum(np.exp(-(((hz - f) / (0.18 * f)) ** 2)) for f in formants)
        return (0.08 + resonances) * (500 / hz) ** 0.6

    return gain


# Sounds -----------------------------------------------------------------------------------


def siren(rng: Generator) -> Sound:
    """A wail that drives past: 600 to 1,400 Hz, dull while it is far away."""
    t = clock(6)
    wail = harmonics(1_000 - 400 * np.cos(2 * np.pi * t / 2.5), lambda hz: (600 / hz) ** 1.2)
    near = np.exp(-(((t - 3.2) / 1.8) ** 2))
    far = band(reverb(rng, wail, 0.8, 0.6)[: len(t)], 300, 1_500)
    passing = peak((0.25 + near) * (near * wail + (1 - near) * far), 0.7)
    return fade(passing, 0.3) + 0.06 * noise(rng, 6, 2)


def smoke_alarm(rng: Generator) -> Sound:
    """Temporal-three (ISO 8201): three beeps of half a second, then a pause, at 3.1 kHz."""
    t = clock(0.5)
    beep = fade(np.tanh(2 * np.sin(2 * np.pi * 3_100 * t)), 0.01)
    three = join(beep, beep, beep, gap=0.5)
    return room(rng, join(three, three, gap=1.5), 7.5)


def music(rng: Generator) -> Sound:
    """Stereo: four bars of a chord, a plucked arpeggio from left to right, and a hi-hat."""
    t = clock(0.25)
    bars = []
    for chord in ((57, 60, 64), (53, 57, 60), (48, 52, 55), (55, 59, 62)):
        notes = [np.full(round(1.5 * RATE), 440 * 2 ** ((key - 69) / 12)) for key in chord]
        pad = fade(
            np.sum([harmonics(note, lambda hz: (200 / hz) ** 1.5) for note in notes], axis=0)
        )
        plucks = [harmonics(2 * notes[k % 3][: len(t)], lambda hz: 500 / hz) for k in range(6)]
        melody = np.concatenate([pluck * np.exp(-6 * t) for pluck in plucks])
        hats = [band(noise(rng, 0.25, 0), 6_000, 12_000) * np.exp(-t / 0.03) for _ in plucks]
        right = np.repeat(rng.uniform(0.2, 0.8, len(plucks)), len(t))
        both = 0.2 * pad + 0.3 * np.concatenate(hats)
        bars.append(both + np.stack([1 - right, right]) * melody)
    return peak(np.concatenate(bars, axis=1), 0.6)


def silence(_: Generator) -> Sound:
    return np.zeros(3 * RATE)


def white_noise(rng: Generator) -> Sound:
    return 0.2 * noise(rng, 3, slope=0)


def scream(rng: Generator) -> Sound:
    """A rough voice near 1.2 kHz, its loudness beaten at 30 to 150 Hz (Arnal et al., 2015)."""
    t = clock(3)
    pitch = 950 + 350 * np.sin(np.pi * t / 3) ** 0.6
    f0 = pitch * (1 + 0.012 * wander(rng, 3, 40) + 0.02 * wander(rng, 3, 8))
    beat = np.sin(2 * np.pi * np.cumsum(np.clip(80 + 25 * wander(rng, 3, 6), 30, 150)) / RATE)
    voice = harmonics(f0, throat(1_300, 2_700, 3_900)) * (0.6 + 0.4 * beat)
    breath = 0.25 * band(noise(rng, 3, 0), 1_000, 6_000)
    return room(rng, fade(np.tanh(2.5 * (voice + breath)), 0.12), 5, at=1, floor=0.015)


def shots(rng: Generator) -> Sound:
    """Two blasts: a crack of a few milliseconds, a thump, and a long tail from outside."""
    t = clock(0.4)
    blasts = []
    for _ in range(2):
        crack = noise(rng, 0.4, 0) * np.exp(-t / 0.006)
        thump = noise(rng, 0.4, 2) * np.exp(-t / 0.05)
        blasts.append(np.tanh(6 * (crack + thump)))
    dry = join(*blasts, gap=0.5)
    return room(rng, reverb(rng, dry, 1.2, 0.3), 3.5, at=0.6)


def glass(rng: Generator) -> Sound:
    """A blow, then hundreds of shards: bursts of hiss and damped tones that thin out."""
    t = clock(1.6)
    sound = 2 * noise(rng, 1.6, 0.5) * np.exp(-t / 0.03)
    for _ in range(400):
        start = min(round(rng.exponential(0.3) * RATE), len(t) - 1)
        ring = t[: len(t) - start]
        tone = np.sin(2 * np.pi * rng.uniform(2_000, 15_000) * ring)
        shard = (tone + 0.5 * rng.normal(size=ring.size)) * rng.uniform(0.05, 0.5)
        sound[start:] += shard * np.exp(-ring / rng.uniform(0.005, 0.05))
    return room(rng, np.tanh(sound), 3, at=0.5)


def baby_cry(rng: Generator) -> Sound:
    """Four bursts of about a second that rise and fall between 400 and 600 Hz."""
    bursts = []
    for _ in range(4):
        seconds = rng.uniform(0.8, 1.1)
        rise = np.sin(np.pi * (clock(seconds) / seconds) ** 0.7)
        f0 = (400 + rng.uniform(120, 190) * rise) * (1 + 0.008 * wander(rng, seconds, 30))
        breath = 0.1 * band(noise(rng, seconds, 0), 1_000, 5_000)
        bursts.append(fade((harmonics(f0, throat(1_100, 2_900, 4_200)) + breath) * rise))
    return room(rng, join(*bursts, gap=0.45), 6)
