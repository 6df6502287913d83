"""How long models take, timed in turns so that what else the machine does hits all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np

from triage.artefact import load
from triage.labels.rows import Labelled
from triage.manifest import Part
from triage.pipeline import Triage
from triage.records import Recording, Report
from triage.text import TextEncoder

TEXTS, CLIPS, LOADS = 100, 10, 3  # timed at most


class Latency(Part):
    """Milliseconds for one row by itself; None where there was no such row.

    Attributes:
        load: Median for checking the model's files and loading its text encoder and its heads.
        text, text_p95: Median and 95th percentile for a row of words.
        audio, audio_p95: The same for a row with sound.
    """

    load: float
    text: float | None
    text_p95: float | None
    audio: float | None
    audio_p95: float | None


def latency(models: Sequence[Triage], rows: Sequence[Labelled], report: Report) -> list[Latency]:
    """Times each model on the same rows, spread evenly over all of them.

    Args:
        models: The models.
        rows: That all of them can score.
        report: Told of the progress.
    """
    texts = _some([row for row in rows if row.audio is None], TEXTS)
    clips = _some([row for row in rows if row.audio is not None], CLIPS)
    taken = {(kind, n): list[float]() for kind in ("text", "audio") for n in range(len(models))}
    turns = list(range(len(models)))
    for done, row in enumerate((*texts, *clips), 1):
        recording = Recording(row.id, row.audio, row.text)
        turns.reverse()  # or one model would always find the row in the processor's cache
        for n in turns:
            began = perf_counter()
            models[n].score(recording)
            kind = "text" if row.audio is None else "audio"
            taken[kind, n].append(1000 * (perf_counter() - began))
        report("timing", done, len(texts) + len(clips))
    loads = [[loading(model.artefact.folder) for model in models] for _ in range(LOADS)]
    return [
        Latency(
            load=round(float(np.median([turn[n] for turn in loads])), 3),
            text=_quantile(taken["text", n], 0.5),
            text_p95=_quantile(taken["text", n], 0.95),
            audio=_quantile(taken["audio", n], 0.5),
            audio_p95=_quantile(taken["audio", n], 0.95),
        )
        for n in range(len(models))
    ]


def loading(folder: Path) -> float:
    """Milliseconds that a model's own files take; Whisper's are the same for all models."""
    began = perf_counter()
    load(folder)
    TextEncoder(folder / "text", threads=1)
    return 1000 * (perf_counter() - began)


def _some(rows: Sequence[Labelled], most: int) -> Sequence[Labelled]:
    step = max(1, len(rows) // most)
    return rows[::step][:most]


def _quantile(taken: Sequence[float], share: float) -> float | None:
    return round(float(np.quantile(taken, share)), 3) if taken else None
