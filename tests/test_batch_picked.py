"""Which recordings a run takes: the same ones whatever stands around them, and no error lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.archive.entries import HIDDEN, Distant, Entry, PassedOver, Unreadable
from triage.batch.picked import NOT_PICKED, UNANSWERED, Picking
from triage.batch.plan import Picked
from triage.errors import BadField, NothingToScore
from triage.records import Recording

IDS = [f"clip-{number}" for number in range(2_000)]
ERROR = NothingToScore("0 bytes.")
NO = PassedOver(NOT_PICKED)

ids = st.text(max_size=4) | st.sampled_from(["\ud800", "a\0b"])
recordings = st.builds(Recording, ids, transcript=st.just("set a timer"))
entries = st.lists(
    recordings
    | st.builds(Distant, recordings, st.just("memory://x.wav"))
    | st.builds(Unreadable, ids, st.just(ERROR))
    | st.just(PassedOver(HIDDEN)),
    max_size=12,
)
samples = st.floats(0, 1, exclude_min=True)


def picked(given: list[Entry], **asked: Any) -> list[Entry]:
    return list(Picking(Picked(**asked))(given))


def drawn(given: list[str], **asked: Any) -> list[str]:
    found = picked([Recording(id, transcript="hello") for id in given], **asked)
    return [one.id for one in found if isinstance(one, Recording)]


def of_plan(found: list[Entry]) -> list[Entry]:
    return [one for one in found if not isinstance(one, PassedOver)]


# All --------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(entries)
def test_where_nothing_is_asked_for_all_is_taken(given: list[Entry]) -> None:
    assert picked(given) == given


@settings(max_examples=30)
@given(entries, samples, st.integers(), st.sampled_from(["", "true", "false", "id > 'm'"]))
def test_each_entry_is_itself_or_passed_over_in_its_place(
    given: list[Entry], sample: float, seed: int, where: str
) -> None:
    found = picked(given, sample=sample, seed=seed, where=where)
    assert len(found) == len(given)
    for one, other in zip(found, given, strict=True):
        assert one is other or one in (NO, PassedOver(UNANSWERED))


@settings(max_examples=30)
@given(entries, samples)
def test_what_cannot_be_read_is_taken_whatever_is_asked_for(
    given: list[Entry], sample: float
) -> None:
    kept = [one for one in given if isinstance(one, Unreadable)]
    assert of_plan(picked(given, sample=sample, where="false")) == kept


# The first so many ------------------------------------------------------------------------------


@settings(max_examples=30)
@given(entries, st.integers(1, 14), samples, st.sampled_from(["", "id > 'm'"]))
def test_a_limit_takes_the_first_of_those_that_are_picked_otherwise(
    given: list[Entry], limit: int, sample: float, where: str
) -> None:
    otherwise = picked(given, sample=sample, where=where)
    found = picked(given, sample=sample, where=where, limit=limit)
    assert of_plan(found) == of_plan(otherwise)[:limit]
    assert found == otherwise[: len(found)]
    assert len(of_plan(found)) == limit or len(found) == len(otherwise)


def test_what_is_after_the_limit_is_not_read() -> None:
    read = count()

    def endless() -> Iterator[Entry]:
        for number in read:
            yield Recording(str(number), transcript="hello")

    assert len(list(Picking(Picked(limit=5))(endless()))) == 5
    assert next(read) <= 7


def test_nothing_is_read_before_it_is_asked_for() -> None:
    endless = (Recording(str(number), transcript="hello") for number in count())
    assert len(list(islice(Picking(Picked(sample=0.5))(endless), 20))) == 20


# Chance -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", [0.01, 0.3, 0.9])
@pytest.mark.parametrize("seed", [0, 1, -(2**70)])
def test_a_sample_is_about_its_share(sample: float, seed: int) -> None:
    found = len(drawn(IDS, sample=sample, seed=seed)) / len(IDS)
    deviation = (sample * (1 - sample) / len(IDS)) ** 0.5
    assert abs(found - sample) < 4 * deviation


@settings(max_examples=30)
@given(st.sets(st.sampled_from(IDS[:200])), samples, st.randoms(use_true_random=False))
def test_whether_one_is_drawn_does_not_hang_on_what_stands_around_it(
    some: set[str], sample: float, chance: Any
) -> None:
    mixed = [*some, *some]
    chance.shuffle(mixed)
    by_itself = {id for id in some if drawn([id], sample=sample)}
    assert drawn(mixed, sample=sample) == [id for id in mixed if id in by_itself]


@settings(max_examples=20)
@given(samples, samples)
def test_a_larger_sample_holds_the_smaller_one(one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert set(drawn(IDS[:50], sample=smaller)) <= set(drawn(IDS[:50], sample=larger))


def test_each_seed_draws_by_itself() -> None:
    one, other = (set(drawn(IDS, sample=0.5, seed=seed)) for seed in (1, 2))
    assert one == set(drawn(IDS, sample=0.5, seed=1))
    assert abs(len(one & other) / len(IDS) - 0.25) < 0.04


def test_a_seed_and_an_id_are_not_one_text() -> None:
    """Else the ids of one seed that begin with a digit would be drawn as another seed's."""
    one = [id.removeprefix("1") for id in drawn([f"1{id}" for id in IDS], sample=0.5, seed=1)]
    assert one != drawn(IDS, sample=0.5, seed=11)


def test_audio_that_is_elsewhere_is_drawn_as_audio_that_is_here() -> None:
    there = [Distant(Recording(id), "memory://x.wav") for id in IDS[:200]]
    found = [one.recording.id for one in picked([*there], sample=0.5) if isinstance(one, Distant)]
    assert found == drawn(IDS[:200], sample=0.5)


def test_what_was_drawn_once_is_drawn_again() -> None:
    """Another draw would make another run of one that was begun before."""
    found = [id.removeprefix("clip-") for id in drawn(IDS[:40], sample=0.3, seed=7)]
    assert found == ["1", "3", "5", "8", "9", "12", "13", "15", "19", "22", "23", "27", "35"]


# Conditions -------------------------------------------------------------------------------------

HERE = Recording(
    "kitchen/7", b"x", "set a timer", {"locale": "en-GB", "n": 3, "of": {"a": [1, 2]}, "on": True}
)


@pytest.mark.parametrize(
    "where",
    [
        "id == 'kitchen/7'", "id.startsWith('kitchen/')", "id.matches('^[a-z]+/[0-9]$')",
        "context.locale == 'en-GB'", "context['n'] > 2", "context.of.a[1] == 2", "context.on",
        "has(context.locale) && !has(context.account)", "text_present && sound_present", "true",
        "'none' in context || context.n == 3",
    ],
)  # fmt: skip
def test_what_a_condition_holds_of_is_taken_and_of_what_its_contrary_does_is_not(
    where: str,
) -> None:
    assert picked([HERE], where=where) == [HERE]
    assert picked([HERE], where=f"!({where})") == [NO]


@pytest.mark.parametrize(
    ("entry", "text", "sound"),
    [
        (Recording("a", b"x"), False, True),
        (Recording("a", b"x", ""), False, True),
        (Recording("a", None, " \n"), False, False),
        (Recording("a", None, "hello"), True, False),
        (Distant(Recording("a", None, "hello"), "memory://x.wav"), True, True),
        (Distant(Recording("a"), "memory://x.wav"), False, True),
    ],
)
def test_a_condition_knows_what_is_there(entry: Entry, text: bool, sound: bool) -> None:
    where = f"text_present == {text} && sound_present == {sound}".lower()
    assert picked([entry], where=where) == [entry]


@pytest.mark.parametrize(
    "where",
    [
        "context.account == 'a'", "context.locale > 3", "context.locale", "context.n", "1 / 0 == 1",
        "context.of.a[9] == 1", "id.matches('(')", "context.n + 9223372036854775807 > 0",
    ],
)  # fmt: skip
def test_one_of_which_it_cannot_be_said_is_passed_over_and_counted_so(where: str) -> None:
    assert picked([HERE, Unreadable("b", ERROR)], where=where) == [
        PassedOver(UNANSWERED),
        Unreadable("b", ERROR),
    ]


@pytest.mark.parametrize("value", [2**70, None, "\ud800", float("nan"), [[]], {"": {}}])
def test_no_value_of_a_context_ends_a_run(value: object) -> None:
    odd = Recording("a", None, "hello", {"x": value, "y": 1})
    (found,) = picked([odd], where="context.x == 'x' || context.y == 1")
    assert found in (odd, NO, PassedOver(UNANSWERED))


@pytest.mark.parametrize(
    "where",
    ["id ==", "1 + 1", "'a'", "id", "context", "text_present + 1", "account == 'a'", "[true]", " "],
)
def test_what_is_no_condition_is_refused_before_anything_is_read(where: str) -> None:
    with pytest.raises(BadField, match="--where isn't a condition that is true or false"):
        Picking(Picked(where=where))
