"""Sounds over somebody's speech, which in a window is what the encoder hears first."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from voices import Sound

DATA = Path(__file__).parent.parent
sys.path.insert(0, str(DATA))
from espeak import said  # noqa: E402

LEAST = 60  # characters of a line, so that it isn't over before the sound is
ABOVE = (-3.0, 12.0)  # dB by which the sound is louder than the speech


def over(make: Callable[[np.random.Generator], Sound]) -> Callable[[np.random.Generator], Sound]:
    """What makes a sound, over speech for as long as it lasts."""

    def made(rng: np.random.Generator) -> Sound:
        near = make(rng)
        far = said(str(rng.choice(_lines())), rng)
        far = np.tile(far, -(-len(near) // len(far)))
        start = rng.integers(len(far) - len(near) + 1)
        far = far[start : start + len(near)]
        level = np.sqrt(np.square(near).mean() / max(float(np.square(far).mean()), 1e-12))
        return near + far * level * 10 ** (-rng.uniform(*ABOVE) / 20)

    return made


@lru_cache(maxsize=1)
def _lines() -> list[str]:
    """What may be said: lines that are trained on."""
    with gzip.open(DATA / "authored" / "lines.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    return [row["text"] for row in rows if row["split"] == "train" and len(row["text"]) >= LEAST]
