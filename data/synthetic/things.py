"""Things: shots, glass, sirens and alarms, and the household that they must be told from.

Struck things are sums of dying modes, blasts are a pressure wave and noise that dies in a space,
sirens are tones that move (A. Farnell, "Designing Sound", MIT Press 2010, describes the like).
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt
from voices import HIGHEST, RATE, Sound, band, faded, rest, seconds


def _low(sound: Sound, cut: float, order: int = 2) -> Sound:
    out: Sound = sosfilt(butter(order, cut, fs=RATE, output="sos"), sound)
    return out


def _scaled(sound: Sound) -> Sound:
    return sound / max(float(np.abs(sound).max()), 1e-9)


def _space(rng: np.random.Generator, length: float, echoes: int, dull: float) -> Sound:
    """What a place answers to a clap: noise that dies away, and echoes from walls."""
    time = seconds(length)
    tail = _low(rng.standard_normal(len(time)) * 10 ** (-3 * time / length), dull)
    tail *= rng.uniform(0.01, 0.08) / max(float(tail.std()), 1e-9)
    for _ in range(echoes):
        tail[rng.integers(len(tail) // 20, len(tail) // 2)] += rng.uniform(0.1, 0.5)
    tail[0] += 1
    return tail


def gunshot(rng: np.random.Generator) -> Sound:
    """A pressure wave (Friedlander's), the blast's noise, and the place's answer; one or many."""
    burst = rng.random() < 0.3
    count = rng.integers(3, 12) if burst else rng.integers(1, 4)
    gap = rng.uniform(0.07, 0.14) if burst else rng.uniform(0.3, 1.2)
    out = rest(gap * count + 0.3)
    wave = seconds(0.02)
    width, decay = rng.uniform(0.0002, 0.002), rng.uniform(0.004, 0.04)
    for n in range(count):
        time = seconds(6 * decay)
        blast = rng.standard_normal(len(time)) * np.exp(-time / decay) * rng.uniform(0.3, 1)
        blast[: len(wave)] += (3 * np.exp(-wave / width) * (1 - wave / width))[: len(time)]
        start = int((n * gap * rng.uniform(0.95, 1.05)) * RATE)
        stop = min(len(out), start + len(blast))
        out[start:stop] += blast[: stop - start] * rng.uniform(0.7, 1)
    space = _space(rng, rng.uniform(0.2, 2.0), rng.integers(0, 6), rng.uniform(800, 5000))
    out = fftconvolve(out, space)
    return _scaled(_low(out, rng.uniform(1500, HIGHEST)))


def explosion(rng: np.random.Generator) -> Sound:
    """A blow, a low roar that dies over seconds, and what falls down."""
    time = seconds(rng.uniform(1.5, 4.5))
    decay = rng.uniform(0.2, 1.2)
    roar = _low(rng.standard_normal(len(time)), rng.uniform(80, 500), 1) * np.exp(-time / decay)
    roar = _scaled(roar) * np.minimum(1, (time + 1e-3) / rng.uniform(0.002, 0.05))
    blow = rng.standard_normal(len(time)) * np.exp(-time / rng.uniform(0.01, 0.08))
    crackle = (rng.random(len(time)) < 0.002) * rng.standard_normal(len(time))
    crackle = band(crackle * np.exp(-time / (2 * decay)), 500, 6000) if crackle.any() else crackle
    out = roar + rng.uniform(0.1, 0.6) * blow + rng.uniform(0, 0.2) * crackle
    space = _space(rng, rng.uniform(0.5, 2.5), rng.integers(0, 5), rng.uniform(300, 2500))
    return _scaled(np.tanh(rng.uniform(1, 4) * _scaled(fftconvolve(out, space))))


def _struck(rng: np.random.Generator, low: float, high: float, ring: float, modes: int) -> Sound:
    """Something that is hit once and rings, s."""
    time = seconds(min(2.0, 5 * ring))
    out = np.zeros(len(time))
    for pitch in rng.uniform(low, high, modes):
        decay = ring * rng.uniform(0.3, 1.5) * (low / pitch) ** 0.3
        out += (
            rng.uniform(0.2, 1)
            * np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6))
            * np.exp(-time / decay)
        )
    return _scaled(out)


def _strewn(sounds: list[Sound], starts: list[float], levels: list[float]) -> Sound:
    """Many sounds in one, each at its time in s."""
    places = [int(start * RATE) for start in starts]
    out = rest(0.05 + max(p + len(s) for p, s in zip(places, sounds, strict=True)) / RATE)
    for sound, place, level in zip(sounds, places, levels, strict=True):
        out[place : place + len(sound)] += level * sound
    return _scaled(out)


def glass_break(rng: np.random.Generator) -> Sound:
    """A blow, a burst of shards, and pieces that fall and tinkle."""
    shards = rng.integers(25, 110)
    spread = rng.uniform(0.08, 0.5)
    starts = [float(s) for s in rng.exponential(spread, shards)]
    sounds = [
        _struck(rng, rng.uniform(1500, 4500), HIGHEST, rng.uniform(0.008, 0.09), rng.integers(2, 6))
        for _ in range(shards)
    ]
    levels = [float(rng.uniform(0.1, 1) * np.exp(-s / (3 * spread))) for s in starts]
    time = seconds(0.15)
    crash = rng.standard_normal(len(time)) * np.exp(-time / rng.uniform(0.01, 0.05))
    crash = band(crash, rng.uniform(200, 1500), 7500)
    return _strewn([crash, *sounds], [0.0, *starts], [rng.uniform(0.5, 2), *levels])


def _tone(pitch: Sound, rng: np.random.Generator, edge: float) -> Sound:
    """From a sine to nearly a square wave, without what lies over the highest frequency."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    out = np.zeros(len(pitch))
    for n in range(1, 20):
        weight = 1.0 if n == 1 else edge / n * (1 if n % 2 else 0.4)
        out += weight * (pitch * n < HIGHEST) * np.sin(n * phase)
    return _scaled(out)


def siren(rng: np.random.Generator) -> Sound:
    """Wail, yelp, phaser, two-tone or a rising mechanical one, passing by or far away."""
    kind = rng.choice(["wail", "yelp", "phaser", "two-tone", "rise"])
    time = seconds(rng.uniform(3, 6))
    low, high = rng.uniform(350, 800), rng.uniform(1000, 1800)
    if kind == "two-tone":
        first = rng.uniform(380, 700)
        second = first * rng.choice([1.12, 1.19, 1.26, 1.33, 1.5])
        hold = rng.uniform(0.3, 0.8)
        pitch = np.where((time / hold + rng.uniform(0, 2)) % 2 < 1, first, second)
    else:
        period = {"wail": 5.0, "yelp": 0.35, "phaser": 0.08, "rise": 12.0}[str(kind)]
        at = (time / (period * rng.uniform(0.7, 1.4)) + rng.uniform(0, 1)) % 1
        up = rng.uniform(0.2, 0.8)
        swing = np.where(at < up, at / up, (1 - at) / (1 - up)) ** rng.uniform(0.6, 1.2)
        pitch = low * (high / low) ** swing
    speed = rng.uniform(-0.06, 0.06)
    pitch = pitch * (1 + speed * np.tanh((time - time[-1] * rng.uniform(0.2, 0.8)) * 2))
    out = _tone(pitch, rng, rng.uniform(0, 1.2))
    near = 1 - rng.uniform(0, 0.8) * np.abs(time / time[-1] - rng.uniform(0, 1))
    out = fftconvolve(out * near, _space(rng, rng.uniform(0.1, 1.5), 2, 3000))[: len(time)]
    return _scaled(_low(out, rng.uniform(1500, HIGHEST)))


def alarm(rng: np.random.Generator) -> Sound:
    """Smoke and gas alarms, bells, buzzers, clocks, and what cars do."""
    kind = rng.choice(["smoke", "clock", "bell", "buzzer", "sweep"])
    out = rest(0)
    if kind == "bell":
        beat = 1 / rng.uniform(8, 20)
        count = int(rng.uniform(1.5, 4) / beat)
        one = _struck(rng, rng.uniform(600, 1800), 6000, rng.uniform(0.1, 0.5), 8)
        return _strewn([one] * count, [n * beat for n in range(count)], [1.0] * count)
    pitch = rng.uniform(*{"smoke": (2800, 3500), "clock": (1000, 2600)}.get(kind, (400, 1500)))
    on, off = {"smoke": (0.5, 0.5), "clock": (0.09, 0.07), "buzzer": (0.5, 0.4)}.get(
        str(kind), (0.4, 0.02)
    )
    each = {"smoke": 3, "clock": 4}.get(str(kind), 1)
    stretch, edge = rng.uniform(0.7, 1.4), rng.uniform(0, 1.5)
    while len(out) < rng.uniform(2, 5) * RATE:
        for _ in range(each):
            time = seconds(on * stretch)
            move = 1 + (rng.choice([-1, 1]) * 0.5 * time / time[-1] if kind == "sweep" else 0)
            out = np.concatenate(
                (out, faded(_tone(pitch * (move + 0 * time), rng, edge), 0.004, 0.01))
            )
            out = np.concatenate((out, rest(off * stretch)))
        out = np.concatenate((out, rest(0.5 if each > 1 else 0)))
    return out


def knocking(rng: np.random.Generator) -> Sound:
    """Doors, steps, hammers, claps, keyboards, things put down: what isn't a shot."""
    kind = rng.choice(["wood", "clap", "metal", "slam"])
    count = 1 if kind == "slam" else rng.integers(2, 9)
    sounds = []
    for _ in range(count):
        if kind == "clap":
            time = seconds(0.05)
            sounds.append(band(rng.standard_normal(len(time)) * np.exp(-time / 0.008), 700, 5000))
        else:
            low, high, ring = {
                "wood": (80, 1200, 0.03),
                "metal": (400, 5000, 0.15),
                "slam": (40, 400, 0.12),
            }[str(kind)]
            sounds.append(_struck(rng, low, high, ring * rng.uniform(0.5, 2), 9))
    gap = rng.uniform(0.12, 0.7)
    starts = [n * gap * rng.uniform(0.9, 1.1) for n in range(count)]
    levels = [rng.uniform(0.4, 1) for _ in range(count)]
    out = _strewn(sounds, starts, levels)
    return _scaled(fftconvolve(out, _space(rng, rng.uniform(0.1, 0.6), 0, 3000)))


def dishes(rng: np.random.Generator) -> Sound:
    """Plates, cutlery, keys, coins and glasses that stay whole: a few clear clinks."""
    count = rng.integers(2, 14)
    low = rng.uniform(900, 4000)
    sounds = [
        _struck(rng, low, HIGHEST, rng.uniform(0.03, 0.4), rng.integers(2, 7)) for _ in range(count)
    ]
    starts = [float(s) for s in np.cumsum(rng.exponential(rng.uniform(0.08, 0.5), count))]
    return _strewn(sounds, starts, [rng.uniform(0.1, 1) for _ in range(count)])


def melody(rng: np.random.Generator) -> Sound:
    """A tune of plucked or blown notes and chords, with drums now and then: music."""
    beat, tonic = rng.uniform(0.15, 0.5), rng.uniform(110, 500)
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12])
    plucked, chords, edge = rng.random() < 0.6, rng.random() < 0.5, rng.uniform(0, 1)
    sounds, starts = [], []
    for n in range(int(rng.uniform(2, 5) / beat)):
        for _ in range(3 if chords else 1):
            pitch = tonic * 2 ** (rng.choice(scale) / 12)
            time = seconds(beat * rng.uniform(0.8, 2.5))
            note = _tone(pitch + 0 * time, rng, edge)
            note = note * np.exp(-time / (beat * 0.8)) if plucked else faded(note, 0.03, 0.06)
            sounds.append(note)
            starts.append(n * beat)
        if rng.random() < 0.4:
            sounds.append(_struck(rng, 50, 200, 0.08, 5))
            starts.append(n * beat)
    return _strewn(sounds, starts, [rng.uniform(0.4, 1) for _ in sounds])


def shrill(rng: np.random.Generator) -> Sound:
    """Whistles, kettles, hinges, brakes and bows: high, long and steady, but nobody's throat."""
    kind = rng.choice(["whistle", "kettle", "squeak", "bowed"])
    time = seconds(rng.uniform(0.4, 3))
    bend = 1 + rng.uniform(0, 0.15) * np.sin(2 * np.pi * rng.uniform(0.2, 3) * time + 1)
    pitch = rng.uniform(*{"bowed": (300, 1800), "squeak": (500, 2500)}.get(kind, (900, 3500)))
    out = _tone(pitch * bend, rng, 1.0 if kind in {"bowed", "squeak"} else 0.05)
    hiss = {"kettle": 0.5, "whistle": 0.1}.get(str(kind), 0.03)
    out += hiss * band(rng.standard_normal(len(time)), 1500, 7000)
    return faded(_scaled(out), rng.uniform(0.02, 0.4), 0.1)


def hum(rng: np.random.Generator) -> Sound:
    """Fans, engines, rain, wind and mains."""
    time = seconds(rng.uniform(2, 5))
    noise = _low(rng.standard_normal(len(time)), rng.uniform(200, 6000), 1)
    swell = 1 + rng.uniform(0, 0.8) * np.sin(2 * np.pi * rng.uniform(0.1, 12) * time)
    engine = _tone(rng.uniform(40, 160) * (1 + 0.1 * np.sin(time)), rng, 1.5)
    return _scaled(_scaled(noise) * swell + rng.choice([0.0, 0.5]) * engine)
