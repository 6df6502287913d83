"""A run's folder: whatever ends the work, and wherever, what comes of it is the same."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from pathlib import Path

import pytest
from batch_parts import a_part, a_plan
from breaking import elsewhere, full_at, killed_at, tree
from filelock import Timeout
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import END, PARTS, ROWS, begun, content, go_on, paths, stage, what_came_of

from triage.batch.journal import FOLDERS, JOURNAL, LINE, PLAN, STAGED, Journal, name
from triage.batch.plan import End, Part
from triage.errors import BatchFailed, BatchRefused

MANY = 10_000  # steps; more than there are
NO_SPACE = re.compile(
    r"The run's folder can't be written: No space left on device\. .* it goes on from there\."
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "new" / "run")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes | None]:
    run = begun(tmp_path_factory.mktemp("unbroken") / "x")
    go_on(run)
    return what_came_of(run)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    run = begun(tmp_path / "x")
    go_on(run)
    return run


# Broken at every step ---------------------------------------------------------------------------


def test_what_an_unbroken_run_leaves(unbroken: dict[str, bytes | None]) -> None:
    files = {path: content(path) for part in range(PARTS) for path in paths(part)}
    assert {path: unbroken[path] for path in files} == files
    rest = {*FOLDERS, "jsonl", PLAN, JOURNAL, ".lock"}
    assert set(unbroken) == {*files, *rest}
    lines = (unbroken[JOURNAL] or b"").splitlines()
    parts = [Part.model_validate_json(line) for line in lines[:-1]]
    assert End.model_validate_json(lines[-1]) == END
    assert [(one.part, one.first, one.rows) for one in parts] == [(0, 0, ROWS), (1, ROWS, ROWS)]
    digests = [hashlib.sha256(content(paths(part)[0])).hexdigest() for part in range(PARTS)]
    assert [one.results for one in parts] == digests


@pytest.mark.parametrize("half", [False, True])
def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(
    tmp_path: Path, unbroken: dict[str, bytes | None], half: bool
) -> None:
    for step in range(MANY):
        run = begun(tmp_path / str(step))
        killed = killed_at(step, lambda run=run: go_on(run), half=half)  # type: ignore[misc]
        go_on(run)
        assert what_came_of(run) == unbroken, step
        if not killed:
            break
    assert step > (PARTS * len(paths(0)) if half else 40)


@settings(max_examples=6)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=4))
def test_kills_upon_kills_do_neither(
    tmp_path_factory: pytest.TempPathFactory, unbroken: dict[str, bytes | None], steps: list[int]
) -> None:
    run = begun(tmp_path_factory.mktemp("kills") / "x")
    for step in steps:
        killed_at(step, lambda: go_on(run))
    go_on(run)
    assert what_came_of(run) == unbroken


@pytest.mark.parametrize("half", [False, True])
def test_a_disk_that_is_full_at_any_step_is_told_and_the_run_goes_on(
    tmp_path: Path, unbroken: dict[str, bytes | None], half: bool
) -> None:
    told = set()
    for step in range(MANY):
        run = begun(tmp_path / str(step))
        refused, said = full_at(step, lambda run=run: go_on(run), half=half)  # type: ignore[misc]
        assert NO_SPACE.match(said) or not said
        told.add(refused if said else None)
        assert not half or (tree(run).get(JOURNAL) or b"\n").endswith(b"\n")
        go_on(run)
        assert what_came_of(run) == unbroken, step
        if not refused:
            break
    calls = {"write"} if half else {"write", "open", "mkdir", "replace", "fsync"}
    assert told >= calls


@pytest.mark.usefixtures("open_to_all")
def test_nobody_else_may_read_what_is_written(tmp_path: Path) -> None:
    run = begun(tmp_path / "x")
    go_on(run)
    modes = {one: stat.S_IMODE(one.stat().st_mode) for one in (run, *run.rglob("*"))}
    assert {mode for one, mode in modes.items() if one.is_dir()} == {0o700}
    assert {mode for one, mode in modes.items() if one.is_file()} == {0o600}


# Staging ----------------------------------------------------------------------------------------


def test_what_is_staged_is_nowhere_else_yet(journal: Journal) -> None:
    with journal.hold():
        part = stage(journal)
    assert journal.staged() == part
    assert part.results == hashlib.sha256(content(paths(0)[0])).hexdigest()
    assert {one.name for one in journal.folder.iterdir()} == {".lock", STAGED}
    journal.read()
    assert (journal.parts, journal.rows) == ([], 0)


def test_to_promote_twice_is_as_once(journal: Journal) -> None:
    with journal.hold():
        part = stage(journal)
        assert journal.promote() == part
        once = tree(journal.folder)
        assert journal.promote() is None
    assert tree(journal.folder) == once
    assert (journal.parts, journal.rows) == ([part], ROWS)


def test_what_is_discarded_is_gone_and_another_takes_its_place(journal: Journal) -> None:
    with journal.hold():
        stage(journal)
        journal.discard()
        assert journal.staged() is None
        assert list((journal.folder / STAGED).iterdir()) == []
        assert stage(journal).part == 0


def test_a_kill_while_it_is_discarded_leaves_no_line_without_its_files(journal: Journal) -> None:
    step = 0
    with journal.hold():
        stage(journal)
        while killed_at(step, journal.discard):
            files = {one.name for one in (journal.folder / STAGED).iterdir()}
            assert journal.staged() is None or len(files) == len(paths(0)) + 1
            stage(journal)
            step += 1
    assert step > len(paths(0))


@pytest.mark.parametrize("half", [b"", b"{", b'{"part": 0}', b"\xff"])
def test_a_staged_line_that_is_not_whole_counts_for_nothing(journal: Journal, half: bytes) -> None:
    with journal.hold():
        stage(journal)
    (journal.folder / STAGED / LINE).write_bytes(half)
    assert journal.staged() is None


# Reading ----------------------------------------------------------------------------------------


def test_what_was_written_is_what_is_read(whole: Path) -> None:
    journal = Journal(whole)
    journal.read()
    assert ([one.part for one in journal.parts], journal.rows) == ([0, 1], END.rows)
    assert (journal.end, journal.plan()) == (END, a_plan())


def test_a_line_cut_off_anywhere_is_taken_away_and_nothing_before_it(whole: Path) -> None:
    file = whole / JOURNAL
    content = file.read_bytes()
    for cut in range(len(content)):
        file.write_bytes(content[:cut])
        journal = Journal(whole)
        journal.read()
        lines = content[:cut].count(b"\n")
        assert (len(journal.parts), journal.end) == (lines, None)
        assert file.read_bytes() == b"".join(content.splitlines(keepends=True)[:lines])


@pytest.mark.parametrize("order", [[1, 2], [0, 2], [1, 0, 2], [0, 0, 1, 2], [0, 1, 1, 2], [1]])
def test_lines_that_were_changed_about_are_refused(whole: Path, order: list[int]) -> None:
    lines = (whole / JOURNAL).read_bytes().splitlines(keepends=True)
    (whole / JOURNAL).write_bytes(b"".join(lines[one] for one in order))
    with pytest.raises(BatchRefused, match=r"journal.jsonl isn't as it was written"):
        Journal(whole).read()


@pytest.mark.parametrize("first", [0, ROWS - 1, ROWS + 1])
def test_a_part_that_does_not_begin_where_the_one_before_ends_is_refused(
    whole: Path, first: int
) -> None:
    lines = [a_part(0, 0, ROWS), a_part(1, first, ROWS)]
    (whole / JOURNAL).write_text("".join(f"{one.model_dump_json()}\n" for one in lines))
    with pytest.raises(BatchRefused, match="isn't as it was written"):
        Journal(whole).read()


@pytest.mark.parametrize("line", [b"", b"null", b"[]", b"\xff", b"{}", b'{"part": 0}', b'{"end"}'])
def test_a_line_that_no_run_wrote_is_refused(whole: Path, line: bytes) -> None:
    (whole / JOURNAL).write_bytes(line + b"\n" + (whole / JOURNAL).read_bytes())
    with pytest.raises(BatchRefused, match=r"journal.jsonl can't be read"):
        Journal(whole).read()


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_part_that_is_gone_is_told_by_its_name(whole: Path, folder: str, part: int) -> None:
    (whole / folder / f"{name(part)}.parquet").unlink()
    with pytest.raises(BatchRefused, match=f"{folder}/{name(part)}.parquet is gone"):
        Journal(whole).read()


@pytest.mark.parametrize("file", [PLAN, JOURNAL])
def test_another_format_is_told(whole: Path, file: str) -> None:
    line = json.loads((whole / file).read_text().replace("\n", " ").split(' {"')[0])
    (whole / file).write_text(json.dumps(line | {"format": 2, "unheard of": 1}) + "\n")
    with pytest.raises(BatchRefused, match=f"{file} is of format 2, and this Triage writes 1"):
        (Journal(whole).plan if file == PLAN else Journal(whole).read)()


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"{}", b"\xff"])
def test_a_plan_that_no_run_wrote_is_refused(whole: Path, content: bytes) -> None:
    (whole / PLAN).write_bytes(content)
    with pytest.raises(BatchRefused, match=r"run.json can't be read"):
        Journal(whole).plan()


@pytest.mark.parametrize("file", [PLAN, JOURNAL])
def test_what_cannot_be_opened_is_told(whole: Path, file: str) -> None:
    (whole / file).unlink()
    (whole / file).mkdir()
    with pytest.raises(BatchRefused, match=f"{file} can't be read: Is a directory"):
        (Journal(whole).plan if file == PLAN else Journal(whole).read)()


# Holding ----------------------------------------------------------------------------------------


def hold(journal: Journal) -> None:
    with journal.hold():
        pass


def test_two_do_not_work_in_one_folder_and_who_is_killed_lets_it_go(journal: Journal) -> None:
    with elsewhere(journal.hold()), pytest.raises(BatchRefused, match="Another process is at work"):
        hold(journal)
    hold(journal)


def test_what_goes_wrong_while_it_is_held_lets_it_go_and_is_told_as_it_is(journal: Journal) -> None:
    with pytest.raises(Timeout), journal.hold():
        raise Timeout("another lock")
    hold(journal)


@pytest.mark.parametrize("strange", ["notes.txt", JOURNAL, ".hidden", "results", ".run.jso"])
def test_a_folder_that_no_run_wrote_is_left_as_it_is(tmp_path: Path, strange: str) -> None:
    (tmp_path / strange).write_text("mine")
    with pytest.raises(BatchRefused, match="something in it that no run wrote"):
        hold(Journal(tmp_path))
    assert tree(tmp_path) == {strange: b"mine"}


@pytest.mark.parametrize("left", [".lock", f".{PLAN}.17.part", PLAN])
def test_a_folder_that_a_kill_left_is_its_own(tmp_path: Path, left: str) -> None:
    (tmp_path / left).touch()
    hold(Journal(tmp_path))


@pytest.mark.parametrize("where", ["file", "file/below", "folder"])
def test_a_folder_that_cannot_be_had_is_told(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder" / ".lock").mkdir(parents=True)
    with pytest.raises(BatchFailed, match="can't be written"):
        hold(Journal(tmp_path / where))
