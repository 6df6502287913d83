"""The records: frozen, and a repr says nothing of a person's voice, words or identity."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage import guard, records
from triage.errors import TooLarge
from triage.labels.rows import Labelled
from triage.records import (
    SAMPLE_RATE,
    Decision,
    Evidence,
    Outcome,
    Recording,
    Scores,
    Span,
    TextWindow,
    Transcript,
    Waveform,
    Word,
)

KINDS = [
    kind
    for _, kind in inspect.getmembers(records, dataclasses.is_dataclass)
    if kind.__module__ == records.__name__
]
CANARY = "canary"
TIMES = st.floats(0, 100, allow_nan=False)


def decision() -> Decision:
    return Decision("E0", "none", "", (), 0, {}, {}, None, "default", "sha256:0")


def scores() -> Scores:
    words = (Word(CANARY, 0.0, 1.0, 0.9),)
    return Scores(
        model="m",
        categories={"violence": 0.1},
        applied={"violence": ("text",)},
        evidence=(Evidence("violence", "text", "words", 0.1, Span(0.0, 1.0), (CANARY,)),),
        transcript=Transcript(CANARY, words, "transcriber"),
    )


PRIVATE: dict[str, Any] = {
    "recording": Recording(CANARY, CANARY.encode(), CANARY, {CANARY: CANARY}),
    "recording by path": Recording(CANARY, Path(CANARY)),
    "waveform": Waveform(np.array([0.123456789], np.float32), SAMPLE_RATE, 1),
    "word": Word(CANARY, 0.0, 1.0, 0.9),
    "transcript": scores().transcript,
    "evidence": scores().evidence[0],
    "scores": scores(),
    "outcome": Outcome("tri_1", CANARY, scores(), decision(), "0"),
    "refusal": guard.Refusal("tri_1", CANARY, TooLarge("x"), "0"),
    "labelled": Labelled("1", "s", "MIT", "g", "val", {}, {}, CANARY, Path(CANARY)),
}


@pytest.mark.parametrize("name", PRIVATE)
def test_repr_leaks_nothing(name: str) -> None:
    shown = repr(PRIVATE[name]) + str(PRIVATE[name])
    assert shown.startswith(type(PRIVATE[name]).__name__)
    assert CANARY not in shown
    assert "0.1234" not in shown


@pytest.mark.parametrize("kind", KINDS)
def test_no_record_can_be_changed_or_added_to(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(kind)


def test_there_are_records_to_test() -> None:
    assert {Recording, Scores, Decision, Outcome, TextWindow} <= set(KINDS)


def test_a_record_with_defaults_shares_nothing_with_another() -> None:
    one, other = Recording("a"), Recording("b")
    assert one.context == {}
    assert one.context is not other.context


@given(st.integers(0, 3 * SAMPLE_RATE))
def test_seconds_are_samples_at_16_khz(count: int) -> None:
    assert Waveform(np.zeros(count, np.float32), 8000, 2).seconds == count / 16_000


@given(TIMES, TIMES, TIMES, TIMES)
def test_spans_overlap_both_ways_where_a_moment_lies_in_both(
    a: float, b: float, c: float, d: float
) -> None:
    one, other = Span(min(a, b), max(a, b)), Span(min(c, d), max(c, d))
    assert one.overlaps(other) == other.overlaps(one)
    if one.start < one.end and other.start < other.end:
        shared = min(one.end, other.end) - max(one.start, other.start)
        assert one.overlaps(other) == (shared > 0)


@given(TIMES, TIMES, TIMES, TIMES)
def test_a_span_holds_what_starts_and_ends_in_it(a: float, b: float, c: float, d: float) -> None:
    one, other = Span(min(a, b), max(a, b)), Span(min(c, d), max(c, d))
    assert one.holds(one)
    assert one.holds(other) == (
        [one.start, other.start, other.end, one.end] == sorted([a, b, c, d])
    )
    assert one.holds(Span(one.end, one.end))


def test_spans_that_only_touch_do_not_overlap() -> None:
    assert not Span(0, 1).overlaps(Span(1, 2))
    assert Span(0, 1.01).overlaps(Span(1, 2))


def test_a_callers_transcript_may_be_scored_as_it_is() -> None:
    transcript = Transcript("call my sister")
    assert (transcript.source, transcript.reliable, transcript.words) == ("caller", True, ())
