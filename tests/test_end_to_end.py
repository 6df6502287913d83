"""The model that ships, on the samples that ship, all the guarded way.

The samples are synthetic: what is heard here says that the path works, and nothing about how
often the model is right. What it is known to miss is told as well.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from triage.answer import as_json
from triage.archive.read import read
from triage.guard import Answer, Refusal
from triage.policy.loading import load_policy
from triage.process import Processor
from triage.records import Outcome, Recording
from triage.safeguards.audit import AuditLog, verify
from triage.settings import Settings
from triage.text import spoken_words

pytestmark = pytest.mark.models

WHO = "alice"  # in every id
TOO_LONG = "nobody should hear of the platypus " * 10_000


@dataclass(frozen=True)
class Passed:
    """What came of one pass over good and bad recordings.

    Attributes:
        recordings, answers: In their order.
        audit, log: The file that was written, and what was logged meanwhile.
    """

    recordings: list[Recording]
    answers: list[Answer]
    audit: Path
    log: str

    def of(self, name: str) -> Outcome:
        (answer,) = [one for one in self.answers if one.recording == f"{WHO}/{name}"]
        assert isinstance(answer, Outcome)
        return answer


def bad(samples: Path) -> Mapping[str, tuple[Recording, str]]:
    """Recordings that can't be scored, each with the slug of its error."""
    whole = (samples / "timer.wav").read_bytes()
    recordings = {
        "nothing": (Recording(""), "nothing-to-score"),
        "empty": (Recording("", b""), "nothing-to-score"),
        "no sound": (Recording("", b"I am a letter to platypus. " * 99), "unsupported-audio"),
        "gone": (Recording("", samples / "platypus.wav"), "unsupported-audio"),
        "folder": (Recording("", samples), "unsupported-audio"),
        "cut off": (Recording("", whole[:1000]), "damaged-audio"),
        "too long": (Recording("", transcript=TOO_LONG), "too-large"),
    }
    return {
        name: (replace(recording, id=f"{WHO}/{name}"), slug)
        for name, (recording, slug) in recordings.items()
    }


@pytest.fixture(scope="module")
def passed(
    real_processor: Processor, samples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Passed:
    """Every sample, with the bad ones among them."""
    good = [
        replace(entry, id=f"{WHO}/{entry.id}", context={"home": "platypus"})
        for entry in read([samples / "manifest.jsonl"])
        if isinstance(entry, Recording)
    ]
    wrong = [recording for recording, _ in bad(samples).values()]
    mixed = [*wrong[:3], *good[:9], *wrong[3:], *good[9:]]
    audit = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        answers = replace(real_processor, audit=AuditLog(audit)).process(mixed, "batch")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    return Passed(mixed, answers, audit, log.getvalue())


# Good and bad ------------------------------------------------------------------------------


def test_each_recording_has_its_answer_in_its_place(passed: Passed) -> None:
    assert [one.recording for one in passed.answers] == [one.id for one in passed.recordings]


def test_bad_recordings_are_refused_and_the_rest_is_scored(passed: Passed, samples: Path) -> None:
    refused = {one.recording: one.error.slug for one in passed.answers if isinstance(one, Refusal)}
    assert refused == {recording.id: slug for recording, slug in bad(samples).values()}
    scored = [one for one in passed.answers if isinstance(one, Outcome)]
    assert len(scored) == len(passed.recordings) - len(refused) > 15
    assert not any(one.scores.failures for one in scored)


# What is heard -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "raised"),
    [
        ("timer", set()),
        ("weather", set()),
        ("help-at-home", set()),
        ("silence", {"silent", "speech_absent"}),
        ("noise", {"noisy", "speech_absent"}),
        ("clipped", {"clipped"}),
        ("talk", {"likely_accidental"}),
        ("siren", {"speech_absent"}),
        ("baby-cry", {"speech_absent"}),
    ],
)
def test_flags(passed: Passed, name: str, raised: set[str]) -> None:
    flags = passed.of(name).scores.flags
    assert {flag for flag, on in flags.items() if on} == raised


def test_text_has_no_flags_of_sound(passed: Passed) -> None:
    assert passed.of("idiom").scores.flags == {"likely_accidental": False}


@pytest.mark.parametrize(
    ("name", "event", "start", "end"),
    [
        ("siren", "siren", 0.0, 6.0),
        ("scream", "scream", 1.0, 4.0),
        ("baby-cry", "baby_cry", 0.0, 6.0),
    ],
)
def test_events_are_heard_where_they_are(
    passed: Passed, name: str, event: str, start: float, end: float
) -> None:
    outcome = passed.of(name)
    found = [one for one in outcome.scores.events if one.event == event]
    shared = sum(min(one.end, end) - max(one.start, start) for one in found)
    assert shared > (end - start) / 2
    assert outcome.scores.event_scores[event] == max(one.score for one in found)


@pytest.mark.parametrize("name", ["timer", "weather", "talk", "clipped", "silence", "noise"])
def test_no_event_is_heard_in_an_ordinary_recording(passed: Passed, name: str) -> None:
    assert passed.of(name).scores.events == ()


@pytest.mark.parametrize("name", ["timer", "weather", "clipped"])
def test_what_is_said_is_written_down(passed: Passed, name: str) -> None:
    said = {"timer": "timer", "weather": "tomorrow", "clipped": "music"}[name]
    transcript = passed.of(name).scores.transcript
    assert transcript is not None
    assert said in spoken_words(transcript.text)


@pytest.mark.parametrize("name", ["silence", "noise", "siren", "scream", "baby-cry", "shots"])
def test_where_nobody_speaks_no_words_are_made_up(passed: Passed, name: str) -> None:
    scores = passed.of(name).scores
    assert scores.transcript is None
    assert {one.input for one in scores.evidence} == {"audio"}


# What is decided ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["timer", "weather", "talk", "clipped", "idiom", "music", "silence", "noise"]
)
def test_nobody_is_sent_to_an_ordinary_recording(passed: Passed, name: str) -> None:
    decision = passed.of(name).decision
    private = ("withhold",) if name == "talk" else ()  # two people among themselves
    assert (decision.tier, decision.actions, decision.due_at) == ("E0", private, None)
    assert not any(decision.category_flagged.values())


@pytest.mark.parametrize(
    ("name", "category"), [("disclosure", "self_harm"), ("help-at-home", "domestic_abuse")]
)
def test_somebody_is_sent_to_who_says_that_they_are_in_danger(
    passed: Passed, name: str, category: str
) -> None:
    outcome = passed.of(name)
    assert outcome.decision.category_flagged[category]
    assert outcome.decision.tier in {"E2", "E3", "E4"}
    assert outcome.decision.due_at is not None
    best = next(one for one in outcome.scores.evidence if one.category == category)
    assert (best.input, bool(best.words)) == ("text", True)
    assert best.span is not None
    assert outcome.scores.seconds is not None
    assert 0 <= best.span.start < best.span.end <= outcome.scores.seconds


def test_somebody_is_sent_to_a_call_for_an_ambulance(passed: Passed) -> None:
    assert passed.of("collapse").decision.tier in {"E2", "E3", "E4"}


def test_an_idiom_is_no_threat(passed: Passed) -> None:
    assert passed.of("lights").decision.tier == "E0"  # they are to be killed


# What stays --------------------------------------------------------------------------------


def test_the_audit_vouches_for_every_answer(passed: Passed) -> None:
    report = verify(passed.audit, passed.answers[-1].audit_hash)
    assert report.entries == len(passed.answers)
    assert report.head == passed.answers[-1].audit_hash
    hashes = [json.loads(line)["hash"] for line in passed.audit.read_text().splitlines()]
    assert [one.audit_hash for one in passed.answers] == hashes


def words(passed: Passed) -> set[str]:
    """Every word of some length that anybody said or wrote."""
    said = [one.transcript or "" for one in passed.recordings]
    said += [
        one.scores.transcript.text
        for one in passed.answers
        if isinstance(one, Outcome) and one.scores.transcript
    ]
    return {word for text in said for word in spoken_words(text) if len(word) > 5}


def test_nobody_is_told_who_or_what(passed: Passed) -> None:
    secrets = words(passed)
    assert {"minutes", "husband", "ambulance", "platypus"} <= secrets
    scored = [one.scores for one in passed.answers if isinstance(one, Outcome)]
    inside = [(one.transcript, one.transcript and one.transcript.words) for one in scored]
    records = repr([passed.answers, passed.recordings, inside])
    for text in (passed.audit.read_text(), passed.log, records):
        assert WHO not in text
        assert not re.search(r"\.(wav|flac|ogg|mp3|m4a|webm)", text)
        for rule in load_policy(Settings().policy).rules:
            text = text.replace(rule.reason, "")  # which is the policy's own, and told
        assert secrets & set(re.findall(r"\w+", text.lower())) == set()


def test_words_are_in_the_answer_only_for_who_asks(passed: Passed) -> None:
    outcome = passed.of("help-at-home")
    untold, told = as_json(outcome), as_json(outcome, transcript=True)
    assert words(passed) & set(spoken_words(json.dumps(untold))) == set()
    assert "husband" in spoken_words(json.dumps(told))
    explained = [set(answer["results"][0]["explanation"][0]) for answer in (untold, told)]
    assert explained[1] - explained[0] == {"words"}
