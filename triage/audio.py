"""From the bytes of any common recording to mono float32 at 16 kHz.

Bytes come from strangers, so what ffmpeg may do with them is kept small. Only the containers
named here are opened, by their content and never by their suffix; none of them may open anything
else (a playlist is a text that makes ffmpeg read other files); nothing is written to disk; and
every limit is checked as soon as its number is known.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader, BytesIO, FileIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from triage.errors import (
    DamagedAudio,
    NothingToScore,
    TooLarge,
    TooManyChannels,
    UnsupportedAudio,
)
from triage.records import SAMPLE_RATE, Waveform
from triage.resample import mixed_down

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container.input import InputContainer

# ffmpeg's demuxers, each with the suffixes that its files usually have. MPEG-TS, MPEG-PS and FLV
# are left out: their streams may begin midway, and PyAV 18.1 then reads past an array.
CONTAINERS: dict[str, tuple[str, ...]] = {
    "aac": (".aac",),
    "ac3": (".ac3",),
    "aiff": (".aif", ".aifc", ".aiff"),
    "amr": (".amr", ".awb"),
    "asf": (".wma",),
    "au": (".au", ".snd"),
    "avi": (".avi",),
    "caf": (".caf",),
    "flac": (".flac",),
    "matroska": (".mka", ".mkv", ".webm"),
    "mov": (".3g2", ".3gp", ".m4a", ".m4b", ".mov", ".mp4"),
    "mp3": (".mp2", ".mp3"),
    "nistsphere": (".sph",),
    "ogg": (".oga", ".ogg", ".opus", ".spx"),
    "wav": (".wav",),
    "wv": (".wv",),
}
AUDIO_SUFFIXES = frozenset(chain.from_iterable(CONTAINERS.values()))

# These don't say how long they are; what ffmpeg gives is a guess from the first bit rates.
UNTIMED = frozenset({"aac", "ac3", "amr", "mp3"})

HEADER = 2**16  # bytes in which a WAV file's header ends
PIPED = 2**31 - 2**16  # bytes; WAV headers written to a pipe promise 2 GiB less a little, or 4
RATES = range(1_000, 768_001)  # Hz; a forged rate makes the resampler take minutes and gigabytes
LARGEST_BLOCK = 2**27  # bytes that ffmpeg may reserve at once
SHORTFALL = 0.25  # s; more missing than any encoder's delay explains
LEAST_USABLE = 0.1  # s; what is left of a damaged recording must hold at least a cry


@dataclass(frozen=True, slots=True)
class Limits:
    """What one recording may be at most."""

    max_bytes: int
    max_seconds: float
    max_channels: int


def decode(source: bytes | Path, limits: Limits) -> Waveform:
    """Decode an audio file, or the first soundtrack of a video.

    Channels are averaged with equal weight, so that a sound in any one of them is heard, and what
    lies beyond full scale is cut to -1..1, as a loudspeaker would. A recording that breaks off or
    has holes gives what could be read, marked `damaged`. An MP3 or AAC stream that was cut
    between two frames is the exception: nothing in it tells that there was more.

    Args:
        source: An encoded file, or the path of a regular one.
        limits: Bytes are checked before reading, channels before decoding, and seconds both as
            the header declares them and as they are decoded.

    Raises:
        NothingToScore: No bytes, or no sound in the container's soundtrack.
        UnsupportedAudio: Not a container named here, no soundtrack, or no decoder for it.
        DamagedAudio: Less than 0.1 s could be read, or a sample is not a finite number.
        TooLarge: More bytes or seconds than the limits.
        TooManyChannels: More channels than the limit.
    """
    with _open_file(source, limits.max_bytes) as file, _open(file) as (container, piped):
        reader = _Reader(container, limits, piped)
        samples = np.frombuffer(mixed_down(reader.frames()), dtype=np.float32)
    missing = (reader.declared or 0.0) - reader.seconds
    damaged = reader.errors > 0 or missing > SHORTFALL
    if damaged and len(samples) < LEAST_USABLE * SAMPLE_RATE:
        raise DamagedAudio(
            f"Only {len(samples) / SAMPLE_RATE:.2f} s of the audio could be read. "
            "Send it again, whole.",
            limit=LEAST_USABLE,
        )
    if not len(samples):
        raise NothingToScore("The file holds no sound. Send a recording that does.")
    return Waveform(samples, reader.native_hz, reader.channels, damaged)


@contextmanager
def _open_file(source: bytes | Path, max_bytes: int) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        _check_size(len(source), max_bytes)
        yield BytesIO(source)
        return
    try:
        if not source.is_file():
            raise UnsupportedAudio("The path is not that of a regular file. Name an audio file.")
        raw = FileIO(source)
        size = raw.seek(0, 2)
        raw.seek(0)
    except OSError as error:
        raise UnsupportedAudio(f"The file can't be opened: {error.strerror}.") from None
    with raw:
        _check_size(size, max_bytes)
        # ffmpeg would take its name as a hint, and repeat it in its errors.
        raw.name = ""
        yield BufferedReader(raw)


def _check_size(size: int, max_bytes: int) -> None:
    if size == 0:
        raise NothingToScore("The audio is 0 bytes long. Send a recording.")
    if size > max_bytes:
        raise TooLarge(
            f"The audio is {size} bytes long, over the limit of {max_bytes}. Send it in parts.",
            limit=max_bytes,
        )


@contextmanager
def _open(file: BinaryIO) -> Iterator[tuple[InputContainer, bool]]:
    import av

    _restrain_ffmpeg()
    # Either of the two is enough to keep a playlist from opening what it names.
    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"}
    try:
        piped = _is_piped(file)
        container = av.open(file, "r", container_options=options, metadata_errors="ignore")
    except (av.error.FFmpegError, OSError):
        raise UnsupportedAudio(
            "The bytes are not audio in a container that Triage opens, or break off within its "
            "header. Send one of those named.",
            limit=sorted(CONTAINERS),
        ) from None
    with container:
        yield container, piped


def _is_piped(file: BinaryIO) -> bool:
    """Whether it is a WAV file that was begun before anybody knew how long it would be."""
    header = file.read(HEADER)
    file.seek(0)
    size = header.find(b"data") + 4
    promised = int.from_bytes(header[size : size + 4], "little")
    return header.startswith(b"RIFF") and (promised == 0 or promised >= PIPED)


@lru_cache(maxsize=1)
def _restrain_ffmpeg() -> None:
    """Silence its log, which quotes metadata, and bound what a forged size makes it reserve."""
    import av._core

    av.logging.set_level(None)
    # PyAV doesn't offer this, but links to it. Without it 10 kB of WAV reserve and fill 2 GiB.
    ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(LARGEST_BLOCK))


class _Reader:
    """Reads one soundtrack, and counts what it reads and what it can't."""

    def __init__(self, container: InputContainer, limits: Limits, piped: bool) -> None:
        self.container = container
        self.stream = _soundtrack(container)
        self.declared = None if piped else _declared_seconds(container)
        self.limits = limits
        self.piped = piped
        self.native_hz = self.channels = 0
        self.heard: Counter[int] = Counter()  # samples by their rate, so that no sum is rounded
        self.errors = 0
        self._check_format(self.stream.sample_rate, self.stream.channels)
        self._check_seconds(self.declared or 0.0)

    @property
    def seconds(self) -> float:
        return sum(count / rate for rate, count in self.heard.items())

    def frames(self) -> Iterator[AudioFrame]:
        """Every frame that decodes; a packet that doesn't is counted and left out."""
        import av

        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
                frames = packet.decode()
            except StopIteration:
                return
            except (av.error.FFmpegError, OSError):
                self.errors += 1  # if it was the demuxer's, there is no next packet
                continue
            self.errors += packet.is_corrupt and not self.piped  # it means: less than promised
            yield from map(self._count, frames)

    def _count(self, frame: AudioFrame) -> AudioFrame:
        self._check_format(frame.sample_rate, frame.layout.nb_channels)
        self.heard[frame.sample_rate] += frame.samples
        self._check_seconds(self.seconds)  # before resampling: 1 kHz makes 16 samples of one
        self.errors += frame.is_corrupt
        frame.pts = None
        return frame

    def _check_format(self, rate: int, channels: int) -> None:
        if rate not in RATES:
            raise UnsupportedAudio(
                f"The audio is sampled at {rate} Hz, not at {RATES[0]} to {RATES[-1]}. Resample it."
            )
        if channels > self.limits.max_channels:
            raise TooManyChannels(
                f"The audio has {channels} channels, over the limit of "
                f"{self.limits.max_channels}. Mix it down first.",
                limit=self.limits.max_channels,
            )
        self.native_hz = max(self.native_hz, rate)
        self.channels = max(self.channels, channels)

    def _check_seconds(self, seconds: float) -> None:
        if seconds > self.limits.max_seconds:
            raise TooLarge(
                f"The audio is longer than the limit of {self.limits.max_seconds:g} s. "
                "Send it in parts.",
                limit=self.limits.max_seconds,
            )


def _soundtrack(container: InputContainer) -> AudioStream:
    for stream in container.streams.audio:
        if stream.codec_context is not None and stream.channels:
            return stream
    raise UnsupportedAudio(
        "The file is a container that Triage opens, but holds no sound that it can decode. "
        "Send a recording with a soundtrack."
    )


def _declared_seconds(container: InputContainer) -> float | None:
    if container.duration is None or container.format.name in UNTIMED:
        return None
    return container.duration / 1_000_000  # ffmpeg's AV_TIME_BASE
