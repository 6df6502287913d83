from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from policies import CATEGORIES, EVENTS, FLAGS, conditions

from triage.policy.conditions import Conditions, Value, Vocabulary
from triage.policy.monotone import failing, falling

WORDS = Vocabulary(
    {
        **{f"scores.{name}": "double" for name in CATEGORIES},
        **{f"event_scores.{name}": "double" for name in EVENTS},
        **{f"flags.{name}": "bool" for name in FLAGS},
        "severity": "int",
        "sound_present": "bool",
        "context.locale": "string",
        "context.tries": "int",
        "context.weight": "double",
        "history.day.any": "int",
    },
    {"likely": 0.7},
)
H, V, D, S = (f"scores.{name}" for name in ("hate", "violence", "distress", "sexual"))
MANY = " && ".join(f"{name} >= 0.9" for name in (H, V, D, "event_scores.scream"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"{H} < 0.5", H),
        (f"{H} <= likely", H),
        (f"0.5 > {H}", H),
        (f"!({H} >= 0.5)", H),
        (f"!!!({H} >= 0.5)", H),
        (f"!({V} < 0.5 || {H} >= 0.5)", H),
        (f"!(!({V} >= 0.5) || !({H} < 0.5))", H),
        (f"{H} >= 0.3 && {H} < 0.6", H),
        (f"{H} == 0.5", H),
        (f"{H} != 0.5", H),
        (f"({H} >= 0.5) == false", H),
        (f"!({H} >= 0.5) == true", H),
        (f"!!({H} >= 0.5) == false", H),
        (f"{H} >= 0.5 ? flags.noisy : true", H),
        (f"{V} - {H} > 0.2", H),
        (f"{V} > {H}", H),
        (f"1.0 - {H} > 0.5", H),
        (f"-{H} > -0.5", H),
        (f"{H} * 10.0 < 9.5", H),
        (f"{H} * {V} < 0.95", H),
        (f"int({H} * 10.0) % 2 == 1", H),
        (f"{H} in [0.5]", H),
        (f"[{H} >= 0.5, true] == [false, true]", H),
        ("event_scores.scream < 0.1", "event_scores.scream"),
        ("severity < 4", "severity"),
        ("severity == 4", "severity"),
        ("severity % 2 == 0", "severity"),
        ("events.size() == 0", "events"),
        ("size(events) < 3", "events"),
        ("!events.exists(e, e.event == 'scream')", "events"),
        ("events.all(e, e.event != 'scream')", "events"),
        ("events.exists(e, e.event == 'scream' && e.score < 0.5)", "events"),
        ("!events.exists(e, e.start > 12.0)", "events"),
        # Hidden among what must be true for it to matter.
        (f"{MANY} && {S} < 0.1", S),
        (f"{MANY} && flags.noisy && !flags.silent && context.locale == 'de' && {S} < 0.1", S),
        (f"{MANY} && context.tries > 40 && ({S} - {V} < -0.8)", S),
        (f"({MANY}) || ({MANY} && !({V} >= 0.5 && {S} > 0.99))", V),
        (f"{S} < 0.1 // >= 0.5", S),
        (f"context.locale != '{S} >= 0.5' && {S} < 0.5", S),
    ],
)
def test_what_may_be_lost_is_found(text: str, name: str) -> None:
    assert falling(text, WORDS) == name


@pytest.mark.parametrize(
    "text",
    [
        "true",
        f"{H} >= likely",
        f"0.5 <= {H} || {V} > 0.5",
        f"!({H} < 0.5)",
        f"!!({H} >= 0.5)",
        f"!(!({H} >= 0.5) || {V} <= 0.2)",
        f"({H} < 0.5) == false",
        f"{H} + {V} >= 1.2",
        f"{H} * {V} >= 0.5 && {H} / 2.0 > 0.1",
        f"{H} > 0.3 - {V}",
        f"{H} >= 0.7 ? true : {V} >= 0.5",
        f"[{H}, {V}].exists(x, x >= 0.5)",
        "severity >= 4 && severity > 2",
        "!flags.noisy && (flags.silent || sound_present)",
        f"!(flags.noisy) && {H} >= 0.5",
        f"context.locale != 'de' && {H} >= 0.5",
        f"context.tries < 3 && context.weight < 0.5 && history.day.any == 2 && {H} >= 0.5",
        f"{H} * context.weight * context.weight >= 0.5",
        "events.exists(e, e.event == 'scream' && e.score >= 0.5 && e.end - e.start > 1.0)",
        "size(events) >= 3",
        "events.filter(e, e.score > 0.5).size() > 1",
        f"{H} >= 0.5 // not {V} < 0.5",
    ],
)
def test_what_can_not_be_lost_is_taken(text: str) -> None:
    assert falling(text, WORDS) is None
    assert failing(text, WORDS) is None


def test_what_is_meant_to_fall_is_allowed_by_name_and_no_more() -> None:
    text = f"{H} < 0.5 && {V} < 0.5"
    assert falling(text, WORDS, [H]) == V
    assert falling(text, WORDS, [V]) == H
    assert falling(text, WORDS, [H, V]) is None
    assert falling(f"{V} - {H} > 0.2", WORDS, [H]) is None


def rises(values: dict[str, Value], chance: random.Random) -> dict[str, Value]:
    """The same values with some scores higher."""
    return {
        name: max(value, chance.choice([value, chance.random(), 1.0]))
        if isinstance(value, float) and name != "context.weight"
        else min(7, value + chance.choice([0, 0, 1, 3]))
        if name == "severity" and isinstance(value, int)
        else value
        for name, value in values.items()
    }


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(conditions(wrong=10), st.integers(0, 2**32))
def test_what_is_taken_is_never_lost(text: str, seed: int) -> None:
    assume(falling(text, WORDS) is None)
    chance = random.Random(seed)  # noqa: S311 - a trial
    condition = Conditions([text], WORDS)
    for _ in range(200):
        values = {name: _drawn(name, chance) for name in WORDS.kinds}
        if condition.met(values)[0]:
            assert condition.met(rises(values, chance))[0]


def _drawn(name: str, chance: random.Random) -> Value:
    kind = WORDS.kinds[name]
    if kind == "double":
        return chance.choice([0.0, chance.random(), chance.random(), 1.0])
    return {"bool": chance.random() < 0.5, "int": chance.randrange(8), "string": "de"}[kind]


def test_it_finds_the_same_every_time() -> None:
    text = f"{V} - {H} > 0.2 || {H} + {V} < 1.9"
    assert {falling(text, WORDS) for _ in range(5)} == {falling(text, WORDS)}


# What can't be evaluated -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("1 / 0 > 0", "anywhere"),
        ("1 % 0 > 0", "anywhere"),
        ("10 / severity > 2", "where severity is 0"),
        ("10 / (history.day.any - 3) > 2", "where history.day.any is 3"),
        ("severity + 9223372036854775807 > 0", "where severity is"),
        (f"int({H} * 1e300) > 0", f"where {H} is"),
        ("int(context.locale) > 0", "where context.locale is ''"),
        ("events.exists(e, e.evnt == 'scream')", "where events is"),
        (f"{H} >= 0.5 && 10 / severity > 2", "and severity is 0"),
        ("context.tries / context.tries == 1 || flags.noisy", "context.tries is 0 and flags.noisy"),
        ("context.locale.matches('(')", "where context.locale is"),
    ],
)
def test_where_a_condition_can_not_be_evaluated_is_told(text: str, where: str) -> None:
    found = failing(text, WORDS)
    assert found is not None
    assert where in found


@pytest.mark.parametrize(
    "text",
    [
        "severity > 0 && 10 / severity > 2",
        "context.tries == 0 || 10 / context.tries > 2",
        "severity == 0 ? false : 10 / severity > 2",
        f"1.0 / {H} > 2.0 || true",
        "context.locale == 'x' && context.locale.matches('^x$')",
        "history.day.any + 1 > 2",
        "size(events) > 0 && events[0].score > 0.5",
    ],
)
def test_what_is_guarded_is_taken(text: str) -> None:
    assert failing(text, WORDS) is None


def test_levels_are_the_numbers_they_stand_for() -> None:
    other = replace(WORDS, levels={"likely": 0.2})
    for words in (WORDS, other):
        assert falling(f"{H} < likely", words) == H
        assert falling(f"{H} + {V} >= likely", words) is None
