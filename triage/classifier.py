"""Linear heads over the encoders: vectors to calibrated probabilities, for words and for sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from triage.calibrate import Calibrator
from triage.records import Doubles, Floats, TextWindow
from triage.text import TextEncoder, TokenWindow

CARRIED = 5  # words named at most in an explanation
CARRIED_FLOOR = 0.1  # probability below which nobody asks which words carried it


@dataclass(frozen=True, slots=True)
class Head:
    """One linear classifier for each name, each with a calibration of its own.

    Attributes:
        names: What is scored.
        weights: Shape (names, width), float32.
        bias: Shape (names,), float32.
        calibrators: Log-odds to probability, one for each name.
    """

    names: tuple[str, ...]
    weights: Floats = field(repr=False)
    bias: Floats = field(repr=False)
    calibrators: tuple[Calibrator, ...] = field(repr=False)

    def logits(self, vectors: Floats) -> Floats:
        """Uncalibrated log-odds: shape (n, names), from vectors of shape (n, width)."""
        return vectors @ self.weights.T + self.bias

    def calibrated(self, logits: Floats) -> Doubles:
        """Probabilities in (0, 1): shape (n, names), monotone in each name's log-odds."""
        columns = [
            one.apply(column) for one, column in zip(self.calibrators, logits.T, strict=True)
        ]
        return np.stack(columns, axis=1)


@dataclass(frozen=True, slots=True)
class TextClassifier:
    """Scores words, window by window."""

    encoder: TextEncoder
    head: Head

    def score(self, words: Sequence[str]) -> tuple[TextWindow, ...]:
        """Scores every window of one text.

        Args:
            words: Its `spoken_words`; none gives no windows.
        """
        (windows,) = self.encoder.windows([words])
        if not windows:
            return ()
        scores = self.head.calibrated(
            self.head.logits(np.stack([window.pooled for window in windows]))
        )
        return tuple(
            self._explained(window, row) for window, row in zip(windows, scores, strict=True)
        )

    def _explained(self, window: TokenWindow, row: Doubles) -> TextWindow:
        inside = window.words[window.words >= 0]
        return TextWindow(
            first_word=int(inside[0]),
            last_word=int(inside[-1]) + 1,
            scores=dict(zip(self.head.names, row.tolist(), strict=True)),
            carried={
                name: _largest(window.shares(self.head.weights[column]))
                for column, name in enumerate(self.head.names)
                if row[column] >= CARRIED_FLOOR
            },
        )


def highest(windows: Sequence[TextWindow], names: Sequence[str]) -> dict[str, float]:
    """The highest score of any window, by category; empty without windows."""
    return {name: max(w.scores[name] for w in windows) for name in names} if windows else {}


def _largest(shares: Mapping[int, float]) -> tuple[tuple[int, float], ...]:
    positive = [(word, share) for word, share in shares.items() if share > 0]
    return tuple(sorted(positive, key=lambda item: -item[1])[:CARRIED])
