"""Frames to words: Whisper's decoder over a chunk that the encoder has already seen.

Whisper writes fluent sentences over noise. Three things keep those from being scored: chunks
in which voice activity heard nobody never come here; words that were placed where nobody speaks
are dropped; and a chunk that the decoder was unsure of, or that it looped over, is unreliable.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

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

    def transcribe(self, encoded: Encoded, start: float, speech: Sequence[Span]) -> Heard:
        """Writes down one chunk.

        Args:
            encoded: The chunk.
            start: Where in the recording it begins, in seconds.
            speech: Where in the recording somebody speaks.
        """
        seconds = len(encoded.frames) / FRAME_RATE
        most = min(LEAST_TOKENS + int(TOKENS_PER_SECOND * seconds), self._whisper.max_length // 2)
        (result,) = self._whisper.model.generate(
            encoded.output,
            [self._prompt],
            beam_size=1,
            max_length=len(self._prompt) + most,
            return_scores=True,
            suppress_blank=True,
            suppress_tokens=[-1],
        )
        tokens = result.sequences_ids[0]
        text = self._tokenizer.decode(tokens).strip()
        log_probability = result.scores[0] * len(tokens) / (len(tokens) + 1)
        compression = _compression(text)
        written = self._words(tokens, encoded, start)
        words = tuple(word for word in written if _spoken(word, speech))
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


def _spoken(word: Word, speech: Sequence[Span]) -> bool:
    around = Span(word.start - SLACK, word.end + SLACK)
    return any(span.overlaps(around) for span in speech)


def _compression(text: str) -> float:
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0
