"""Sounds that hardly anybody labelled, made by rule.

    python data/synthetic/make.py OUT

writes OUT/clips.jsonl and Ogg/Opus files beside it, to train on: `triage train --data OUT`.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import speech
import things
import voices
from voices import RATE, Sound

from triage.cli.progress import progress
from triage.taxonomy import EVENTS

LONGEST = 8  # s
PEAK = 0.5
BIT_RATE = 24_000  # as the recordings that these are trained with, so that it tells nothing
VAL = 10  # one sound in so many is never trained on


class Maker(NamedTuple):
    """What makes one kind of sound.

    Attributes:
        make: Gives one of them, drawn by chance.
        event: What it is.
        count: How many are made.
        unknown: Events that a fair listener could hear in it as well.
        spoken: Whether somebody speaks in it.
    """

    make: Callable[[np.random.Generator], Sound]
    event: str
    count: int
    unknown: tuple[str, ...] = ()
    spoken: bool = False


MAKERS = {
    "scream": Maker(voices.scream, "scream", 300, ("cry", "baby_cry", "shout")),
    "sobbing": Maker(voices.sobbing, "cry", 120, ("baby_cry",)),
    "baby": Maker(voices.baby, "baby_cry", 120, ("cry", "scream")),
    "gunshot": Maker(things.gunshot, "gunshot", 120, ("explosion",)),
    "explosion": Maker(things.explosion, "explosion", 100, ("gunshot",)),
    "glass": Maker(things.glass_break, "glass_break", 120),
    "siren": Maker(things.siren, "siren", 150, ("alarm",)),
    "alarm": Maker(things.alarm, "alarm", 120, ("siren",)),
    "laughing": Maker(voices.laughing, "laughter", 80),
    "singing": Maker(voices.singing, "vocal_other", 160, ("music", "speech")),
    "playing": Maker(voices.playing, "vocal_other", 120, ("shout", "laughter", "speech")),
    "animal": Maker(voices.animal, "animal", 80),
    "melody": Maker(things.melody, "music", 80),
    "knocking": Maker(things.knocking, "environment", 100),
    "dishes": Maker(things.dishes, "environment", 80),
    "shrill": Maker(things.shrill, "environment", 100, ("music",)),
    "hum": Maker(things.hum, "environment", 60),
}

# How many of them are made over speech too.
OVER_SPEECH = {
    "scream": 200,
    "sobbing": 60,
    "baby": 60,
    "siren": 60,
    "alarm": 50,
    "laughing": 40,
    "singing": 100,
    "playing": 80,
    "melody": 60,
    "knocking": 40,
    "shrill": 40,
}
MAKERS |= {
    f"{name}-over-speech": MAKERS[name]._replace(
        make=speech.over(MAKERS[name].make), count=count, spoken=True
    )
    for name, count in OVER_SPEECH.items()
}


def made(name: str, number: int) -> Sound:
    """One sound, the same whenever it is made: shape (n,), 16 kHz."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), number])
    sound = MAKERS[name].make(rng)[: LONGEST * RATE]
    return PEAK * sound / max(float(np.abs(sound).max()), 1e-9)


def row(name: str, number: int) -> dict[str, Any]:
    """The row of a sound, as `triage train` reads it."""
    maker, id_ = MAKERS[name], f"synthetic-{name}-{number:03}"
    events = {event: int(event == maker.event) for event in EVENTS if event not in maker.unknown}
    events |= {"speech": 1} if maker.spoken else {}
    return {
        "id": id_,
        "audio": f"{id_}.ogg",
        "events": events,
        "source": "synthetic",
        "licence": "CC0-1.0",
        "group": id_,
        "split": "train" if int(hashlib.sha256(id_.encode()).hexdigest(), 16) % VAL else "val",
    }


def main(out: Path) -> None:
    """Makes them all."""
    out.mkdir(parents=True, exist_ok=True)
    sounds = [(name, n) for name, maker in MAKERS.items() for n in range(maker.count)]
    rows = [row(*one) for one in sounds]
    with progress() as report:
        for done, (one, told) in enumerate(zip(sounds, rows, strict=True), 1):
            _write(out / told["audio"], made(*one))
            report("making sounds", done, len(sounds))
    (out / "clips.jsonl").write_text("".join(json.dumps(told) + "\n" for told in rows))


def _write(file: Path, sound: Sound) -> None:
    with av.open(str(file), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE)
        stream.bit_rate = BIT_RATE
        stream.layout = "mono"
        samples = np.round(sound * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
