"""One recording through every stage: bytes to scores, scores to decision. Writes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from triage.acoustic import merge, pool
from triage.artefact import Artefact
from triage.artefact import load as load_artefact
from triage.audio import Limits, decode
from triage.classifier import Head, TextClassifier, highest
from triage.encoder import SpeechEncoder
from triage.errors import InputError, NothingToScore, TooLarge
from triage.fusion import surprise
from triage.measurements import distance, of_sound, of_windows, of_words
from triage.policy.following import PolicyInService
from triage.policy.model import Policy
from triage.records import (
    SAMPLE_RATE,
    Event,
    Evidence,
    Floats,
    Recording,
    Scores,
    Span,
    TextWindow,
    Transcript,
    Waveform,
    Word,
)
from triage.registry import in_service
from triage.segment import chunks, signal_flags, speech_spans, windows
from triage.settings import Settings
from triage.taxonomy import ADDRESSED, MUSIC
from triage.text import TextEncoder, spoken_words
from triage.transcribe import Transcriber
from triage.weights import WHISPER_TINY_EN, resolve

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Listening:
    """What has been heard so far, chunk by chunk; the frames themselves are not kept."""

    spans: list[Span] = field(default_factory=list)
    logits: list[Floats] = field(default_factory=list)
    distances: list[Floats] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)
    unreliable: bool = False
    spoke: bool = False


class Triage:
    """The models and the policy, chosen once; then every recording goes the same straight way.

    Args:
        artefact: The model.
        policies: Gives what decides.
        speech: The Whisper encoder that the artefact's sound head was fitted on.
        limits: What one recording may be.
        max_characters: Limit on a transcript.
        threads: Text windows scored side by side.
    """

    def __init__(
        self,
        artefact: Artefact,
        policies: PolicyInService,
        speech: SpeechEncoder,
        limits: Limits,
        *,
        max_characters: int,
        threads: int,
    ) -> None:
        self.artefact = artefact
        self.policies = policies
        self._limits = limits
        self._max_characters = max_characters
        self._speech = speech
        self._transcriber = Transcriber(speech)
        self._text = TextClassifier(
            TextEncoder(artefact.folder / "text", threads),
            Head.joined([artefact.text, *([artefact.addressed] if artefact.addressed else ())]),
        )

    @classmethod
    def load(cls, settings: Settings) -> Triage:
        """Everything that the settings name, verified.

        Raises:
            SetupError: What is missing or refused, and what to do.
        """
        artefact = load_artefact(in_service(settings))
        folder = resolve(WHISPER_TINY_EN, settings.whisper)
        return cls(
            artefact,
            PolicyInService(settings.policy, settings.policy_keys, settings.state),
            SpeechEncoder(folder, settings.cores),
            Limits(settings.max_bytes, settings.max_seconds, settings.max_channels),
            max_characters=settings.max_characters,
            threads=settings.cores,
        )

    def score(self, recording: Recording) -> Scores:
        """Scores one recording by its sound and its words.

        A stage that fails is named in the answer's `failures`; what the other stages found is
        still there, and the policy asks for a human look.

        Raises:
            InputError: The recording can't be scored as it is.
        """
        if recording.audio is None and not (recording.transcript or "").strip():
            raise NothingToScore("Neither audio nor transcript was given. Send at least one.")
        _check_length(recording.transcript, self._max_characters)
        failures: dict[str, str] = {}
        flags: dict[str, bool] = {}
        listening, seconds = _Listening(), None
        if recording.audio is not None:
            waveform = decode(recording.audio, self._limits)
            seconds = waveform.seconds
            listening = self._listen(waveform, recording.transcript is None, flags, failures)
        transcript = _transcript(recording, listening)
        text = self._read(transcript, flags, failures)
        heard, events = self._hear(listening, flags, failures)
        if failures:
            flags["stage_failed"] = True
        evidence = self.artefact.fusion.evidence(text, heard, events)
        return Scores(
            model=self.artefact.manifest.name,
            categories=self.artefact.fusion.scores(evidence),
            applied=self.artefact.fusion.applied(text=bool(text), audio=bool(heard)),
            seconds=seconds,
            event_scores=heard,
            events=events,
            segments=self.artefact.fusion.segments(evidence),
            flags=flags,
            evidence=evidence,
            transcript=transcript,
            failures=failures,
            measurements={
                **listening.measured,
                **of_words(transcript),
                **of_windows("sound", listening.distances),
            },
        )

    @property
    def policy(self) -> Policy:
        """What decides at this moment."""
        return self.policies.current()

    def _listen(
        self,
        waveform: Waveform,
        transcribe: bool,
        flags: dict[str, bool],
        failures: dict[str, str],
    ) -> _Listening:
        """Encodes each chunk once, for the events in it and for the words in it."""
        out = _Listening()
        speech: tuple[Span, ...] = (Span(0.0, waveform.seconds),)
        with _stage("segment", failures):
            flags |= signal_flags(waveform)
            speech = speech_spans(waveform)
            flags["speech_absent"] = not speech
            out.measured = of_sound(waveform, speech)
        for chunk in chunks(waveform, speech):
            samples, start = waveform.samples[chunk.start : chunk.end], chunk.start / SAMPLE_RATE
            with _stage("encode", failures):
                encoded = self._speech.encode(samples)
                spans = windows(len(samples) / SAMPLE_RATE)
                pooled = pool(encoded.frames, spans)
                out.logits.append(self.artefact.sound.logits(pooled))
                out.distances.append(distance(self.artefact.sound_scaling.apply(pooled)))
                out.spans += [Span(start + span.start, start + span.end) for span in spans]
                if transcribe and chunk.speaks:
                    with _stage("transcribe", failures):
                        said = self._transcriber.transcribe(encoded, start, speech)
                        out.spoke = True
                        out.unreliable |= not said.reliable
                        out.words += said.words if said.reliable else ()
        if out.spoke:
            flags["transcript_unreliable"] = out.unreliable
        return out

    def _read(
        self, transcript: Transcript | None, flags: dict[str, bool], failures: dict[str, str]
    ) -> list[Evidence]:
        """The words' evidence: the best window of each category."""
        if transcript is None:
            return []
        with _stage("text", failures):
            words, times = _placed(transcript)
            scored = self._text.score(words)
            below = self.artefact.manifest.accidental_below
            if scored and below is not None:
                spoken_to = highest(scored, (ADDRESSED,))[ADDRESSED]
                flags["likely_accidental"] = spoken_to < below
            best = highest(scored, self.artefact.manifest.categories)
            return [_in_words(name, best[name], scored, words, times) for name in best]
        return []

    def _hear(
        self, listening: _Listening, flags: dict[str, bool], failures: dict[str, str]
    ) -> tuple[dict[str, float], tuple[Event, ...]]:
        """The highest probability of each event, and where the evidence events are."""
        if not listening.logits:
            return {}, ()
        with _stage("events", failures):
            names, manifest = self.artefact.sound.names, self.artefact.manifest
            logits = np.concatenate(listening.logits)
            probabilities = self.artefact.sound.calibrated(logits)
            found = merge(listening.spans, probabilities, names, manifest.event_thresholds)
            heard = dict(zip(names, probabilities.max(axis=0).tolist(), strict=True))
            if manifest.media_from is not None:
                flags["media_playback_likely"] = heard[MUSIC] >= manifest.media_from
            return heard, found
        return {}, ()


@contextmanager
def _stage(name: str, failures: dict[str, str]) -> Iterator[None]:
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


def _check_length(transcript: str | None, limit: int) -> None:
    if transcript is not None and len(transcript) > limit:
        raise TooLarge(
            f"The transcript has {len(transcript)} characters, allowed are {limit}. Send it in "
            "parts, or raise TRIAGE_MAX_CHARACTERS.",
            limit=limit,
        )


def _transcript(recording: Recording, listening: _Listening) -> Transcript | None:
    if recording.transcript is not None:
        return Transcript(recording.transcript)
    if not listening.spoke:
        return None
    words = tuple(listening.words)
    return Transcript(
        " ".join(word.text for word in words), words, "transcriber", not listening.unreliable
    )


def _placed(transcript: Transcript) -> tuple[list[str], list[Span | None]]:
    """The words as the encoder takes them, each with its place in the sound where known."""
    if not transcript.words:
        words = spoken_words(transcript.text)
        return words, [None] * len(words)
    pairs = [
        (spoken, Span(word.start, word.end))
        for word in transcript.words
        for spoken in spoken_words(word.text)
    ]
    return [spoken for spoken, _ in pairs], [span for _, span in pairs]


def _in_words(
    category: str,
    score: float,
    scored: Sequence[TextWindow],
    words: Sequence[str],
    times: Sequence[Span | None],
) -> Evidence:
    window = max(scored, key=lambda one: one.scores[category])
    carried = sorted(index for index, _ in window.carried.get(category, ()))
    inside = [span for span in times[window.first_word : window.last_word] if span is not None]
    where = [span for index in carried if (span := times[index]) is not None] or inside
    return Evidence(
        category,
        "text",
        "words",
        surprise(score),
        Span(min(s.start for s in where), max(s.end for s in where)) if where else None,
        tuple(words[index] for index in carried),
    )
