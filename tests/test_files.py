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

from triage.files import put, whole

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
