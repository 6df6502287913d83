"""Sound to frames: one pass of the Whisper encoder, for the transcriber and the sound events.

Whisper was trained on 30 s. Its encoder takes less, and 30 s cost six times what 13 s do; but the
decoder loses its place when the sound stops at the edge, and says it all again when there is
little of it. So every chunk is followed by 4 s of silence, and by more until there are 13 s
(measured: docs/decisions/0002). Where nothing is to be written down, 1 s will do (0015).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triage.records import SAMPLE_RATE, Floats

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

FRAME_RATE = 50  # encoder frames a second: mel frames of 10 ms, halved by a strided convolution
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAME_RATE
MEL_FRAMES = 2  # per encoder frame
LONGEST_CHUNK = 26  # s


@dataclass(frozen=True, slots=True)
class Padding:
    """Silence behind a chunk.

    Attributes:
        behind: Seconds, at least.
        shortest: Seconds that the encoder is given in all, at least.
    """

    behind: int
    shortest: int


FOR_WORDS = Padding(4, 13)
FOR_SOUNDS = Padding(1, 0)  # a third of the time on commands; see docs/decisions/0015 for its price


@dataclass(frozen=True, slots=True)
class Encoded:
    """One chunk as the encoder sees it.

    Attributes:
        frames: Last encoder layer over the chunk, padding left off: shape (n, width), 50 a second.
        output: All of it, padding included, as the decoder takes it.
    """

    frames: Floats = field(repr=False)
    output: Any = field(repr=False)

    @property
    def mel_frames(self) -> int:
        """Mel frames that the encoder was given, padding included."""
        length: int = self.output.shape[1]
        return MEL_FRAMES * length


class SpeechEncoder:
    """Whisper on CTranslate2, int8.

    Args:
        folder: Whisper weights in CTranslate2's format, verified.
        workers: Chunks encoded or decoded side by side, each on one thread. Two threads for one
            chunk gain nothing on chunks this short, and wait on each other when a core is busy.
        padding: What the frames are for.
    """

    def __init__(self, folder: Path, workers: int = 1, padding: Padding = FOR_WORDS) -> None:
        from faster_whisper import WhisperModel

        self.whisper: WhisperModel = WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=1, num_workers=workers
        )
        self._padding = padding
        self.width = self.encode(np.zeros(SAMPLES_PER_FRAME, np.float32)).frames.shape[1]

    def encode(self, samples: Floats) -> Encoded:
        """Encodes one chunk.

        Args:
            samples: Shape (n,), 16 kHz, at most 26 s.
        """
        if len(samples) > LONGEST_CHUNK * SAMPLE_RATE:
            raise ValueError(f"{len(samples)} samples, at most {LONGEST_CHUNK * SAMPLE_RATE}")
        count = max(1, -(-len(samples) // SAMPLES_PER_FRAME))
        padding = self._padding
        length = max(count + padding.behind * FRAME_RATE, padding.shortest * FRAME_RATE)
        padded = np.zeros(length * SAMPLES_PER_FRAME, np.float32)
        padded[: len(samples)] = samples
        output = self.whisper.encode(self.whisper.feature_extractor(padded, padding=0))
        return Encoded(frames=np.array(output)[0, :count], output=output)
