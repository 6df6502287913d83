"""A model that does to its process what a recording says, for workers that are real otherwise.

Light, since every worker imports it: nothing of pytest.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path
from typing import Any
from unittest.mock import patch

from triage.batch import work
from triage.batch.work import Readable, Scored, Task, Worker
from triage.errors import BadSetting, InputError, NothingToScore, TooLarge, UnsupportedAudio
from triage.pipeline import unscored
from triage.records import Evidence, Recording, Scores, Transcript
from triage.settings import Settings
from triage.stopwatch import Stopwatch

MODEL = "triage-fake"
SAID = "set a timer for ten minutes"  # what is said in every sound
LIMIT = 1_000  # bytes and characters


@dataclass
class Fake:
    """Scores sounds, by their bytes, and words; some of them harm it.

    Attributes:
        heard: All that it was given, in their order.
    """

    clock: Stopwatch = field(default_factory=Stopwatch)
    heard: list[Recording] = field(default_factory=list)

    def score_together(self, recordings: Iterable[Recording]) -> list[Scores | InputError]:
        with self.clock.stage("text"):
            return [self._score(one) for one in recordings]

    def _score(self, one: Recording) -> Scores | InputError:
        self.heard.append(one)
        audio = one.audio
        if isinstance(audio, Path):
            if not audio.is_file():
                return NothingToScore("No such file.")
            if audio.stat().st_size > LIMIT:
                return TooLarge("The file is too long.", limit=LIMIT)
            audio = audio.read_bytes()
        if audio is None:
            if not (one.transcript or "").strip():
                return NothingToScore("Nothing.")
        elif not audio.startswith(b"sound"):
            return self._harmed(audio)
        # Whoever reads them can tell from which recording they are, and in which process.
        return self._scores(one, len(audio or b"") + 1_000.0 * len(one.transcript or ""))

    def _scores(self, one: Recording, size: float) -> Scores:
        said = SAID if one.transcript is None else one.transcript
        inputs = [("audio", one.audio is not None), ("text", bool(said))]
        return Scores(
            MODEL,
            {"violence": 0.25},
            {"violence": tuple(kind for kind, there in inputs if there)},  # type: ignore[misc]
            seconds=None if one.audio is None else 2.0,
            evidence=(Evidence("violence", "text", "words", 1.0, words=tuple(said.split())),),
            transcript=Transcript(said),
            measurements={
                "size": size,
                "process": float(os.getpid()),
                "core": float(min(os.sched_getaffinity(0))),
                "cores": float(len(os.sched_getaffinity(0))),
            },
        )

    def _harmed(self, audio: bytes) -> Scores | InputError:
        how, _, where = audio.decode().partition(" ")
        match how:
            case "kill":  # as the system does where memory ends
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":  # as a codec may
                os._exit(3)
            case "hang":
                signal.pause()
            case "missing":
                raise BadSetting("What reads it isn't installed.")
            case "breaks":
                return unscored(MODEL, RuntimeError())
            case "stage":
                whole = self._scores(Recording("", b""), 0.0)
                return replace(whole, failures={"text": "RuntimeError"})
            case "nan":
                return replace(self._scores(Recording("", b""), 0.0), categories={"violence": nan})
            case "event-nan":
                return replace(self._scores(Recording("", b""), 0.0), event_scores={"scream": nan})
            case "meet":  # opening waits for the other end to be opened
                with open(where[1:], where[0]):
                    return self._scores(Recording("", b""), 0.0)
            case _:
                return UnsupportedAudio("The bytes are not audio.")
        raise AssertionError(how)


@dataclass(frozen=True)
class Misled(Task):
    """A task whose worker, in a process of its own, gets the fake for the models."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _misled, (self.settings, self.key, self.known, self.about, self.sound_only)


def _misled(*told: Any) -> Task:
    work.Triage.load = lambda *_, **__: Fake()  # type: ignore[method-assign,assignment,return-value]
    return Task(*told)


def task(kind: type[Task] = Misled, known: Path | None = None, **more: Any) -> Task:
    given: dict[str, Any] = {
        "settings": Settings(max_bytes=LIMIT, max_characters=LIMIT, threads=1),
        "key": b"a key of thirty-two bytes or more",
        "known": known,
        "about": "triage-fake 1",
        "sound_only": False,
    }
    return kind(**given | more)


def worker(known: Path | None = None, **more: Any) -> tuple[Worker, Fake]:
    """A worker in this process, as it is but for its models."""
    fake = Fake()
    with patch.object(work.Triage, "load", lambda *_, **__: fake):
        return Worker(task(Task, known, **more)), fake


def scored(entries: list[Readable], **more: Any) -> list[Scored]:
    return worker(**more)[0].score(entries).scored


def kind(one: Scored) -> type[object]:
    return type(one.scores)


def measured(one: Scored, name: str) -> float:
    """What tells of which recording scores are ("size"), and who made them."""
    assert isinstance(one.scores, Scores)
    return one.scores.measurements[name]


def size(one: Scored) -> float:
    return measured(one, "size")
