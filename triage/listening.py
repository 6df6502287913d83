"""What is heard in a recording: each chunk encoded once, for its sounds and for its words."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from triage.acoustic import pool
from triage.artefact import Artefact
from triage.encoder import SpeechEncoder
from triage.errors import InputError
from triage.measurements import distance, of_sound
from triage.records import SAMPLE_RATE, Floats, Span, Waveform, Word
from triage.segment import chunks, signal_flags, speech_spans, windows
from triage.stopwatch import Stopwatch
from triage.transcribe import Heard, Utterance

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Listening:
    """What has been heard so far, chunk by chunk; the frames themselves are not kept.

    Attributes:
        spans: Windows, in seconds from the start of the recording.
        logits: Of the sound events in them, chunk by chunk: shape (windows, events).
        distances: From what the model was fitted on, likewise: shape (windows,).
        measured: What the waveform is like.
        words: What was said.
        unreliable: Whether some of it could not be made out.
        spoke: Whether anything was transcribed at all.
    """

    spans: list[Span] = field(default_factory=list)
    logits: list[Floats] = field(default_factory=list)
    distances: list[Floats] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    unreliable: bool = False
    spoke: bool = False


def listen(
    waveform: Waveform,
    speech_encoder: SpeechEncoder,
    artefact: Artefact,
    clock: Stopwatch,
    transcribe: bool,
    flags: dict[str, bool],
    failures: dict[str, str],
) -> Generator[Utterance, Heard, Listening]:
    """Encodes each chunk once, for the events in it and for the words in it.

    Args:
        waveform: What to listen to.
        speech_encoder: Encodes.
        artefact: Knows the sounds.
        clock: Told how long it takes.
        transcribe: Whether words are wanted.
        flags, failures: Added to.

    Yields:
        What is to be transcribed; to be sent what was said.
    """
    out = Listening()
    speech: tuple[Span, ...] = (Span(0.0, waveform.seconds),)
    with stage("segment", failures), clock.stage("segment"):
        flags |= signal_flags(waveform)
        speech = speech_spans(waveform)
        flags["speech_absent"] = not speech
        out.measured = of_sound(waveform, speech)
    for chunk in chunks(waveform, speech):
        samples, start = waveform.samples[chunk.start : chunk.end], chunk.start / SAMPLE_RATE
        with stage("encode", failures):
            with clock.stage("encode"):
                encoded = speech_encoder.encode(samples)
            with clock.stage("events"):
                spans = windows(len(samples) / SAMPLE_RATE)
                pooled = pool(encoded.frames, spans)
                out.logits.append(artefact.sound.logits(pooled))
                out.distances.append(distance(artefact.sound_scaling.apply(pooled)))
                out.spans += [Span(start + span.start, start + span.end) for span in spans]
            if transcribe and chunk.speaks:
                with stage("transcribe", failures):
                    said = yield Utterance(encoded, start, speech)
                    out.spoke = True
                    out.unreliable |= not said.reliable
                    out.words += said.words if said.reliable else ()
    if out.spoke:
        flags["transcript_unreliable"] = out.unreliable
    return out


@contextmanager
def stage(name: str, failures: dict[str, str]) -> Iterator[None]:
    """The edge at which a failing stage becomes a note for the policy, not a lost recording.

    Whatever goes wrong in a model or a library is caught here and nowhere else. Only the kind of
    error is kept: its message could hold what was said.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        failures[name] = type(error).__name__
        log.error("stage %s failed: %s", name, type(error).__name__)
