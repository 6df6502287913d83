"""The lines as a recogniser hears them.

    python data/authored/hear.py

espeak-ng (Debian package) says two lines of every seed, each by a voice, a speed and over a noise
that depend on nothing but the line, and the project's own transcriber writes down what it hears.
What it isn't sure of is left out, as in service. A run that is stopped goes on where it was.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from make import HERE, written
from scipy.signal import lfilter

from triage.cli.progress import progress
from triage.encoder import SpeechEncoder
from triage.records import SAMPLE_RATE, Floats, Span
from triage.settings import settings
from triage.text import spoken_words
from triage.transcribe import Transcriber, Utterance
from triage.weights import WHISPER_TINY_EN, resolve

sys.path.insert(0, str(HERE.parent))
from espeak import said

A_SEED = 2  # lines of it that are said
NOISE = (5.0, 25.0)  # dB by which the voice is above it


def say(text: str) -> Floats:
    """A line as it is said over a noise, at 16 kHz."""
    seed = hashlib.sha256(text.encode()).digest()
    chance = np.random.default_rng(list(seed))
    voice = np.pad(said(text, chance), SAMPLE_RATE // 4)
    # Brownish, as most rooms are: low sounds carry further than high ones.
    noise = lfilter([1.0], [1.0, -float(chance.uniform(0.5, 0.98))], chance.normal(size=len(voice)))
    above = float(chance.uniform(*NOISE))
    mixed = voice + noise * np.sqrt((voice**2).mean() / (noise**2).mean()) * 10 ** (-above / 20)
    out: Floats = (0.5 * mixed / np.abs(mixed).max()).astype(np.float32)
    return out


def heard(text: str, encoder: SpeechEncoder, transcriber: Transcriber) -> str:
    """What the transcriber makes of it; nothing where it isn't sure."""
    samples = say(text)
    seconds = len(samples) / SAMPLE_RATE
    (found,) = transcriber.transcribe(
        [Utterance(encoder.encode(samples), 0.0, [Span(0.0, seconds)])]
    )
    return " ".join(spoken_words(" ".join(w.text for w in found.words))) if found.reliable else ""


def chosen(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file that are to be said: the first of every seed."""
    taken: Counter[str] = Counter()
    with gzip.open(file, "rt") as lines:
        for row in map(json.loads, lines):
            taken[row["group"]] += 1
            if taken[row["group"]] <= A_SEED:
                yield row


def main() -> int:
    own = settings()
    encoder = SpeechEncoder(resolve(WHISPER_TINY_EN, own.whisper), own.cores)
    transcriber = Transcriber(encoder)
    for name in ("unseen", "lines"):
        rows = list(chosen(HERE / f"{name}.jsonl.gz"))
        part = Path("var") / f"heard-{name}.jsonl"
        part.parent.mkdir(exist_ok=True)
        kept = part.read_text().splitlines() if part.exists() else []
        known: dict[str, str] = dict(map(json.loads, kept))
        new = [row["text"] for row in rows if row["text"] not in known]
        with (
            progress() as report,
            part.open("a") as out,
            ThreadPoolExecutor(own.cores) as pool,
        ):
            results = pool.map(lambda text: heard(text, encoder, transcriber), new)
            for done, (text, told) in enumerate(zip(new, results, strict=True), 1):
                known[text] = told
                out.write(json.dumps([text, told]) + "\n")
                report(f"hearing {name}", done, len(new))
        found = [
            row | {"id": f"{row['id']}-heard", "text": known[row["text"]]}
            for row in rows
            if known[row["text"]]
        ]
        written(found, HERE / f"{name}-heard.jsonl.gz")
        print(f"{name}-heard.jsonl.gz: {len(found):,} of {len(rows):,} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
