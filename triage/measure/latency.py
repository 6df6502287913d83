"""How long models take for a row, timed in turns so that what else the machine does hits all."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from triage.labels.rows import Labelled
from triage.manifest import Part
from triage.pipeline import Triage
from triage.records import Recording, Report

TEXTS, CLIPS = 100, 10  # timed at most


class Latency(Part):
    """Milliseconds for one row by itself; None where there was no such row.

    Attributes:
        text, text_p95: Median and 95th percentile for a row of words.
        audio, audio_p95: The same for a row with sound.
    """

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
    for done, row in enumerate((*texts, *clips), 1):
        recording = Recording(row.id, row.audio, row.text)
        for n, model in enumerate(models):
            began = perf_counter()
            model.score(recording)
            kind = "text" if row.audio is None else "audio"
            taken[kind, n].append(1000 * (perf_counter() - began))
        report("timing", done, len(texts) + len(clips))
    return [
        Latency(
            text=_quantile(taken["text", n], 0.5),
            text_p95=_quantile(taken["text", n], 0.95),
            audio=_quantile(taken["audio", n], 0.5),
            audio_p95=_quantile(taken["audio", n], 0.95),
        )
        for n in range(len(models))
    ]


def _some(rows: Sequence[Labelled], most: int) -> Sequence[Labelled]:
    step = max(1, len(rows) // most)
    return rows[::step][:most]


def _quantile(taken: Sequence[float], share: float) -> float | None:
    return round(float(np.quantile(taken, share)), 3) if taken else None
