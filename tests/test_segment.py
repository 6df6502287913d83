"""Speech, chunks, windows and signal flags, on synthesised sound and the project's samples."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage import segment
from triage.audio import Limits, decode
from triage.records import SAMPLE_RATE, Floats, Span, Waveform
from triage.segment import (
    CUT_REGION,
    LONGEST_CHUNK,
    SHORTEST_CHUNK,
    chunks,
    frame_levels,
    signal_flags,
    speech_spans,
    windows,
)

SAMPLES = Path(__file__).parent.parent / "data" / "samples"
FLOAT_ERROR = 1e-9


def waveform(samples: Floats, *, damaged: bool = False) -> Waveform:
    return Waveform(np.asarray(samples, np.float32), SAMPLE_RATE, 1, damaged)


def noise(seconds: float, level: float = -20.0, seed: int = 0) -> Floats:
    """White noise at `level` dBFS."""
    count = int(seconds * SAMPLE_RATE)
    white = np.random.default_rng(seed).normal(0, 10 ** (level / 20), count)
    return white.clip(-1, 1).astype(np.float32)


def tone(seconds: float, hz: float = 440.0, amplitude: float = 0.5) -> Floats:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def silence(seconds: float) -> Floats:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


@pytest.fixture(scope="module")
def command() -> Floats:
    """A spoken command of 3.2 s: about 0.5 s to 2.3 s of it are speech."""
    return decode(SAMPLES / "timer.wav", Limits(10**6, 60, 2)).samples


# Speech -------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [-6.0, -20.0, -40.0, -70.0])
def test_nobody_speaks_in_noise(level: float) -> None:
    assert speech_spans(waveform(noise(5, level))) == ()


@pytest.mark.parametrize("hz", [50, 440, 3_000])
def test_nobody_speaks_in_a_tone(hz: float) -> None:
    assert speech_spans(waveform(tone(5, hz))) == ()


@pytest.mark.parametrize("seconds", [1 / SAMPLE_RATE, 0.02, 1.0, 61.0])
def test_nobody_speaks_in_silence(seconds: float) -> None:
    assert speech_spans(waveform(silence(seconds))) == ()


def test_speech_is_found_where_it_is(command: Floats) -> None:
    (span,) = speech_spans(waveform(np.concatenate([silence(2), command, noise(2, -60)])))
    loud = np.flatnonzero(np.abs(command) > 0.05) / SAMPLE_RATE + 2
    assert loud[0] - 0.5 < span.start < loud[0]
    assert loud[-1] < span.end < loud[-1] + 0.5


def test_a_word_of_a_third_of_a_second_is_found(command: Floats) -> None:
    word = command[SAMPLE_RATE : SAMPLE_RATE * 4 // 3]
    (span,) = speech_spans(waveform(np.concatenate([noise(2, -60), word, noise(2, -60)])))
    assert span.start < 2.0 < 2.3 < span.end


def test_speech_too_faint_to_hear_is_left_out(command: Floats) -> None:
    loudest = frame_levels(command).max()
    for level, found in ((-58.0, True), (-62.0, False)):
        faint = command * np.float32(10 ** ((level - loudest) / 20))
        assert bool(speech_spans(waveform(faint))) is found


def test_the_ends_of_quiet_sentences_count_for_their_loud_middle(command: Floats) -> None:
    (quiet,) = speech_spans(waveform(command * np.float32(0.01)))
    (loud,) = speech_spans(waveform(command))
    assert quiet.start == pytest.approx(loud.start, abs=0.2)
    assert quiet.end == pytest.approx(loud.end, abs=0.2)


@pytest.mark.parametrize("offset", [-2.6, -1.9, -1.2, -0.55, -0.3])
def test_a_block_border_changes_nothing(
    command: Floats, monkeypatch: pytest.MonkeyPatch, offset: float
) -> None:
    """The border falls before, into and behind the speech."""
    sound = waveform(np.concatenate([noise(6 + offset, -60), command, noise(2, -60)]))
    (whole,) = speech_spans(sound)
    monkeypatch.setattr(segment, "BLOCK", 6 * SAMPLE_RATE)
    (blocked,) = speech_spans(sound)
    assert blocked.start == pytest.approx(whole.start, abs=0.07)  # two of silero's windows
    assert blocked.end == pytest.approx(whole.end, abs=0.07)


def test_only_one_block_at_a_time_goes_to_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    import faster_whisper.vad

    seen: list[int] = []

    def spy(samples: Floats, _: object) -> list[dict[str, int]]:
        seen.append(len(samples))
        return []

    monkeypatch.setattr(faster_whisper.vad, "get_speech_timestamps", spy)
    speech_spans(waveform(silence(150)))
    assert [length // SAMPLE_RATE for length in seen] == [61, 62, 31]


def test_a_block_answers_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found in the overlaps belongs to the blocks beside."""
    import faster_whisper.vad

    answers = iter([[], [{"start": 0, "end": 8 * SAMPLE_RATE}], []])
    monkeypatch.setattr(segment, "BLOCK", 6 * SAMPLE_RATE)
    monkeypatch.setattr(faster_whisper.vad, "get_speech_timestamps", lambda *_: next(answers))
    assert speech_spans(waveform(noise(18))) == (Span(6, 12),)


def test_a_span_shorter_than_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    import faster_whisper.vad

    answer = [{"start": 0, "end": 100}]
    monkeypatch.setattr(faster_whisper.vad, "get_speech_timestamps", lambda *_: answer)
    assert speech_spans(waveform(noise(100 / SAMPLE_RATE))) == (Span(0, 100 / SAMPLE_RATE),)


@pytest.mark.parametrize(("pause", "count"), [(0.2, 1), (0.8, 2), (3.0, 2)])
def test_a_pause_of_half_a_second_ends_a_span(command: Floats, pause: float, count: int) -> None:
    word = command[SAMPLE_RATE * 3 // 4 : SAMPLE_RATE * 3 // 2]
    room = noise(1, -60)
    spans = speech_spans(waveform(np.concatenate([room, word, noise(pause, -60), word, room])))
    assert len(spans) == count
    assert all(one.end < two.start for one, two in itertools.pairwise(spans))


# Chunks -------------------------------------------------------------------------------------


@st.composite
def recordings(draw: st.DrawFn) -> tuple[Waveform, tuple[Span, ...]]:
    length = draw(st.integers(1, 120 * SAMPLE_RATE))
    seconds = length / SAMPLE_RATE
    times = draw(st.lists(st.floats(0, seconds), max_size=30, unique=True).map(sorted))
    spans = tuple(Span(start, end) for start, end in zip(times[::2], times[1::2], strict=False))
    loudness = np.repeat(
        np.random.default_rng(draw(st.integers(0, 99))).random(length // 1_600 + 1), 1_600
    )
    return waveform(loudness[:length].astype(np.float32)), spans


@settings(deadline=None, max_examples=150)
@given(recordings())
def test_chunks_tile_the_recording(recording: tuple[Waveform, tuple[Span, ...]]) -> None:
    sound, spans = recording
    found = chunks(sound, spans)
    assert found[0].start == 0
    assert found[-1].end == len(sound.samples)
    assert all(one.end == two.start for one, two in itertools.pairwise(found))
    shortest = min(SHORTEST_CHUNK, len(sound.samples))
    assert all(shortest <= one.end - one.start <= LONGEST_CHUNK for one in found)
    assert all(
        one.end - one.start >= LONGEST_CHUNK - SHORTEST_CHUNK - CUT_REGION for one in found[:-1]
    )
    assert found == chunks(sound, spans)


@settings(deadline=None, max_examples=150)
@given(recordings())
def test_a_chunk_speaks_if_a_span_reaches_into_it(
    recording: tuple[Waveform, tuple[Span, ...]],
) -> None:
    sound, spans = recording
    for one in chunks(sound, spans):
        start, end = one.start / SAMPLE_RATE, one.end / SAMPLE_RATE
        longest = max((min(s.end, end) - max(s.start, start) for s in spans), default=0.0)
        if abs(longest - 0.1) > 1e-3:
            assert one.speaks is (longest > 0.1)


def test_up_to_18_seconds_are_one_chunk() -> None:
    assert len(chunks(waveform(silence(18)), ())) == 1
    assert len(chunks(waveform(silence(18 + 1 / SAMPLE_RATE)), ())) == 2


def test_no_sliver_is_left_at_the_end() -> None:
    sound = np.concatenate([noise(18), silence(0.3)])
    _, last = chunks(waveform(sound), (Span(0, 17.8),))
    assert last.end - last.start >= SHORTEST_CHUNK


def test_a_chunk_ends_in_the_longest_pause_of_its_last_8_seconds() -> None:
    spans = (Span(0, 4), Span(8, 12), Span(12.5, 15), Span(16.5, 22))
    first, second = chunks(waveform(noise(22)), spans)
    assert 15 <= first.end / SAMPLE_RATE <= 16.5  # not 4 to 8, though that is longer
    assert first.speaks
    assert second.speaks


def test_a_chunk_ends_where_the_pause_is_quietest() -> None:
    """A scream is a pause to the speech detector; it must not be cut in two."""
    scream = np.concatenate([noise(12, -50), tone(3.5, 1_500), noise(0.2, -80), noise(6.3, -50)])
    first, second = chunks(waveform(scream), ())
    assert first.end / SAMPLE_RATE == pytest.approx(15.6, abs=0.1)
    assert not first.speaks
    assert not second.speaks


def test_without_a_pause_the_quietest_moment_will_do() -> None:
    sound = noise(22)
    sound[int(12.3 * SAMPLE_RATE) : int(12.4 * SAMPLE_RATE)] *= 0.1
    first, _ = chunks(waveform(sound), (Span(0, 22),))
    assert first.end / SAMPLE_RATE == pytest.approx(12.35, abs=0.026)


# Windows ------------------------------------------------------------------------------------


@given(
    samples=st.integers(1, 600 * SAMPLE_RATE),
    length=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    share=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_windows_cover_the_recording(samples: int, length: float, share: float) -> None:
    seconds = samples / SAMPLE_RATE
    spans = windows(seconds, length, length * share)
    assert spans[0].start == 0
    assert spans[-1].end == seconds
    for one in spans:
        assert one.end - one.start == pytest.approx(min(length, seconds), abs=FLOAT_ERROR)
    for one, two in itertools.pairwise(spans):
        assert 0 < two.start - one.start <= length * share + FLOAT_ERROR
        assert two.start <= one.end + FLOAT_ERROR


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.3, [(0, 0.3)]),
        (2.0, [(0, 2)]),
        (2.5, [(0, 2), (0.5, 2.5)]),
        (4.0, [(0, 2), (1, 3), (2, 4)]),
        (4.25, [(0, 2), (1, 3), (2, 4), (2.25, 4.25)]),
    ],
)
def test_windows_by_hand(seconds: float, expected: list[tuple[float, float]]) -> None:
    assert [(one.start, one.end) for one in windows(seconds)] == expected


# Signal flags -------------------------------------------------------------------------------


def raised(samples: Floats, *, damaged: bool = False) -> set[str]:
    return {
        flag for flag, is_set in signal_flags(waveform(samples, damaged=damaged)).items() if is_set
    }


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (silence(3), {"silent"}),
        (silence(1 / SAMPLE_RATE), {"silent"}),
        (noise(3, -65), {"silent"}),
        (noise(3, -50), {"noisy"}),
        (noise(3, -20), {"noisy"}),
        (np.concatenate([silence(600), tone(0.1)]), set()),
        (np.concatenate([noise(600, -55), tone(1)]), set()),
        (np.concatenate([noise(20, -35), tone(20, amplitude=0.05)]), {"noisy"}),
        (np.concatenate([silence(2), tone(2, amplitude=0.98)]), set()),
        (np.concatenate([silence(2), tone(2, amplitude=2).clip(-1, 1)]), {"clipped"}),
        (np.concatenate([silence(2), -np.abs(tone(2, amplitude=2)).clip(0, 1)]), {"clipped"}),
        (np.sign(tone(2)), {"clipped", "noisy"}),
    ],
    ids=[
        "silence",
        "one sample",
        "noise below hearing",
        "faint noise",
        "noise",
        "one sound in ten silent minutes",
        "one sound in ten minutes of faint noise",
        "a tone just over its noise",
        "loud",
        "too loud",
        "too loud on one side",
        "square wave",
    ],
)
def test_signal_flags(samples: Floats, expected: set[str]) -> None:
    assert raised(samples) == expected


def test_two_samples_in_a_row_at_full_scale_are_not_clipped() -> None:
    samples = noise(3, -30)
    samples[::100] = samples[1::100] = 1.0
    assert "clipped" not in raised(samples)
    samples[2::100] = 1.0
    assert "clipped" in raised(samples)


def test_runs_are_counted_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = segment._clipped_share(noise(2, 0))
    monkeypatch.setattr(segment, "CLIP_BLOCK", 7)
    assert segment._clipped_share(noise(2, 0)) == whole > 0


def test_clean_speech_raises_nothing(command: Floats) -> None:
    assert raised(command) == set()
    assert raised(command * np.float32(0.01)) == set()
    assert raised(command, damaged=True) == {"damaged"}
    assert "clipped" in raised((command * 10).clip(-1, 1))
    assert "noisy" in raised(command + noise(len(command) / SAMPLE_RATE, -10)[: len(command)])


@given(st.integers(1, 5_000), st.integers(0, 9))
def test_levels_are_those_of_the_frames(length: int, seed: int) -> None:
    samples = np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)
    expected = [
        20 * np.log10(np.sqrt(np.mean(samples[start : start + 400].astype(float) ** 2)))
        for start in range(0, length, 400)
    ]
    np.testing.assert_allclose(frame_levels(samples), np.maximum(expected, -100), atol=1e-3)
