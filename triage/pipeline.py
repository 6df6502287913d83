"""One recording through every stage: bytes to scores, scores to decision. Writes nothing."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Sequence

import numpy as np

from triage.acoustic import merge
from triage.artefact import Artefact
from triage.artefact import load as load_artefact
from triage.audio import Limits, decode
from triage.classifier import Head, TextClassifier, highest
from triage.encoder import FOR_SOUNDS, FOR_WORDS, SpeechEncoder
from triage.errors import InputError, NothingToScore, TooLarge
from triage.fusion import surprise
from triage.listening import Listening, listen, stage
from triage.measurements import of_windows, of_words
from triage.policy.following import PolicyInService
from triage.policy.model import Policy
from triage.records import Event, Evidence, Recording, Scores, Span, TextWindow, Transcript
from triage.registry import in_service
from triage.settings import Settings
from triage.stopwatch import Stopwatch
from triage.taxonomy import ADDRESSED, MUSIC
from triage.text import TextEncoder, spoken_words
from triage.together import Batches, together
from triage.transcribe import Heard, Transcriber, Utterance
from triage.weights import WHISPER_TINY_EN, resolve

log = logging.getLogger(__name__)


class Triage:
    """The models and the policy, chosen once; then every recording goes the same straight way.

    Args:
        artefact: The model.
        policies: Gives what decides.
        speech: The Whisper encoder that the artefact's sound head was fitted on.
        limits: What one recording may be.
        max_characters: Limit on a transcript.
        threads: Text windows scored side by side.

    Attributes:
        artefact, policies: As given.
        clock: Seconds by stage of what was scored in one thread.
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
        self.clock = Stopwatch()
        self._text = TextClassifier(
            TextEncoder(artefact.folder / "text", threads),
            Head.joined([artefact.text, *([artefact.addressed] if artefact.addressed else ())]),
        )

    @classmethod
    def load(cls, settings: Settings, *, sound_only: bool = False) -> Triage:
        """Everything that the settings name, verified.

        Args:
            settings: What is served, and what one recording may be.
            sound_only: Whether nothing that is scored will have to be transcribed.

        Raises:
            SetupError: What is missing or refused, and what to do.
        """
        from threadpoolctl import threadpool_limits

        # Work is spread by chunks and recordings. NumPy's own threads, one for each core, wait by
        # spinning: with them two at once take half as long again, and two workers twice as long.
        threadpool_limits(1, "blas")
        artefact = load_artefact(in_service(settings))
        folder = resolve(WHISPER_TINY_EN, settings.whisper)
        return cls(
            artefact,
            PolicyInService(settings.policy, settings.policy_keys, settings.state),
            SpeechEncoder(folder, settings.cores, FOR_SOUNDS if sound_only else FOR_WORDS),
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
        (scored,) = self._together([recording])
        if isinstance(scored, Exception):
            raise scored
        return scored

    def score_together(self, recordings: Iterable[Recording]) -> list[Scores | InputError]:
        """Scores recordings in one thread, what is said in several of them written down at once.

        Every score is what `score` gives, to the last bit. Nothing is raised: what stops a
        recording from being scored takes its place.
        """
        name = self.artefact.manifest.name
        return [
            unscored(name, one)
            if isinstance(one, Exception) and not isinstance(one, InputError)
            else one
            for one in self._together(recordings)
        ]

    def _together(self, recordings: Iterable[Recording]) -> list[Scores | Exception]:
        batches = Batches(
            self._transcribe,
            kind=lambda utterance: utterance.length,
            size=lambda utterance: utterance.most_tokens,
        )
        return together(map(self._scoring, recordings), batches)

    def _transcribe(self, utterances: Sequence[Utterance]) -> list[Heard]:
        with self.clock.stage("transcribe"):
            return self._transcriber.transcribe(utterances)

    def _scoring(self, recording: Recording) -> Generator[Utterance, Heard, Scores]:
        if recording.audio is None and not (recording.transcript or "").strip():
            raise NothingToScore("Neither audio nor transcript was given. Send at least one.")
        _check_length(recording.transcript, self._max_characters)
        failures: dict[str, str] = {}
        flags: dict[str, bool] = {}
        listening, seconds = Listening(), None
        if recording.audio is not None:
            with self.clock.stage("decode"):
                waveform = decode(recording.audio, self._limits)
            seconds = waveform.seconds
            wanted = recording.transcript is None
            listening = yield from listen(
                waveform, self._speech, self.artefact, self.clock, wanted, flags, failures
            )
        transcript = _transcript(recording, listening)
        with self.clock.stage("text"):
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

    def _read(
        self, transcript: Transcript | None, flags: dict[str, bool], failures: dict[str, str]
    ) -> list[Evidence]:
        """The words' evidence: the best window of each category."""
        if transcript is None:
            return []
        with stage("text", failures):
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
        self, listening: Listening, flags: dict[str, bool], failures: dict[str, str]
    ) -> tuple[dict[str, float], tuple[Event, ...]]:
        """The highest probability of each event, and where the evidence events are."""
        if not listening.logits:
            return {}, ()
        with stage("events", failures):
            names, manifest = self.artefact.sound.names, self.artefact.manifest
            logits = np.concatenate(listening.logits)
            probabilities = self.artefact.sound.calibrated(logits)
            found = merge(listening.spans, probabilities, names, manifest.event_thresholds)
            heard = dict(zip(names, probabilities.max(axis=0).tolist(), strict=True))
            if manifest.media_from is not None:
                flags["media_playback_likely"] = heard[MUSIC] >= manifest.media_from
            return heard, found
        return {}, ()


def unscored(model: str, error: Exception) -> Scores:
    """What there is to say of a recording whose scoring broke: nothing, so a person has to look.

    Args:
        model: Its name.
        error: What broke it. Only its kind is kept: its message could hold what was said.
    """
    kind = type(error).__name__
    log.error("scoring failed: %s", kind)
    return Scores(
        model=model,
        categories={},
        applied={},
        flags={"stage_failed": True},
        failures={"score": kind},
    )


def _check_length(transcript: str | None, limit: int) -> None:
    if transcript is not None and len(transcript) > limit:
        raise TooLarge(
            f"The transcript has {len(transcript)} characters, allowed are {limit}. Send it in "
            "parts, or raise TRIAGE_MAX_CHARACTERS.",
            limit=limit,
        )


def _transcript(recording: Recording, listening: Listening) -> Transcript | None:
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
