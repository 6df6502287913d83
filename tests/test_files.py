"""Files are there whole, or as they were before."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from triage.files import append, put, whole

KILLED = """
import os, sys
from pathlib import Path
from triage.files import whole
with whole(Path(sys.argv[1])) as stream:
    stream.write(b"half")
    stream.flush()
    os.kill(os.getpid(), 9)
"""


def test_what_is_written_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    put(tmp_path / "x", b"new", lasting=True)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"x": b"new"}


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_only_who_may_read_it_can(tmp_path: Path, mode: int) -> None:
    put(tmp_path / "x", b"new", mode)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode


def test_until_all_is_written_the_old_one_stays(tmp_path: Path) -> None:
    put(tmp_path / "x", b"old")
    with suppress(RuntimeError), whole(tmp_path / "x") as stream:
        stream.write(b"half")
        stream.flush()
        assert (tmp_path / "x").read_bytes() == b"old"
        raise RuntimeError
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"x": b"old"}


def test_a_kill_leaves_the_old_one(tmp_path: Path) -> None:
    put(tmp_path / "x", b"old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "x")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "x").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["x", "x[1]*", "x.tar.gz"])
def test_what_a_kill_left_is_cleared_away_and_what_others_write_is_not(
    tmp_path: Path, name: str
) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    left = f".{name}.{child.pid}.part"
    others = {f".{name}.{os.getppid()}.part", f".y.{child.pid}.part", f".{name}.z.part"}
    for other in (left, *others):
        (tmp_path / other).write_bytes(b"half")
    put(tmp_path / name, b"new")  # what was just written may be a process's in another container
    assert {one.name for one in tmp_path.iterdir()} == {name, left, *others}
    for other in (left, *others):
        os.utime(tmp_path / other, (0, 0))
    put(tmp_path / name, b"new")
    assert {one.name for one in tmp_path.iterdir()} == {name, *others}


def test_what_is_appended_is_all_there_or_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"old")
    file = os.open(tmp_path / "x", os.O_WRONLY | os.O_APPEND)
    write = os.write
    took = iter([2, 0])

    def filling(handle: int, data: memoryview) -> int:
        if room := next(took):
            return write(handle, data[:room])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", filling)
        with pytest.raises(OSError, match="No space"):
            append(file, b"half", 3)
    assert (tmp_path / "x").read_bytes() == b"old"
    append(file, b"new", 3)
    os.close(file)
    assert (tmp_path / "x").read_bytes() == b"oldnew"


def test_what_lasts_is_on_the_disk_before_it_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        sync(handle)
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")

    def moved(self: Path, target: Path) -> Path:
        steps.append("moved")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", moved)
    put(tmp_path / "x", b"new", lasting=True)
    assert steps == ["file", "moved", "folder"]


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        put(tmp_path / "gone" / "x", b"new")
