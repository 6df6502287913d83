"""What a run is made from: all of it survives its file, and a change is told by its name."""

from __future__ import annotations

from datetime import timedelta
from math import nan
from typing import Any

import pytest
from batch_parts import NOON, a_part, a_plan
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from triage.batch.plan import FORMAT, KEPT, NEVER, End, Part, Picked, Plan

# Something else for every field of `a_plan`.
OTHER: dict[str, Any] = {
    "format": FORMAT + 1,
    "run": "fedcba9876543210",
    "began": NOON + timedelta(seconds=1),
    "by": "bob",
    "reason": "another test",
    "source": "other.tar",
    "survey": "b" * 64,
    "recordings": None,
    "model": "triage-fake 2",
    "policy": "e" * 64,
    "key": "bat_other",
    "limits": {"max_seconds": 61.0},
    "picked": Picked(seed=1),
    "sound_only": True,
    "screen": "f" * 64,
    "escalate": False,
    "jsonl": True,
    "accepted": ("policy (after noon, by bob)",),
}
# What a run may be begun again with, since no row depends on it: whose it was, and of what shape.
FREE = {"run", "began", "by", "reason", "recordings", "jsonl", "accepted"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
positions = st.integers(0, 16**16 - 1)
picks = st.builds(
    Picked,
    limit=st.none() | st.integers(1, 2**63),
    sample=st.floats(0, 1, exclude_min=True),
    seed=st.integers(-(2**63), 2**63),
    where=texts,
)
counts = st.dictionaries(texts, st.integers(0, 9), max_size=2)
reals = st.floats(allow_nan=False, allow_infinity=False)


# Ids ----------------------------------------------------------------------------------------


@given(positions, positions)
def test_ids_stand_in_the_order_of_their_positions(one: int, other: int) -> None:
    plan = a_plan()
    assert (plan.id(one) < plan.id(other)) == (one < other)
    assert (plan.id(one) == plan.id(other)) == (one == other)


@given(positions)
def test_an_id_says_which_run_it_is_of(position: int) -> None:
    mine, other = a_plan(), a_plan(run=OTHER["run"])
    assert mine.id(position).startswith(mine.prefix)
    assert not mine.id(position).startswith(other.prefix)


@pytest.mark.parametrize("run", ["", "0123", "0123456789ABCDEF", "0123456789abcdef0", "%" * 16])
def test_a_run_is_sixteen_hex_digits(run: str) -> None:
    with pytest.raises(ValidationError):
        a_plan(run=run)


# Changes ------------------------------------------------------------------------------------


def test_every_field_is_kept_or_free() -> None:
    assert set(OTHER) == set(Plan.model_fields) == set(KEPT) | FREE
    assert not set(KEPT) & FREE


@given(st.sets(st.sampled_from(sorted(OTHER))))
def test_what_changed_is_each_kept_field_and_nothing_else(names: set[str]) -> None:
    now = a_plan(**{name: OTHER[name] for name in names})
    assert set(a_plan().changed(now)) == names & set(KEPT)
    assert a_plan().changed(now) == now.changed(a_plan())


@pytest.mark.parametrize("more", [{"limit": 1}, {"sample": 0.5}, {"seed": 2}, {"where": "true"}])
def test_each_choice_of_recordings_makes_another_run(more: dict[str, Any]) -> None:
    assert a_plan().changed(a_plan(picked=Picked(**more))) == ["picked"]


def test_what_can_never_be_accepted_is_kept() -> None:
    assert set(NEVER) < set(KEPT)


# Files --------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.builds(
        a_plan,
        by=texts,
        reason=texts,
        source=texts,
        recordings=st.none() | st.integers(0),
        limits=st.dictionaries(texts, reals, max_size=3),
        picked=picks,
        began=st.datetimes().map(lambda at: at.replace(tzinfo=NOON.tzinfo)),
        accepted=st.lists(texts, max_size=2).map(tuple),
        escalate=st.booleans(),
    )
)
def test_a_plan_is_read_as_it_was_written(plan: Plan) -> None:
    read = Plan.model_validate_json(plan.model_dump_json(indent=2))
    assert read == plan
    assert plan.changed(read) == []


@settings(max_examples=30)
@given(
    st.builds(
        a_part, st.integers(0, 10**7), st.integers(0), st.integers(0),
        passed_over=counts, stages=st.dictionaries(texts, reals), seconds=reals, ids=texts,
    )
)  # fmt: skip
def test_a_part_is_read_as_it_was_written_and_ends_where_the_next_begins(part: Part) -> None:
    read = Part.model_validate_json(part.model_dump_json())
    assert read == part
    assert read.end == part.first + part.rows


@given(st.builds(End, rows=st.integers(0), survey=texts, passed_over=counts))
def test_an_end_is_read_as_it_was_written_and_begins_as_nothing_else(end: End) -> None:
    line = end.model_dump_json()
    assert End.model_validate_json(line) == end
    assert line.startswith('{"end"')
    assert not a_part().model_dump_json().startswith('{"end"')


@given(st.sampled_from([a_plan(), a_part(), Picked(), End(rows=0, survey="", passed_over={})]))
def test_what_nobody_knows_is_refused(known: Plan | Part | Picked | End) -> None:
    with pytest.raises(ValidationError):
        type(known).model_validate(known.model_dump() | {"unheard_of": 1})


@pytest.mark.parametrize(
    "picked", [{"limit": 0}, {"limit": -1}, {"sample": 0}, {"sample": 1.1}, {"sample": nan}]
)
def test_a_choice_of_nothing_is_none(picked: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Picked.model_validate(picked)


def test_no_limit_that_can_be_set_is_lost() -> None:
    unbounded = a_plan(limits={"max_seconds": float("inf")})  # TRIAGE_MAX_SECONDS=inf
    assert Plan.model_validate_json(unbounded.model_dump_json()) == unbounded
