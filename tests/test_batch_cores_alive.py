"""Real processes: the dead cost what they died over, the lost are replaced, nobody stays behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PROJECT
from misbehaving import MODEL, kind, measured, task

from triage.batch import cores
from triage.batch.cores import Cores
from triage.batch.work import Readable, Scored, Task
from triage.errors import ArtefactRefused, UnsupportedAudio
from triage.records import Recording, Scores
from triage.settings import Settings

PATIENCE = 30.0  # s; a busy machine, not what it takes
MINE = os.sched_getaffinity(0)


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "GROUP", 3)
    monkeypatch.setattr(cores, "LEAST_PATIENCE", PATIENCE)


def said(*audio: bytes) -> Iterator[Readable]:
    return (Recording(str(place), one) for place, one in enumerate(audio))


def all_of(engine: Cores, *audio: bytes) -> list[Scored]:
    return [one for group in engine.scored(said(*audio)) for one in group.scored]


def given_up(found: list[Scored]) -> list[int]:
    assert [one.id for one in found] == [str(place) for place in range(len(found))]
    scores = [one.scores for one in found]
    return [
        place
        for place, one in enumerate(scores)
        if isinstance(one, Scores) and one.failures == {"score": "WorkerDied"}
    ]


@pytest.fixture
def meeting(tmp_path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Two recordings that can only be scored at once."""
    os.mkfifo(tmp_path / "place")
    place = str(tmp_path / "place").encode()
    return b"meet r" + place, b"meet w" + place


def handles_of(workers: list[int]) -> list[int]:
    """Handles of processes, to wait for their end."""
    return [os.pidfd_open(one) for one in workers]


def wait_for(handles: list[int]) -> None:
    """Waits for the end of processes that aren't ours."""
    try:
        for one in handles:
            poll = select.poll()
            poll.register(one, select.POLLIN)
            assert poll.poll(PATIENCE * 1_000), "a worker is left"
    finally:
        for one in handles:
            os.close(one)


# One machine ------------------------------------------------------------------------------------


def test_the_dead_cost_one_recording_and_the_living_are_on_cores_of_their_own(
    meeting: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    harm = {1: b"kill", 7: b"other"}
    audio = [harm.get(place, b"sound" + b"x" * place) for place in range(10)]
    with Cores(task(), MODEL, 2) as engine:
        found = all_of(engine, *audio)
        monkeypatch.setattr(cores, "GROUP", 1)
        met = all_of(engine, *meeting)
        handles = handles_of([int(measured(one, "process")) for one in met])
    wait_for(handles)
    assert given_up(found) == [1]
    assert kind(found[7]) is UnsupportedAudio
    for place in set(range(10)) - set(harm):
        assert measured(found[place], "size") == 5 + place
        assert measured(found[place], "cores") == 1
    # Those that met are not the first ones any more: each has taken a core that became free.
    assert len({measured(one, "process") for one in met}) == 2
    assert len({measured(one, "core") for one in met}) == min(2, len(MINE))
    assert os.sched_getaffinity(0) == MINE


def test_what_hangs_costs_one_recording_and_unpinned_workers_go_anywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cores, "LEAST_PATIENCE", 1.5)
    with Cores(task(), MODEL, 1, pinned=False) as engine:
        found = all_of(engine, b"sound", b"hang", b"soundx")
    assert given_up(found) == [1]
    assert measured(found[2], "size") == 6
    assert measured(found[2], "cores") == len(MINE)


def test_a_worker_that_dies_with_nothing_in_hand_costs_no_recording() -> None:
    with Cores(task(), MODEL, 1) as engine:
        (first,) = all_of(engine, b"sound")
        worker = int(measured(first, "process"))
        handles = handles_of([worker])
        os.kill(worker, signal.SIGKILL)
        wait_for(handles)
        found = all_of(engine, *[b"sound"] * 7)
    assert given_up(found) == []
    assert worker not in [int(measured(one, "process")) for one in found]


def test_models_that_cannot_be_loaded_end_the_run_with_what_is_missing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = task(Task, settings=Settings(model=tmp_path, state=tmp_path))
    with pytest.raises(ArtefactRefused, match=r"no manifest\.json"), Cores(missing, MODEL, 1) as e:
        all_of(e, *[b"sound"] * 9)
    assert capfd.readouterr().err == ""


def test_where_nothing_is_asked_no_process_is_begun() -> None:
    with Cores(task(), MODEL, 2) as engine:
        assert all_of(engine) == []


# The end of the parent --------------------------------------------------------------------------

RUN = """
import signal
from misbehaving import MODEL, measured, task
from triage.batch import cores
from triage.batch.cores import Cores
from triage.records import Recording

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs behind a shell ignores it
    cores.GROUP = 1
    with Cores(task(), MODEL, 1) as engine:
        groups = engine.scored(Recording("", one) for one in (b"sound", b"hang"))
        print(int(measured(next(groups).scored[0], "process")), flush=True)
        next(groups)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_worker_ends_with_its_parent_even_if_it_hangs(how: signal.Signals) -> None:
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        handles = handles_of([int(parent.stdout.readline())])
        if how is signal.SIGKILL:
            parent.kill()
        else:
            os.killpg(parent.pid, how)  # as a terminal does for Ctrl-C
        wait_for(handles)
        _, said = parent.communicate(timeout=PATIENCE)
    assert parent.returncode == -how
    # A worker has nothing to say of it.
    assert said.count("Traceback") == (how is signal.SIGINT)
