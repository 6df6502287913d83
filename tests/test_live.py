"""The live window: whole or not at all, never in a recording's way, and counts only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triage.drift import reference_of
from triage.live import KEPT, Window, folder_of, no_window, read
from triage.records import Scores, Transcript
from triage.settings import PROJECT

NOON = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
REFERENCE = reference_of({"measurement words": np.arange(10), "flag noisy": [0, 1]})
SECRET = "the secret recipe of my aunt"


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "live" / "0123456789abcdef"


@pytest.fixture
def window(folder: Path, clock: Clock) -> Iterator[Window]:
    yield (made := Window(folder, REFERENCE, now=clock, every=3600))
    made.flush()  # or its timer would outlive the test


def said(words: float = 3, *, noisy: bool = False) -> Scores:
    return Scores(
        model="m",
        categories={},
        applied={},
        flags={"noisy": noisy, "not in the reference": True},
        transcript=Transcript(SECRET),
        measurements={"words": words},
    )


def words_in(folder: Path, since: datetime = NOON) -> float:
    found = read(folder, REFERENCE, since).total
    return float(found["measurement words"].sum()) if found else 0.0


# Counting -----------------------------------------------------------------------------------


def test_a_pass_is_counted_in_its_bins(window: Window, folder: Path) -> None:
    window.add([said(0), said(9, noisy=True), said(9)])
    window.flush()
    found = read(folder, REFERENCE, NOON)
    assert list(found.hours) == [NOON.replace(minute=0)]
    assert found.total["measurement words"].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.total["flag noisy"].tolist() == [2, 1]


def test_nothing_but_counts_is_written(window: Window, folder: Path) -> None:
    window.add([said()])
    window.flush()
    (file,) = folder.iterdir()
    written = json.loads(file.read_text())
    assert set(written) == set(REFERENCE)
    assert all(isinstance(count, int) for row in written.values() for count in row)
    assert SECRET not in file.read_text()


def test_what_is_no_number_is_not_counted(window: Window, folder: Path) -> None:
    window.add([said(float("nan")), said(float("inf"))])
    window.flush()
    assert "measurement words" not in read(folder, REFERENCE, NOON).total


def test_without_a_reference_nothing_is_counted(tmp_path: Path) -> None:
    window = Window(tmp_path / "none", {})
    window.add([said()])
    window.flush()
    no_window().add([said()])
    assert not (tmp_path / "none").exists()


def test_passes_from_many_threads_are_all_counted(window: Window, folder: Path) -> None:
    def some(_: int) -> None:
        for _ in range(50):
            window.add([said(), said()])
            window.flush()

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(some, range(8)))
    finally:
        sys.setswitchinterval(switch)
    assert words_in(folder) == 800


def test_each_hour_has_its_file(window: Window, folder: Path, clock: Clock) -> None:
    window.add([said()])
    clock.time += HOUR
    window.add([said(), said()])
    window.flush()
    clock.time += HOUR
    window.add([said()])
    window.flush()
    assert len(list(folder.iterdir())) == 3
    rows = [
        hour["measurement words"].sum() for hour in read(folder, REFERENCE, NOON).hours.values()
    ]
    assert rows == [1, 2, 1]


def test_an_hour_is_added_to(window: Window, folder: Path, clock: Clock) -> None:
    for _ in range(3):
        window.add([said()])
        window.flush()
        clock.time += timedelta(minutes=5)
    assert len(list(folder.iterdir())) == 1
    assert words_in(folder) == 3


def test_processes_write_beside_each_other(folder: Path, clock: Clock) -> None:
    for _ in range(2):
        window = Window(folder, REFERENCE, now=clock)
        window.add([said()])
        window.flush()
    assert len(list(folder.iterdir())) == 2
    assert words_in(folder) == 2


# Writing ------------------------------------------------------------------------------------


def test_what_lies_beside_it_stops_nothing(window: Window, folder: Path) -> None:
    beside = folder.parent / "another model"
    beside.mkdir(parents=True)
    (beside / "itself").symlink_to("itself")
    (beside / "nowhere").symlink_to("none")
    window.add([said()])
    window.flush()
    assert words_in(folder) == 1
    assert not window.failures


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def test_a_pass_is_written_without_another_one(folder: Path, clock: Clock) -> None:
    window = Window(folder, REFERENCE, now=clock, every=0.05)
    window.add([said()])
    assert eventually(lambda: words_in(folder) == 1)
    window.add([said()])
    assert eventually(lambda: words_in(folder) == 2)


def test_the_process_end_writes_what_is_left(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from triage.live import Window;"
        "from triage.drift import reference_of; from triage.records import Scores;"
        "window = Window(Path(sys.argv[1]), reference_of({'flag noisy': [0, 1]}));"
        "window.add([Scores(model='m', categories={}, applied={}, flags={'noisy': True})])"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True, cwd=PROJECT)
    (file,) = folder.iterdir()
    assert json.loads(file.read_text()) == {"flag noisy": [0, 1]}


def test_no_pass_waits_for_the_disk(
    window: Window, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, writing = threading.Event(), threading.Event()
    replace = Path.replace

    def slow(self: Path, target: Path) -> Path:
        writing.set()
        assert stuck.wait(20)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", slow)
    window.add([said()])
    writer = threading.Thread(target=window.flush)
    writer.start()
    assert writing.wait(20)
    window.add([said()])  # would wait for ever
    stuck.set()
    writer.join()
    window.flush()
    assert words_in(folder) == 2


def test_a_disk_that_fails_is_told_once_and_tried_again(
    window: Window,
    folder: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(file: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("triage.live.put", full)
        for _ in range(3):
            window.add([said()])
            window.flush()
        assert words_in(folder) == 0
        clock.time += HOUR
    assert window.failures == 3
    assert caplog.messages == [
        "live counts can't be written, will be tried again: No space left on device"
    ]
    window.flush()
    assert words_in(folder) == 3
    assert not list(folder.glob("*.part"))


def test_a_kill_while_writing_leaves_the_old_counts(
    window: Window, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.add([said()])
    window.flush()

    def killed(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        window.add([said()])
        with pytest.raises(KeyboardInterrupt):
            window.flush()
    assert words_in(folder) == 1


def test_without_a_thread_the_next_pass_asks_again(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    window = Window(folder, REFERENCE, now=clock, every=0.05)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        window.add([said()])
    window.add([said()])
    assert eventually(lambda: words_in(folder) == 2)


def test_old_files_of_every_model_go(window: Window, folder: Path, clock: Clock) -> None:
    other = folder.parent / "another model"
    other.mkdir(parents=True)
    for name, age in (("old", KEPT + HOUR), ("young", KEPT - HOUR)):
        (other / name).touch()
        at = (NOON - age).timestamp()
        os.utime(other / name, (at, at))
    window.add([said()])
    window.flush()
    assert [file.name for file in other.iterdir()] == ["young"]
    assert words_in(folder) == 1


# Reading ------------------------------------------------------------------------------------


def test_the_hour_that_the_time_lies_in_is_the_first(
    window: Window, folder: Path, clock: Clock
) -> None:
    for _ in range(3):
        window.add([said()])
        clock.time += HOUR
    window.flush()
    assert words_in(folder, NOON) == 3
    assert words_in(folder, NOON + timedelta(minutes=29)) == 3
    assert words_in(folder, NOON + timedelta(minutes=30)) == 2
    assert words_in(folder, NOON + 3 * HOUR) == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"flag noisy": [1]}',
        b'{"flag noisy": [1, -1]}',
        b'{"flag noisy": "12"}',
        b'{"flag loud": [1, 1]}',
        b"\xff",
    ],
)
def test_a_file_that_holds_no_such_counts_is_left_out_and_counted(
    window: Window, folder: Path, content: bytes
) -> None:
    window.add([said()])
    window.flush()
    (folder / "2026-05-04T12Z-0.json").write_bytes(content)
    assert words_in(folder) == 1
    assert read(folder, REFERENCE, NOON).unreadable == 1


def test_a_file_without_an_hour_is_left_out_and_counted(window: Window, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.json").write_text("{}")
    assert read(folder, REFERENCE, NOON).unreadable == 1


def test_where_nothing_was_written_nothing_is_read(folder: Path) -> None:
    found = read(folder, REFERENCE, NOON)
    assert (dict(found.hours), found.total, found.unreadable) == ({}, {}, 0)


def test_models_of_another_reference_have_folders_of_their_own(
    fake_triage: Any, tmp_path: Path
) -> None:
    manifest = fake_triage.artefact.manifest
    other = manifest.model_copy(update={"reference": REFERENCE})
    assert folder_of(manifest, tmp_path) != folder_of(other, tmp_path)
    assert folder_of(manifest, tmp_path).parent == tmp_path / "live"
