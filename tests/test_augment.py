"""Variations of sound: chance is what was handed in, and no sample passes full scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.records import SAMPLE_RATE, Floats
from triage.training.augment import (
    CLIP_GAIN,
    CLIP_SHARE,
    LEAD_SECONDS,
    LEAD_SHARE,
    NOISE_SHARE,
    NOISE_SNR_DB,
    PEAK_DB,
    vary,
)

SEEDS = st.integers(0, 2**32 - 1)
SOFTEST = 10 ** (PEAK_DB[0] / 20)
MANY = 300


def sweep(seconds: float = 0.25) -> Floats:
    """From 100 Hz to 7 kHz, so that a low pass takes something away."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.3 * np.sin(2 * np.pi * (100 + 13_800 * time) * time)).astype(np.float32)


def high_share(samples: Floats) -> float:
    """Share of the power above 7.5 kHz."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(power[int(len(power) * 7.5 / 8) :].sum() / power.sum())


@given(SEEDS)
def test_the_same_chance_gives_the_same_sound(seed: int) -> None:
    (one, lead), (two, other) = (vary(sweep(), np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(one, two)
    assert lead == other


@given(SEEDS, st.integers(1, 4000))
def test_a_silent_lead_and_then_all_of_the_sound(seed: int, count: int) -> None:
    varied, lead = vary(sweep()[:count], np.random.default_rng(seed))
    assert varied.dtype == np.float32
    assert len(varied) == lead + min(count, len(sweep()))
    assert LEAD_SECONDS[0] * SAMPLE_RATE <= lead <= LEAD_SECONDS[1] * SAMPLE_RATE
    assert not varied[:lead].any()


@given(SEEDS, st.floats(1e-4, 1))
def test_the_peak_lies_where_it_should_however_loud_it_came(seed: int, loudness: float) -> None:
    varied, _ = vary(sweep() * np.float32(loudness), np.random.default_rng(seed))
    assert SOFTEST * 0.999 <= np.abs(varied).max() <= 1


@given(SEEDS, st.sampled_from([0.0, 1.0, -1.0]), st.integers(1, 500))
def test_silence_and_a_constant_stay_finite(seed: int, value: float, count: int) -> None:
    varied, _ = vary(np.full(count, value, np.float32), np.random.default_rng(seed))
    assert np.isfinite(varied).all()
    assert np.abs(varied).max() <= 1
    if value == 0:
        assert not varied.any()


def test_what_is_varied_is_left_as_it_was() -> None:
    samples = sweep()
    kept = samples.copy()
    for seed in range(20):
        vary(samples, np.random.default_rng(seed))
    assert np.array_equal(samples, kept)


@pytest.fixture(scope="module")
def many() -> list[tuple[Floats, int]]:
    rng = np.random.default_rng(0)
    return [vary(sweep(), rng) for _ in range(MANY)]


def test_no_two_variations_are_alike(many: list[tuple[Floats, int]]) -> None:
    assert len({sound.tobytes() for sound, _ in many}) == MANY


def test_about_half_have_a_lead_of_any_length(many: list[tuple[Floats, int]]) -> None:
    leads = [lead for _, lead in many if lead]
    assert len(leads) / MANY == pytest.approx(LEAD_SHARE, abs=0.1)
    assert np.mean(leads) / SAMPLE_RATE == pytest.approx(sum(LEAD_SECONDS) / 2, abs=0.3)


def test_peaks_are_spread_over_the_range(many: list[tuple[Floats, int]]) -> None:
    peaks = 20 * np.log10([np.abs(sound).max() for sound, _ in many])
    assert np.quantile(peaks, [0.1, 0.5]) == pytest.approx([-32, -16], abs=4)
    assert peaks.max() <= 0


def test_some_are_clipped(many: list[tuple[Floats, int]]) -> None:
    """Of those that clipping is drawn for, only the loud ones pass full scale."""
    clipped = np.mean([np.count_nonzero(np.abs(sound) == 1) > 2 for sound, _ in many])
    highest = 20 * np.log10(CLIP_GAIN[1]) / -PEAK_DB[0]
    assert 0.02 < clipped < CLIP_SHARE * highest + 0.05


def test_some_lose_their_highs(many: list[tuple[Floats, int]]) -> None:
    shares = np.array([high_share(sound[lead:]) for sound, lead in many])
    assert 0.15 < np.mean(shares < high_share(sweep()) / 3) < 0.5


@pytest.fixture(scope="module")
def noises() -> list[tuple[Floats, Floats]]:
    """Of many varied tones that weren't clipped: the tone as it was varied, and all else."""
    rng = np.random.default_rng(0)
    time = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    waves = np.stack([np.sin(2000 * np.pi * time), np.cos(2000 * np.pi * time)], axis=1)
    found = []
    for _ in range(MANY):
        varied, lead = vary(waves[:, 0].astype(np.float32), rng)
        if np.count_nonzero(np.abs(varied) == 1) > 2:
            continue
        settled = slice(SAMPLE_RATE // 20, None)  # behind the low pass's first response
        sound = varied[lead:][settled]
        tone = waves[settled] @ np.linalg.lstsq(waves[settled], sound, rcond=None)[0]
        found.append((tone, sound - tone))
    return found


def test_about_half_have_noise_of_no_more_than_the_sound(
    noises: list[tuple[Floats, Floats]],
) -> None:
    levels = np.array([20 * np.log10(tone.std() / rest.std()) for tone, rest in noises])
    noisy = levels[levels < 45]
    assert len(noisy) / len(levels) == pytest.approx(NOISE_SHARE, abs=0.1)
    assert NOISE_SNR_DB[0] - 2 < noisy.min() < NOISE_SNR_DB[0] + 5
    assert NOISE_SNR_DB[1] - 5 < noisy.max() < NOISE_SNR_DB[1] + 2


def test_half_of_the_noise_is_deep(noises: list[tuple[Floats, Floats]]) -> None:
    noise = [rest for tone, rest in noises if tone.std() < 100 * rest.std()]
    power = [np.abs(np.fft.rfft(rest)) ** 2 for rest in noise]
    under_500_hz = np.array([one[: len(one) // 16].sum() / one.sum() for one in power])
    assert np.mean(under_500_hz > 0.6) == pytest.approx(0.5, abs=0.12)
    assert np.mean(under_500_hz < 0.12) == pytest.approx(0.5, abs=0.12)
