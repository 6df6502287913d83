"""What a recording is like, in a few numbers that tell nothing of what was said in it.

They are for drift only (`triage.drift`): no score and no decision depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from triage.records import Floats, Span, Transcript, Waveform
from triage.segment import frame_levels


def of_sound(waveform: Waveform, speech: Sequence[Span]) -> dict[str, float]:
    """What the waveform tells.

    Args:
        waveform: Of any length over 0.
        speech: Where somebody speaks, without overlaps.

    Returns:
        `seconds`: its length.
        `loudness`: RMS over all of it, in dBFS, -100..0.
        `level_range`: from the 10th to the 95th percentile of its 25 ms levels, in dB. Speech in
        a quiet room spans 30 and more, steady noise hardly any.
        `speech_share`: how much of it is speech, in 0..1.
    """
    levels = frame_levels(waveform.samples)
    quiet, loud = np.quantile(levels, [0.1, 0.95])
    spoken = sum(span.end - span.start for span in speech)
    return {
        "seconds": waveform.seconds,
        "loudness": 10 * float(np.log10(np.mean(10 ** (levels / 10)))),
        "level_range": float(loud - quiet),
        "speech_share": min(1.0, spoken / waveform.seconds),
    }


def of_words(transcript: Transcript | None) -> dict[str, float]:
    """What the transcript tells; nothing without one.

    Returns:
        `words`: how many there are.
        `word_probability`: the transcriber's mean for them; absent where a caller wrote them.
    """
    if transcript is None:
        return {}
    found = {"words": float(len(transcript.text.split()))}
    if transcript.words:
        certain = [word.probability for word in transcript.words]
        found["word_probability"] = float(np.mean(certain))
    return found


def of_windows(kind: str, distances: Sequence[Floats]) -> dict[str, float]:
    """How far a recording's vectors lie from those that the model was fitted on.

    Args:
        kind: "sound" or "text".
        distances: Of its windows, chunk by chunk, see `distance`.

    Returns:
        `sound_distance`, `text_distance`: their mean; nothing without windows.
    """
    return {f"{kind}_distance": float(np.concatenate(distances).mean())} if distances else {}


def distance(scaled: Floats) -> Floats:
    """Root mean square of each vector, about 1 for what the model was fitted on: shape (n,).

    Args:
        scaled: Vectors with mean 0 and deviation 1 over what the model was fitted on
            (`triage.classifier.Scaling`), shape (n, width).
    """
    root: Floats = np.sqrt(np.square(scaled).mean(axis=1))
    return root
