"""A run takes all that its source gives once, part by part, and tells what it came to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
from breaking import tree
from hypothesis import given, settings
from hypothesis import strategies as st
from run_places import empty, only, place, small_parts, unbroken  # noqa: F401 - fixtures
from scored_runs import (
    ENTRIES,
    GROUP,
    READING,
    ROWS,
    SURVEY,
    ByRule,
    Place,
    clip,
    is_as,
    lines,
    stopped_after_a_part,
    unreadable,
)

from triage.archive.entries import Entry, PassedOver
from triage.batch import run as module
from triage.batch.figures import pace_of
from triage.batch.run import SECONDS, Stand
from triage.batch.work import Group, Readable
from triage.errors import BatchRefused
from triage.records import Recording

RECORDINGS = [one for one in ENTRIES if not isinstance(one, PassedOver)]


# The source -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "now",
    [
        [],
        RECORDINGS[:3],
        [*RECORDINGS[1:], RECORDINGS[0]],
        [RECORDINGS[1], RECORDINGS[0], *RECORDINGS[2:]],
        [*RECORDINGS[:3], clip("new", "0.1"), *RECORDINGS[3:]],
        [clip("cal", "0.1"), clip("mfirst", "0.1"), *RECORDINGS[2:]],
        [clip("", "0.1"), clip("calmfirst", "0.1"), *RECORDINGS[2:]],
    ],
)
def test_a_source_that_does_not_hold_what_is_done_is_noticed(
    place: Place, unbroken: Place, now: list[Entry]
) -> None:
    stopped_after_a_part(place)
    before = (lines(place), place.kept())
    with pytest.raises(BatchRefused, match="doesn't hold any more what this run has done"):
        place.go_on(now)
    assert (lines(place), place.kept()) == before
    place.go_on()
    is_as(place, unbroken)


def test_what_is_done_is_not_scored_again_and_what_is_not_may_have_changed(
    place: Place,
) -> None:
    stopped_after_a_part(place)
    place.go_on([*RECORDINGS[:ROWS], clip("new", "0.1")])
    assert place.engine.heard == ["new"]
    assert [row["recording"] for row in place.rows()][ROWS:] == ["new"]


entries = st.lists(
    st.sampled_from(["0.1", "0.4", "", "breaks", "damaged", "hidden", "other"]), max_size=14
)


class Ahead(ByRule):
    """An engine that reads all there is before it scores any of it."""

    def scored(self, entries: Iterator[Readable]) -> Iterator[Group]:
        return super().scored(iter(list(entries)))


def entry(number: int, kind: str) -> Entry:
    if kind in ("hidden", "other"):
        return PassedOver(kind)
    return unreadable(f"{number}") if kind == "damaged" else clip(f"{number}", kind, "ann")


@settings(max_examples=15)
@given(entries, st.lists(st.integers(0, 4), max_size=3), st.booleans())
def test_wherever_a_run_stops_all_that_a_source_gives_is_counted_once(
    only: Place, empty: Path, kinds: list[str], stops: list[int], ahead: bool
) -> None:
    only.as_in(empty)
    here = replace(only, told=[], engine=Ahead() if ahead else ByRule())
    source = [entry(number, kind) for number, kind in enumerate(kinds)]
    for groups in stops:
        stopped_after_a_part(here, source, groups)
    journal = here.go_on(source)
    given_ = [one for one in source if not isinstance(one, PassedOver)]
    rows = here.rows() if given_ else []
    assert [row["recording"] for row in rows] == [one.id for one in given_]  # type: ignore[union-attr]
    assert pace_of(journal).passed_over == Counter(
        one.kind for one in source if isinstance(one, PassedOver)
    )
    assert journal.end is not None
    assert (journal.end.rows, journal.end.survey) == (len(rows), SURVEY)
    refused = [row["position"] for row in rows if row["error"]]
    assert [n for n, one in enumerate(given_) if kinds_of(one) in ("", "damaged")] == refused
    assert sum(one.refused for one in journal.parts) == len(refused)
    assert here.told[-1].done == len(rows)
    passes = {row["id"] for row in (here.rows("passes") if rows else [])}
    assert len(passes) == len(rows)
    assert {one["id"] for one in here.kept()["decisions"]} == {
        one["id"] for one in (here.rows("passes") if rows else []) if one["position"] not in refused
    }


def kinds_of(one: Entry) -> str:
    return one.transcript or "" if isinstance(one, Recording) else "damaged"


# Parts ------------------------------------------------------------------------------------------


def test_parts_are_written_in_time_if_there_is_something_to_write(
    place: Place, monkeypatch: pytest.MonkeyPatch, unbroken: Place
) -> None:
    clock = [0.0]

    class Slow(ByRule):
        def scored(self, entries: Iterator[Readable]) -> Iterator[Group]:
            for group in super().scored(entries):
                clock[0] += SECONDS * 0.75
                yield group
                yield Group([])
            clock[0] += SECONDS * 5

    monkeypatch.setattr(module, "ROWS", 100)
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    here = replace(place, engine=Slow())
    parts = here.go_on().parts
    assert [(one.rows, one.took) for one in parts] == [(6, 45.0), (4, 45.0)]
    assert here.table().equals(unbroken.table())
    assert here.kept() == unbroken.kept()


@pytest.mark.parametrize("rows", [ROWS - 1, 2 * ROWS, 2 * ROWS + 1])
def test_the_seconds_of_every_group_are_told(place: Place, rows: int) -> None:
    parts = place.go_on(RECORDINGS[:rows]).parts
    assert sum(one.stages.get("read", 0.0) for one in parts) == ceil(rows / GROUP) * READING
    assert all(one.megabytes > 0 for one in parts)


def test_how_far_it_is_is_told_from_where_it_goes_on(place: Place) -> None:
    stopped_after_a_part(place)
    place.told.clear()
    place.go_on()
    assert place.told == [
        Stand(4, 4.5, 1, 0),
        Stand(7, 9.0, 1, 1),
        Stand(10, 12.0, 2, 1),
    ]


def test_to_decide_only_raises_no_case_and_tells_nobody(place: Place, unbroken: Place) -> None:
    place.go_on(escalate=False)
    kept = place.kept()
    assert place.table().equals(unbroken.table())
    whole = unbroken.kept()["decisions"]
    assert kept.pop("decisions") == [one | {"case": ""} for one in whole]
    assert not any(kept.values())
    assert {row["case"] for row in place.rows("passes")} == {None}
    assert {entry["body"].get("case", "") for entry in place.audited().values()} == {""}


def test_lines_say_what_the_table_says(place: Place) -> None:
    place.go_on(jsonl=True)
    files = sorted((place.folder / "run" / "jsonl").iterdir())
    told = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert [one["recording"] for one in told] == [row["recording"] for row in place.rows()]
    assert [one.get("tier") for one in told] == [row["tier"] for row in place.rows()]


def test_what_is_whole_is_left_as_it_is(place: Place) -> None:
    place.go_on()
    before = tree(place.folder / "run")
    place.go_on([])
    assert tree(place.folder / "run") == before
