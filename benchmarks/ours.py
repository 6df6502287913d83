"""Triage as a worker: each stage alone, the sounds alone, and the whole guarded way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.protocol import Job, work
from benchmarks.recordings import LIMITS
from triage.acoustic import pool
from triage.artefact import load
from triage.audio import decode
from triage.database.store import open_store
from triage.encoder import SpeechEncoder
from triage.escalate.casebook import Casebook
from triage.escalate.roster import NOBODY
from triage.pipeline import Triage
from triage.policy.following import PolicyInService
from triage.policy.loading import load_policy
from triage.process import Processor
from triage.records import SAMPLE_RATE, Floats, Outcome, Recording, Waveform
from triage.registry import in_service
from triage.safeguards.audit import AuditLog
from triage.safeguards.pseudonym import Pseudonymiser
from triage.segment import chunks, signal_flags, speech_spans, windows
from triage.settings import Settings
from triage.transcribe import Transcriber, Utterance
from triage.weights import WHISPER_TINY_EN, resolve

KEY = b"pseudonyms of recordings that are nobody's"
NO_WORDS = ""  # as the caller's transcript: nothing is transcribed, and there is nothing to read


class Ours:
    """Triage's parts, and the tasks that are timed.

    Args:
        settings: Name model, policy and threads.
        state: Folder for the audit file.
    """

    def __init__(self, settings: Settings, state: Path) -> None:
        self._speech = SpeechEncoder(resolve(WHISPER_TINY_EN, settings.whisper), settings.cores)
        self._transcriber = Transcriber(self._speech)
        self._triage = Triage(
            load(in_service(settings)),
            PolicyInService.fixed(load_policy(settings.policy)),
            self._speech,
            LIMITS,
            max_characters=settings.max_characters,
            threads=settings.cores,
        )
        audit = AuditLog(state / "audit.jsonl")
        store = open_store(f"sqlite:///{state / 'triage.db'}")
        self._processor = Processor(
            self._triage,
            Pseudonymiser(KEY),
            audit,
            Casebook(store, self._triage.policies.current, lambda: NOBODY, audit),
            workers=settings.cores,
        )

    def tasks(self) -> Mapping[str, Callable[..., Job]]:
        """The tasks by name. Each takes a `file`, but for `texts`."""
        return {
            "decode": self._decode,
            "segment": self._segment,
            "encode": self._encode,
            "transcribe": self._transcribe,
            "events": self._events,
            "whole": self._whole,
            "many": self._many,
            "texts": self._texts,
            "tokens": self._tokens,
        }

    def _decode(self, file: str) -> Job:
        return lambda: decode(Path(file), LIMITS).seconds

    def _segment(self, file: str) -> Job:
        """Voice activity, the signal's flags, and where to cut."""
        waveform = _waveform(file)
        return lambda: (signal_flags(waveform), len(chunks(waveform, speech_spans(waveform))))

    def _encode(self, file: str) -> Job:
        """The encoder, and its frames pooled over windows."""
        parts = [samples for _, samples, _ in _parts(_waveform(file))]

        def job() -> int:
            return sum(
                len(pool(self._speech.encode(part).frames, windows(len(part) / SAMPLE_RATE)))
                for part in parts
            )

        return job

    def _transcribe(self, file: str) -> Job:
        """The decoder and the alignment of words, over what is encoded already."""
        heard = self._encoded(_waveform(file))

        def job() -> int:
            said = [self._transcriber.transcribe([one]) for one in heard]
            return sum(len(one.words) for (one,) in said)

        return job

    def _events(self, file: str) -> Job:
        """From the file to events, categories and flags, but no words."""
        recording = Recording("events", Path(file), NO_WORDS)
        return lambda: len(self._triage.score(recording).events)

    def _whole(self, file: str) -> Job:
        """From the file to the answer: sound, words, decision, audit."""
        return self._processed([Recording("whole", Path(file))])

    def _many(self, file: str, count: int) -> Job:
        """The same for many recordings at once, as a batch gives them."""
        return self._processed([Recording(f"many {n}", Path(file)) for n in range(count)])

    def _texts(self, texts: Sequence[str]) -> Job:
        """Texts to answers, through decision and audit."""
        return self._processed([Recording(f"text {n}", None, text) for n, text in enumerate(texts)])

    def _tokens(self, file: str) -> Job:
        """How many tokens the transcript has."""
        recording = Recording("tokens", Path(file))

        def job() -> int:
            transcript = self._triage.score(recording).transcript
            text = "" if transcript is None else transcript.text
            coded = self._speech.whisper.hf_tokenizer.encode(text, add_special_tokens=False)
            return len(coded.ids)

        return job

    def _processed(self, recordings: Sequence[Recording]) -> Job:
        def job() -> int:
            answers = self._processor.process(recordings, "batch")
            whole = [one for one in answers if isinstance(one, Outcome) and not one.scores.failures]
            if len(whole) < len(answers):
                raise RuntimeError(f"{len(answers) - len(whole)} of {len(answers)} were not scored")
            return len(whole)

        return job

    def _encoded(self, waveform: Waveform) -> list[Utterance]:
        spans = speech_spans(waveform)
        return [
            Utterance(self._speech.encode(samples), start, spans)
            for start, samples, speaks in _parts(waveform)
            if speaks
        ]


def _waveform(file: str) -> Waveform:
    return decode(Path(file), LIMITS)


def _parts(waveform: Waveform) -> Iterator[tuple[float, Floats, bool]]:
    """Where each chunk starts in seconds, its samples, and whether somebody speaks in it."""
    for chunk in chunks(waveform, speech_spans(waveform)):
        samples = waveform.samples[chunk.start : chunk.end]
        yield chunk.start / SAMPLE_RATE, samples, chunk.speaks


def main() -> None:
    with tempfile.TemporaryDirectory() as state:
        work(lambda threads: Ours(Settings(threads=threads), Path(state)).tasks())


if __name__ == "__main__":
    main()
