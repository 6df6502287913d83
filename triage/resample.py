"""Decoded frames of any kind as the one kind that all else takes: mono float32 at 16 kHz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from typing import TYPE_CHECKING

import numpy as np

from triage.errors import DamagedAudio, UnsupportedAudio
from triage.records import SAMPLE_RATE, Floats

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame


def mixed_down(frames: Iterable[AudioFrame]) -> bytearray:
    """Frames of any kind as float32 mono at 16 kHz, in one buffer that grows in place.

    Args:
        frames: Of one soundtrack, in their order; their format may change midway.

    Raises:
        UnsupportedAudio: Their channels can't be mixed.
        DamagedAudio: A sample is not a finite number.
    """
    import av

    buffer = bytearray()
    for _, run in groupby(frames, key=_kind):  # a stream may change its format midway
        # Packed, as PyAV 18.1 reads past the planes of a planar frame of 8 channels or more.
        resampler = av.AudioResampler(format="flt", rate=SAMPLE_RATE, frame_size=SAMPLE_RATE)
        for block in chain(_blocks(run), (None,)):
            try:
                resampled = resampler.resample(block)
            except av.error.FFmpegError:
                raise UnsupportedAudio(
                    "The audio's channels are more or other than can be mixed. Mix it down first."
                ) from None
            for second in resampled:
                buffer += _mono(second).data
    return buffer


def _blocks(frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
    """The same sound, a second or more at once: a call of the resampler costs as much as 20 ms."""
    import av

    fifo = av.AudioFifo()
    for frame in chain(frames, (None,)):
        if frame is not None:
            fifo.write(frame)
        if frame is None or fifo.samples >= frame.sample_rate:
            block = fifo.read()
            if block is not None:
                block.pts = None
                yield block


def _kind(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _mono(frame: AudioFrame) -> Floats:
    packed = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    mono: Floats = packed.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise DamagedAudio("The audio holds samples that are not finite numbers. Export it again.")
    return np.clip(mono, -1.0, 1.0, out=mono)
