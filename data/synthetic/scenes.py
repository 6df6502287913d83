"""What a model makes of sounds on top of each other, and of noise that must not page anybody.

    python data/synthetic/scenes.py ../shared/data [MODEL]

Scenes are put together from clips of split `val` and from sounds made by rule that nothing was
trained on. Prints shares, never what was heard.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import make
import numpy as np
from scipy.io import wavfile
from voices import RATE, Sound

from triage.audio import Limits, decode
from triage.pipeline import Triage
from triage.policy.decide import decide
from triage.records import Recording
from triage.settings import Settings

MANY = 40  # of each scene
LIMITS = Limits(10**8, 600, 8)
Take = Callable[[np.random.Generator], Sound]


def recorded(shared: Path, wanted: Callable[[dict[str, Any]], bool]) -> Take:
    """Takes clips of split "val" by chance."""
    folder = shared / "audio"
    with (folder / "clips.jsonl").open() as lines:
        rows = [row for row in map(json.loads, lines) if row["split"] == "val" and wanted(row)]

    def take(rng: np.random.Generator) -> Sound:
        row = rows[rng.integers(len(rows))]
        return decode(folder / row["audio"], LIMITS).samples.astype(np.float64)

    return take


def by_rule(name: str) -> Take:
    """Takes sounds of split "val" by chance."""
    held = [n for n in range(make.MAKERS[name].count) if make.row(name, n)["split"] == "val"]
    return lambda rng: make.made(name, held[rng.integers(len(held))])


def over(one: Take, other: Take, above: tuple[float, float]) -> Take:
    """One that is so many dB louder than the other, somewhere in it."""

    def take(rng: np.random.Generator) -> Sound:
        near, far = one(rng), other(rng)
        far = np.tile(far, -(-len(near) // len(far)))
        gain = np.sqrt(np.square(near).mean() / max(float(np.square(far).mean()), 1e-12))
        start = rng.integers(len(far) - len(near) + 1)
        out = far * gain * 10 ** (-rng.uniform(*above) / 20)
        out[start : start + len(near)] += near
        return 0.5 * out / np.abs(out).max()

    return take


def scenes(shared: Path) -> Iterator[tuple[str, Take]]:
    """Each with its name."""
    speech = recorded(shared, lambda row: row["source"] in {"librispeech", "ljspeech", "mycroft"})
    music = recorded(shared, lambda row: row["events"].get("music") == 1)
    # UrbanSound8K's children at play are the ones of which nobody says whether they scream.
    children = recorded(
        shared, lambda row: row["source"] == "us8k" and "laughter" not in row["events"]
    )
    yield "speech", speech
    yield "music", music
    yield "a tune made by rule", by_rule("melody")
    yield "speech, music under it (film)", over(speech, music, (0, 10))
    yield "screams made by rule", by_rule("scream")
    yield "screams over speech", over(by_rule("scream"), speech, (0, 10))
    yield "screams, music under them (film)", over(by_rule("scream"), music, (0, 10))
    yield "singing made by rule", by_rule("singing")
    yield "singing over speech", over(by_rule("singing"), speech, (0, 10))
    yield "children at play", children
    yield "children at play made by rule", by_rule("playing")
    yield "kettles, whistles, brakes", by_rule("shrill")


def main(shared: Path, model: Path | None) -> None:
    settings = Settings(model=model) if model else Settings()
    triage = Triage.load(settings)
    print("| scene | scream | distress flagged | a page (E3, E4) | looked at (E2) | media flag |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, take in scenes(shared):
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        found: Counter[str] = Counter()
        for n in range(MANY):
            file = BytesIO()
            wavfile.write(file, RATE, (take(rng)[: 20 * RATE] * 32767).astype(np.int16))
            scores = triage.score(Recording(str(n), file.getvalue(), None))
            decision = decide(scores, triage.policy, datetime.now(UTC))
            found["scream"] += any(event.event == "scream" for event in scores.events)
            found["flagged"] += decision.category_flagged["distress"]
            found[decision.tier] += 1
            found["media"] += scores.flags.get("media_playback_likely", False)
        shares = (found["scream"], found["flagged"], found["E3"] + found["E4"], found["E2"])
        told = " | ".join(f"{one / MANY:.2f}" for one in (*shares, found["media"]))
        print(f"| {name} | {told} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
