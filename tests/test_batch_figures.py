"""What a run comes to is what anybody counts who reads its rows."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from batch_parts import ABOUT, CATEGORIES, EVENTS, NOON, a_part, answers, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.batch.figures import BINS, Found, Pace, digest_of, found_in, pace_of
from triage.batch.journal import Journal, name
from triage.batch.plan import End
from triage.batch.rows import Row, result, results_schema, write_parquet
from triage.errors import NothingToScore
from triage.guard import Refusal

SCHEMA = results_schema(CATEGORIES, EVENTS)
Told = list[dict[str, Any]]

some_parts = st.lists(st.lists(rows_of(answers()), min_size=1, max_size=5), max_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def written(folder: Path, parts: list[list[Row]]) -> Journal:
    return kept(folder, [[result(row, ABOUT) for row in rows] for rows in parts])


def kept(folder: Path, parts: list[Told]) -> Journal:
    """A run of these parts, in a folder of its own."""
    journal = Journal(Path(mkdtemp(dir=folder)))
    (journal.folder / "results").mkdir()
    for number, rows in enumerate(parts):
        file = journal.folder / "results" / f"{name(number)}.parquet"
        write_parquet(rows, SCHEMA, file)
        made = hashlib.sha256(file.read_bytes()).hexdigest()
        journal.parts.append(a_part(number, journal.rows, len(rows), results=made))
    return journal


# Counts -----------------------------------------------------------------------------------------


def each(told: Told, column: str) -> list[Any]:
    return [row[column] for row in told if row.get(column) is not None]


def every(told: Told, column: str) -> list[Any]:
    return list(chain.from_iterable(each(told, column)))


def binned(told: Told, column: str, score: str) -> list[int]:
    edges = [number / BINS for number in range(1, BINS)]
    counts = [0] * BINS
    for scores in each(told, column):
        counts[bisect_right(edges, scores[score])] += 1
    return counts


def counted(told: Told) -> Found:
    """By a plain loop over the rows, all at once."""
    timed = [row for row in told if row["recorded_at"] is not None]
    looked_at = [row for row in timed if row.get("tier") in ("E2", "E3", "E4")]
    busiest = tuple(
        Counter(row["recorded_at"].replace(minute=0, second=0) for row in rows)
        for rows in (timed, looked_at)
    )
    return Found(
        rows=len(told),
        seconds=sum(each(told, "seconds")),
        tiers=Counter(each(told, "tier")),
        rules=Counter(each(told, "rule")),
        actions=Counter(every(told, "actions")),
        categories=Counter(every(told, "categories")),
        errors=Counter(each(told, "error")),
        failures=Counter((one["stage"], one["error"]) for one in every(told, "failures")),
        withheld=every(told, "actions").count("withhold"),
        screened=sum(each(told, "screened")),
        busiest=(busiest[0], busiest[1]),
        timed=len(timed),
        twice=sum(n > 1 for n in Counter(each(told, "recording")).values()),
    )


FIELDS = [name for name in Found.__slots__ if name not in ("scores", "seconds")]


@settings(max_examples=14)
@given(some_parts)
def test_a_run_comes_to_what_its_rows_come_to(folder: Path, parts: list[list[Row]]) -> None:
    told = [result(row, ABOUT) for row in chain.from_iterable(parts)]
    found, known = found_in(written(folder, parts)), counted(told)
    assert {field: getattr(found, field) for field in FIELDS} == {
        field: getattr(known, field) for field in FIELDS
    }
    assert found.seconds == pytest.approx(known.seconds)
    scores = {one: binned(told, "category_scores", one) for one in CATEGORIES}
    scores |= {one: binned(told, "event_scores", one) for one in EVENTS}
    assert {one: list(bins) for one, bins in found.scores.items()} == (scores if parts else {})


@settings(max_examples=10)
@given(st.lists(rows_of(answers()), min_size=2, max_size=6), st.integers(1, 5))
def test_it_does_not_matter_where_a_part_ends(folder: Path, rows: list[Row], at: int) -> None:
    halves = [half for half in (rows[:at], rows[at:]) if half]
    one, two = found_in(written(folder, [rows])), found_in(written(folder, halves))
    assert [getattr(one, field) for field in FIELDS] == [getattr(two, field) for field in FIELDS]
    assert np.array_equal(list(one.scores.values()), list(two.scores.values()))


def test_a_score_on_an_edge_is_in_the_bin_that_begins_there(folder: Path) -> None:
    refused = Refusal("tri_1", "a", NothingToScore("0 bytes."), "0" * 64)
    row = result(Row(0, "", None, refused), ABOUT)
    rows = [row | {"category_scores": dict.fromkeys(CATEGORIES, n / BINS)} for n in range(BINS)]
    found = found_in(kept(folder, [rows]))
    assert {tuple(found.scores[name]) for name in CATEGORIES} == {(1,) * BINS}


def test_ids_of_many_recordings_are_counted_once_each_wherever_they_stand(folder: Path) -> None:
    def row(id: str) -> Row:
        return Row(0, "", None, Refusal("tri_1", id, NothingToScore("0 bytes."), "0" * 64))

    parts = ["aabc", "dbe", "aaf"]  # a and b
    assert found_in(written(folder, [[row(id) for id in part] for part in parts])).twice == 2


# Digests ----------------------------------------------------------------------------------------

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


def test_the_digest_of_a_run_is_made_from_its_files(folder: Path) -> None:
    rows = [Row(0, "", NOON, Refusal("tri_1", "a", NothingToScore("0 bytes."), "0" * 64))]
    journal = written(folder, [rows, rows * 2])
    made = hashlib.sha256()
    for number in range(2):
        file = journal.folder / "results" / f"{name(number)}.parquet"
        made.update(hashlib.sha256(file.read_bytes()).digest())
    assert digest_of(journal.parts) == made.hexdigest()


@given(st.lists(digests, max_size=4), st.lists(digests, max_size=4))
def test_two_runs_have_one_digest_if_they_have_the_same_parts(
    one: list[str], other: list[str]
) -> None:
    first, second = (digest_of([a_part(results=held) for held in run]) for run in (one, other))
    assert (first == second) == (one == other)


# Pace -------------------------------------------------------------------------------------------

counts = st.dictionaries(st.sampled_from(["read", "score", "hidden"]), st.integers(1, 9))
lines = st.lists(
    st.builds(
        a_part,
        first=st.integers(0, 9),
        rows=st.integers(0, 9),
        took=st.integers(0, 9),
        known=st.integers(0, 9),
        stages=counts,
        passed_over=counts,
        megabytes=st.integers(0, 9),
    ),
    max_size=4,
)
ends = st.none() | st.builds(End, rows=st.just(0), survey=st.just(""), passed_over=counts)


@settings(max_examples=40)
@given(lines, ends)
def test_a_pace_is_that_of_all_sittings_together(parts: list[Any], end: End | None) -> None:
    journal = Journal(Path("unused"))
    journal.parts, journal.end = parts, end
    stages, passed_over = Counter[str](), Counter[str]()
    for part in parts:
        stages += Counter(part.stages)
        passed_over += Counter(part.passed_over)
    assert pace_of(journal) == Pace(
        took=sum(part.took for part in parts),
        stages=stages,
        known=sum(part.known for part in parts),
        over_time=[(part.first + part.rows, part.took, part.megabytes) for part in parts],
        passed_over=passed_over + Counter(end.passed_over if end else {}),
    )
