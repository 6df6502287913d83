from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.policy.conditions import (
    MAX_CHARACTERS,
    MAX_TOGETHER,
    Conditions,
    Vocabulary,
    Wrong,
    nearest,
)
from triage.policy.scan import blanked

WORDS = Vocabulary(
    {
        "scores.hate": "double",
        "scores.hate_speech": "double",
        "event_scores.scream": "double",
        "flags.noisy": "bool",
        "context.locale": "string",
        "context.tries": "int",
        "severity": "int",
    },
    {"likely": 0.7, "hate": 0.2},
)
HEARD = [{"event": "scream", "start": 1.0, "end": 2.5, "score": 0.8}]


def met(text: str, **values: Any) -> bool | None:
    """Whether one condition holds of values by the last part of their names."""
    whole = {name.rpartition(".")[2]: name for name in [*WORDS.kinds, "events"]}
    given = {whole[name]: value for name, value in values.items()}
    found = Conditions([text], WORDS).met(given)[0]
    assert found is Conditions([text], WORDS).one(0, given)
    return found


# What is asked -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("scores.hate >= likely", {"hate": 0.7}, True),
        ("scores.hate >= likely", {"hate": 0.699}, False),
        ("likely <= scores.hate", {"hate": 0.7}, True),
        ("scores . hate >= likely", {"hate": 0.7}, True),
        ("scores.hate >= hate", {"hate": 0.3}, True),  # a level named like a category
        ("scores.hate_speech >= hate", {"hate_speech": 0.1}, False),
        ("scores.hate >= likely // or so, don't ask", {"hate": 0.7}, True),
        (
            "scores.hate >= likely // isn't it\n|| flags.noisy // it's",
            {"hate": 0, "noisy": 1},
            True,
        ),
        ("context.locale == 'likely // scores.hate'", {"locale": "likely // scores.hate"}, True),
        ("context.locale.startsWith('de')", {"locale": "de-AT"}, True),
        ("context.locale.matches('(a+)+$')", {"locale": "a" * 10_000 + "b"}, False),
        (r"context.locale == r'\d'", {"locale": r"\d"}, True),
        ("context.tries + 1 > 3", {"tries": 3}, True),
        ("double(context.tries) * 0.5 > scores.hate", {"tries": 1, "hate": 0.4}, True),
        ("events.exists(e, e.event == 'scream' && e.score >= likely)", {"events": HEARD}, True),
        ("events.exists(e, e.end - e.start > 2.0)", {"events": HEARD}, False),
        ("size(events) > 1 || events.all(e, e.score > 0.5)", {"events": HEARD}, True),
        ("true", {}, True),
    ],
)
def test_a_condition_holds_or_does_not(text: str, values: dict[str, Any], holds: bool) -> None:
    assert met(text, **{name: _kind(name, value) for name, value in values.items()}) is holds


def _kind(name: str, value: Any) -> Any:
    return {"hate": float, "noisy": bool}.get(name, type(value))(value)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("context.tries / 0 > 1", {"tries": 3}),
        ("context.tries % 0 > 1", {"tries": 3}),
        ("context.tries + 9223372036854775807 > 1", {"tries": 3}),
        ("-context.tries - 9223372036854775807 < 1", {"tries": 3}),
        ("int(scores.hate * 1e300) > 1", {"hate": 0.5}),
        ("int(context.locale) > 1", {"locale": "de"}),
        ("scores.hate >= 0.5", {}),  # missing
        ("events.exists(e, e.label == 'scream')", {"events": HEARD}),
        ("events.exists(e, e.event > 0.5)", {"events": HEARD}),
        ("context.locale.matches('(')", {"locale": "de"}),
        ("scores.hate >= 0.5", {"hate": "0.7"}),
        ("scores.hate >= 0.5", {"hate": None}),
        ("context.tries > 1", {"tries": 2**70}),
    ],
)
def test_what_can_not_be_said_is_told_apart_from_no(text: str, values: dict[str, Any]) -> None:
    assert met(text, **values) is None


def test_what_does_not_hang_on_the_missing_can_be_said() -> None:
    assert met("scores.hate >= 0.5 || flags.noisy", noisy=True) is True
    assert met("scores.hate >= 0.5 && flags.noisy", noisy=False) is False


@pytest.mark.parametrize("text", ["scores.hate >= 0.5", "scores.hate <= 0.5", "scores.hate == 0.5"])
def test_nothing_holds_of_what_is_no_number(text: str) -> None:
    assert met(text, hate=math.nan) is False


def test_one_that_fails_leaves_the_others_their_answers() -> None:
    texts = ["scores.hate >= 0.5", "context.tries / 0 > 1", "flags.noisy", "severity >= 3"]
    values = {"scores.hate": 0.6, "context.tries": 1, "flags.noisy": False, "severity": 3}
    assert Conditions(texts, WORDS).met(values) == [True, None, False, True]
    assert Conditions([], WORDS).met(values) == []


@given(st.lists(st.integers(0, 999), min_size=1, max_size=400), st.floats(0, 1))
def test_many_are_asked_as_each_by_itself(limits: list[int], value: float) -> None:
    # The comments make it more than one program.
    texts = [f"scores.hate >= {limit / 1_000:.3f} // {'x' * 700}" for limit in limits]
    many = [f"{text}\n&& context.locale != '{'y' * 200}'" for text in texts]
    conditions = Conditions(many, WORDS)
    found = conditions.met({"scores.hate": value, "context.locale": "de"})
    assert found == [value >= limit / 1_000 for limit in limits]


def test_more_than_a_program_takes_are_still_asked() -> None:
    text = f"context.locale != '{'y' * 900}'"
    count = 3 * MAX_TOGETHER // len(text)
    assert Conditions([text] * count, WORDS).met({"context.locale": "de"}) == [True] * count


# What a condition speaks of ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("scores.hate >= likely && flags.noisy", ("scores.hate", "flags.noisy")),
        ("scores.hate_speech > 0.1", ("scores.hate_speech",)),
        ("context.locale.startsWith('scores.hate')", ("context.locale",)),
        ("severity > 1 // scores.hate", ("severity",)),
        ("events.exists(e, e.score > scores.hate)", ("events", "scores.hate")),
        ("scores.hate > 0.1 || scores .\n hate > 0.2", ("scores.hate",)),
        ("'''it's scores.hate''' == context.locale", ("context.locale",)),
        ("likely > 0.5", ()),
    ],
)
def test_it_names_what_it_speaks_of(text: str, names: tuple[str, ...]) -> None:
    assert WORDS.names(text) == names
    assert Conditions([text], WORDS).names(0) == names
    assert Conditions([text], WORDS).spoken == names


def test_numbers_are_those_outside_of_text_with_levels_among_them() -> None:
    text = "scores.hate >= likely || context.tries > 3 && context.locale != '9' // 8"
    assert WORDS.numbers(f"{text}\n || severity > 1e0") == (0.7, 1.0, 3.0)
    assert WORDS.filled(text) == text.replace("likely", "0.7").partition(" //")[0] + " "


@given(st.text(alphabet="ab'\"\\/\nr ", max_size=30))
def test_blanks_keep_every_place(text: str) -> None:
    blank = blanked(text)
    assert len(blank) == len(text)
    assert all(new in (old, " ") for old, new in zip(text, blank, strict=True))


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told", "line", "column"),
    [
        ("scores.hat >= 0.5", "nothing is named scores.hat; did you mean scores.hate?", 1, 7),
        ("true &&\n  scorse.hate >= 0.5", "nothing is named scorse.hate; did you mean", 2, 9),
        ("scores.hate >= likly", "nothing is named likly; did you mean likely?", 1, 16),
        ("quite_other", "nothing is named quite_other", 1, 1),
        ("scores['hate'] >= 0.5", "nothing is named scores", 1, 1),
        ("scores.hate >= 'high'", ">= can't be asked of double and string", 1, 13),
        ("scores.hate >= 1", "write a whole number as 1.0 beside a score", 1, 13),
        ("context.tries >= 1.0", "as 1 beside a count", 1, 15),
        ("context.locale > 5", "> can't be asked of string and int", 1, 16),
        ("!scores.hate", "! can't be asked of double", 1, 1),
        ("scores.hate", "must be true or false, and this is double", 0, 0),
        ("scores.hate >=", "it ends where more must follow", 1, 15),
        ("", "it ends where more must follow", 1, 1),
        ("scores.hate >= 0.5)", "Syntax error: extraneous input ')'", 1, 19),
        ("scores.hate >= 0.5; true", "Syntax error: token recognition error at: ';'", 1, 19),
        ("context.locale == 'de", "Syntax error: token recognition error", 1, 19),
        ("99999999999999999999 > severity", "invalid int literal", 1, 1),
        ("x" * 1_001, "at most 1000 characters, this has 1001", 0, 0),
        ("(" * 100 + "true" + ")" * 100, "too many brackets or signs are in each other", 0, 0),
        (".scores.hate > 0.5", "write scores.violence as it is", 0, 0),
        ("scores.`hate` > 0.5", "write scores.violence as it is", 0, 0),
        ("true ||\nevents.all(e, [1].exists(x, x > 0))", "a macro that walks over a li", 2, 18),
        ("events.all(e, e in events)", "nor the events: it may run long", 1, 20),
        ("events.map(e, [e].filter(f, true))[0] == []", "can't hold another", 1, 18),
        ("events . all (e, events. exists (f, true))", "can't hold another", 1, 18),
    ],
)
def test_what_is_refused_is_told_with_its_place(
    text: str, told: str, line: int, column: int
) -> None:
    with pytest.raises(Wrong) as wrong:
        WORDS.compiled(text)
    assert told in str(wrong.value)
    assert (wrong.value.line, wrong.value.column) == (line, column)
    with pytest.raises(Wrong):
        Conditions(["true", text], WORDS)


def test_lists_that_are_too_long_together_are_walked_one_by_one() -> None:
    text = "events.exists(e, e.score > 2.0)"
    many = {"events": HEARD * 6_000}
    assert Conditions([text] * 4, WORDS).met(many) == [False] * 4
    assert Conditions([f"{text} || {text}"], WORDS).met(many) == [None]
    assert Conditions([text], WORDS).met({"events": HEARD * 20_000}) == [None]


def test_macros_beside_each_other_are_taken_and_text_is_no_macro() -> None:
    WORDS.compiled("events.exists(e, true) && events.all(e, e.event != '.exists(')")
    WORDS.compiled("events.filter(e, e.score > 0.5).map(e, e.event) == ['scream']")


@pytest.mark.parametrize(
    "text",
    [
        " || ".join(["events.exists(e, e.score > 2.0)"] * 25),
        " + ".join(["events"] * 25) + " == []",
        " || ".join(["context.locale.matches('(x+x+)+y')"] * 25),
        " + ".join(["context.locale"] * 25) + " == ''",
    ],
)
def test_nothing_that_is_taken_runs_long(text: str) -> None:
    # An hour of sound has a few thousand events; a second would be a hundred times too long.
    many = [HEARD[0] | {"start": float(start)} for start in range(3_000)]
    conditions = Conditions([text], WORDS)
    start = time.process_time()
    met = conditions.met({"events": many, "context.locale": "x" * 1_000})
    assert met in ([False], [None])
    assert time.process_time() - start < 1


@given(
    st.text(max_size=60) | st.text(alphabet="scores.hate>=0.5 &|!()'\"\\,[]{}?:/\n", max_size=60)
)
def test_whatever_is_written_is_taken_or_refused(text: str) -> None:
    try:
        conditions = Conditions(["true", text], WORDS)
    except Wrong:
        return
    assert conditions.met({"scores.hate": 0.5}) in ([True, True], [True, False], [True, None])


def test_the_nearest_name_is_told_where_there_is_one() -> None:
    assert nearest("lik", ["like", "other"]) == "; did you mean like?"
    assert nearest("zzz", ["like", "other"]) == ""
    assert MAX_CHARACTERS == 1_000
