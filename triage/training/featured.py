"""The features of all labelled rows of a training, as what heads are fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from triage.audio import Limits
from triage.encoder import SpeechEncoder
from triage.records import Report
from triage.settings import Settings
from triage.text import TextEncoder
from triage.training.cache import FeatureCache
from triage.training.dataset import sound_rows, text_rows
from triage.training.features import Ears, add_heard, sound_features, text_features
from triage.training.fit import Rows
from triage.training.gather import Gathered
from triage.weights import WHISPER_TINY_EN, resolve


@dataclass(frozen=True, slots=True)
class Featured:
    """Rows without labels, by what is scored in them.

    Attributes:
        words: One row for each text that has words.
        sounds: The windows of each clip, as it is and varied.
        failed: How many clips couldn't be decoded.
    """

    words: Rows = field(repr=False)
    sounds: Rows = field(repr=False)
    failed: int


def featured(
    rows: Gathered,
    encoder: TextEncoder,
    digest: str,
    ears: Ears,
    cache: FeatureCache,
    report: Report,
    tuned: frozenset[int] = frozenset(),
) -> Featured:
    """Computes what the cache doesn't hold.

    Args:
        rows: Labelled.
        encoder: Of words.
        digest: SHA-256 of its file.
        ears: What hears.
        cache: Where features are kept.
        report: Told of the progress.
        tuned: Digests of the rows that the encoder of words was tuned on.
    """
    vectors = text_features(rows.texts, encoder, digest, cache, report)
    add_heard(vectors, rows.texts, ears, encoder, digest, cache, report)
    heard = sound_features(rows.clips, ears, cache, report)
    known = np.array([rows.digests[row.id] in tuned for row in rows.texts], bool)
    return Featured(
        text_rows(rows.texts, vectors, known), sound_rows(rows.clips, heard), len(heard.failed)
    )


def ears(settings: Settings, seed: int) -> Ears:
    """What hears clips as in service.

    Raises:
        WeightsNotFound: The encoder's weights are missing.
    """
    return Ears(
        SpeechEncoder(resolve(WHISPER_TINY_EN, settings.whisper), settings.cores),
        WHISPER_TINY_EN.files["model.bin"],
        Limits(settings.max_bytes, settings.max_seconds, settings.max_channels),
        seed,
        settings.cores,
    )


@contextmanager
def opened(cache: Path) -> Iterator[FeatureCache]:
    """A folder's features, closed afterwards."""
    found = FeatureCache(cache)
    try:
        yield found
    finally:
        found.close()
