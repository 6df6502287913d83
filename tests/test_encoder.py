"""The real encoder: how many frames, where they stand, and that no chunk depends on another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from triage.encoder import (
    FOR_SOUNDS,
    FOR_WORDS,
    FRAME_RATE,
    LONGEST_CHUNK,
    SAMPLES_PER_FRAME,
    SpeechEncoder,
)
from triage.records import SAMPLE_RATE, Floats
from triage.weights import WHISPER_TINY_EN, resolve

pytestmark = pytest.mark.models

WIDTH = 384  # of Whisper tiny
MEL_FRAME_RATE = 100  # a second
BURST = 2.0, 2.3  # s


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    return SpeechEncoder(resolve(WHISPER_TINY_EN), workers=2)


def noise(seconds: float, seed: int = 0, level: float = 0.01) -> Floats:
    count = round(seconds * SAMPLE_RATE)
    return np.random.default_rng(seed).normal(0, level, count).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "frames"),
    [
        (0, 1),
        (1, 1),
        (SAMPLES_PER_FRAME, 1),
        (SAMPLES_PER_FRAME + 1, 2),
        (SAMPLE_RATE, FRAME_RATE),
        (LONGEST_CHUNK * SAMPLE_RATE, LONGEST_CHUNK * FRAME_RATE),
    ],
)
def test_a_frame_for_each_20_ms_begun(encoder: SpeechEncoder, samples: int, frames: int) -> None:
    encoded = encoder.encode(noise(2 * LONGEST_CHUNK)[:samples])
    assert encoded.frames.shape == (frames, WIDTH) == (frames, encoder.width)
    assert encoded.frames.dtype == np.float32
    assert np.isfinite(encoded.frames).all()


@pytest.mark.parametrize(
    ("seconds", "given"),
    [
        (1, FOR_WORDS.shortest),
        (FOR_WORDS.shortest - FOR_WORDS.behind, FOR_WORDS.shortest),
        (10, 10 + FOR_WORDS.behind),
    ],
)
def test_the_padding_is_the_decoders_and_not_among_the_frames(
    encoder: SpeechEncoder, seconds: int, given: int
) -> None:
    encoded = encoder.encode(noise(seconds))
    whole = np.array(encoded.output)
    assert whole.shape == (1, given * FRAME_RATE, WIDTH)
    assert encoded.mel_frames == given * MEL_FRAME_RATE
    assert np.array_equal(whole[0, : seconds * FRAME_RATE], encoded.frames)


def test_where_nothing_is_written_down_a_second_of_silence_will_do(encoder: SpeechEncoder) -> None:
    short = SpeechEncoder(resolve(WHISPER_TINY_EN), padding=FOR_SOUNDS).encode(noise(3))
    assert short.mel_frames == 4 * MEL_FRAME_RATE
    long = encoder.encode(noise(3)).frames
    alike = np.sum(short.frames * long, axis=1)
    alike /= np.linalg.norm(short.frames, axis=1) * np.linalg.norm(long, axis=1)
    assert alike.mean() > 0.9  # the same sounds to the heads, nearly


def test_a_frame_stands_where_its_sound_is(encoder: SpeechEncoder) -> None:
    quiet = noise(5)
    time = np.arange(len(quiet)) / SAMPLE_RATE
    beep = 0.5 * np.sin(2 * np.pi * 1000 * time) * ((time >= BURST[0]) & (time < BURST[1]))
    change = encoder.encode(quiet + beep.astype(np.float32)).frames - encoder.encode(quiet).frames
    moved = np.linalg.norm(change, axis=1)
    first, last = (round(edge * FRAME_RATE) for edge in BURST)
    assert first - 2 <= moved.argmax() <= last + 2
    assert moved[first:last].mean() > 2 * np.delete(moved, np.s_[first:last]).mean()


def test_the_same_sound_gives_the_same_frames_whatever_came_between(encoder: SpeechEncoder) -> None:
    before = encoder.encode(noise(2)).frames
    encoder.encode(noise(7, seed=1, level=0.5))
    assert np.array_equal(encoder.encode(noise(2)).frames, before)


def test_chunks_side_by_side_give_what_each_gives_alone(encoder: SpeechEncoder) -> None:
    chunks = [noise(1 + seed, seed) for seed in range(4)]
    alone = [encoder.encode(chunk).frames for chunk in chunks]
    with ThreadPoolExecutor(4) as pool:
        together = [encoded.frames for encoded in pool.map(encoder.encode, chunks)]
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other)


def test_samples_are_only_read(encoder: SpeechEncoder) -> None:
    samples = noise(1)
    samples.flags.writeable = False  # as those of a decoded recording are
    encoder.encode(samples)


def test_frames_outlive_what_they_were_read_from(encoder: SpeechEncoder) -> None:
    frames = encoder.encode(noise(1)).frames
    kept = frames.copy()
    encoder.encode(noise(1, seed=1))
    assert np.array_equal(frames, kept)


def test_a_chunk_that_is_too_long_is_refused(encoder: SpeechEncoder) -> None:
    with pytest.raises(ValueError, match="416001 samples, at most 416000"):
        encoder.encode(np.zeros(LONGEST_CHUNK * SAMPLE_RATE + 1, np.float32))


def test_nothing_of_the_recording_is_in_the_repr(encoder: SpeechEncoder) -> None:
    assert repr(encoder.encode(noise(1))) == "Encoded()"
