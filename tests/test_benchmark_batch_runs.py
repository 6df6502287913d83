"""That the bench of archives kills what it says, and begins again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import psutil
import pytest

from benchmarks import batch_runs
from benchmarks.batch_beside import CURL, Way, in_rounds
from benchmarks.batch_runs import Place, Sitting

HANGS = "import signal; signal.pause()"


def script(what: str) -> list[str]:
    return [sys.executable, "-c", what]


# A sitting ----------------------------------------------------------------------------------


def test_a_sitting_is_killed_alone_and_gives_what_was_below_it(tmp_path: Path) -> None:
    up = tmp_path / "up"
    parent = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        f"open({str(up)!r}, 'w').close()\n"
        f"{HANGS}"
    )
    with Sitting(script(parent), Place(tmp_path)) as sitting:
        while not up.exists():
            assert sitting.wait(0.01) is None
        (child,) = sitting.kill()
    _, alive = psutil.wait_procs([child], timeout=60)  # its input has ended, so it ends by itself
    assert not alive
    assert sitting.wait(None) == -signal.SIGKILL


def test_a_bench_that_is_stopped_leaves_no_sitting(tmp_path: Path) -> None:
    sitting = Sitting(script(HANGS), Place(tmp_path))
    with pytest.raises(KeyboardInterrupt), sitting:
        raise KeyboardInterrupt
    assert sitting.wait(0) == -signal.SIGKILL


def test_a_sitting_has_state_and_key_of_its_own_and_no_store_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_STORE", "postgresql://somewhere")
    monkeypatch.setenv("TRIAGE_MODEL", "kept")
    file, what = tmp_path / "told", "import json, os; print(json.dumps(dict(os.environ)))"
    with Sitting(script(what), Place(tmp_path)) as sitting:
        assert sitting.wait(None) == 0
    (tmp_path / "log").replace(file)
    environment = json.loads(file.read_text())
    assert environment["TRIAGE_STATE"] == str(tmp_path / "state")
    assert len(environment["TRIAGE_KEY"].encode()) >= 32
    assert "TRIAGE_STORE" not in environment
    assert environment["TRIAGE_MODEL"] == "kept"


def test_memory_is_of_all_processes_together() -> None:
    child = subprocess.Popen(script("input()"), stdin=subprocess.PIPE)
    try:
        both = batch_runs._megabytes(psutil.Process().pid)
        alone = batch_runs._megabytes(child.pid)
        own = psutil.Process().memory_info().rss / 2**20
    finally:
        child.communicate()
    assert 0 < alone < own < both
    assert batch_runs._megabytes(child.pid) == 0  # it has ended


# A run --------------------------------------------------------------------------------------


class Told:
    """A sitting that works until it is killed, or else to its end."""

    code = 0
    given: list[tuple[list[str], float | None]]

    def __init__(self, command: list[str], place: Place) -> None:
        self.peak = 100.0 - len(self.given)
        self._command = command

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.given.append((self._command, None))

    def wait(self, seconds: float | None) -> int | None:
        self.given.append((self._command, seconds))
        return self.code if seconds is None else None

    def kill(self) -> list[psutil.Process]:
        return []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> type[Told]:
    monkeypatch.setattr(Told, "given", [], raising=False)
    monkeypatch.setattr(batch_runs, "Sitting", Told)
    monkeypatch.setattr(batch_runs, "came_to", lambda *given: given)
    return Told


def test_the_same_command_follows_each_kill_and_the_last_is_let_be(
    tmp_path: Path, told: type[Told]
) -> None:
    found: Any = batch_runs.run(Path("a"), Place(tmp_path / "run"), "--flag", kills=[90.0, 0.0, 50])
    waits = [seconds for _, seconds in told.given[::2]]
    assert waits[0] == 0
    assert 49 < waits[1] < 50 < 89 < waits[2] < 90  # over all sittings, not each
    assert waits[3:] == [None]
    (command,) = {tuple(command) for command, _ in told.given}
    assert command[1:5] == ("-m", "triage", "batch", "a")
    assert command[-1] == "--flag"
    assert command[command.index("--out") + 1] == str(tmp_path / "run" / "run")
    _, _, _, peak, kills, outlived = found
    assert (peak, kills, outlived) == (100.0, 3, 0)  # the most of all sittings


@pytest.mark.parametrize("code", [0, 3])
def test_a_run_may_have_rows_with_errors(tmp_path: Path, told: type[Told], code: int) -> None:
    told.code = code
    assert batch_runs.run(Path("a"), Place(tmp_path / "run"))
    assert len(told.given) == 2


@pytest.mark.parametrize("code", [1, 2, 4, -9])
def test_a_run_that_cannot_go_on_is_no_figure(tmp_path: Path, told: type[Told], code: int) -> None:
    told.code = code
    with pytest.raises(RuntimeError, match=f"ended with {code}"):
        batch_runs.run(Path("a"), Place(tmp_path / "run"))


# Side by side -------------------------------------------------------------------------------


def test_ways_take_turns() -> None:
    order: list[tuple[str, int]] = []

    def way(name: str, number: int) -> Way:
        order.append((name, number))
        return Way(float(len(order)), 0.0)

    found = in_rounds({"a": lambda n: way("a", n), "b": lambda n: way("b", n)}, 2)
    assert order == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert [one.whole for one in found["b"]] == [2.0, 4.0]


class Refusing(BaseHTTPRequestHandler):
    """Takes what has `good` in it, and answers what was asked for with it."""

    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        self.send_response(200 if b"good" in body else 415)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Refusing, "bodies", [], raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_loop_sends_each_file_and_counts_what_is_not_answered(tmp_path: Path, url: str) -> None:
    files, lines = ["a good.wav", "bad.wav", "b.wav"], tmp_path / "files"
    for file, content in zip(files, ("good", "bad", "good"), strict=True):
        (tmp_path / file).write_text(content)
    lines.write_text("".join(f"id-{n}\t{tmp_path / file}\n" for n, file in enumerate(files)))
    done = subprocess.run(
        ["bash", "-c", CURL, "loop", url, str(lines)], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == "1\n"
    assert [b"id-%d" % n in body for n, body in enumerate(Refusing.bodies)] == [True] * 3
