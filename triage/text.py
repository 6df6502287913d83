"""Words to vectors: a transcript as windows of token vectors from the sentence encoder.

The encoder sees what a transcriber writes: lower case, no punctuation. Everything is windowed
on word pieces, so no word of a long transcript is cut off unread.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triage.records import Floats

WINDOW = 94  # word pieces of a window; 96 with the two that frame it
HOP = 47  # so that every word has context on both sides in one of the windows
LONGEST_WORD = 32  # characters; longer ones, and scripts without spaces, are cut to be windowed

_NOT_SPOKEN = re.compile(r"[^\w']+|_+")
_FRAMING = np.array([-1])  # the word of a token that is of no word
_TYPOGRAPHIC = str.maketrans(dict.fromkeys("\u2019\u2018\u0060\u00b4", "'"))


def spoken_words(text: str) -> list[str]:
    """The words of a text as a transcriber would write them.

    NFKC, lower case, no punctuation but the apostrophe within a word. One item for each stretch
    between white space that has anything spoken in it, and more for one with a hyphen or of more
    than 32 characters.
    """
    plain = unicodedata.normalize("NFKC", text.translate(_TYPOGRAPHIC)).lower()
    pieces = (
        word[at : at + LONGEST_WORD]
        for word in _NOT_SPOKEN.sub(" ", plain).split()
        for at in range(0, len(word), LONGEST_WORD)
    )
    return [spoken for piece in pieces if (spoken := piece.strip("'"))]


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """One window's tokens.

    Attributes:
        vectors: Last hidden state, shape (tokens, width), float32, framing tokens included.
        words: Index of each token's word in the text's `spoken_words`, -1 for a framing token.
    """

    vectors: Floats = field(repr=False)
    words: NDArray[np.int64] = field(repr=False)

    @property
    def pooled(self) -> Floats:
        """The window as one vector of length 1: the mean of its tokens, scaled. Shape (width,)."""
        mean: Floats = self.vectors.mean(axis=0)
        return mean / np.float32(max(float(np.linalg.norm(mean)), 1e-9))

    def shares(self, weights: Floats) -> dict[int, float]:
        """How much each word adds to a linear head's log-odds.

        The head is linear in the mean of the tokens, so its log-odds are a plain sum over them;
        nothing is approximated. The framing tokens' share belongs to no word and is left out.

        Args:
            weights: The head's weights, shape (width,).
        """
        norm = max(float(np.linalg.norm(self.vectors.mean(axis=0))), 1e-9)
        each = self.vectors @ weights / (len(self.vectors) * norm)
        return {int(word): float(each[self.words == word].sum()) for word in set(self.words) - {-1}}


class TextEncoder:
    """The int8 sentence encoder, on ONNX Runtime.

    Args:
        folder: Holds `encoder.onnx` and `tokenizer.json`.
        threads: Windows run side by side, each on one thread.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._threads = threads
        self._session = onnxruntime.InferenceSession(
            folder / "encoder.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        before, after = map(self._tokenizer.token_to_id, ("[CLS]", "[SEP]"))
        self._frame = np.array([before]), np.array([after])
        self.width: int = self._session.get_outputs()[0].shape[-1]

    def windows(self, texts: Sequence[Sequence[str]]) -> list[list[TokenWindow]]:
        """The windows of each text; none for a text of no words.

        Args:
            texts: Each as its `spoken_words`.
        """
        cut = [self._cut(words) for words in texts]
        flat = [window for windows in cut for window in windows]
        vectors = iter(self._run([ids for ids, _ in flat]))
        return [[TokenWindow(next(vectors), words) for _, words in windows] for windows in cut]

    def pooled(self, texts: Sequence[Sequence[str]]) -> Floats:
        """The first window of each text as a unit vector, shape (n, width); zeros for no words."""
        out = np.zeros((len(texts), self.width), np.float32)
        filled = [row for row, words in enumerate(texts) if words]
        states = self._run([self._cut(texts[row])[0][0] for row in filled])
        for row, vectors in zip(filled, states, strict=True):
            out[row] = TokenWindow(vectors, np.empty(0, np.int64)).pooled
        return out

    def _cut(self, words: Sequence[str]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Ids and word indices of each window, framed."""
        if not words:
            return []
        coded = self._tokenizer.encode(list(words), is_pretokenized=True, add_special_tokens=False)
        ids, of = np.array(coded.ids, np.int64), np.array(coded.word_ids, np.int64)
        starts = range(0, max(len(ids) - WINDOW, 0) + HOP, HOP) if len(ids) > WINDOW else (0,)
        before, after = self._frame
        return [
            (
                np.concatenate((before, ids[at : at + WINDOW], after)),
                np.concatenate((_FRAMING, of[at : at + WINDOW], _FRAMING)),
            )
            for at in starts
        ]

    def _run(self, windows: Sequence[NDArray[np.int64]]) -> list[Floats]:
        """Last hidden states, in the order given, each window alone.

        The int8 activations share one scale for a whole batch, so a window's score would depend
        on its neighbours; and on a processor a batch is hardly faster (docs/decisions/0003).
        """

        def run(ids: NDArray[np.int64]) -> Floats:
            feed = {"input_ids": ids[None], "attention_mask": np.ones_like(ids)[None]}
            states: Floats = self._session.run(["tokens"], feed)[0][0]
            return states

        if len(windows) < 2 * self._threads:
            return [run(ids) for ids in windows]
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(run, windows))
