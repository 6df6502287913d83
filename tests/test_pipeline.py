"""Every stage in one line: what reaches which stage, what a failure leaves, where things are."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from triage.audio import Limits, decode
from triage.calibrate import AS_IT_IS
from triage.classifier import Head
from triage.encoder import Encoded
from triage.errors import InputError, NothingToScore, TooLarge, UnsupportedAudio
from triage.pipeline import Triage
from triage.policy.decide import decide
from triage.process import Processor
from triage.records import SAMPLE_RATE, Evidence, Floats, Recording, Scores, Span, Word
from triage.segment import LONGEST_CHUNK
from triage.settings import Settings
from triage.text import spoken_words
from triage.transcribe import Heard, Utterance

pytestmark = pytest.mark.models

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LIMITS = Limits(10**8, 3600, 8)
SIGNAL_FLAGS = {"silent", "clipped", "noisy", "damaged"}
SECRET = "the secret recipe of my aunt"


@pytest.fixture(scope="module")
def triage(real_processor: Processor) -> Triage:
    return real_processor.triage


@pytest.fixture(scope="module")
def command(samples: Path) -> Recording:
    """Somebody sets a timer."""
    return Recording("a", samples / "timer.wav")


@pytest.fixture(scope="module")
def plain(triage: Triage, command: Recording) -> Scores:
    """What `command` scores when nothing is in the way."""
    return triage.score(command)


@pytest.fixture(scope="module")
def spoken(samples: Path) -> Floats:
    """The samples of `command`."""
    return decode(samples / "timer.wav", LIMITS).samples


def wav(sound: Floats) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    return out.getvalue()


def silence(seconds: float) -> Floats:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def placed(sound: Floats, *starts: float, seconds: float) -> bytes:
    """A recording of so many seconds, silent but for a sound at each of the starts."""
    whole = silence(seconds)
    for start in starts:
        first = int(start * SAMPLE_RATE)
        whole[first : first + len(sound)] = sound
    return wav(whole)


def read(scores: Scores) -> list[Evidence]:
    return [one for one in scores.evidence if one.input == "text"]


def heard(scores: Scores) -> list[Evidence]:
    return [one for one in scores.evidence if one.input == "audio"]


def breaks(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError(SECRET)


def never(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError("this stage has nothing to do here")


def writes(
    monkeypatch: pytest.MonkeyPatch, triage: Triage, *chunks: tuple[Sequence[Word], bool]
) -> None:
    """Puts a transcriber in place that gives these words, and whether they may be scored."""
    given = iter(chunks)

    def transcribe(utterances: Sequence[Utterance]) -> list[Heard]:
        return [
            Heard(tuple(words), sure, 0.0, 1.0) for words, sure in islice(given, len(utterances))
        ]

    monkeypatch.setattr(triage._transcriber, "transcribe", transcribe)


# Together -----------------------------------------------------------------------------------


def test_numpy_keeps_to_one_thread_beside_ours(model: Path, tmp_path: Path) -> None:
    with threadpool_limits(2, "blas"):
        Triage.load(Settings(model=model, state=tmp_path))
        blas = [one for one in threadpool_info() if "numpy" in one["filepath"]]
        assert [one["num_threads"] for one in blas] == [1]


def test_together_every_recording_gets_what_it_gets_alone(
    triage: Triage, samples: Path, spoken: Floats
) -> None:
    """Some of one length and some not, long ones, words that were brought, and what is refused."""
    files = sorted(file for file in samples.iterdir() if file.suffix in (".wav", ".ogg", ".mp3"))
    recordings = [Recording(file.name, file) for file in files]
    recordings += [Recording("long", placed(spoken, 3, 31, 55, seconds=60))]
    recordings += [
        Recording("read", None, "i will hurt you"),
        Recording("nothing"),
        *recordings[:4],
    ]
    alone: list[Scores | type[InputError]] = []
    for one in recordings:
        try:
            alone.append(triage.score(one))
        except InputError as error:
            alone.append(type(error))
    found = triage.score_together(recordings)
    assert [type(one) if isinstance(one, InputError) else one for one in found] == alone


def test_what_breaks_one_recording_breaks_no_other(
    triage: Triage, command: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = triage.score(command)
    transcribe, asked = triage._transcriber.transcribe, []

    def breaking(utterances: Sequence[Utterance]) -> list[Heard]:
        asked.append(len(utterances))
        if any(one.encoded.frames.shape[0] < 60 for one in utterances):
            raise RuntimeError(SECRET)
        return transcribe(utterances)

    monkeypatch.setattr(triage._transcriber, "transcribe", breaking)
    short = decode(command.audio, LIMITS)  # type: ignore[arg-type]
    cut = replace(command, audio=wav(short.samples[:SAMPLE_RATE]))
    found = triage.score_together([command, cut, command])
    assert asked == [3, 1, 1, 1]
    assert (found[0], found[2]) == (plain, plain)
    assert isinstance(found[1], Scores)
    assert found[1].failures == {"transcribe": "RuntimeError"}


# What a recording has ----------------------------------------------------------------------


def test_sound_and_words_are_scored_by_all_names_of_the_model(
    triage: Triage, plain: Scores
) -> None:
    manifest = triage.artefact.manifest
    assert plain.model == manifest.name
    assert tuple(plain.categories) == manifest.categories
    assert tuple(plain.event_scores) == manifest.events
    assert all(0 <= p <= 1 for p in (plain.categories | plain.event_scores).values())
    assert plain.seconds == pytest.approx(3.16, abs=0.01)
    assert plain.failures == {}
    told = ("speech_absent", "transcript_unreliable", "likely_accidental", "media_playback_likely")
    assert plain.flags == dict.fromkeys([*SIGNAL_FLAGS, *told], False)
    assert plain.transcript is not None
    assert plain.transcript.source == "transcriber"
    assert "timer" in plain.transcript.text
    assert {kind for kinds in plain.applied.values() for kind in kinds} == {"text", "audio"}


def test_words_alone_say_nothing_of_sound(triage: Triage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triage._speech, "encode", never)
    scores = triage.score(Recording("a", transcript="set a timer for ten minutes"))
    assert (scores.seconds, scores.event_scores, scores.events, scores.segments) == (
        None,
        {},
        (),
        (),
    )
    assert (scores.flags, scores.failures) == ({"likely_accidental": False}, {})
    assert set(scores.applied.values()) == {("text",)}
    assert [one.span for one in read(scores)] == [None] * len(triage.artefact.manifest.categories)
    assert heard(scores) == []


def test_scores_are_the_noisy_or_of_the_evidence(plain: Scores) -> None:
    for name, score in plain.categories.items():
        told = sum(one.contribution for one in plain.evidence if one.category == name)
        assert -np.log1p(-score) == pytest.approx(told)


def test_the_same_recording_scores_the_same(
    triage: Triage, plain: Scores, command: Recording
) -> None:
    assert triage.score(command) == plain
    assert isinstance(command.audio, Path)
    assert triage.score(replace(command, audio=command.audio.read_bytes())) == plain


def test_many_score_as_each_alone(real_processor: Processor, samples: Path) -> None:
    names = ("timer.wav", "siren.webm", "threat.mp3", "silence.wav")
    recordings = [Recording(name, samples / name) for name in names]
    recordings.append(Recording("text", transcript="play something calm"))
    together = [*replace(real_processor, workers=3)._score(recordings)]
    assert together == [real_processor.triage.score(one) for one in recordings]


# What is transcribed -----------------------------------------------------------------------


def test_a_transcript_that_was_brought_is_not_made_again(
    triage: Triage, plain: Scores, command: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triage._transcriber, "transcribe", never)
    scores = triage.score(replace(command, transcript="what's the weather"))
    assert scores.failures == {}
    assert scores.transcript is not None
    assert (scores.transcript.text, scores.transcript.source) == ("what's the weather", "caller")
    assert "transcript_unreliable" not in scores.flags
    assert scores.event_scores == plain.event_scores
    assert len(read(scores)) == len(scores.categories)


@pytest.mark.parametrize("transcript", ["", " \n", "..."])
def test_an_empty_transcript_says_that_nothing_was_said(
    triage: Triage, command: Recording, transcript: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triage._transcriber, "transcribe", never)
    scores = triage.score(replace(command, transcript=transcript))
    assert scores.failures == {}
    assert read(scores) == []
    assert all("text" not in kinds for kinds in scores.applied.values())


@pytest.mark.parametrize("name", ["silence.wav", "noise.wav"])
def test_where_nobody_speaks_nothing_is_transcribed(
    triage: Triage, samples: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triage._transcriber, "transcribe", never)
    scores = triage.score(Recording("a", samples / name))
    assert scores.failures == {}
    assert scores.flags["speech_absent"]
    assert "transcript_unreliable" not in scores.flags
    assert scores.transcript is None
    assert read(scores) == []
    assert scores.event_scores


def test_words_that_the_transcriber_was_unsure_of_are_not_scored(
    triage: Triage, command: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes(monkeypatch, triage, ([Word("hello", 0.5, 1.0, 0.1)], False))
    scores = triage.score(command)
    assert scores.flags["transcript_unreliable"]
    assert read(scores) == []
    assert scores.transcript is not None
    assert (scores.transcript.text, scores.transcript.reliable) == ("", False)


@pytest.mark.parametrize("first_is_sure", [True, False])
def test_only_the_sure_chunks_of_a_long_recording_are_scored(
    triage: Triage, spoken: Floats, first_is_sure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = Word("hello", 2.0, 2.5, 0.9), Word("goodbye", 32.0, 32.5, 0.9)
    writes(monkeypatch, triage, (words[:1], first_is_sure), (words[1:], not first_is_sure))
    scores = triage.score(Recording("a", placed(spoken, 2, 32, seconds=40)))
    sure = words[0] if first_is_sure else words[1]
    assert scores.failures == {}
    assert scores.flags["transcript_unreliable"]
    assert scores.transcript is not None
    assert scores.transcript.words == (sure,)
    assert {one.span for one in read(scores)} == {Span(sure.start, sure.end)}


# Where things are --------------------------------------------------------------------------


def test_evidence_lies_where_the_words_that_carried_it_were_said(
    triage: Triage, command: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.classifier.CARRIED_FLOOR", 0)  # so that every category has some
    said = ["Dim", "all,", "lights;", "in", "the", "Kitchen", "and", "hall"]
    words = [Word(text, 0.2 * n, 0.2 * n + 0.1, 0.9) for n, text in enumerate(said)]
    writes(monkeypatch, triage, (words, True))
    times = {piece: word for word in words for piece in spoken_words(word.text)}
    found = read(triage.score(command))
    for one in found:
        carried = [times[piece] for piece in one.words] or words  # none that speaks for it
        assert one.span == Span(min(w.start for w in carried), max(w.end for w in carried))
    assert len({one.span for one in found}) > 1


def test_evidence_that_no_word_carried_lies_where_all_were_said(
    triage: Triage, command: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.classifier.CARRIED_FLOOR", 1)
    words = Word("lights", 1.0, 1.4, 0.9), Word("off", 1.5, 1.8, 0.9)
    writes(monkeypatch, triage, (words, True))
    assert {one.span for one in read(triage.score(command))} == {Span(1.0, 1.8)}


def test_every_part_of_a_hyphenated_word_is_read_in_its_place(
    triage: Triage, command: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = read(triage.score(Recording("a", transcript="well known")))
    writes(monkeypatch, triage, ([Word("Well-known,", 1.0, 1.8, 0.9)], True))
    heard_too = read(triage.score(command))
    assert {one.span for one in heard_too} == {Span(1.0, 1.8)}
    assert {one.category: one.contribution for one in heard_too} == {
        one.category: one.contribution for one in brought
    }


def test_a_long_recording_is_encoded_once_and_whole(
    triage: Triage, spoken: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, lengths = triage._speech.encode, []

    def counted(sound: Floats) -> Encoded:
        lengths.append(len(sound))
        return encode(sound)

    monkeypatch.setattr(triage._speech, "encode", counted)
    scores = triage.score(Recording("a", placed(spoken, 3, 45, seconds=60)))
    assert max(lengths) <= LONGEST_CHUNK
    assert sum(lengths) == 60 * SAMPLE_RATE
    assert scores.seconds == 60
    assert scores.transcript is not None
    assert [w.start for w in scores.transcript.words if "timer" in w.text] == pytest.approx(
        [3.7, 45.7], abs=0.6
    )
    assert all(one.start <= two.start for one, two in pairwise(scores.transcript.words))


def test_what_goes_on_over_a_cut_is_one_event(
    triage: Triage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that hears one event in everything hears it from beginning to end, once."""
    sound = triage.artefact.sound
    always = triage.artefact.manifest.events.index("siren")
    deaf = np.where(np.arange(len(sound.names)) == always, 50, -50).astype(np.float32)
    head = Head(sound.names, np.zeros_like(sound.weights), deaf, sound.calibrators)
    monkeypatch.setattr(triage, "artefact", replace(triage.artefact, sound=head))
    (event,) = triage.score(Recording("a", wav(silence(70.5)))).events
    assert (event.event, event.start, event.end) == ("siren", 0.0, 70.5)


def test_an_event_behind_a_cut_has_its_time_in_the_recording(triage: Triage, samples: Path) -> None:
    crying = decode(samples / "baby-cry.mp3", LIMITS).samples
    scores = triage.score(Recording("a", placed(crying, 40, seconds=60)))
    loudest = max(scores.events, key=lambda event: event.score)
    assert loudest.event == "baby_cry"
    assert 36 <= loudest.start <= 42  # frames know what is near, so it may begin too early
    assert 42 <= loudest.end <= 48


# What fails --------------------------------------------------------------------------------

STAGES: dict[str, Callable[[pytest.MonkeyPatch, Triage], None]] = {
    "segment": lambda m, t: m.setattr("triage.listening.speech_spans", breaks),
    "encode": lambda m, t: m.setattr(t._speech, "encode", breaks),
    "transcribe": lambda m, t: m.setattr(t._transcriber, "transcribe", breaks),
    "text": lambda m, t: m.setattr(t._text.encoder, "windows", breaks),
    "events": lambda m, t: m.setattr("triage.pipeline.merge", breaks),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_fails_is_named_and_a_person_looks(
    triage: Triage,
    command: Recording,
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    STAGES[stage](monkeypatch, triage)
    scores = triage.score(command)
    assert scores.failures == {stage: "RuntimeError"}
    assert scores.flags["stage_failed"]
    assert tuple(scores.categories) == triage.artefact.manifest.categories
    decision = decide(scores, triage.policy, NOW)
    assert (decision.tier, decision.rule) == ("E2", "fallback:stage_failed")
    assert decision.actions == ("queue:unscored",)
    assert decision.due_at == "2026-05-05T12:00:00Z"
    assert stage in caplog.text
    assert SECRET not in caplog.text + repr(scores)


@pytest.mark.parametrize("stage", ["segment", "transcribe", "text"])
def test_sounds_are_heard_though_another_stage_fails(
    triage: Triage, command: Recording, plain: Scores, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    STAGES[stage](monkeypatch, triage)
    scores = triage.score(command)
    assert scores.event_scores == plain.event_scores
    assert heard(scores) == heard(plain)


def test_words_are_read_though_events_fail(
    triage: Triage, command: Recording, plain: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    STAGES["events"](monkeypatch, triage)
    scores = triage.score(command)
    assert (scores.event_scores, scores.events) == ({}, ())
    assert read(scores) == read(plain)
    assert scores.transcript == plain.transcript


def test_words_that_were_brought_are_read_though_nothing_can_be_heard(
    triage: Triage, command: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    STAGES["encode"](monkeypatch, triage)
    scores = triage.score(replace(command, transcript="set a timer"))
    alone = triage.score(Recording("a", transcript="set a timer"))
    assert scores.failures == {"encode": "RuntimeError"}
    assert scores.categories == alone.categories


def test_without_segments_all_is_transcribed(
    triage: Triage, command: Recording, plain: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    STAGES["segment"](monkeypatch, triage)
    scores = triage.score(command)
    assert "speech_absent" not in scores.flags
    assert scores.transcript == plain.transcript


def test_one_chunk_that_fails_leaves_the_others(
    triage: Triage, spoken: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, lengths = triage._speech.encode, []

    def fails_at_30_s(sound: Floats) -> Encoded:
        lengths.append(len(sound))
        inside = sum(lengths[:-1]) <= 30 * SAMPLE_RATE < sum(lengths)
        return breaks() if inside else encode(sound)

    monkeypatch.setattr(triage._speech, "encode", fails_at_30_s)
    scores = triage.score(Recording("a", placed(spoken, 3, 31, 55, seconds=60)))
    assert scores.failures == {"encode": "RuntimeError"}
    assert scores.transcript is not None
    starts = [word.start for word in scores.transcript.words if "timer" in word.text]
    assert starts == pytest.approx([3.7, 55.7], abs=0.6)
    assert scores.event_scores


def test_no_stage_swallows_what_the_caller_did_wrong(
    triage: Triage, command: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(sound: Floats) -> Encoded:
        raise TooLarge("too much", limit=1)

    monkeypatch.setattr(triage._speech, "encode", refuses)
    with pytest.raises(TooLarge):
        triage.score(command)


@pytest.mark.parametrize(
    ("recording", "error"),
    [
        (Recording("a"), NothingToScore),
        (Recording("a", transcript=" \n"), NothingToScore),
        (Recording("a", audio=b""), NothingToScore),
        (Recording("a", audio=b"no sound" * 100), UnsupportedAudio),
        (Recording("a", audio=b"no sound" * 100, transcript="hello"), UnsupportedAudio),
    ],
)
def test_what_cannot_be_scored_is_refused(
    triage: Triage, recording: Recording, error: type[InputError]
) -> None:
    with pytest.raises(error):
        triage.score(recording)


def test_a_transcript_over_the_limit_is_refused_with_numbers(triage: Triage) -> None:
    limit = triage._max_characters
    triage.score(Recording("a", transcript="a" * 99 + " " * (limit - 99)))
    with pytest.raises(TooLarge, match=f"{limit + 1} characters, allowed are {limit}") as caught:
        triage.score(Recording("a", transcript=SECRET + " " * (limit + 1 - len(SECRET))))
    assert caught.value.limit == limit
    assert "recipe" not in caught.value.detail


# What it is like ----------------------------------------------------------------------------


def test_a_recording_is_measured(triage: Triage, plain: Scores, command: Recording) -> None:
    found = plain.measurements
    assert set(found) == {
        "seconds", "loudness", "level_range", "speech_share", "words", "word_probability",
        "sound_distance",
    }  # fmt: skip
    assert found["seconds"] == plain.seconds
    assert plain.transcript is not None
    assert found["words"] == len(plain.transcript.text.split())
    assert 0 < found["word_probability"] <= 1
    assert 0 < found["speech_share"] <= 1
    assert -60 < found["loudness"] < 0 < found["level_range"]
    assert 0.1 < found["sound_distance"] < 3  # of the kind of sound that it was fitted on


def test_text_alone_has_words_to_measure(triage: Triage) -> None:
    assert triage.score(Recording("a", transcript=SECRET)).measurements == {"words": 6}


def test_the_distance_is_in_deviations_of_what_the_model_was_fitted_on(
    triage: Triage, plain: Scores, command: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = replace(triage.artefact.sound_scaling, scale=2 * triage.artefact.sound_scaling.scale)
    monkeypatch.setattr(triage, "artefact", replace(triage.artefact, sound_scaling=wide))
    found = triage.score(replace(command, transcript="")).measurements
    assert found["sound_distance"] == pytest.approx(plain.measurements["sound_distance"] / 2)
    assert found["words"] == 0
    assert "word_probability" not in found


# Whom words are spoken to -------------------------------------------------------------------


@pytest.mark.parametrize("spoken_to", [True, False])
def test_words_that_are_hardly_spoken_to_the_device_are_an_accident(
    triage: Triage, spoken_to: bool
) -> None:
    width = triage.artefact.text.weights.shape[1]
    bias = np.float32([4 if spoken_to else -4])
    told = Head(("directed",), np.zeros((1, width), np.float32), bias, (AS_IT_IS,))
    manifest = triage.artefact.manifest.model_copy(update={"accidental_below": 0.5})
    other = reloaded(triage, addressed=told, manifest=manifest)
    scores = other.score(Recording("a", None, "what a lovely day it was"))
    assert scores.flags["likely_accidental"] is not spoken_to
    assert set(scores.categories) == set(triage.artefact.manifest.categories)


def test_a_model_that_cant_tell_says_nothing_of_it(triage: Triage) -> None:
    manifest = triage.artefact.manifest.model_copy(update={"accidental_below": None})
    other = reloaded(triage, addressed=None, manifest=manifest)
    assert "likely_accidental" not in other.score(Recording("a", None, "play a song")).flags


def test_without_words_nobody_can_tell_whom_they_are_for(triage: Triage, samples: Path) -> None:
    assert "likely_accidental" not in triage.score(Recording("a", samples / "scream.flac")).flags


# Films and songs -----------------------------------------------------------------------------


@pytest.mark.parametrize(("least", "likely"), [(0.0, True), (1.0, False)])
def test_what_holds_music_is_likely_to_be_a_film_or_a_song(
    triage: Triage, samples: Path, least: float, likely: bool
) -> None:
    manifest = triage.artefact.manifest.model_copy(update={"media_from": least})
    other = reloaded(triage, manifest=manifest)
    flags = other.score(Recording("a", samples / "music.m4a")).flags
    assert flags["media_playback_likely"] is likely


def test_a_model_that_cant_tell_music_says_nothing_of_films(triage: Triage, samples: Path) -> None:
    manifest = triage.artefact.manifest.model_copy(update={"media_from": None})
    other = reloaded(triage, manifest=manifest)
    flags = other.score(Recording("a", samples / "music.m4a")).flags
    assert "media_playback_likely" not in flags


def reloaded(triage: Triage, **changed: Any) -> Triage:
    return Triage(
        replace(triage.artefact, **changed),
        triage.policies,
        triage._speech,
        LIMITS,
        max_characters=10**6,
        threads=1,
    )
