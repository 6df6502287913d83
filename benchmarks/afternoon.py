"""The pipeline that one would write in an afternoon: Whisper tiny and a BERT classifier, on torch.

As their libraries come: 32-bit floats, every stretch padded to 30 s, greedy decoding, then a
BERT-base classifier over what was said. It knows no sounds, times no words, marks nothing as
unreliable, decides nothing and writes no audit: it does less than Triage, and what it leaves out
favours it.

The weights are random, made from the published sizes, so that nothing is downloaded: a matrix
product takes as long whatever is in it. Random weights never end a transcript, so the number of
tokens is set to what Triage's transcriber wrote for the same recording, and the tokens aren't
turned back into letters.

This file runs where torch is, and imports nothing of Triage.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import av
import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    logging,
)

from benchmarks.protocol import Job, work

SAMPLE_RATE = 16_000
STRETCH = 30 * SAMPLE_RATE  # samples that Whisper takes at once
LONGEST_TEXT = 512  # word pieces that BERT takes at once; what is over is cut off
BATCH = 32  # texts at once
PIECES = range(1_000, 30_000)  # of BERT's vocabulary, without what isn't words

# Of openai/whisper-tiny.en.
WHISPER: Mapping[str, Any] = {
    "vocab_size": 51_864,
    "d_model": 384,
    "encoder_layers": 4,
    "decoder_layers": 4,
    "encoder_attention_heads": 6,
    "decoder_attention_heads": 6,
    "encoder_ffn_dim": 1_536,
    "decoder_ffn_dim": 1_536,
}
START, END = 50_257, 50_256  # of a transcript
BERT: Mapping[str, Any] = {"num_labels": 11}  # the rest of bert-base-uncased is the default


class Afternoon:
    """Both models.

    Args:
        threads: Of torch.
        whisper, bert: Sizes.
    """

    def __init__(
        self, threads: int, whisper: Mapping[str, Any] = WHISPER, bert: Mapping[str, Any] = BERT
    ) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        special: dict[str, Any] = {
            "bos_token_id": END,
            "decoder_start_token_id": START,
            "eos_token_id": END,
            "pad_token_id": END,
        }
        self._features = WhisperFeatureExtractor()
        self._whisper = WhisperForConditionalGeneration(
            WhisperConfig(**whisper, **special, begin_suppress_tokens=None)
        ).eval()
        self._whisper.generation_config = GenerationConfig(**special)
        self._bert = BertForSequenceClassification(BertConfig(**bert)).eval()

    def tasks(self) -> Mapping[str, Callable[..., Job]]:
        """The tasks by name."""
        return {"whole": self._whole, "many": self._many, "texts": self._texts}

    def _whole(self, file: str, tokens: int) -> Job:
        """From the file to scores of what was said: `tokens` tokens in all."""

        def job() -> int:
            samples = _load(file)
            stretches = np.split(samples, range(STRETCH, len(samples), STRETCH))
            each = max(1, round(tokens / len(stretches)))
            written = sum(self._write(stretch, each) for stretch in stretches)
            self._classify([min(2 + written, LONGEST_TEXT)])
            return written

        return job

    def _many(self, file: str, tokens: int, count: int) -> Job:
        """The same for many recordings, one after another, each on all threads."""
        one = self._whole(file, tokens)
        return lambda: sum(one() for _ in range(count))

    def _texts(self, lengths: Sequence[int]) -> Job:
        """From texts of these many tokens to scores. They are alike, so that none is padded."""

        def job() -> int:
            for first in range(0, len(lengths), BATCH):
                self._classify(lengths[first : first + BATCH])
            return len(lengths)

        return job

    def _write(self, samples: np.ndarray, tokens: int) -> int:
        """Writes down one stretch; gives the number of tokens written."""
        features = self._features(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with torch.inference_mode():
            written = self._whisper.generate(
                features.input_features, min_new_tokens=tokens, max_new_tokens=tokens
            )
        return int(written.shape[-1])

    def _classify(self, lengths: Sequence[int]) -> torch.Tensor:
        """Probabilities of texts of some lengths, whatever is in them."""
        pieces = torch.tensor([random.choices(PIECES, k=length) for length in lengths])  # noqa: S311
        with torch.inference_mode():
            return self._bert(input_ids=pieces).logits.sigmoid()


def _load(file: str) -> np.ndarray:
    """A file's samples, mono at 16 kHz, shape (n,)."""
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
    with av.open(file) as container:
        frames = [part for one in container.decode(audio=0) for part in resampler.resample(one)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames])


def main() -> None:
    logging.set_verbosity_error()  # it advises on settings that are as they should be
    work(lambda threads: Afternoon(threads).tasks())


if __name__ == "__main__":
    main()
