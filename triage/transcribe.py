"""Frames to words: Whisper's decoder over a chunk that the encoder has already seen.

Whisper writes fluent sentences over noise. Three things keep those from being scored: chunks
in which voice activity heard nobody never come here; words that were placed where nobody speaks
are dropped; and a chunk that the decoder was unsure of, or that it looped over, is unreliable.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from triage.encoder import FRAME_RATE, Encoded, SpeechEncoder
from triage.records import Span, Word

# Whisper's own limits for a failed decoding (Radford et al. 2022, section 4.5).
LEAST_LOG_PROBABILITY = -1.0
MOST_COMPRESSION = 2.4
TOKENS_PER_SECOND = 12  # nobody speaks faster; a decoder in a loop does
LEAST_TOKENS = 24
PUNCTUATION = ("\"'([{-", "\"'.,!?:;)]}%")  # written to the word behind, to the word before
SLACK = 0.3  # s that a word may stand outside of speech, as both clocks are only so good


@dataclass(frozen=True, slots=True)
class Utterance:
    """A chunk in which somebody speaks.

    Attributes:
        encoded: As the encoder gave it.
        start: Where in the recording it begins, in seconds.
        speech: Where in the recording somebody speaks.
    """

    encoded: Encoded
    start: float
    speech: Sequence[Span]

    @property
    def length(self) -> int:
        """How long the encoder's input was; only those of one length are transcribed together."""
        return self.encoded.mel_frames

    @property
    def most_tokens(self) -> int:
        """More than anybody says in the time."""
        seconds = len(self.encoded.frames) / FRAME_RATE
        return LEAST_TOKENS + int(TOKENS_PER_SECOND * seconds)


@dataclass(frozen=True, slots=True)
class Heard:
    """What the decoder made of one chunk.

    Attributes:
        words: Only those placed where somebody speaks; times from the start of the recording.
        reliable: Whether they may be scored.
        log_probability: Mean of the decoder's log-probability per token.
        compression: Bytes of the text over its zlib-compressed bytes; high where it repeats itself.
    """

    words: tuple[Word, ...]
    reliable: bool
    log_probability: float
    compression: float


class Transcriber:
    """Greedy decoding with word times.

    Args:
        encoder: The encoder whose output is to be decoded, and whose model does it.
    """

    def __init__(self, encoder: SpeechEncoder) -> None:
        from faster_whisper.tokenizer import Tokenizer

        self._whisper = encoder.whisper
        self._tokenizer = Tokenizer(
            self._whisper.hf_tokenizer,
            self._whisper.model.is_multilingual,
            task="transcribe",
            language="en",
        )
        self._prompt = self._whisper.get_prompt(self._tokenizer, [], without_timestamps=True)

    def transcribe(self, utterances: Sequence[Utterance]) -> list[Heard]:
        """Writes down chunks, several at once.

        What is written of a chunk doesn't depend on those beside it. A step of the decoder reads
        all of its weights, for one chunk as for eight, so eight together take half the time.

        Args:
            utterances: All encoded at one length, see `Utterance.length`. As all are stepped
                through until the last has ended, they should be about as long.
        """
        longest = self._whisper.max_length // 2
        most = [min(one.most_tokens, longest) for one in utterances]
        results = self._whisper.model.generate(
            _stacked([one.encoded.output for one in utterances]),
            [self._prompt] * len(utterances),
            beam_size=1,
            max_length=len(self._prompt) + max(most),
            return_scores=True,
            suppress_blank=True,
            suppress_tokens=[-1],
        )
        return [
            self._heard(one, result.sequences_ids[0], result.scores[0], limit)
            for one, result, limit in zip(utterances, results, most, strict=True)
        ]

    def _heard(self, one: Utterance, tokens: list[int], score: float, most: int) -> Heard:
        text = self._tokenizer.decode(tokens).strip()
        log_probability = score * len(tokens) / (len(tokens) + 1)
        compression = _compression(text)
        # Cut to its own limit: beside a longer one it may have gone on.
        written = self._words(tokens[:most], one.encoded, one.start)
        words = tuple(word for word in written if _spoken(word, one.speech))
        reliable = (
            log_probability >= LEAST_LOG_PROBABILITY
            and compression <= MOST_COMPRESSION
            and len(tokens) < most
            and 2 * len(words) >= len(written)
        )
        return Heard(words, reliable, log_probability, compression)

    def _words(self, tokens: list[int], encoded: Encoded, start: float) -> list[Word]:
        from faster_whisper.transcribe import merge_punctuations

        tokens = [token for token in tokens if token < self._tokenizer.eot]
        aligned = self._whisper.find_alignment(
            self._tokenizer, [tokens], encoded.output, encoded.mel_frames
        )
        words = aligned[0] if aligned else []
        merge_punctuations(words, *PUNCTUATION)
        end = start + len(encoded.frames) / FRAME_RATE
        return [
            Word(
                text=word["word"].strip(),
                start=min(start + float(word["start"]), end),
                end=min(start + float(word["end"]), end),
                probability=float(word["probability"]),
            )
            for word in words
            if word["word"].strip()
        ]


def _stacked(outputs: Sequence[Any]) -> Any:
    """Encoder outputs of one length as a batch; one alone as it is, which saves a copy."""
    if len(outputs) == 1:
        return outputs[0]
    from ctranslate2 import StorageView

    return StorageView.from_array(np.concatenate([np.array(one) for one in outputs]))


def _spoken(word: Word, speech: Sequence[Span]) -> bool:
    around = Span(word.start - SLACK, word.end + SLACK)
    return any(span.overlaps(around) for span in speech)


def _compression(text: str) -> float:
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0
