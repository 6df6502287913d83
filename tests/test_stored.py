"""Stored scores are read back as they were, and a bad line costs itself only."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from triage.answer import as_json
from triage.errors import BadField
from triage.measure.stored import Stored, Unusable, read_stored
from triage.process import Processor
from triage.records import Outcome, Recording


@pytest.fixture
def answers(fake_processor: Processor) -> list[dict[str, Any]]:
    recordings = [Recording("a", b"sound"), Recording("b", transcript="words")]
    return [as_json(one) for one in fake_processor.process(recordings, "cli")]


def lines(file: Path, *told: object) -> Path:
    file.write_text(
        "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in told)
    )
    return file


def test_what_was_answered_is_what_was_decided_on(
    fake_processor: Processor, tmp_path: Path
) -> None:
    (outcome,) = fake_processor.process([Recording("a", b"sound")], "cli")
    assert isinstance(outcome, Outcome)
    (found,) = read_stored([lines(tmp_path / "a.jsonl", as_json(outcome))])
    assert isinstance(found, Stored)
    scores = outcome.scores
    assert (found.id, found.recording, found.at) == (outcome.id, "a", None)
    assert found.scores.categories == pytest.approx(scores.categories)
    assert found.scores.event_scores == pytest.approx(scores.event_scores)
    assert (found.scores.flags, found.scores.events) == (scores.flags, scores.events)
    assert (found.scores.applied, found.scores.seconds) == (scores.applied, scores.seconds)


def test_a_line_may_say_when_it_was_and_what_was_known(
    answers: list[dict[str, Any]], tmp_path: Path
) -> None:
    more = {"at": "2026-05-04T12:00:00+02:00", "context": {"x": 1}, "history": {"day": {"any": 2}}}
    (found,) = read_stored([lines(tmp_path / "a.jsonl", answers[0] | more)])
    assert isinstance(found, Stored)
    assert found.at is not None
    assert found.at.isoformat() == "2026-05-04T10:00:00+00:00"
    assert (found.context, found.history) == ({"x": 1}, {"day": {"any": 2}})


def test_a_bad_line_costs_itself_and_tells_none_of_its_content(
    answers: list[dict[str, Any]], tmp_path: Path
) -> None:
    secret = "the secret recipe"
    refused = {"id": "tri_2", "recording": "b", "error": {"type": "x"}}
    naive = answers[0] | {"at": "2026-05-04T12:00:00"}
    nested = "[" * 100_000
    file = lines(
        tmp_path / "a.jsonl", secret, {"id": secret}, refused, naive, nested, "", answers[1]
    )
    found = list(read_stored([file]))
    assert [type(one) for one in found] == [Unusable] * 4 + [Stored]
    assert [one.line for one in found if isinstance(one, Unusable)] == [1, 2, 4, 5]
    assert secret not in str(found)


@pytest.mark.parametrize(
    "more",
    [
        {"at": "0001-01-01T00:00:00+14:00"},  # before the first day in UTC
        {"at": "9999-12-31T23:59:00-12:00"},  # after the last, as a deadline would be
        {"history": {"day": {"any": -1}}},
        {"history": {"day": {"any": "3"}}},
        {"history": {"day": {"any": 2**63}}},  # more than CEL counts
        {"id": "somebody@example.com"},
        {"id": "tri_\ud800"},  # no UTF-8, so no page
    ],
)
def test_a_field_out_of_its_range_costs_its_line(
    answers: list[dict[str, Any]], tmp_path: Path, more: dict[str, Any]
) -> None:
    file = lines(tmp_path / "a.jsonl", answers[0] | more, answers[1])
    assert [type(one) for one in read_stored([file])] == [Unusable, Stored]


@pytest.mark.parametrize("score", [True, "0.9", "high", [1]])
def test_what_is_no_number_is_no_score(
    answers: list[dict[str, Any]], tmp_path: Path, score: object
) -> None:
    answers[0]["results"][0]["category_scores"]["violence"] = score
    file = lines(tmp_path / "a.jsonl", *answers)
    assert [type(one) for one in read_stored([file])] == [Unusable, Stored]


def test_keys_are_not_told_either(answers: list[dict[str, Any]], tmp_path: Path) -> None:
    secret = "the secret recipe"
    keyed = answers[0] | {"history": {secret: {secret: "x"}}}
    scored = json.loads(json.dumps(answers[0]))
    scored["results"][0]["category_scores"] = {secret: "x"}
    file = lines(tmp_path / "a.jsonl", keyed, scored, answers[1])
    one, other, _ = read_stored([file])
    assert isinstance(one, Unusable)
    assert isinstance(other, Unusable)
    assert one.why == "history.….…: int_type"
    assert other.why == "results.0.category_scores.…: float_type"


def test_a_line_without_end_is_one_line(
    answers: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.measure.stored.LONGEST_LINE", 10_000)
    file = lines(tmp_path / "a.jsonl", "x" * 35_000, answers[0], "y" * 9_999, "bad")
    found = list(read_stored([file]))
    assert [one.line for one in found if isinstance(one, Unusable)] == [1, 3, 4]
    assert [type(one) for one in found].index(Stored) == 1


def test_a_mark_of_byte_order_is_no_part_of_a_line(
    answers: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(answers[0]), encoding="utf-8-sig")
    assert [type(one) for one in read_stored([file])] == [Stored]


@pytest.mark.parametrize("told", [(), ("", "bad")])
def test_a_file_without_an_answer_is_told(
    answers: list[dict[str, Any]], tmp_path: Path, told: tuple[str, ...]
) -> None:
    good, wrong = lines(tmp_path / "a.jsonl", answers[0]), lines(tmp_path / "b.jsonl", *told)
    with pytest.raises(BadField, match=rf"b.jsonl holds no answer in {len(told)} lines"):
        list(read_stored([good, wrong]))


def test_refusals_are_answers(tmp_path: Path) -> None:
    refused = {"id": "tri_2", "recording": "b", "error": {"type": "x"}}
    assert list(read_stored([lines(tmp_path / "a.jsonl", refused)])) == []


def test_a_score_that_was_no_number_still_is_none(
    answers: list[dict[str, Any]], tmp_path: Path
) -> None:
    answers[0]["results"][0]["category_scores"]["violence"] = None
    (found,) = read_stored([lines(tmp_path / "a.jsonl", answers[0])])
    assert isinstance(found, Stored)
    assert math.isnan(found.scores.categories["violence"])


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadField, match="can't be read"):
        list(read_stored([tmp_path / "none.jsonl"]))
