"""Linear heads over the encoders: vectors to calibrated probabilities, for words and for sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from triage.calibrate import AS_IT_IS, Calibrator, apply_each
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
        return apply_each(self.calibrators, logits)

    def only(self, names: Sequence[str]) -> Head:
        """The head of some of the names, in their order."""
        columns = [self.names.index(name) for name in names]
        return Head(
            tuple(names),
            self.weights[columns],
            self.bias[columns],
            tuple(self.calibrators[column] for column in columns),
        )

    def updated(self, other: Head) -> Head:
        """This head, with another's names in place of its own where both have them."""
        kept = [name for name in self.names if name not in other.names]
        joined = Head.joined([self.only(kept), other])
        return joined.only([*dict.fromkeys((*self.names, *other.names))])

    @classmethod
    def empty(cls, width: int) -> Head:
        """The head of no name, over vectors of this width."""
        return cls((), np.empty((0, width), np.float32), np.empty(0, np.float32), ())

    @classmethod
    def joined(cls, heads: Sequence[Head]) -> Head:
        """Heads over the same vectors as one, one at least; no name twice."""
        return cls(
            tuple(name for head in heads for name in head.names),
            np.concatenate([head.weights for head in heads]),
            np.concatenate([head.bias for head in heads]),
            tuple(one for head in heads for one in head.calibrators),
        )


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and deviation of the vectors that a head was fitted on, each of shape (width,)."""

    mean: Floats = field(repr=False)
    scale: Floats = field(repr=False)

    def apply(self, vectors: Floats) -> Floats:
        """Vectors with mean 0 and deviation 1, shape (n, width)."""
        scaled: Floats = np.subtract(vectors, self.mean, dtype=np.float32)
        scaled /= self.scale
        return scaled

    def scaled(self, head: Head) -> Doubles:
        """Weights and bias of a head of one name, for scaled vectors: shape (width + 1,)."""
        weights = head.weights[0].astype(np.float64)
        return np.append(weights * self.scale, head.bias[0] + weights @ self.mean)

    def unscaled(self, name: str, theta: Doubles) -> Head:
        """The head of one name, not calibrated, from weights and bias for scaled vectors."""
        weights = theta[:-1] / self.scale
        bias = theta[-1:] - weights @ self.mean
        return Head((name,), weights[None].astype(np.float32), bias.astype(np.float32), (AS_IT_IS,))


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
