"""A cluster that is started here for a run: stopped, lost or killed, it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

import psutil
import pytest
from batch_command import Runs, done, ended, rows
from breaking import KILLED
from conftest import PROJECT

from triage.batch.journal import Journal
from triage.cli.exits import Exit

pytestmark = [pytest.mark.models, pytest.mark.slow]

SAID = "tell the marzipan to set a timer for {} minutes"
PATH = {"PYTHONPATH": os.pathsep.join(map(str, (PROJECT, PROJECT / "tests")))}

# Groups of ten and parts of twenty, one group of a data set for an actor. Once a part is written,
# what runs and where is told, and a process gets a signal.
SMALL = """
import json, os, signal, sys
import patient_ray, psutil
import triage.batch.cluster, triage.batch.cores, triage.batch.run
from triage.__main__ import main
triage.batch.cores.GROUP, triage.batch.run.ROWS = 10, 20
triage.batch.cluster.GROUPS_AN_ACTOR = 2
whom, which = sys.argv.pop(1), int(sys.argv.pop(1))
real = triage.batch.cluster.Cluster.scored
def scored(self, entries):
    for number, group in enumerate(real(self, entries)):
        yield group
        if number == 1 and which:
            below = psutil.Process().children(recursive=True)
            (raylet,) = [one for one in below if one.name() == "raylet"]
            (folder,) = [a.partition("=")[2] for a in raylet.cmdline() if "--temp_dir=" in a]
            names = {one.pid: one.name() for one in below}
            told = [folder, names, oct(os.stat(folder + "/..").st_mode)]
            print("told " + json.dumps(told), file=sys.stderr, flush=True)
            os.kill(os.getpid() if whom == "us" else raylet.pid, which)
triage.batch.cluster.Cluster.scored = scored
main()
"""
ROWS = 60


def way(whom: str = "us", which: int = 0) -> tuple[str, ...]:
    return "-c", SMALL, whom, str(which)


def manifest(place: Path) -> Path:
    file = place / "archive.jsonl"
    samples = PROJECT / "data" / "samples"
    lines = [{"id": f"clip-{n}", "text": SAID.format(n)} for n in range(ROWS - 3)]
    for number, name in enumerate(("threat.mp3", "scream.flac", "README.md")):
        lines.insert(20 * number + 3, {"id": name, "audio": str(samples / name)})
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def told(said: str) -> tuple[Path, dict[int, str], str]:
    (line,) = [line for line in said.splitlines() if line.startswith("told ")]
    folder, below, mode = json.loads(line.removeprefix("told "))
    return Path(folder).parent, {int(process): name for process, name in below.items()}, mode


def gone(processes: Iterable[int]) -> bool:
    found = []
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(one))
    return not psutil.wait_procs(found, 180)[1]


def put_away(processes: Iterable[int]) -> None:
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(one).kill()


def test_a_run_that_is_stopped_and_loses_its_cluster_ends_as_one_of_one_machine(
    tmp_path: Path,
) -> None:
    (tmp_path / "home").mkdir()
    runs = Runs(tmp_path, PATH | {"HOME": str(tmp_path / "home")})
    source = manifest(tmp_path)
    on_ray = (source, "--out", runs.out(), "--engine", "ray", "--quiet")
    written = 0
    for whom, which, code in (("us", signal.SIGTERM, 130), ("raylet", signal.SIGKILL, Exit.SETUP)):
        stopped = ended(runs.begin(*on_ray, way=way(whom, which)))
        folder, below, mode = told(stopped.err)
        assert stopped.code == code, stopped.err
        assert "Traceback" not in stopped.err
        assert mode == "0o40700"
        if whom == "raylet":
            # Ray ends a process that loses its raylet there and then, with code 1; the rest of the
            # cluster is nobody's any more, and ends in its own time.
            put_away(below)
        assert gone(below)
        assert whom == "raylet" or not folder.exists()
        rmtree(folder, ignore_errors=True)
        journal = Journal(runs.out())
        journal.read()
        assert written < journal.rows < ROWS
        written = journal.rows
    done(runs.run(*on_ray, way=way()), Exit.INCOMPLETE)
    done(runs.run(source, "--out", runs.out("cores"), "--quiet", way=way()), Exit.INCOMPLETE)
    assert rows(runs.out()) == rows(runs.out("cores"))
    assert len(rows(runs.out())) == ROWS
    assert not (tmp_path / "home" / ".ray").exists()  # where Ray would put a token


def test_a_kill_leaves_no_process_that_has_heard_or_read_anything(tmp_path: Path) -> None:
    runs = Runs(tmp_path, PATH)
    on_ray = (manifest(tmp_path), "--out", runs.out(), "--engine", "ray", "--quiet")
    killed = ended(runs.begin(*on_ray, way=way("us", signal.SIGKILL)))
    folder, below, _ = told(killed.err)
    # Those look by themselves whether they are needed, and take some minutes.
    agents = [process for process, name in below.items() if name.endswith("Agent")]
    try:
        assert killed.code == -KILLED
        assert gone(below.keys() - agents)
    finally:
        for process in agents:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(process).kill()
        rmtree(folder)
