"""The answer: what callers parse stays as it is, and words are given out only when asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from golden.regenerate import ANSWERS, FAILED, FOLDER, HEARD, READ, REFUSED, golden, written
from hypothesis import given
from hypothesis import strategies as st
from openai.types import ModerationCreateResponse
from openai.types.moderation import Categories

from triage.answer import OPENAI_NAMES, PLACES, as_json, as_openai
from triage.fusion import LEAST_CONTRIBUTION
from triage.records import Evidence, Outcome, Scores, Transcript, Word
from triage.taxonomy import CATEGORIES

CANARY = "canary"


def result(answer: dict[str, Any]) -> dict[str, Any]:
    one: dict[str, Any]
    (one,) = answer["results"]
    return one


def with_scores(**changes: Any) -> Outcome:
    return replace(HEARD, scores=replace(HEARD.scores, **changes))


# Golden files -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_what_it_was(name: str) -> None:
    """If it should change: `python -m tests.golden.regenerate`, and look at the difference."""
    assert written(name) == golden(name).read_text(encoding="utf-8")


def test_every_golden_file_is_compared() -> None:
    assert set(FOLDER.glob("*.json")) == {golden(name) for name in ANSWERS}


# Words --------------------------------------------------------------------------------------


def said(word: str) -> Outcome:
    return with_scores(
        transcript=Transcript(f"help {word}", (Word(word, 0.0, 1.0, 0.9),), "transcriber"),
        evidence=(Evidence("distress", "text", "words", 1.0, None, (word,)),),
    )


def test_words_are_absent_unless_asked_for() -> None:
    assert CANARY not in json.dumps(as_json(said(CANARY)))
    assert CANARY not in json.dumps(as_openai([said(CANARY)]))
    assert set(keys(as_json(said(CANARY)))) & {"transcript", "words"} == set()


def test_words_are_there_when_asked_for() -> None:
    asked = result(as_json(said(CANARY), transcript=True))
    assert asked["transcript"] == {
        "text": f"help {CANARY}",
        "source": "transcriber",
        "reliable": True,
        "words": [{"word": CANARY, "start": 0.0, "end": 1.0}],
    }
    assert asked["explanation"][0]["words"] == [CANARY]


def test_asking_adds_nothing_but_words() -> None:
    told = as_json(HEARD, transcript=True)
    del result(told)["transcript"]
    for one in result(told)["explanation"]:
        one.pop("words", None)
    assert told == as_json(HEARD)


def test_where_nobody_spoke_there_is_no_transcript() -> None:
    silent = with_scores(transcript=None, evidence=())
    assert "transcript" not in result(as_json(silent, transcript=True))


def keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


# Numbers ------------------------------------------------------------------------------------


@given(st.floats(0, 1))
def test_no_probability_claims_more_than_four_places(score: float) -> None:
    told = result(as_json(with_scores(categories={"hate": score}, event_scores={"cry": score})))
    for shown in (told["category_scores"]["hate"], told["event_scores"]["cry"]):
        assert shown == round(shown, PLACES)
        assert shown == pytest.approx(score, abs=0.5 * 10**-PLACES + 1e-12)


@given(st.lists(st.floats(0, 0.2), max_size=6))
def test_only_small_contributions_are_left_out(amounts: list[float]) -> None:
    evidence = tuple(Evidence("hate", "text", "words", amount) for amount in amounts)
    told = result(as_json(with_scores(evidence=evidence)))["explanation"]
    assert [one["contribution"] for one in told] == [
        round(amount, 3) for amount in amounts if amount >= LEAST_CONTRIBUTION
    ]


@given(st.sampled_from([HEARD, READ, FAILED]), st.booleans())
def test_an_answer_is_json_that_any_client_reads(outcome: Outcome, transcript: bool) -> None:
    answer = as_json(outcome, transcript=transcript)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


# Flagged ------------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from(CATEGORIES), st.booleans()), st.booleans())
def test_flagged_is_any_category_or_a_stage_that_failed(
    flagged: dict[str, bool], failed: bool
) -> None:
    outcome = replace(
        with_scores(failures={"text": "RuntimeError"} if failed else {}),
        decision=replace(HEARD.decision, category_flagged=flagged),
    )
    told = result(as_json(outcome))
    assert told["flagged"] == (failed or any(flagged.values()))
    assert told["categories"] == flagged
    assert ("failures" in told) == failed


def test_a_refusal_has_a_problem_and_no_result() -> None:
    told = as_json(REFUSED, transcript=True)
    assert set(told) == {"id", "recording", "error"}
    assert told["error"] == REFUSED.error.as_problem()


# OpenAI's shape -----------------------------------------------------------------------------


def test_openais_names_are_all_there() -> None:
    theirs = {field.alias or name for name, field in Categories.model_fields.items()}
    assert set(OPENAI_NAMES) == theirs
    for name, ours in OPENAI_NAMES.items():
        spelled = name.replace("-", "_")
        assert ours == (spelled if spelled in CATEGORIES else None)


def test_openais_client_reads_every_result() -> None:
    """Read as the client reads: it takes what the service says and doesn't validate it."""
    read = ModerationCreateResponse.construct(**as_openai([HEARD, READ, FAILED]))
    assert [one.flagged for one in read.results] == [True, False, True]
    assert read.results[1].category_scores.self_harm == 0.02
    assert read.results[0].category_applied_input_types.violence == ["text", "audio"]
    assert read.results[0].category_scores.hate == 0.0
    assert read.id == HEARD.id


def test_what_is_scored_is_told_under_both_names_and_what_is_not_is_not_flagged() -> None:
    names = {ours: theirs for theirs, ours in OPENAI_NAMES.items() if ours}
    scores = Scores("m", {"self_harm": 0.25, "distress": 0.5}, {"self_harm": ("text",)})
    (told,) = as_openai([replace(READ, scores=scores)])["results"]
    assert names["self_harm"] == "self-harm"
    assert told["category_scores"]["self-harm"] == told["category_scores"]["self_harm"] == 0.25
    assert told["category_scores"]["distress"] == 0.5
    assert told["category_applied_input_types"]["self-harm"] == ["text"]
    for theirs, ours in OPENAI_NAMES.items():
        if ours != "self_harm":
            assert told["category_scores"][theirs] == 0.0
            assert told["category_applied_input_types"][theirs] == []


def test_openais_shape_holds_nothing_of_the_caller() -> None:
    assert HEARD.recording not in json.dumps(as_openai([HEARD]))
