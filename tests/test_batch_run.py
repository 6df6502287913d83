"""A run that is broken, wherever it is, comes out as one that never was: rows, decisions, cases."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from batch_parts import NOON
from breaking import ended, forked, full_at, killed_at
from hypothesis import given, settings
from hypothesis import strategies as st
from run_places import empty, only, place, small_parts, unbroken  # noqa: F401 - fixtures
from scored_runs import (
    ENTRIES,
    READING,
    ROWS,
    RULED,
    SHORT,
    Place,
    clip,
    is_as,
    scores_of,
    stopped_after_a_part,
    unreadable,
)

from triage.archive.entries import Entry
from triage.batch.journal import Journal
from triage.errors import AuditFailed, BatchFailed, StoreFailed

MANY = 10_000  # steps; more than there are
PARTS = 3
DONE = (0, 3, 7, 8)  # decisions, after each part
NO_SPACE = re.compile(
    r"(The run's folder|Audit: The audit log) can't be written: No space left on device\."
)


def sitting(place: Place, entries: Iterable[Entry] = ENTRIES) -> None:
    """Commits are steps as well, which are SQLite's or a server's own otherwise."""
    sa.event.listen(place.store(), "commit", lambda _: os.chmod(place.folder, 0o700))
    place.go_on(entries)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An unbroken run of two parts."""
    place = Place(tmp_path_factory.mktemp("short"))
    place.go_on(SHORT)
    return place


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run with its first part done."""
    done = Place(tmp_path_factory.mktemp("halfway"))
    stopped_after_a_part(done, SHORT)
    return done.folder


# Broken -----------------------------------------------------------------------------------------


def test_what_an_unbroken_run_comes_to(unbroken: Place) -> None:
    journal, rows = unbroken.read(), unbroken.rows()
    assert [(one.first, one.rows) for one in journal.parts] == [(0, 4), (4, 4), (8, 2)]
    assert [one["position"] for one in rows] == list(range(10))
    assert [one["recording"] for one in rows] == unbroken.engine.heard
    assert [one["rule"] for one in rows if not one["error"]] == RULED
    assert [one["error"] for one in rows if one["error"]] == ["damaged-audio", "nothing-to-score"]
    found = [(one.refused, one.failed, one.looks, one.seconds) for one in journal.parts]
    assert found == [(1, 0, 2, 4.5), (0, 1, 4, 6.0), (1, 0, 1, 1.5)]
    assert sum(one.stages["read"] for one in journal.parts) == 4 * READING
    kept = unbroken.kept()
    passes = unbroken.rows("passes")
    decided = [one["id"] for one, row in zip(passes, rows, strict=True) if not row["error"]]
    assert [one["id"] for one in kept["decisions"]] == decided
    assert {one["case"] for one in passes} - {None} == {one["id"] for one in kept["cases"]}
    assert len(kept["cases"]) == 6  # the second joins the first
    assert len(kept["notifications"]) == 3  # of what is looked at within the hour


@pytest.mark.parametrize("half", [False, True])
def test_a_kill_at_any_step_changes_nothing_that_comes_of_it(
    place: Place, halfway: Path, short: Place, half: bool
) -> None:
    for step in range(MANY):
        place.as_in(halfway)
        killed = killed_at(step, lambda: sitting(place, SHORT), half=half)
        place.go_on(SHORT)
        is_as(place, short)
        if not killed:
            break
    assert step >= (3 if half else 20)


@settings(max_examples=4)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=4))
def test_kills_upon_kills_do_neither(
    only: Place, empty: Path, unbroken: Place, steps: list[int]
) -> None:
    only.as_in(empty)
    for step in steps:
        killed_at(step, lambda: sitting(only))
    only.go_on()
    is_as(only, unbroken)


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_before_a_commit(place: Place) -> None:
    sa.event.listen(place.store(), "commit", die)
    place.go_on()


def dies_after_a_commit(place: Place) -> None:
    pytest.MonkeyPatch().setattr(Journal, "promote", die)
    place.go_on()


def test_a_kill_before_and_after_each_commit_is_settled_by_what_the_database_holds(
    tmp_path: Path, store_url: str, unbroken: Place
) -> None:
    here = Place(tmp_path, store_url)
    here.store().dispose()
    for part in range(PARTS):
        for dying, decided in (
            (dies_before_a_commit, DONE[part]),
            (dies_after_a_commit, DONE[part + 1]),
        ):
            child = forked(lambda dying=dying: dying(here))
            assert ended(child) == -signal.SIGKILL
            assert len(here.read().parts) == part
            assert len(here.kept()["decisions"]) == decided
    here.go_on()
    is_as(here, unbroken)


def test_what_is_staged_waits_for_a_store_that_cannot_be_asked(
    place: Place, unbroken: Place
) -> None:
    assert ended(forked(lambda: dies_after_a_commit(place))) == -signal.SIGKILL
    with changed(place, "decisions", "gone"), pytest.raises(StoreFailed, match="can't be read"):
        place.go_on()
    place.go_on()
    is_as(place, unbroken)


@contextmanager
def changed(place: Place, name: str, other: str) -> Iterator[None]:
    """A table is called otherwise for a while."""
    for one, to in ((name, other), (other, name)):
        with place.store().begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {one} RENAME TO {to}")
        place.store().dispose()
        if one == name:
            yield


def refused_as_it_is(work: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        try:
            work()
        except AuditFailed as error:
            raise BatchFailed(f"Audit: {error}") from None

    return run


def test_a_disk_that_is_full_at_any_step_is_told_and_the_run_goes_on(
    place: Place, halfway: Path, short: Place
) -> None:
    told = set()
    for step in range(MANY):
        place.as_in(halfway)
        refused, said = full_at(step, refused_as_it_is(lambda: place.go_on(SHORT)))
        assert not said or NO_SPACE.match(said)
        told.add(said.partition(" can't")[0])
        place.go_on(SHORT)
        is_as(place, short)
        if not refused:
            break
    assert told >= {"The run's folder", "Audit: The audit log"}


def test_a_store_that_is_full_is_told_and_the_run_goes_on(place: Place, unbroken: Place) -> None:
    sa.event.listen(place.store(), "checkout", full)
    with pytest.raises(StoreFailed, match=r"can't be written \(SQLITE_FULL\)"):
        place.go_on()
    sa.event.remove(place.store(), "checkout", full)
    place.store().dispose()
    done = place.read()
    assert (done.end, done.staged()) == (None, None)
    assert sum(one.rows - one.refused for one in done.parts) == len(place.kept()["decisions"])
    place.go_on()
    is_as(place, unbroken)


def full(connection: Any, *_: object) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")


def test_refused_rows_alone_are_a_part_that_no_decision_vouches_for(
    place: Place, empty: Path, tmp_path: Path
) -> None:
    source = [unreadable(f"{number}") for number in range(ROWS)]
    whole = Place(tmp_path)
    whole.go_on(source)
    assert [one.witness for one in whole.read().parts] == [""]
    assert not whole.kept()["decisions"]
    for step in range(MANY):
        place.as_in(empty)
        killed = killed_at(step, lambda: place.go_on(source))
        place.go_on(source)
        is_as(place, whole)
        if not killed:
            break


# History ----------------------------------------------------------------------------------------


def decided_before(here: Place, at: datetime, times: int) -> None:
    """Ann is heard by somebody else than the run."""
    recordings = [clip(f"other {at} {number}", "0.4", "ann") for number in range(times)]
    guard = replace(here, now=at).guard(here.store())
    guard.settle(recordings, [scores_of("0.4")] * times, "http")
    here.store().dispose()


def test_a_run_that_goes_on_days_later_counts_as_one_that_never_stopped(
    place: Place, unbroken: Place
) -> None:
    for _ in range(2):
        stopped_after_a_part(place)
        place.now += timedelta(days=3)
        decided_before(place, place.now, 3)  # by the service meanwhile
    place.go_on()
    assert place.table().equals(unbroken.table())


@pytest.mark.parametrize(
    ("hours", "rules"), [(-25, ["faint", "faint"]), (-1, ["again", "again"]), (1, ["faint"] * 2)]
)
def test_what_came_before_the_run_counts_and_what_came_after_its_beginning_does_not(
    place: Place, hours: int, rules: list[str]
) -> None:
    here = replace(place, now=NOON + timedelta(hours=2))
    decided_before(here, NOON + timedelta(hours=hours), 2)
    here.go_on()
    assert [row["rule"] for row in here.rows()[1:4] if row["rule"]] == rules
