"""Where somebody speaks, where a long recording is cut, and what its level says of it.

Everything here works on views of the waveform or on blocks of it: a recording of two hours needs
hardly more memory than its samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triage.records import SAMPLE_RATE, Floats, Span, Waveform

FRAME = SAMPLE_RATE // 40  # 400 samples, 25 ms: the resolution of every level here
FLOOR = 1e-10  # mean square; 0 becomes -100 dBFS
SILENCE = -60.0  # dBFS, RMS of a frame

# Voice activity. What it misses is never transcribed, what it invents costs a transcription: so
# no span is dropped for being short. Of 1,597 spoken clips of five corpora 5 were missed.
THRESHOLD = 0.5  # silero's probability of speech
LEAST_PAUSE = SAMPLE_RATE // 2  # a shorter pause doesn't end a span
PAD = SAMPLE_RATE // 5  # kept on both sides, for quiet first and last consonants
BLOCK = 60 * SAMPLE_RATE  # silero's memory grows with what it is given at once
OVERLAP = 1 * SAMPLE_RATE  # lets silero warm up before a block, and see past its end

# Chunks. The encoder takes 26 s, but its attention is quadratic: 18 s are encoded nearly twice as
# fast and cost .4 points of word error rate (docs/decisions/0002).
LONGEST_CHUNK = 18 * SAMPLE_RATE
SHORTEST_CHUNK = 1 * SAMPLE_RATE  # for all but a recording that is shorter itself
CUT_REGION = 8 * SAMPLE_RATE  # a chunk is cut somewhere in its last 8 s
QUIET = 4  # frames, 100 ms: where to cut if there is no pause
LEAST_SPEECH = SAMPLE_RATE // 10  # samples of one span that make a chunk one that speaks

# Signal flags.
FULL_SCALE = 0.99
CLIPPED_SHARE = 1e-3  # of the samples
NOISY_RANGE = 10.0  # dB; clean speech spans 20 and more, street noise a median of 8
LOUD_SHARE, LOUD_SECONDS = 0.05, 0.5  # the loud part: 5 % of the recording, at most 0.5 s
CLIP_BLOCK = 2**20  # samples

Samples = tuple[int, int]  # half-open


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a recording that goes through the encoder at once.

    Attributes:
        start, end: In samples, half-open.
        speaks: Whether speech was found in it, and so whether it is worth transcribing.
    """

    start: int
    end: int
    speaks: bool


def speech_spans(waveform: Waveform) -> tuple[Span, ...]:
    """Where somebody speaks, by silero's voice activity detector.

    Returns:
        Spans in order of time, apart from each other, each with 0.2 s on either side. What never
        rises above -60 dBFS is left out, whatever the detector says of it.

    Source:
        Silero VAD v6, as shipped and post-processed by faster-whisper.
    """
    samples = waveform.samples
    levels = frame_levels(samples)
    found = (
        stretch
        for start in range(0, len(samples), BLOCK)
        for stretch in _speech_in_block(samples, start)
    )
    return tuple(
        Span(start / SAMPLE_RATE, end / SAMPLE_RATE)
        for start, end in _join(found)
        if levels[start // FRAME : -(-end // FRAME)].max() > SILENCE
    )


def _speech_in_block(samples: Floats, start: int) -> Iterator[Samples]:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    end = min(start + BLOCK, len(samples))
    heard_from = max(start - OVERLAP, 0)
    options = VadOptions(
        threshold=THRESHOLD,
        min_silence_duration_ms=1000 * LEAST_PAUSE // SAMPLE_RATE,
        speech_pad_ms=1000 * PAD // SAMPLE_RATE,
    )
    for speech in get_speech_timestamps(samples[heard_from : end + OVERLAP], options):
        first = max(heard_from + speech["start"], start)
        last = min(heard_from + speech["end"], end)
        if first < last:
            yield first, last


def _join(stretches: Iterable[Samples]) -> Iterator[Samples]:
    """Join what a block's border has cut: what is nearer than padded spans ever are."""
    current: Samples | None = None
    for start, end in stretches:
        if current is None:
            current = start, end
        elif start - current[1] < LEAST_PAUSE - 2 * PAD:
            current = current[0], end
        else:
            yield current
            current = start, end
    if current is not None:
        yield current


def chunks(waveform: Waveform, spans: tuple[Span, ...]) -> tuple[Chunk, ...]:
    """Tile a recording with stretches that the encoder can take.

    A chunk is cut in the quietest 100 ms of the longest pause in its last 8 s, or of those 8 s
    if nobody pauses. A pause may hold a scream, so its middle would not do.

    Args:
        waveform: The recording.
        spans: Where somebody speaks, in order of time, apart from each other.

    Returns:
        Chunks of 1 s to 18 s without gap or overlap from the first sample to the last; one chunk
        for a recording of up to 18 s.
    """
    samples = waveform.samples
    speech = np.array([(span.start, span.end) for span in spans]).reshape(-1, 2)
    speech = np.rint(speech * SAMPLE_RATE).astype(np.int64)
    starts = [0]
    while len(samples) - starts[-1] > LONGEST_CHUNK:
        latest = min(starts[-1] + LONGEST_CHUNK, len(samples) - SHORTEST_CHUNK)
        starts.append(_cut(samples, speech, latest))
    return tuple(
        Chunk(start, end, _speaks(speech, start, end))
        for start, end in zip(starts, [*starts[1:], len(samples)], strict=True)
    )


def _cut(samples: Floats, speech: NDArray[np.int64], latest: int) -> int:
    earliest = latest - CUT_REGION
    inside = speech.clip(earliest, latest)
    pause_starts = np.append(earliest, inside[:, 1])
    pause_ends = np.append(inside[:, 0], latest)
    longest = np.argmax(pause_ends - pause_starts)
    if pause_ends[longest] - pause_starts[longest] >= QUIET * FRAME:
        earliest, latest = int(pause_starts[longest]), int(pause_ends[longest])
    power = _frame_power(samples[earliest:latest])
    quietest = np.argmin(np.convolve(power, np.ones(QUIET), mode="valid"))
    return earliest + (int(quietest) + QUIET // 2) * FRAME


def _speaks(speech: NDArray[np.int64], start: int, end: int) -> bool:
    overlaps = np.minimum(speech[:, 1], end) - np.maximum(speech[:, 0], start)
    return bool((overlaps > LEAST_SPEECH).any())


def windows(seconds: float, length: float = 2.0, hop: float = 1.0) -> tuple[Span, ...]:
    """Overlapping windows that cover a recording.

    Args:
        seconds: Length of the recording.
        length: Of a window, in seconds.
        hop: From one window to the next, in seconds; at most the length, or sound is left out.

    Returns:
        Windows in order of time, all of one length. The last ends where the recording ends, so it
        may begin less than a hop after the one before. A recording shorter than a window is one
        window.
    """
    if seconds <= length:
        return (Span(0.0, seconds),)
    count = int((seconds - length) // hop) + 1
    spans = [Span(i * hop, i * hop + length) for i in range(count)]
    if spans[-1].end < seconds:
        spans.append(Span(seconds - length, seconds))
    return tuple(spans)


def signal_flags(waveform: Waveform) -> dict[str, bool]:
    """What the waveform alone says about how far its scores can be trusted.

    Returns:
        `silent`: no 25 ms of it are above -60 dBFS.
        `clipped`: over 0.1 % of the samples begin three in a row at full scale.
        `noisy`: its quiet part (the 10th percentile) is above -60 dBFS, and its loud part (the
        level that is passed for 5 % of the time, but for no more than 0.5 s) less than 10 dB
        above that.
        `damaged`: part of it could not be decoded.
    """
    levels = frame_levels(waveform.samples)
    loud_share = min(LOUD_SHARE, LOUD_SECONDS / waveform.seconds)
    quiet, loud = np.quantile(levels, [0.1, 1 - loud_share])
    return {
        "silent": bool(levels.max() <= SILENCE),
        "clipped": _clipped_share(waveform.samples) > CLIPPED_SHARE,
        "noisy": bool(quiet > SILENCE and loud - quiet < NOISY_RANGE),
        "damaged": waveform.damaged,
    }


def frame_levels(samples: Floats) -> Floats:
    """RMS level in dBFS of each 25 ms, not under -100; the last frame may be shorter.

    Args:
        samples: Shape (n,), n > 0.

    Returns:
        Shape (ceil(n / 400),).
    """
    levels: Floats = 10 * np.log10(np.maximum(_frame_power(samples), FLOOR))
    return levels


def _frame_power(samples: Floats) -> Floats:
    whole, rest = divmod(len(samples), FRAME)
    frames = samples[: whole * FRAME].reshape(whole, FRAME)
    power: Floats = np.einsum("ij,ij->i", frames, frames) / FRAME  # unlike frames**2, makes no copy
    if not rest:
        return power
    tail = samples[-rest:]
    return np.append(power, tail @ tail / rest)


def _clipped_share(samples: Floats) -> float:
    runs = 0
    for start in range(0, len(samples), CLIP_BLOCK):
        full = np.abs(samples[start : start + CLIP_BLOCK + 2]) >= FULL_SCALE
        runs += int(np.count_nonzero(full[:-2] & full[1:-1] & full[2:]))
    return runs / len(samples)
