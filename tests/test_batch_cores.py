"""What workers are handed, in what order it comes back, and what the dead cost.

The pool is a held one; for real processes see test_batch_cores_alive.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pytest
from held_pool import named, pools
from hypothesis import given
from hypothesis import settings as such
from hypothesis import strategies as st
from misbehaving import MODEL, task

from triage.archive.entries import Distant, Unreadable
from triage.batch.cores import Cores, groups, patience, weight
from triage.batch.work import Readable, Scored
from triage.errors import ArtefactRefused, BatchRefused, DamagedAudio
from triage.records import Recording, Scores

SMALL = {"GROUP": 4, "GROUP_BYTES": 20, "HANDED_OUT": 60, "GROUPS_A_WORKER": 3}
ENDED = DamagedAudio("It ends.")


def said(*audio: bytes) -> list[Readable]:
    return [Recording(str(place), one) for place, one in enumerate(audio)]


def scored(entries: list[Readable], workers: int = 1) -> list[Scored]:
    with Cores(task(), MODEL, workers, pinned=False) as engine:
        return [one for group in engine.scored(iter(entries)) for one in group.scored]


def given_up(found: list[Scored]) -> list[str]:
    return [one.id for one in found if isinstance(one.scores, Scores) and one.scores.failures]


entries = st.lists(
    st.builds(Recording, st.uuids().map(str), st.binary(max_size=30))
    | st.builds(Recording, st.uuids().map(str), transcript=st.text(max_size=30))
    | st.builds(Distant, st.builds(Recording, st.uuids().map(str)), st.just("memory://x"))
    | st.builds(Unreadable, st.uuids().map(str), st.just(ENDED)),
    max_size=40,
)
harmful = st.builds(
    Recording,
    st.uuids().map(str),
    st.sampled_from([b"", b"sound", b"a longer sound", b"kill", b"hang", b"break"]),
)


# Groups -----------------------------------------------------------------------------------------


def test_what_an_entry_weighs_is_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"1234567")
    assert weight(Recording("0", b"12345", "words")) == 5
    assert weight(Recording("1", tmp_path / "x.wav")) == 7
    assert weight(Recording("2", tmp_path / "none.wav")) == 0
    assert weight(Recording("3", transcript="words")) == 5
    assert weight(Recording("4")) == 0
    assert weight(Distant(Recording("5"), "memory://x")) == 2**20
    assert weight(Unreadable("6", ENDED)) == 0


@such(max_examples=50)
@given(entries)
def test_groups_are_all_entries_in_their_order_as_many_at_once_as_may_be(
    entries: list[Readable],
) -> None:
    with pools(**SMALL):
        found = list(groups(iter(entries)))
    assert [one for group in found for one in group] == entries
    for group in found:
        assert 1 <= len(group) <= 4
        assert len(group) == 1 or sum(map(weight, group)) <= 20
    for group, after in pairwise(found):
        assert len(group) == 4 or sum(map(weight, [*group, after[0]])) > 20


def test_groups_read_no_further_than_they_must() -> None:
    read: list[int] = []

    def reading() -> Iterator[Readable]:
        for number in range(100):
            read.append(number)
            yield Recording(str(number), b"")

    with pools(**SMALL):
        assert len(next(groups(reading()))) == 4
    assert len(read) == 5


# In their order ---------------------------------------------------------------------------------


@such(max_examples=40)
@given(entries, st.integers(1, 3), st.booleans())
def test_all_come_back_in_their_order(entries: list[Readable], workers: int, at_once: bool) -> None:
    with pools(at_once=at_once, **SMALL):
        found = scored(entries, workers)
    assert [one.id for one in found] == [named(one) for one in entries]
    assert not given_up(found)


@such(max_examples=40)
@given(entries, st.integers(1, 3))
def test_no_more_is_with_workers_than_may_be(entries: list[Readable], workers: int) -> None:
    with pools(**SMALL) as made, Cores(task(), MODEL, workers, pinned=False) as engine:
        back = 0
        sizes: list[int] = []
        for _ in engine.scored(iter(entries)):
            sizes = [sum(map(weight, group)) for group, _ in made[0].given]
            # Each was handed out when those before the last were few enough.
            assert sum(sizes[back:-1]) <= 60
            assert len(sizes[back:]) <= 3 * workers
            back += 1
        assert back == len(made[0].given)


def test_as_much_is_with_workers_as_may_be() -> None:
    many: list[Readable] = [Recording(str(number), b"0123456789") for number in range(60)]
    with pools(**SMALL) as made, Cores(task(), MODEL, 2, pinned=False) as engine:
        given = [len(made[0].given) for _ in islice(engine.scored(iter(many)), 9)]
        assert given == [*range(4, 13)]  # groups of 20 bytes, of which four are over 60
    few: list[Readable] = [Recording(str(number), b"") for number in range(60)]
    with pools(**SMALL) as made, Cores(task(), MODEL, 2, pinned=False) as engine:
        given = [len(made[0].given) for _ in islice(engine.scored(iter(few)), 9)]
        assert given == [*range(6, 15)]


def test_what_is_done_is_given_out_before_more_is_read() -> None:
    read: list[int] = []

    def reading() -> Iterator[Readable]:
        for number in range(12):
            read.append(number)
            yield Recording(str(number), b"")

    with pools(at_once=True, **SMALL), Cores(task(), MODEL, 2, pinned=False) as engine:
        ahead = [len(read) - int(group.scored[-1].id) for group in engine.scored(reading())]
    assert ahead == [2, 2, 1]


def test_a_large_group_may_take_longer_than_a_small_one() -> None:
    with pools() as made:
        scored([Recording("0", b"x" * 50_000), Recording("1", b"x" * 25_000)])
        scored([Recording("0", transcript="hello")])
    ((_, large),), ((_, small),) = (one.given for one in made)
    assert large == 315.0
    assert 300.0 <= small < 301.0


def test_what_is_elsewhere_may_take_as_long_by_itself_as_the_longest() -> None:
    one = Distant(Recording("0"), "memory://x")
    longest = 4 * 3_600 / 22  # s for four hours, with transcription, on one core
    assert patience([one]) > 2 * longest
    assert patience([one, one]) == 300.0 + 2 * 2**20 / 5_000


def test_a_pool_is_told_what_its_workers_need() -> None:
    given = task()
    with pools() as made:
        Cores(given, MODEL, 3)
        Cores(given, MODEL, 3, pinned=False)
    pinned, free = (one.told for one in made)
    assert pinned["max_workers"] == 3
    assert pinned["context"].get_start_method() == "spawn"
    assert pinned["initargs"][0] is given
    assert list(pinned["initargs"][1]) == [0, 0, 0]
    assert free["initargs"][1] is None


# The dead ---------------------------------------------------------------------------------------


@such(max_examples=50)
@given(st.lists(harmful, max_size=30), st.integers(1, 3), st.booleans(), st.booleans())
def test_the_dead_cost_what_they_died_over_and_nothing_else(
    entries: list[Readable], workers: int, at_once: bool, forgets: bool
) -> None:
    deadly = [
        one.id for one in entries if isinstance(one, Recording) and one.audio in (b"kill", b"hang")
    ]
    with pools(at_once=at_once, forgets=forgets, breaks=3, **SMALL, MOST_DEATHS=90) as made:
        found = scored(entries, workers)
    assert [one.id for one in found] == [named(one) for one in entries]
    assert given_up(found) == deadly
    for one in found:
        assert isinstance(one.scores, Scores)
        assert one.scores.failures == ({"score": "WorkerDied"} if one.id in deadly else {})
    assert all(one.ended == ["stop", "join"] for one in made[:-1])
    assert made[-1].ended == ["close", "join"]


def test_the_seconds_of_those_that_were_tried_again_are_added_up() -> None:
    entries = iter(said(b"sound", b"kill", b"sound"))
    with pools(), Cores(task(), MODEL, 1, pinned=False) as engine:
        (group,) = engine.scored(entries)
    assert group.stages == {"read": 2.0, "text": 0.5}


@pytest.mark.parametrize("death", [b"kill", b"hang"])
def test_too_many_dead_in_a_row_end_the_run(death: bytes) -> None:
    with pools(**SMALL | {"GROUP": 1, "MOST_DEATHS": 2}) as made:
        assert given_up(scored(said(death, death))) == ["0", "1"]
        with pytest.raises(BatchRefused, match="TRIAGE_THREADS") as refused:
            scored(said(death, death, death))
        assert refused.value.limit == 2
        assert made[-1].ended == ["stop", "join"]


def test_each_one_that_is_scored_shows_that_workers_can_live() -> None:
    with pools(**SMALL | {"GROUP": 1, "MOST_DEATHS": 1}):
        found = scored(said(b"kill", b"sound", b"kill", b"sound", b"hang"))
    assert given_up(found) == ["0", "2", "4"]


def test_a_group_that_dies_together_is_not_yet_a_sign() -> None:
    with pools(**SMALL | {"GROUP": 2, "MOST_DEATHS": 1}):
        found = scored(said(b"sound", b"kill", b"sound", b"kill"))
    assert given_up(found) == ["1", "3"]


@pytest.mark.parametrize("forgets", [True, False])
def test_a_pool_that_always_breaks_ends_the_run(forgets: bool) -> None:
    with pools(forgets=forgets, breaks=10**6, MOST_DEATHS=2) as made:
        with pytest.raises(BatchRefused, match="the machine's memory"):
            scored(said(b"break"))
        assert len(made) == 3


def test_what_is_missing_is_told_and_ends_what_is_under_way() -> None:
    with pools(**SMALL | {"GROUP": 1}) as made:
        with pytest.raises(ArtefactRefused):
            scored(said(b"sound", b"missing", b"sound"))
        assert made[0].ended == ["stop", "join"]
        assert len(made[0].given) == 3  # nothing was tried again
