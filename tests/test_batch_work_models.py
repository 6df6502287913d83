"""A worker with the models that ship."""

from __future__ import annotations

from pathlib import Path

import pytest
from misbehaving import kind, task

from triage.batch.work import Task, Worker, without_words
from triage.errors import InputError
from triage.pipeline import Triage
from triage.records import Recording, Scores
from triage.settings import Settings

pytestmark = pytest.mark.models


def test_samples_get_what_the_service_gives_them_but_for_the_words(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    given = Settings(model=model, state=tmp_path, threads=1)
    names = ("timer.wav", "silence.wav", "README.md", "scream.flac")
    entries = [Recording(name, samples / name) for name in names]
    held = Worker(task(Task, tmp_path / "scores.db", settings=given))
    triage = Triage.load(given)

    def by_itself(one: Recording) -> Scores | InputError:
        try:
            return without_words(triage.score(one))
        except InputError as error:
            return error

    group = held.score(entries)
    assert {"read", "decode", "encode", "transcribe", "text"} <= set(group.stages)
    for one, entry in zip(group.scored, entries, strict=True):
        expected = by_itself(entry)
        if isinstance(expected, InputError):
            assert (kind(one), str(one.scores)) == (type(expected), str(expected))
        else:
            assert one.scores == expected
    again = held.score(entries)
    assert [one.known for one in again.scored] == [True, True, False, True]
    assert [(one.id, repr(one.scores)) for one in again.scored] == [
        (one.id, repr(one.scores)) for one in group.scored
    ]


def test_by_sound_alone_given_words_count_and_none_are_made_out(
    model: Path, samples: Path, tmp_path: Path
) -> None:
    given = Settings(model=model, state=tmp_path, threads=1)
    held = Worker(task(Task, settings=given, sound_only=True))
    sound = samples / "timer.wav"
    group = held.score([Recording("0", sound), Recording("1", sound, "i will kill you tonight")])
    alone, worded = (one.scores for one in group.scored)
    assert isinstance(alone, Scores)
    assert isinstance(worded, Scores)
    assert "transcribe" not in group.stages
    assert not any("text" in inputs for inputs in alone.applied.values())
    assert alone.event_scores == worded.event_scores
    assert worded.categories["violence"] > alone.categories["violence"]
    assert "text" in worded.applied["violence"]
