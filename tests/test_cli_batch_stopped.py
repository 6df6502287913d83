"""`triage batch` that is killed, stopped, short of room or given a hostile archive goes on.

The real command, in processes of its own, on the real models; parts are made small so that a small
archive has several.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import signal
import subprocess
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from archives import laid_out
from batch_command import (
    FILES,
    PATIENCE,
    WHO,
    Done,
    Runs,
    done,
    ended,
    given,
    laid_out_in_four_ways,
    rows,
    scored,
    small,
    stored,
)

from triage.cli.exits import Exit
from triage.safeguards.audit import verify

pytestmark = [pytest.mark.models, pytest.mark.slow]

KILLS = 3


@pytest.fixture(scope="module")
def sources(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return laid_out_in_four_ways(tmp_path_factory.mktemp("sources"), samples)


@pytest.fixture(scope="module")
def unbroken(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """An unbroken run over the folder, in parts of two rows."""
    runs = Runs(tmp_path_factory.mktemp("unbroken"))
    done(runs.run(sources["folder"], "--out", "out", "--jsonl", "--by", "ann", way=small()))
    return runs


def test_killed_again_and_again_it_comes_to_the_same(
    sources: dict[str, Path], unbroken: Runs, tmp_path: Path
) -> None:
    runs, steps = Runs(tmp_path), [5 + secrets.randbelow(25) for _ in range(KILLS)]
    command = (sources["folder"], "--out", "out", "--jsonl", "--by", "ann")
    codes = [runs.run(*command, way=small(step)).code for step in steps]
    assert codes[0] == -signal.SIGKILL, steps
    done(runs.run(*command, way=small()))
    assert rows(runs.out()) == rows(unbroken.out()), steps
    assert not (runs.out() / "staged").exists()
    assert len({row["id"] for row in rows(runs.out(), "passes")}) == len(FILES)
    once = "SELECT recording, tier, rule, `case` != '' FROM decisions ORDER BY id"
    assert stored(runs, once) == stored(unbroken, once), steps
    cases = "SELECT recording, tier, rule FROM cases ORDER BY recording"
    assert stored(runs, cases) == stored(unbroken, cases), steps
    assert verify(tmp_path / "state" / "audit.jsonl").entries >= len(FILES)


@pytest.fixture(scope="module")
def stopped(
    sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Runs, list[Done]]:
    """A run that another one found at work, that a term ended, and then Ctrl-C."""
    runs = Runs(tmp_path_factory.mktemp("stopped"))
    command = (sources["folder"], "--out", "out", "--decide-only")
    ends = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with at_work(runs.begin(*command, way=small())) as (begun, workers):
            if number == signal.SIGTERM:
                ends.append(given(runs, "batch", *command))
                begun.send_signal(number)
            else:
                os.killpg(begun.pid, number)  # as a terminal does: to all of its processes
            ends.append(ended(begun))
        deadline = monotonic() + PATIENCE
        while any(map(lives, workers)):
            assert monotonic() < deadline
            sleep(0.05)
    return runs, ends


def lives(process: psutil.Process) -> bool:
    """Whether it is more than an entry that nobody has asked for yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def at_work(
    begun: subprocess.Popen[str],
) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A run that has told its first line, with its workers; nothing of it is left behind."""
    assert begun.stderr is not None
    try:
        assert "scored" in begun.stderr.readline()
        while not (workers := psutil.Process(begun.pid).children(recursive=True)):
            assert begun.poll() is None
        yield begun, workers
    finally:
        if begun.poll() is None:
            os.killpg(begun.pid, signal.SIGKILL)


def test_a_second_one_in_the_same_folder_is_refused(stopped: tuple[Runs, list[Done]]) -> None:
    second = done(stopped[1][0], Exit.SETUP)
    assert "Another process is at work" in second.err


def test_a_term_and_ctrl_c_end_it_without_a_worker_left(stopped: tuple[Runs, list[Done]]) -> None:
    for one in stopped[1][1:]:
        done(one, 130)
        assert WHO not in one.out + one.err


def test_a_changed_policy_is_refused_until_it_is_accepted(
    stopped: tuple[Runs, list[Done]], sources: dict[str, Path], unbroken: Runs
) -> None:
    runs = stopped[0]
    policy = runs.place / "policy.yaml"
    shipped = Path("triage/policy/default.yaml").read_text()
    policy.write_text(shipped.replace("version: ", "version: 9", 1))
    changed = Runs(runs.place, {"TRIAGE_POLICY": str(policy)})
    command = (sources["folder"], "--out", "out", "--decide-only")
    refused = done(given(changed, "batch", *command), Exit.SETUP)
    assert "this has changed: policy" in refused.err
    assert "--accept-changes" in refused.err
    accepted = done(changed.run(*command, "--accept-changes", way=small()))
    assert "Nobody was told" in accepted.out
    assert [row["category_scores"] for row in rows(runs.out())] == [
        row["category_scores"] for row in rows(unbroken.out())
    ]
    assert len({row["policy"] for row in rows(runs.out())}) <= 2
    assert stored(runs, "SELECT count(*) FROM cases") == [(0,)]
    assert "policy (after " in (runs.out() / "report.html").read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB, if one may be mounted here."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def grown(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)


def test_a_full_disk_is_told_and_once_there_is_room_the_run_goes_on(
    small_disk: Path, sources: dict[str, Path], tmp_path: Path, unbroken: Runs
) -> None:
    runs = Runs(tmp_path)
    command = (sources["folder"], "--out", small_disk / "out")
    full = done(runs.run(*command), Exit.AUDIT)
    assert "No space left on device" in full.err
    assert "give the same command again" in full.err
    assert len(full.err.splitlines()) <= 2
    grown(small_disk)
    done(runs.run(*command))
    assert scored(small_disk / "out") == scored(unbroken.out())
    page = small_disk / "out" / "report.html"
    page.unlink()
    with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    assert "No space left" in done(given(runs, "batch", *command), Exit.AUDIT).err
    assert not page.exists()
    (small_disk / "filler").unlink()
    done(given(runs, "batch", *command))
    assert page.exists()


def hostile_tar(good: bytes) -> bytes:
    held = io.BytesIO()
    names = ("good.wav", "../../out-of-it.wav", "/out-of-it.wav", "n\udcff.wav", "good.wav")
    others = {"inner.zip": b"PK", "bomb.wav": bytes(5_000_000)}
    with tarfile.open(fileobj=held, mode="w:gz") as tar:
        for name, content in (*((name, good) for name in names), *others.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, kind in (("soft.wav", tarfile.SYMTYPE), ("hard.wav", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    return held.getvalue()


def hostile_zip(good: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("../out-of-it.wav", "/out-of-it.wav", "C:\\out-of-it.wav", "good.wav"):
            archive.writestr(name, good)
        archive.writestr("bomb.wav", bytes(5_000_000))
        archive.writestr("inner.tar.gz", b"\x1f\x8b")
    return held.getvalue()


def test_a_hostile_archive_costs_its_own_rows_and_writes_nothing_elsewhere(
    samples: Path, tmp_path: Path
) -> None:
    good = (samples / "weather.wav").read_bytes()
    held = {"a.tar.gz": hostile_tar(good), "b.zip": hostile_zip(good), "c.wav": good}
    source = laid_out(tmp_path / "one" / "two" / "three", held)
    runs = Runs(tmp_path / "one" / "two", {"TRIAGE_MAX_BYTES": "1000000"})
    before = outside(tmp_path)
    ended = done(runs.run(source, "--out", "out", "--sound-only"), Exit.INCOMPLETE)
    assert outside(tmp_path) == before
    found = rows(runs.out())
    assert Counter(row["error"] for row in found) == {
        None: 10,
        "damaged-archive": 2,
        "nested-archive": 2,
        "too-large": 2,
    }
    whole = [row for row in found if row["error"] is None]
    assert len({json.dumps(row["category_scores"]) for row in whole}) == 1
    assert "6 couldn't be scored" in ended.out
    assert "1 id is of more than one recording" in ended.out
    assert "out-of-it" not in ended.out + ended.err + (runs.out() / "report.html").read_text()


def outside(folder: Path) -> dict[str, bytes | None]:
    """All but the run's own folder and state, and what a name might have led to."""
    own = {"out", "state"}
    return {
        str(one): one.read_bytes() if one.is_file() else None
        for one in [*folder.rglob("*"), Path("/out-of-it.wav")]
        if not own & set(one.relative_to(folder).parts if one.is_relative_to(folder) else ())
    }
