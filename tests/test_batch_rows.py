"""Rows: all that an answer says, in columns and bytes that stay, and no word that was said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from math import nan
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from batch_parts import ABOUT, CATEGORIES, EVENTS, NOON, SAID, answers, rows_of, scores, zones
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.batch.rows import (
    Row,
    passed,
    passes_schema,
    recorded_at,
    result,
    results_schema,
    write_lines,
    write_parquet,
)
from triage.errors import NothingToScore
from triage.guard import Refusal
from triage.taxonomy import FLAGS

TIME = "timestamp[us, tz=UTC]"
WORDS = "list<item: string>"
PAIR = "struct<violence: double, distress: double>"
SPAN = "start: double, end: double"
RESULTS = {
    "position": "int64!", "recording": "string!", "recorded_at": TIME, "content": "string",
    "model": "string!", "policy": "string!", "error": "string", "detail": "string",
    "seconds": "double", "screened": "bool", "tier": "string", "rule": "string",
    "reason": "string",
    "actions": WORDS, "severity": "int8", "flagged": "bool", "categories": WORDS,
    "category_scores": PAIR,
    "category_severity": "struct<violence: int8, distress: int8>",
    "category_applied_input_types": f"struct<violence: {WORDS}, distress: {WORDS}>",
    "event_scores": "struct<scream: double, speech: double>",
    "events": f"list<item: struct<event: string, {SPAN}, score: double>>",
    "segments": f"list<item: struct<{SPAN}, category_scores: {PAIR}>>",
    "flags": f"struct<{', '.join(f'{flag}: bool' for flag in FLAGS)}>",
    "explanation": "list<item: struct<evidence: string, category: string, input: string, "
    "contribution: double>>",
    "failures": "list<item: struct<stage: string, error: string>>",
}  # fmt: skip
PASSES = {
    "position": "int64!", "recording": "string!", "id": "string!",
    "decided_at": f"{TIME}!", "due_at": TIME, "case": "string", "audit": "string!",
}  # fmt: skip
SCHEMA = results_schema(CATEGORIES, EVENTS)
OF_ALL = {"position", "recording", "recorded_at", "content", "model", "policy", "error", "detail"}

into_a_file = settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])


def a_row(id: str) -> Row:
    return Row(7, "", None, Refusal("tri_7", id, NothingToScore("0 bytes."), "0" * 64))


many = st.lists(rows_of(answers()), max_size=5)


def filled(value: Any, kind: Any) -> Any:
    """A value as its column gives it: None for each name that a structure hasn't."""
    import pyarrow as pa

    if value is None:
        return None
    if pa.types.is_struct(kind):
        assert set(value) <= set(kind.names), "a name that no column holds"
        return {one.name: filled(value.get(one.name), one.type) for one in kind}
    if pa.types.is_list(kind):
        return [filled(one, kind.value_type) for one in value]
    return value


def as_columns(rows: Sequence[Mapping[str, Any]], schema: Any = SCHEMA) -> list[dict[str, Any]]:
    return [{one.name: filled(row.get(one.name), one.type) for one in schema} for row in rows]


# Results ----------------------------------------------------------------------------------------


@into_a_file
@given(many)
def test_what_an_answer_says_is_what_its_row_holds(tmp_path: Path, rows: list[Row]) -> None:
    told = [result(row, ABOUT) for row in rows]
    write_parquet(told, SCHEMA, tmp_path / "x")
    assert pq.read_table(tmp_path / "x").to_pylist() == as_columns(told)
    assert pq.read_schema(tmp_path / "x") == SCHEMA


@settings(max_examples=20)
@given(rows_of(answers()))
def test_every_name_has_a_column_and_a_recording_fills_all(row: Row) -> None:
    names = OF_ALL if isinstance(row.answer, Refusal) else set(SCHEMA.names)
    assert set(result(row, ABOUT)) == names


@settings(max_examples=20)
@given(rows_of(answers()))
def test_a_row_says_what_the_decision_says(row: Row) -> None:
    told, answer = result(row, ABOUT), row.answer
    assert (told["position"], told["recording"]) == (row.position, answer.recording)
    assert (told["content"], told["recorded_at"]) == (row.content or None, row.recorded_at)
    assert (told["model"], told["policy"]) == (ABOUT.model, ABOUT.policy)
    if isinstance(answer, Refusal):
        assert (told["error"], told["detail"]) == (answer.error.slug, answer.error.detail)
        return
    decision, scored = answer.decision, answer.scores
    assert (told["error"], told["detail"]) == (None, None)
    assert (told["tier"], told["rule"]) == (decision.tier, decision.rule)
    assert (told["actions"], told["severity"]) == (list(decision.actions), decision.severity)
    flagged = {one for one in CATEGORIES if decision.category_flagged[one]}
    assert (set(told["categories"]), len(told["categories"])) == (flagged, len(flagged))
    assert told["flagged"] == bool(told["categories"] or scored.failures)
    assert (told["category_scores"] or {}) == pytest.approx(scored.categories, abs=1e-4)
    assert (told["event_scores"] or {}) == pytest.approx(scored.event_scores, abs=1e-4)
    assert {one["stage"]: one["error"] for one in told["failures"]} == scored.failures


@into_a_file
@given(rows_of(answers()))
def test_what_was_no_number_is_none_in_its_column(tmp_path: Path, row: Row) -> None:
    if isinstance(row.answer, Refusal):
        return
    scored = replace(row.answer.scores, categories={"violence": nan, "distress": 0.5})
    told = result(replace(row, answer=replace(row.answer, scores=scored)), ABOUT)
    write_parquet([told], SCHEMA, tmp_path / "x")
    (read,) = pq.read_table(tmp_path / "x").to_pylist()
    assert read["category_scores"] == {"violence": None, "distress": 0.5}


def test_columns_are_what_they_were() -> None:
    """If they should change: raise FORMAT, and tell callers in the CHANGELOG."""
    for schema, told, known in (SCHEMA, "results", RESULTS), (passes_schema(), "passes", PASSES):
        columns = {one.name: f"{one.type}{'' if one.nullable else '!'}" for one in schema}
        assert columns == known
        assert list(columns) == list(known)
        assert schema.metadata == {f"triage.{told}".encode(): b"1"}


# Passes -----------------------------------------------------------------------------------------


@into_a_file
@given(many, st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
def test_what_a_pass_came_to_is_what_its_row_holds(
    tmp_path: Path, rows: list[Row], now: datetime
) -> None:
    now = now.replace(tzinfo=UTC)
    told = [passed(row, now) for row in rows]
    write_parquet(told, passes_schema(), tmp_path / "x")
    read = pq.read_table(tmp_path / "x").to_pylist()
    assert read == as_columns(told, passes_schema())
    for row, one in zip(rows, read, strict=True):
        answer = row.answer
        assert (one["position"], one["recording"]) == (row.position, answer.recording)
        assert (one["id"], one["audit"], one["decided_at"]) == (answer.id, answer.audit_hash, now)
        due = None if isinstance(answer, Refusal) else answer.decision.due_at
        assert one["due_at"] == (None if due is None else datetime.fromisoformat(due))
        assert one["case"] == (
            None if isinstance(answer, Refusal) else answer.decision.case or None
        )


# Bytes ------------------------------------------------------------------------------------------


@into_a_file
@given(many)
def test_the_same_rows_are_the_same_bytes(tmp_path: Path, rows: list[Row]) -> None:
    for name, turned in ("one", False), ("other", True):
        told = [result(row, ABOUT) for row in rows]
        again = [dict(reversed(row.items())) if turned else row for row in told]
        write_parquet(again, SCHEMA, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@into_a_file
@given(many)
def test_lines_say_what_columns_say(tmp_path: Path, rows: list[Row]) -> None:
    told = [result(row, ABOUT) for row in rows]
    write_lines(told, tmp_path / "x")
    lines = (tmp_path / "x").read_text(encoding="utf-8").splitlines()
    read = [json.loads(line) for line in lines]
    assert [
        one | {"recorded_at": row.recorded_at} for one, row in zip(read, rows, strict=True)
    ] == told
    assert [recorded_at(one) for one in read] == [row.recorded_at for row in rows]


@pytest.mark.parametrize("id", ["straße 7/録音.wav", 'a"b\\c', "two\nlines\u2028", "\x00"])
def test_an_id_is_given_back_as_it_came(tmp_path: Path, id: str) -> None:
    told = [result(a_row(id), ABOUT)]
    write_lines(told, tmp_path / "lines")
    write_parquet(told, SCHEMA, tmp_path / "columns")
    with (tmp_path / "lines").open(encoding="utf-8", newline="\n") as lines:
        assert [json.loads(line)["recording"] for line in lines] == [id]
    assert pq.read_table(tmp_path / "columns")["recording"].to_pylist() == [id]


def test_half_a_character_in_an_id_costs_no_line(tmp_path: Path) -> None:
    write_lines([result(a_row(id), ABOUT) for id in ("a\ud800", "b")], tmp_path / "x")
    lines = (tmp_path / "x").read_bytes().splitlines()
    assert [json.loads(line)["recording"] for line in lines] == ["a\ud800", "b"]


# Words ------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(rows_of(answers(scores(st.just(tuple(SAID.split()))))))
def test_no_row_holds_a_word_that_was_said(row: Row) -> None:
    told = str([result(row, ABOUT), passed(row, NOON)])
    for word in SAID.split():
        assert not re.search(rf"\b{word}\b", told)


# When it was recorded ---------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=zones))
def test_a_time_with_a_zone_is_the_same_time_in_utc(at: datetime) -> None:
    found = recorded_at({"recorded_at": at.isoformat()})
    assert found == at
    assert found.tzinfo == UTC


@settings(max_examples=30)
@given(st.datetimes() | st.dates())
def test_a_time_without_a_zone_is_none(at: date) -> None:
    assert recorded_at({"recorded_at": at.isoformat()}) is None


@settings(max_examples=30)
@given(st.none() | st.integers() | st.text() | st.floats() | st.lists(st.text()) | st.booleans())
def test_what_is_no_time_is_none(at: object) -> None:
    assert recorded_at({"recorded_at": at}) is None


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:00-12:00"])
def test_a_time_that_utc_has_not_is_none(at: str) -> None:
    assert recorded_at({"recorded_at": at}) is None


def test_a_time_that_nobody_told_is_none() -> None:
    assert recorded_at({"Recorded_at": "2026-05-04T12:00:00Z"}) is None


def test_a_time_is_said_as_internet_times_are() -> None:
    assert recorded_at({"recorded_at": "2026-05-04T12:00:00Z"}) == NOON
