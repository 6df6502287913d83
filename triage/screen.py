"""A first look at a text: whether the model would find anything in it, by its words alone.

A linear model over hashed words and pairs of words, in a hundredth of the time of the sentence
encoder, fitted to what the model that it stands before says of the same texts (distillation; see
`triage.training.screen`). What it lets pass is read whole. What it doesn't is said to have been
screened, never to have been read, and what it misses is measured (docs/decisions/0016).

Hashed features: K. Weinberger et al., "Feature hashing for large scale multitask learning" (ICML
2009).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import nextafter, sqrt
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from triage.errors import ArtefactRefused
from triage.manifest import Manifest, Probability, SourceNote
from triage.records import Floats, InputKind, Scores
from triage.weights import sha256

FORMAT = 1  # raised when a reader of today would misread what a writer of tomorrow wrote
NOTE, WEIGHTS = "screen.json", "weights.safetensors"
BITS = 18
WIDTH = 2**BITS
MOST_WORDS = 60  # longer texts are read whole: the sentence encoder would see them in pieces
STEM = 5  # letters that stand for a longer word beside the word itself


class Missed(BaseModel):
    """What a screen misses of some texts, against the model that it stands before.

    Attributes:
        texts: How many.
        passed: Share that is read whole.
        found: How many the model scores at the floor or more.
        missed: How many of those the screen doesn't let pass.
        likely, likely_missed: The same of those with a score of .7 or more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: int
    passed: Probability
    found: int
    missed: int
    likely: int
    likely_missed: int


class Note(BaseModel):
    """What a screen says of itself.

    Attributes:
        format: FORMAT of the writer.
        created: When, RFC 3339.
        model: Digest of the manifest of the model that it stands before.
        weights: SHA-256 of the file.
        floor: Score that the model has to give for a text to count as found.
        cut: Log-odds from which a text is read whole.
        miss, confidence: Of what is found no more than this share is missed, with this confidence,
            of texts like those of split "val".
        typical: By category, the model's mean score of texts that aren't let pass.
        lineage: The texts that went in.
        seed: Of the fit.
        held_out: On split "val".
        sources: By source, on all of its texts, of a screen that was fitted without them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    format: int
    created: str
    model: str
    weights: str
    floor: Probability
    cut: float
    miss: Probability
    confidence: Probability
    typical: Mapping[str, Probability]
    lineage: tuple[SourceNote, ...]
    seed: int
    held_out: Missed
    sources: Mapping[str, Missed]


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen that is loaded.

    Attributes:
        note: What it says of itself.
        model: Name of the model that it stands before.
        weights: Shape (WIDTH,), float32.
        bias: Log-odds of no words.
    """

    note: Note
    model: str
    weights: Floats = field(repr=False)
    bias: float

    def logit(self, words: Sequence[str]) -> float:
        """Log-odds that the model finds something in these `spoken_words`."""
        places = features(words)
        return float(self.weights[places].sum()) / norm(places) + self.bias

    def passes(self, words: Sequence[str]) -> bool:
        """Whether a text is to be read whole."""
        return len(words) > MOST_WORDS or self.logit(words) >= self.note.cut

    def screened(self) -> Scores:
        """What there is to say of a text that isn't: the model's scores of such texts, on average.

        Flags are absent, since nothing was asked that would give them.
        """
        return self._scores(self.note.typical)

    def worst(self) -> Scores:
        """The most that the model can say of a text without its being found."""
        return self._scores(dict.fromkeys(self.note.typical, nextafter(self.note.floor, 0.0)))

    def _scores(self, categories: Mapping[str, float]) -> Scores:
        read: tuple[InputKind, ...] = ("text",)
        applied = dict.fromkeys(categories, read)
        return Scores(self.model, dict(categories), applied, screened=True)


def features(words: Sequence[str]) -> NDArray[np.int64]:
    """Places among the weights that a text's words have; each once."""
    told = {
        *words,
        *(f"{one} {other}" for one, other in pairwise(words)),
        *(f"{word[:STEM]}-" for word in words if len(word) > STEM),
    }
    hashes = {crc32(one.encode("utf-8", "surrogatepass")) % WIDTH for one in told}
    return np.fromiter(hashes, np.int64, len(hashes))


def norm(places: NDArray[np.int64]) -> float:
    """What the sum of a text's weights is divided by, so that long texts don't pass for length."""
    return sqrt(max(len(places), 1))


def load_screen(folder: Path, manifest: Manifest) -> Screen:
    """Verifies and loads a screen.

    Args:
        folder: Where it is.
        manifest: Of the model that it is to stand before.

    Raises:
        ArtefactRefused: It isn't one, was changed, or was made for another model.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        note = Note.model_validate_json((folder / NOTE).read_bytes())
        if note.format != FORMAT:
            raise ArtefactRefused(
                f"The screen is of format {note.format}, this version reads {FORMAT}. Make it "
                "anew with triage model screen.",
                limit=FORMAT,
            )
        if sha256(folder / WEIGHTS) != note.weights:
            raise ArtefactRefused(
                f"{WEIGHTS} isn't the one that {NOTE} vouches for. Restore the screen."
            )
        tensors = load((folder / WEIGHTS).read_bytes())
        weights, bias = tensors["weights"], float(tensors["bias"][0])
    except (OSError, ValidationError, SafetensorError, KeyError, IndexError):
        raise ArtefactRefused(
            f"A screen is a folder with {NOTE} and {WEIGHTS}, and what is named with --screen is "
            "none. Name one, or make one with triage model screen."
        ) from None
    if note.model != manifest.digest or set(note.typical) != set(manifest.categories):
        raise ArtefactRefused(
            f"The screen was made for the model {note.model[:12]}…, and this one is "
            f"{manifest.digest[:12]}…: what it misses of what this one finds isn't known. Make "
            "one for it with triage model screen."
        )
    if weights.shape != (WIDTH,) or weights.dtype != np.float32 or not np.isfinite(weights).all():
        raise ArtefactRefused(f"The screen's weights aren't {WIDTH} 32-bit numbers. Restore it.")
    return Screen(note, manifest.name, weights, bias)
