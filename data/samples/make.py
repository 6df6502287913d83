"""Make the sample recordings beside this file, and their manifest.

Speech comes from espeak-ng (Debian package `espeak-ng`), every other sound from `sounds.py`.
The formats differ on purpose: they are what the decoder has to take. With the same versions
of espeak-ng, numpy, scipy and PyAV the files come out the same, byte for byte.

    python data/samples/make.py [FOLDER]
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.random import Generator
from scipy.signal import resample_poly
from sounds import (
    RATE,
    Sound,
    baby_cry,
    glass,
    join,
    music,
    peak,
    room,
    scream,
    shots,
    silence,
    siren,
    smoke_alarm,
    white_noise,
)

FOLDER = Path(__file__).resolve().parent
SEED = 20_240_117
ESPEAK_RATE = 22_050  # Hz
WAV_HEADER = 44  # bytes


# Speech -----------------------------------------------------------------------------------


def speak(text: str, voice: str, speed: int, pitch: int) -> Sound:
    """What espeak-ng says: `speed` in words a minute, `pitch` in 0..99."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    pcm = np.frombuffer(wav[WAV_HEADER:], dtype="<i2").astype(np.float64)
    return peak(resample_poly(pcm, RATE, ESPEAK_RATE))


def said(text: str, voice: str, speed: int, pitch: int) -> Callable[[Generator], Sound]:
    """A maker of one line in a room."""

    def make(rng: Generator) -> Sound:
        line = speak(text, voice, speed, pitch)
        return room(rng, line, len(line) / RATE + 0.9)

    return make


def talk(rng: Generator) -> Sound:
    """Two people, one of them further away."""
    first, second, third = TALK
    her, him = ("en-us+f3", 170, 50), ("en-us+m3", 175, 40)
    lines = join(speak(first, *her), 0.7 * speak(second, *him), speak(third, *her), gap=0.15)
    return room(rng, lines, len(lines) / RATE + 0.9, floor=0.02)


def clipped(rng: Generator) -> Sound:
    """A line that overdrives its microphone eight times."""
    line = said(CLIPPED, "en-us+f3", 140, 45)(rng)
    return np.clip(8 * line, -1, 1)


# What there is ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of the manifest.

    Attributes:
        expected: What a listener would say it is: a note for people, not a label.
        make: What sounds; None for a row that is text only.
        file, codec, rate: What it is written as; `rate` in Hz.
        text: The words, where the manifest gives them beside the audio or instead of it.
    """

    expected: str
    make: Callable[[Generator], Sound] | None = None
    file: str = ""
    codec: str = ""
    rate: int = 16_000
    text: str = ""


COLLAPSE = "call an ambulance my father has collapsed and he isn't breathing"
TALK = (
    "did you get the bread on the way home",
    "no i forgot i'll go again after dinner",
    "it's fine we still have some from yesterday",
)
CLIPPED = "turn the music down please it's far too loud in here"

SAMPLES = {
    "timer": Sample(
        "an ordinary command",
        said("set a timer for ten minutes", "en-us+f5", 150, 50),
        "timer.wav",
        "pcm_s16le",
    ),
    "weather": Sample(
        "an ordinary question",
        said("what's the weather tomorrow", "en-gb+m1", 170, 45),
        "weather.wav",
        "pcm_alaw",
        8_000,
    ),
    "lights": Sample(
        "an ordinary command with a word in it that sounds violent",
        said("kill the lights in the kitchen", "en-us+m2", 150, 40),
        "lights.m4a",
        "aac",
    ),
    "talk": Sample(
        "two people talking to each other, nobody to the assistant",
        talk,
        "talk.ogg",
        "libopus",
        24_000,
        " ".join(TALK),
    ),
    "disclosure": Sample(
        "somebody who wants to die and has taken an overdose",
        said("i don't want to be alive anymore i have taken all the pills", "en-us+f3", 130, 40),
        "disclosure.flac",
        "flac",
    ),
    "threat": Sample(
        "somebody threatening to kill somebody",
        said("i know where you live and tonight i am going to kill you", "en-us+m4", 140, 30),
        "threat.mp3",
        "libmp3lame",
        24_000,
    ),
    "collapse": Sample(
        "a call for an ambulance, over a telephone line",
        said(COLLAPSE, "en-us+f2", 140, 45),
        "collapse.wav",
        "pcm_mulaw",
        8_000,
        COLLAPSE,
    ),
    "help-at-home": Sample(
        "somebody asking for help against a violent husband",
        said(
            "please help me my husband won't let me leave and he is going to hit me again",
            "en-us+f4",
            140,
            50,
        ),
        "help-at-home.ogg",
        "libopus",
    ),
    "clipped": Sample(
        "an ordinary command, recorded far too loud", clipped, "clipped.flac", "flac"
    ),
    "siren": Sample("an emergency vehicle driving past", siren, "siren.webm", "libopus", 48_000),
    "smoke-alarm": Sample("a smoke alarm", smoke_alarm, "smoke-alarm.m4a", "aac", 32_000),
    "music": Sample("music, in stereo", music, "music.m4a", "aac", 44_100),
    "silence": Sample("nothing at all", silence, "silence.wav", "pcm_u8", 8_000),
    "noise": Sample("white noise", white_noise, "noise.wav", "pcm_s16le", 16_000),
    "scream": Sample("a scream of three seconds in a quiet room", scream, "scream.flac", "flac"),
    "shots": Sample("two gunshots", shots, "shots.wav", "pcm_s24le"),
    "glass": Sample("a pane of glass breaking", glass, "glass.ogg", "libopus", 48_000),
    "baby-cry": Sample("a baby crying", baby_cry, "baby-cry.mp3", "libmp3lame", 32_000),
    "idiom": Sample(
        "an ordinary command with an idiom in it, text only",
        text="this traffic is killing me play something calm",
    ),
}


# Writing ----------------------------------------------------------------------------------


def write(path: Path, sound: Sound, codec: str, rate: int) -> None:
    """Encode a sound as `path`, in the container that its suffix names."""
    channels = np.atleast_2d(sound).astype(np.float32)
    layout = "mono" if len(channels) == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), "fltp", layout)
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
    # Bit-exact: no version strings, dates or random stream numbers in the file.
    with av.open(path, "w", options={"fflags": "+bitexact"}) as container:
        stream = cast(av.AudioStream, container.add_stream(codec, rate=rate, layout=layout))
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        resampler = av.AudioResampler(stream.format, layout, rate, stream.frame_size or None)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def row(name: str, sample: Sample) -> dict[str, str]:
    """A sample's line in the manifest."""
    fields = {"id": name, "audio": sample.file, "text": sample.text, "expected": sample.expected}
    return {key: value for key, value in fields.items() if value}


def main(folder: Path) -> None:
    """Write every sample and the manifest into a folder."""
    for name, sample in SAMPLES.items():
        if sample.make is not None:
            rng = np.random.default_rng([SEED, *name.encode()])  # its own: samples stay put
            write(folder / sample.file, sample.make(rng), sample.codec, sample.rate)
    rows = (json.dumps(row(name, sample)) + "\n" for name, sample in SAMPLES.items())
    (folder / "manifest.jsonl").write_text("".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
