"""Decoding: every common container, every limit, and every way in which bytes can be bad."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import traceback
from io import BufferedReader
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from triage import audio, resample
from triage.audio import AUDIO_SUFFIXES, CONTAINERS, Limits, decode
from triage.errors import (
    DamagedAudio,
    InputError,
    NothingToScore,
    TooLarge,
    TooManyChannels,
    TriageError,
    UnsupportedAudio,
)
from triage.records import SAMPLE_RATE, Floats

LIMITS = Limits(max_bytes=10_000_000, max_seconds=60, max_channels=8)
TONE = 440  # Hz
STRICT = {"strict": "experimental"}  # ffmpeg's own Vorbis encoder asks for it

CODECS = [
    ("wav", "pcm_u8", 16_000),
    ("wav", "pcm_s16le", 44_100),
    ("wav", "pcm_s24le", 48_000),
    ("wav", "pcm_s32le", 11_025),
    ("wav", "pcm_f32le", 96_000),
    ("wav", "pcm_f64le", 16_000),
    ("wav", "pcm_mulaw", 8_000),
    ("wav", "pcm_alaw", 8_000),
    ("aiff", "pcm_s16be", 22_050),
    ("caf", "pcm_s16le", 16_000),
    ("flac", "flac", 44_100),
    ("mp3", "libmp3lame", 44_100),
    ("ogg", "libopus", 48_000),
    ("ogg", "vorbis", 44_100),
    ("ipod", "aac", 44_100),
    ("adts", "aac", 32_000),
    ("webm", "libopus", 48_000),
    ("3gp", "libopencore_amrnb", 8_000),
    ("amr", "libopencore_amrnb", 8_000),
    ("wv", "wavpack", 16_000),
    ("ac3", "ac3", 48_000),
]


def tone(seconds: float, rate: int, hz: float = TONE, amplitude: float = 0.5) -> Floats:
    time = np.arange(int(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def encode(sound: Floats, container: str, codec: str, rate: int, layout: str = "mono") -> bytes:
    """Encode `sound`, of shape (n,) for all channels or (n, channels)."""
    file = io.BytesIO()
    count = av.AudioLayout(layout).nb_channels
    channels = sound if sound.ndim == 2 else np.repeat(sound[:, None], count, axis=1)
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(channels, np.float32).reshape(1, -1), format="flt", layout=layout
    )
    frame.sample_rate = rate
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate, layout=layout, options=STRICT)
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def wav(samples: NDArray[np.generic], rate: int = SAMPLE_RATE, code: int = 1) -> bytes:
    """A WAV file with the plainest of headers; `code` 1 for integers, 3 for floats."""
    data = samples.tobytes()
    channels = samples.shape[1] if samples.ndim == 2 else 1
    width = samples.itemsize * channels
    form = struct.pack("<HHIIHH", code, channels, rate, rate * width, width, samples.itemsize * 8)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pitch(samples: Floats) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * SAMPLE_RATE / len(samples))


def rms(samples: Floats) -> float:
    return float(np.sqrt(np.mean(samples**2)))


# What can be decoded ------------------------------------------------------------------------


@pytest.mark.parametrize(("container", "codec", "rate"), CODECS)
def test_decodes(container: str, codec: str, rate: int) -> None:
    layout = "stereo" if codec == "vorbis" else "mono"
    waveform = decode(encode(tone(1.0, rate), container, codec, rate, layout), LIMITS)
    assert waveform.samples.dtype == np.float32
    assert waveform.samples.ndim == 1
    assert waveform.native_hz == rate
    assert waveform.channels == (2 if layout == "stereo" else 1)
    assert waveform.seconds == pytest.approx(1.0, abs=0.07)  # a codec may add its delay
    assert pitch(waveform.samples) == pytest.approx(TONE, abs=2)
    assert rms(waveform.samples) == pytest.approx(0.5 / np.sqrt(2), rel=0.15)
    assert not waveform.damaged


@pytest.mark.parametrize("name", ["recording.flac", "recording.jpg", "recording"])
def test_content_decides_not_the_suffix(tmp_path: Path, name: str) -> None:
    encoded = encode(tone(0.5, 16_000), "flac", "flac", 16_000)
    (tmp_path / name).write_bytes(encoded)
    from_path = decode(tmp_path / name, LIMITS)
    np.testing.assert_array_equal(from_path.samples, decode(encoded, LIMITS).samples)


@settings(deadline=None, max_examples=30)
@given(rate=st.sampled_from([8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000]), n=st.data())
def test_resampling_keeps_the_length_and_the_end(rate: int, n: st.DataObject) -> None:
    length = n.draw(st.integers(rate // 10, rate))
    sound = np.zeros(length, np.float32)
    sound[-(rate // 50) :] = tone(0.02, rate)[: rate // 50]
    samples = decode(wav(sound, rate, code=3), LIMITS).samples
    assert abs(len(samples) - length * SAMPLE_RATE / rate) <= 20  # half the resampler's filter
    assert rms(samples[-300:-20]) == pytest.approx(0.35, rel=0.2)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 6, 8, 12, 64])
def test_every_channel_weighs_the_same(channels: int) -> None:
    for loud in {0, channels // 2, channels - 1}:
        sound = np.zeros((8_000, channels), np.float32)
        sound[:, loud] = tone(0.5, 16_000)
        waveform = decode(wav(sound, code=3), Limits(10_000_000, 60, 64))
        np.testing.assert_allclose(waveform.samples, sound.mean(axis=1), atol=1e-6)
        assert waveform.channels == channels


def test_eight_planar_channels() -> None:
    encoded = encode(tone(0.5, 48_000), "ipod", "aac", 48_000, "7.1")
    assert rms(decode(encoded, LIMITS).samples) == pytest.approx(0.35, rel=0.15)


def test_a_stream_may_change_its_format_midway() -> None:
    first = encode(tone(1.0, 44_100), "adts", "aac", 44_100)
    second = encode(tone(1.0, 16_000, hz=1_000), "adts", "aac", 16_000, "stereo")
    waveform = decode(first + second, LIMITS)
    assert waveform.seconds == pytest.approx(2.0, abs=0.3)
    assert pitch(waveform.samples[:12_000]) == pytest.approx(TONE, abs=2)
    assert pitch(waveform.samples[-12_000:]) == pytest.approx(1_000, abs=2)
    assert (waveform.native_hz, waveform.channels) == (44_100, 2)


def test_values_beyond_full_scale_are_cut() -> None:
    sound = tone(0.5, 16_000)
    sound[4_000] = 1e30
    samples = decode(wav(sound, code=3), LIMITS).samples
    assert np.abs(samples).max() == 1.0
    np.testing.assert_allclose(samples[:3_900], sound[:3_900], atol=1e-6)


def test_metadata_that_is_not_utf8() -> None:
    chunk = b"INFOINAM" + struct.pack("<I", 4) + b"\xff\xfe\xe9\x00"
    encoded = wav(tone(0.5, 16_000), code=3) + b"LIST" + struct.pack("<I", len(chunk)) + chunk
    assert decode(encoded, LIMITS).seconds == 0.5


@pytest.mark.parametrize("promise", [0, 0x7FFF_F000, 0xFFFF_FFFF])
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_mulaw", "pcm_f32le"])
def test_a_header_written_to_a_pipe_promises_nothing(codec: str, promise: int) -> None:
    encoded = bytearray(encode(tone(1.0, 16_000), "wav", codec, 16_000))
    if b"fact" in encoded:
        struct.pack_into("<I", encoded, encoded.index(b"fact") + 8, promise)
    struct.pack_into("<I", encoded, encoded.index(b"data") + 4, promise)
    waveform = decode(bytes(encoded), LIMITS)
    assert (waveform.seconds, waveform.damaged) == (1.0, False)


def test_suffixes_belong_to_containers_that_ffmpeg_knows() -> None:
    known = {name for names in av.formats_available for name in names.split(",")}
    assert known >= CONTAINERS.keys()
    assert {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm", ".amr"} <= AUDIO_SUFFIXES
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in AUDIO_SUFFIXES)


# Limits -------------------------------------------------------------------------------------


def test_too_many_bytes_are_not_read(tmp_path: Path) -> None:
    rubbish = b"not audio" * 10  # would be refused as such if it were looked at
    (tmp_path / "rubbish").write_bytes(rubbish)
    for source in (rubbish, tmp_path / "rubbish"):
        with pytest.raises(TooLarge, match="90 bytes") as caught:
            decode(source, Limits(89, 60, 8))
        assert caught.value.limit == 89
        with pytest.raises(UnsupportedAudio):
            decode(source, Limits(90, 60, 8))


def test_declared_length_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "mixed_down", None)
    with pytest.raises(TooLarge, match="60 s"):
        decode(encode(tone(61, 8_000), "flac", "flac", 8_000), LIMITS)


def test_a_bomb_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = []
    mono = resample._mono

    def spy(frame: av.AudioFrame) -> Floats:
        mixed.append(frame.samples)
        return mono(frame)

    monkeypatch.setattr(resample, "_mono", spy)
    bomb = encode(np.zeros(8_000 * 600, np.float32), "adts", "aac", 8_000)  # says no length
    with pytest.raises(TooLarge, match="limit of 60 s") as caught:
        decode(bomb, LIMITS)
    assert caught.value.limit == 60
    assert 58 * SAMPLE_RATE <= sum(mixed) <= 60 * SAMPLE_RATE


def test_seconds_at_the_limit_pass() -> None:
    assert decode(wav(np.zeros(16_000, np.int16)), Limits(10**6, 1.0, 8)).seconds == 1.0
    with pytest.raises(TooLarge):
        decode(wav(np.zeros(16_001, np.int16)), Limits(10**6, 1.0, 8))


@pytest.mark.parametrize("channels", [9, 300])
def test_too_many_channels(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "mixed_down", None)  # the header is enough
    with pytest.raises(TooManyChannels, match=f"{channels} channels") as caught:
        decode(wav(np.zeros((160, channels), np.int16)), LIMITS)
    assert caught.value.limit == 8


@pytest.mark.parametrize("channels", [65, 4_000])
def test_more_channels_than_ffmpeg_takes(channels: int) -> None:
    with pytest.raises(UnsupportedAudio):
        decode(wav(np.zeros((160, channels), np.int16)), Limits(10**7, 60, 10_000))


@pytest.mark.parametrize("rate", [1, 999, 768_001, 1_900_000_000])
def test_a_rate_that_no_sound_has(rate: int) -> None:
    header = bytearray(wav(np.zeros(10, np.int16)))
    header[24:28] = struct.pack("<I", rate)
    with pytest.raises(UnsupportedAudio, match=str(rate)):
        decode(bytes(header), LIMITS)


# Bytes that are no recording ------------------------------------------------------------------


def video_without_sound() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (b"", NothingToScore),
        (wav(np.zeros(0, np.int16)), NothingToScore),
        (b"hello " * 1_000, UnsupportedAudio),
        (b"\0" * 10_000, UnsupportedAudio),
        (b"\x89PNG\r\n\x1a\n" + bytes(5_000), UnsupportedAudio),
        (np.random.default_rng(0).bytes(50_000), UnsupportedAudio),
        (video_without_sound(), UnsupportedAudio),
    ],
    ids=["empty", "header only", "text", "zeros", "image", "random", "video without sound"],
)
def test_refused(tmp_path: Path, source: bytes, error: type[TriageError]) -> None:
    (tmp_path / "recording.wav").write_bytes(source)
    for given_as in (source, tmp_path / "recording.wav"):
        with pytest.raises(error):
            decode(given_as, LIMITS)


@pytest.mark.parametrize("name", ["a" * 5_000, "a.wav/b.wav"])
def test_a_path_that_cannot_be_one_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(UnsupportedAudio):
        decode(tmp_path / name, LIMITS)


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "jane-doe.fifo")  # opening it would wait for ever
    for name in (".", "jane-doe.fifo", "jane-doe.missing"):
        with pytest.raises(UnsupportedAudio, match="regular file"):
            decode(tmp_path / name, LIMITS)


@pytest.mark.parametrize("content", [b"hello", b"", None], ids=["rubbish", "empty", "missing"])
def test_no_error_tells_the_path(
    tmp_path: Path,
    content: bytes | None,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "jane-doe.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        decode(path, LIMITS)
    told = [*traceback.format_exception(caught.value), str(caught.value.as_problem())]
    cause: BaseException | None = caught.value
    while cause := cause.__context__ if cause else None:  # a logger may follow it even so
        told.append(repr(cause))
    assert "jane-doe" not in "".join(told)
    assert (capfd.readouterr(), caplog.text) == (("", ""), "")


REFERENCES = {
    "ffconcat": "ffconcat version 1.0\nfile secret.wav\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("name", REFERENCES)
def test_text_that_refers_to_other_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.wav").write_bytes(wav(tone(1.0, 16_000), code=3))
    (tmp_path / f"list.{name}").write_text(REFERENCES[name])
    for source in (tmp_path / f"list.{name}", REFERENCES[name].encode()):
        with pytest.raises(UnsupportedAudio):
            decode(source, LIMITS)


@pytest.mark.parametrize("option", ["format_whitelist", "protocol_whitelist"])
def test_each_whitelist_alone_keeps_a_playlist_shut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.wav").write_bytes(wav(tone(1.0, 16_000), code=3))
    playlist = REFERENCES["ffconcat"].encode()
    real: Any = av.open
    seen: dict[str, str] = {}

    def spy(*args: Any, container_options: dict[str, str], **more: Any) -> Any:
        seen.update(container_options)
        only = {option: container_options[option]}
        return real(*args, container_options=only, **more)

    with real(io.BytesIO(playlist)) as unguarded:  # what ffmpeg does if nobody stops it
        assert sum(frame.samples for frame in unguarded.decode(audio=0)) == 16_000
    monkeypatch.setattr(av, "open", spy)
    with pytest.raises(UnsupportedAudio):
        decode(playlist, LIMITS)
    assert seen.keys() == {"format_whitelist", "protocol_whitelist"}


# Damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 16_000),
        ("wav", "pcm_f32le", 16_000),
        ("aiff", "pcm_s16be", 16_000),
        ("flac", "flac", 16_000),
        ("webm", "libopus", 48_000),
        ("adts", "aac", 44_100),
        ("ac3", "ac3", 48_000),
        ("amr", "libopencore_amrnb", 8_000),
    ],
)
def test_what_is_left_of_a_truncated_file_is_heard(container: str, codec: str, rate: int) -> None:
    sound = tone(4.0, rate) + np.random.default_rng(0).normal(0, 0.02, 4 * rate).astype("f4")
    encoded = encode(sound, container, codec, rate)
    waveform = decode(encoded[: len(encoded) // 2 + 5], LIMITS)
    assert waveform.damaged
    assert waveform.seconds == pytest.approx(2.0, abs=0.5)
    assert pitch(waveform.samples) == pytest.approx(TONE, abs=2)


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [("mp3", "libmp3lame", 44_100), ("ipod", "aac", 44_100), ("ogg", "libopus", 48_000)],
)
def test_what_follows_a_hole_is_heard(container: str, codec: str, rate: int) -> None:
    sound = np.concatenate([tone(3.0, rate), tone(3.0, rate, hz=1_000)])
    encoded = bytearray(encode(sound, container, codec, rate))
    hole = slice(len(encoded) // 3, len(encoded) // 3 + 2_000)
    encoded[hole] = np.random.default_rng(0).bytes(2_000)
    waveform = decode(bytes(encoded), LIMITS)
    assert waveform.damaged
    assert pitch(waveform.samples[-SAMPLE_RATE:]) == pytest.approx(1_000, abs=2)


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_too_little_left_is_damaged(seconds: float) -> None:
    encoded = encode(tone(4.0, 16_000), "wav", "pcm_f32le", 16_000)
    header = encoded.index(b"data") + 8
    with pytest.raises(DamagedAudio, match=f"{seconds:.2f} s"):
        decode(encoded[: header + int(seconds * 64_000)], LIMITS)


def test_a_short_recording_is_not_damaged() -> None:
    waveform = decode(wav(tone(0.02, 16_000), code=3), LIMITS)
    assert (len(waveform.samples), waveform.damaged) == (320, False)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 5_000, -1])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_samples_that_are_no_numbers(value: float, place: int, rate: int) -> None:
    sound = tone(0.5, rate)
    sound[place] = value
    with pytest.raises(DamagedAudio, match="finite"):
        decode(wav(sound, rate, code=3), LIMITS)


def test_a_disk_that_fails_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(BufferedReader):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            if self.reads > 12:  # ffmpeg looks around in the first ones
                raise OSError(5, "Input/output error")
            return super().read(size)

    recording = encode(tone(60.0, 44_100), "adts", "aac", 44_100)  # says no length
    (tmp_path / "recording").write_bytes(recording)
    monkeypatch.setattr(audio, "BufferedReader", Failing)
    waveform = decode(tmp_path / "recording", LIMITS)
    assert waveform.damaged
    assert 10.0 < waveform.seconds < 50.0


VALID = [
    encode(tone(0.3, 16_000), *one, 16_000) for one in (("wav", "pcm_s16le"), ("flac", "flac"))
]
VALID += [
    encode(tone(0.3, 48_000), *one, 48_000) for one in (("ogg", "libopus"), ("mp3", "libmp3lame"))
]


@settings(deadline=None, max_examples=200)
@given(
    valid=st.sampled_from(VALID),
    changes=st.lists(st.tuples(st.integers(44, 20_000), st.integers(0, 255)), max_size=20),
    length=st.integers(1, 20_000),
)
def test_any_bytes_give_a_waveform_or_a_clear_error(
    valid: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    changed = bytearray(valid)
    for place, value in changes:
        changed[place % len(changed)] = value
    try:
        waveform = decode(bytes(changed[:length]), LIMITS)
    except InputError:
        return
    assert 0 < len(waveform.samples) <= 60 * SAMPLE_RATE
    assert np.abs(waveform.samples).max() <= 1.0


# Memory and disk ----------------------------------------------------------------------------

PEAK = """
import re, sys
from pathlib import Path
def peak():  # unlike getrusage, which begins with what the parent process had
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
"""
MEASURE = f"""
import resource
import av
from triage.audio import Limits, decode
from triage.errors import TriageError
{PEAK}
encoded = sys.stdin.buffer.read()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # to write one byte would be an error
before, size = peak(), 0
try:
    size = decode(encoded, Limits(10**9, 10**6, 8)).samples.nbytes
except TriageError:
    pass
sys.stdout.write(f"{{size}} {{peak() - before}}")
"""
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


def memory(encoded: bytes) -> tuple[int, int]:
    """Size of the waveform and growth of the process that decoded it, in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], input=encoded, capture_output=True, check=True
    )
    size, grown = map(int, done.stdout.split())
    return size, grown


@linux
def test_memory_is_that_of_the_samples_and_nothing_is_written() -> None:
    sound = np.random.default_rng(0).integers(0, 256, 20 * 60 * 8_000, dtype=np.uint8)
    size, grown = memory(wav(sound, 8_000))
    assert size == 20 * 60 * SAMPLE_RATE * 4
    assert grown < 1.25 * size + 16e6  # a second copy, even for a moment, would be over


@linux
def test_a_forged_size_reserves_no_memory() -> None:
    chunk = b"INFOINAM" + struct.pack("<I", 2**31 - 100)
    encoded = bytearray(wav(np.zeros(4_000, np.int16)))
    encoded[12:12] = b"LIST" + struct.pack("<I", 2**31 - 50) + chunk
    size, grown = memory(bytes(encoded))
    assert size == 0
    assert grown < 50e6
