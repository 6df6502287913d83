"""The guarded way: nothing is answered that isn't in the audit, and nobody's words are in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.drift import reference_of
from triage.errors import AuditFailed, NothingToScore
from triage.guard import Answer, Refusal
from triage.live import Window, read
from triage.manifest import read_manifest
from triage.process import Processor
from triage.records import Decision, Outcome, Recording, Scores
from triage.safeguards.audit import AuditEntry, AuditLog, verify
from triage.settings import Settings

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SAID = "the secret recipe of my aunt"
ALICE = "alice-kitchen-7"
BODY = {
    "id", "way", "recording", "model", "policy",
    "account", "case", "tier", "rule", "actions", "due_at", "severity", "categories", "failures",
}  # fmt: skip


class Fragile:
    """A scorer around another; what holds the word "breaks" breaks it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def score(self, recording: Recording) -> Scores:
        if "breaks" in (recording.transcript or ""):
            raise RuntimeError(recording.transcript)
        scores: Scores = self._inner.score(recording)
        return scores


@pytest.fixture
def processor(fake_processor: Processor) -> Processor:
    numbers = count(1)
    return replace(
        fake_processor,
        triage=Fragile(fake_processor.triage),  # type: ignore[arg-type]
        now=lambda: NOON,
        new_id=lambda: f"tri_{next(numbers)}",
    )


def said(*texts: str) -> list[Recording]:
    return [Recording(f"{ALICE}.{n}", transcript=text) for n, text in enumerate(texts)]


def written(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def body(file: Path) -> Mapping[str, Any]:
    (entry,) = written(file)
    of: Mapping[str, Any] = entry["body"]
    return of


# Answers ------------------------------------------------------------------------------------


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(["fine", "", "x" * 101, "this breaks"]), max_size=8))
def test_answers_keep_the_order_and_refusals_their_place(
    processor: Processor, texts: list[str]
) -> None:
    answers = processor.process(said(*texts), "batch")
    assert [one.recording for one in answers] == [f"{ALICE}.{n}" for n in range(len(texts))]
    refused = [isinstance(one, Refusal) for one in answers]
    assert refused == [text in ("", "x" * 101) for text in texts]


def test_a_refusal_says_why(processor: Processor) -> None:
    fine, refused = processor.process(said("fine", " "), "cli")
    assert isinstance(fine, Outcome)
    assert isinstance(refused, Refusal)
    assert isinstance(refused.error, NothingToScore)


def test_ids_need_not_differ(processor: Processor) -> None:
    one, two = processor.process([Recording(ALICE, transcript="a")] * 2, "cli")
    assert one.recording == two.recording
    assert one.id != two.id


def test_nothing_is_done_about_nothing(processor: Processor, audit_file: Path) -> None:
    assert processor.process([], "batch") == []
    assert not audit_file.exists()


def test_recordings_are_scored_side_by_side(processor: Processor) -> None:
    together = Barrier(2, timeout=10)

    class Waiting(Fragile):
        def score(self, recording: Recording) -> Scores:
            together.wait()
            return super().score(recording)

    slow = replace(processor, triage=Waiting(processor.triage), workers=2)  # type: ignore[arg-type]
    assert len(slow.process(said("a", "b"), "batch")) == 2


def test_the_clock_and_the_ids_are_those_handed_in(processor: Processor, audit_file: Path) -> None:
    (answer,) = processor.process([Recording(ALICE, audio=b"sound")], "http")
    assert isinstance(answer, Outcome)
    assert answer.id == "tri_1"
    assert (answer.decision.tier, answer.decision.due_at) == ("E3", "2026-05-04T13:00:00Z")
    (entry,) = written(audit_file)
    assert entry["at"] == "2026-05-04T12:00:00.000Z"


def test_who_only_decides_raises_no_case_and_the_audit_says_so(
    processor: Processor, audit_file: Path
) -> None:
    sound = Recording(ALICE, audio=b"sound")
    (decided,) = processor.process([sound], "cli", escalate=False)
    assert isinstance(decided, Outcome)
    assert (decided.decision.tier, decided.decision.case) == ("E3", "")
    assert processor.book.cases() == []
    (raised,) = processor.process([sound], "cli")
    assert isinstance(raised, Outcome)
    assert [one.id for one in processor.book.cases()] == [raised.decision.case]
    told = [entry["body"].get("decide_only") for entry in written(audit_file)]
    assert told == [True, None]


def test_ids_and_times_of_its_own(fake_processor: Processor, audit_file: Path) -> None:
    before = datetime.now(UTC)
    answers = fake_processor.process(said("a", "b"), "cli")
    assert all(one.id.startswith("tri_") and len(one.id) > 20 for one in answers)
    assert len({one.id for one in answers}) == 2
    at = datetime.fromisoformat(written(audit_file)[0]["at"])
    assert abs((at - before).total_seconds()) < 60


# What broke ---------------------------------------------------------------------------------


def test_what_breaks_the_scoring_ends_before_a_person(
    processor: Processor, audit_file: Path
) -> None:
    fine, broken = processor.process(said("fine", "this breaks"), "batch")
    assert isinstance(fine, Outcome)
    assert isinstance(broken, Outcome)
    assert fine.decision.tier == "E0"
    assert broken.scores.failures == {"score": "RuntimeError"}
    assert broken.scores.flags == {"stage_failed": True}
    assert broken.decision.tier == "E2"
    assert broken.decision.actions == ("queue:unscored",)
    assert broken.decision.due_at == "2026-05-05T12:00:00Z"
    assert written(audit_file)[1]["body"]["failures"] == {"score": "RuntimeError"}


def test_a_decision_that_cannot_be_made_is_no_answer(
    processor: Processor, audit_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undecided(*_: Any, **__: Any) -> Decision:
        raise ZeroDivisionError

    monkeypatch.setattr("triage.guard.decide", undecided)
    with pytest.raises(ZeroDivisionError):
        processor.process(said("fine"), "cli")
    assert not audit_file.exists()


# The audit ----------------------------------------------------------------------------------


def test_every_answer_is_vouched_for(processor: Processor, audit_file: Path) -> None:
    answers = processor.process(said("fine", "", "this breaks"), "batch")
    entries = written(audit_file)
    assert [one.audit_hash for one in answers] == [entry["hash"] for entry in entries]
    assert [one.id for one in answers] == [entry["body"]["id"] for entry in entries]
    assert [entry["kind"] for entry in entries] == ["decision", "refusal", "decision"]
    assert verify(audit_file, answers[-1].audit_hash).entries == 3


def test_the_audit_tells_the_decision(processor: Processor, audit_file: Path) -> None:
    (answer,) = processor.process([Recording(ALICE, audio=b"sound")], "http")
    assert isinstance(answer, Outcome)
    told, decision = body(audit_file), answer.decision
    assert set(told) == BODY
    assert told["way"] == "http"
    assert told["model"] == answer.scores.model
    assert told["policy"] == decision.policy_digest
    assert told["tier"] == decision.tier == "E3"
    assert told["rule"] == decision.rule
    assert told["actions"] == list(decision.actions)
    assert told["due_at"] == decision.due_at
    assert told["severity"] == decision.severity > 0
    assert told["categories"] == ["distress"]
    assert told["failures"] == {}


def test_the_audit_tells_the_refusal(processor: Processor, audit_file: Path) -> None:
    processor.process(said(""), "cli")
    told = body(audit_file)
    assert set(told) == {"id", "way", "recording", "model", "policy", "refused"}
    assert told["refused"] == "nothing-to-score"


def test_without_audit_no_answer(processor: Processor, tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.touch()
    unwritable = replace(processor, audit=AuditLog(blocked / "audit.jsonl"))
    with pytest.raises(AuditFailed):
        unwritable.process(said("fine"), "http")


def test_no_answer_exists_before_its_entry(
    processor: Processor, audit_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the audit is written, all is decided, and no outcome or refusal has been made."""
    steps: list[str] = []

    class Watched(AuditLog):
        def append_many(self, entries: Sequence[AuditEntry]) -> list[str]:
            steps.append(f"audit of {[entry.body.get('tier', 'refused') for entry in entries]}")
            return super().append_many(entries)

    def noting(kind: type[Any]) -> Callable[..., Any]:
        def make(*args: Any) -> Any:
            steps.append(kind.__name__)
            return kind(*args)

        return make

    for kind in Outcome, Refusal:
        monkeypatch.setattr(f"triage.guard.{kind.__name__}", noting(kind))
    replace(processor, audit=Watched(audit_file)).process(said("fine", ""), "http")
    assert steps == ["audit of ['E0', 'refused']", "Outcome", "Refusal"]


# What must not be told ----------------------------------------------------------------------


def test_a_pseudonym_stands_for_the_id(processor: Processor, audit_file: Path) -> None:
    processor.process([Recording(ALICE, transcript="a"), Recording("bob", transcript="a")], "cli")
    processor.process([Recording(ALICE, transcript="b")], "cli")
    alice, bob, again = [entry["body"]["recording"] for entry in written(audit_file)]
    assert alice == again != bob
    assert alice == processor.pseudonymiser.pseudonym(ALICE)


def test_nobody_is_told_who_or_what(
    processor: Processor, audit_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    recordings = [
        Recording(ALICE, audio=b"sound", transcript=SAID, context={"home": "aunt's"}),
        Recording(ALICE, transcript=f"this breaks: {SAID}"),
        Recording(ALICE, transcript=SAID * 10),
        Recording(ALICE, audio=ALICE.encode()),
    ]
    answers: list[Answer] = processor.process(recordings, "http")
    assert [type(one) for one in answers] == [Outcome, Outcome, Refusal, Refusal]
    assert caplog.records
    for told in audit_file.read_text(), caplog.text, repr(answers), repr(recordings):
        for secret in ("alice", "aunt", "recipe", "kitchen"):
            assert secret not in told


def test_the_key_is_not_told(processor: Processor, limits: Settings) -> None:
    assert limits.key.get_secret_value() not in repr(processor) + repr(limits)


# Loading ------------------------------------------------------------------------------------


def test_all_parts_are_those_of_the_settings(
    limits: Settings, monkeypatch: pytest.MonkeyPatch, processor: Processor
) -> None:
    monkeypatch.setattr("triage.process.Triage.load", lambda given: processor.triage)
    loaded = Processor.load(limits)
    assert loaded.workers == limits.cores == 2
    assert loaded.pseudonymiser.pseudonym(ALICE) == processor.pseudonymiser.pseudonym(ALICE)
    loaded.process(said("a"), "cli")
    assert verify(limits.state / "audit.jsonl").entries == 1


# The live window ----------------------------------------------------------------------------


def test_every_scored_pass_is_counted_and_no_refused_one(
    processor: Processor, tmp_path: Path
) -> None:
    reference = reference_of({"event scream": [0.0, 1.0], "category violence": [0.0, 1.0]})
    window = Window(tmp_path / "live", reference, now=lambda: NOON)
    counting = replace(processor, live=window)
    counting.process([Recording(ALICE, audio=b"sound"), *said("", "fine")], "batch")
    counting.process([Recording(ALICE, audio=b"sound")], "http")
    window.flush()
    assert read(tmp_path / "live", reference, NOON).total["event scream"].tolist() == [0, 2]


def test_what_is_not_in_the_audit_is_not_counted(processor: Processor, tmp_path: Path) -> None:
    reference = reference_of({"event scream": [0.0, 1.0]})
    window = Window(tmp_path / "live", reference, now=lambda: NOON)
    broken = replace(processor, live=window, audit=AuditLog(tmp_path))
    with pytest.raises(AuditFailed):
        broken.process([Recording(ALICE, audio=b"sound")], "http")
    window.flush()
    assert not (tmp_path / "live").exists()


def test_a_window_that_cannot_be_written_stops_no_answer(
    processor: Processor, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    window = Window(tmp_path / "file" / "live", reference_of({"event scream": [0.0, 1.0]}))
    counting = replace(processor, live=window)
    (answer,) = counting.process([Recording(ALICE, audio=b"sound")], "http")
    window.flush()
    assert isinstance(answer, Outcome)
    assert window.failures == 1


@pytest.mark.models
def test_the_loaded_processor_counts_for_its_model(real_processor: Processor, model: Path) -> None:
    manifest = read_manifest(model)
    assert real_processor.live.reference == manifest.reference
    assert real_processor.live.folder.name == manifest.digest[:16]
