"""Mixing down: the same sound however it comes in frames, and a second of it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.errors import DamagedAudio
from triage.records import SAMPLE_RATE, Floats
from triage.resample import mixed_down

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
RATES = (8_000, 11_025, 16_000, 44_100, 48_000)


def noise(samples: int, channels: int = 1) -> Floats:
    """Shape (channels, samples)."""
    drawn = np.random.default_rng(samples).uniform(-0.5, 0.5, (channels, samples))
    return drawn.astype(np.float32)


def framed(sound: Floats, rate: int, sizes: Sequence[int]) -> Iterator[av.AudioFrame]:
    """The sound in planar frames of these sizes, over and over until all of it is out."""
    at = number = 0
    while at < sound.shape[1]:
        size = sizes[number % len(sizes)]
        cut = np.ascontiguousarray(sound[:, at : at + size])
        frame = av.AudioFrame.from_ndarray(cut, format="fltp", layout=LAYOUTS[len(sound)])
        frame.sample_rate = rate
        yield frame
        at, number = at + size, number + 1


def mixed(frames: Iterator[av.AudioFrame]) -> Floats:
    return np.frombuffer(mixed_down(frames), np.float32)


@given(
    st.sampled_from(RATES),
    st.sampled_from(sorted(LAYOUTS)),
    st.integers(100, 100_000),
    st.lists(st.integers(200, 60_000), min_size=1, max_size=4),
)
def test_how_sound_comes_in_frames_changes_nothing(
    rate: int, channels: int, samples: int, sizes: list[int]
) -> None:
    sound = noise(samples, channels)
    whole = mixed(framed(sound, rate, [samples]))
    assert np.array_equal(mixed(framed(sound, rate, sizes)), whole)
    assert abs(len(whole) - samples * SAMPLE_RATE / rate) <= 4


def test_nothing_is_lost_where_the_format_changes() -> None:
    frames = [*framed(noise(12_000, 2), 48_000, [960]), *framed(noise(2_000), 8_000, [160])]
    assert len(mixed(iter(frames))) == SAMPLE_RATE // 2


def test_channels_count_alike() -> None:
    sound = np.stack([noise(SAMPLE_RATE)[0], np.zeros(SAMPLE_RATE, np.float32)])
    assert mixed(framed(sound, SAMPLE_RATE, [400])) == pytest.approx(sound[0] / 2)


def test_the_resampler_is_asked_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = [], av.AudioResampler

    class Counting:
        def __init__(self, **options: object) -> None:
            self._real = real(**options)

        def resample(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
            asked.append(frame and frame.samples)
            return self._real.resample(frame)

    monkeypatch.setattr(av, "AudioResampler", Counting)
    mixed(framed(noise(3 * 48_000 + 480), 48_000, [960]))
    assert asked == [48_000, 48_000, 48_000, 480, None]


def test_of_no_frames_there_is_nothing() -> None:
    assert not mixed_down(iter([]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    sound = noise(1_000)
    sound[0, 500] = value
    with pytest.raises(DamagedAudio, match="finite"):
        mixed(framed(sound, SAMPLE_RATE, [100]))


def test_what_is_over_full_scale_is_cut() -> None:
    loud = np.full((1, 1_000), 3, np.float32)
    assert set(mixed(framed(loud, SAMPLE_RATE, [100])).tolist()) == {1.0}
