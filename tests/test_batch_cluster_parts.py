"""What a cluster is given, and what is refused, without one."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import stat
import sys
from collections import namedtuple
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.archive.entries import Distant
from triage.batch import actors, cluster
from triage.batch.actors import COLUMN, Actor, Handed, handed
from triage.batch.cluster import Cluster
from triage.batch.work import Group, Scored, Task
from triage.errors import BatchRefused, NothingToScore, SetupError, TriageError
from triage.records import Recording
from triage.settings import Settings

HERE = "192.0.2.1"
Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(Settings(state=tmp_path), b"k" * 32, tmp_path / "scores.db", "a test", False)


class FakeCores:
    """Keeps what it is given, and says its ids again."""

    made: Task

    def __init__(self, task: Task, *_: Any, **__: Any) -> None:
        type(self).made = task

    def scored(self, entries: Iterator[Any]) -> Iterator[Group]:
        error = NothingToScore("0 bytes.")
        yield Group([Scored(one.id, {}, "", error) for one in entries])


# What an actor is handed -------------------------------------------------------------------------


def test_files_are_named_as_they_are_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [Recording("a", audio=Path("sub/a.wav")), Recording("b", transcript="hello")]
    found = handed(given)
    assert found.entries == [Recording("a", audio=tmp_path / "sub" / "a.wav"), given[1]]


def test_the_file_to_look_for_is_one_that_is_there(tmp_path: Path) -> None:
    there, other = tmp_path / "there.wav", tmp_path / "other.wav"
    there.touch()
    other.touch()
    gone = Recording("gone", audio=tmp_path / "gone.wav")
    both = [Recording("there", audio=there), Recording("other", audio=other)]
    distant = Distant(Recording("far"), "https://example.org/a.wav")
    assert handed([distant, gone, *both]).seen == there
    assert handed([distant, gone, Recording("bytes", audio=b"x")]).seen is None


@pytest.fixture
def actor(task: Task, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(actors, "Cores", FakeCores)
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: HERE)
    return lambda home=HERE, version=actors.__version__: Actor(task, "a model", home, version)


def batch(*given: Handed) -> dict[str, Any]:
    return {COLUMN: np.array([pickle.dumps(one) for one in given], dtype=object)}


def test_what_an_actor_is_handed_is_scored_in_its_order(actor: Any, tmp_path: Path) -> None:
    given = [Handed([Recording(id) for id in ids], tmp_path) for ids in ("ab", "c")]
    found = [pickle.loads(one) for one in actor()(batch(*given))[COLUMN]]  # noqa: S301
    assert [[one.id for one in group.scored] for group in found] == [["a", "b"], ["c"]]


def test_a_machine_that_does_not_see_the_files_refuses(actor: Any, tmp_path: Path) -> None:
    with pytest.raises(BatchRefused, match="doesn't see the source's files"):
        actor()(batch(Handed([Recording("a")], tmp_path / "elsewhere")))


def test_a_machine_with_another_triage_refuses(actor: Any) -> None:
    with pytest.raises(BatchRefused, match=r"has Triage .*, and this one 0\.0\.7"):
        actor(version="0.0.7")(batch(Handed([Recording("a")], None)))


def test_scores_are_known_on_the_machine_that_asks_alone(actor: Any, task: Task) -> None:
    actor()
    assert FakeCores.made == task
    actor(home="192.0.2.2")
    assert FakeCores.made.known is None
    assert FakeCores.made.about == task.about


# What is one data set ----------------------------------------------------------------------------


@settings(max_examples=30)
@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 3), st.integers(1, 900))
def test_each_group_is_in_one_data_set_and_none_grows_beyond_its_bounds(
    sizes: list[int], strength: int, most: int
) -> None:
    recordings = [Recording(str(n), transcript="a" * size) for n, size in enumerate(sizes)]
    found: list[list[bytes]] = []

    def window(_: Any, window: Sequence[bytes], actors: int) -> Iterator[Group]:
        assert actors == strength
        found.append(list(window))
        yield from ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "groups", lambda entries: ([one] for one in entries))
        patch.setattr(cluster, "GROUPS_AN_ACTOR", 4)
        patch.setattr(cluster, "_strength", lambda: (strength, most))
        patch.setattr(Cluster, "_window", window)
        assert not list(Cluster.__new__(Cluster).scored(iter(recordings)))
    given = [one for window in found for each in window for one in pickle.loads(each).entries]  # noqa: S301
    assert given == recordings
    for number, one in enumerate(found):
        assert 1 <= len(one) <= 4 * strength
        assert sum(map(len, one[:-1])) <= most
        full = len(one) == 4 * strength or sum(map(len, one)) > most
        assert full or number == len(found) - 1


def test_a_cluster_carries_as_many_actors_as_cores_and_a_share_of_its_smallest_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = [{"Alive": True}, {"Alive": True}, {"Alive": False}]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    has = {"CPU": 6.0, "object_store_memory": 800.0}
    monkeypatch.setattr("ray.cluster_resources", lambda: has)
    assert cluster._strength() == (6, 100)
    has["object_store_memory"] = 2.0**50
    assert cluster._strength() == (6, 6 * cluster.BYTES_AN_ACTOR)
    has["CPU"] = 0.0
    assert cluster._strength()[0] == 1


# One that is started here ------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of shared memory."""
    monkeypatch.setattr(cluster, "MEMORY", tmp_path)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "before")
    return tmp_path


def test_its_files_are_in_memory_private_and_go_with_it(shared: Path) -> None:
    with cluster._private(2) as given:
        (folder,) = shared.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert Path(given["_temp_dir"]).parent == folder
        Path(given["_temp_dir"]).mkdir()
        assert given["_system_config"]["automatic_object_spilling_enabled"] is False
        assert given["include_dashboard"] is False
    assert not list(shared.iterdir())


def test_it_asks_for_a_token_that_nobody_else_has(shared: Path) -> None:
    with cluster._private(1):
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
        os.environ["RAY_AUTH_MODE"] = "token"  # as Ray does
    assert "RAY_AUTH_TOKEN" not in os.environ
    assert os.environ["RAY_AUTH_MODE"] == "before"


@pytest.mark.parametrize(("free", "objects"), [(2**40, 2**30), (2**29, 2**28)])
def test_its_objects_take_half_of_the_shared_memory_at_most(
    free: int, objects: int, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(free, 0, free))
    with cluster._private(2) as given:
        assert given["object_store_memory"] == objects


def test_too_little_shared_memory_is_told(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(2**26, 0, 2**26))
    with (
        pytest.raises(BatchRefused, match=r"needs 256 MB .* there are 64\. .*--shm-size"),
        cluster._private(2),
    ):
        pass
    assert not list(shared.iterdir())


def test_a_term_is_answered_as_before_whatever_ray_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with cluster._own_answer_to_a_term():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before


def test_nothing_of_rays_is_printed_and_ours_is_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    with cluster._nothing_printed():
        os.write(2, b"theirs")
    os.write(2, b"ours")
    assert capfd.readouterr().err == "ours"


@pytest.mark.parametrize("error", [OSError, ValueError, Exception])
def test_where_it_does_not_start_all_is_taken_back(
    error: type[Exception], task: Task, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise error("of an account")

    monkeypatch.setattr("ray.init", refuse)
    with pytest.raises(BatchRefused, match=rf"can't be used: {error.__name__}\.") as refused:
        Cluster(task, "a model", "", 1)
    assert "account" not in str(refused.value)
    assert not [one for one in shared.iterdir() if one.is_dir()]
    assert "RAY_AUTH_TOKEN" not in os.environ


# What is told ------------------------------------------------------------------------------------


def test_our_own_errors_are_told_as_they_are_and_others_by_their_kind() -> None:
    own, other = SetupError("It is missing."), RuntimeError("of an account")
    for cause, expected in ((own, own), (other, None)):
        error = OSError("of an account")
        error.cause = cause  # type: ignore[attr-defined]
        told: TriageError = cluster._gave_up(error)
        if expected is not None:
            assert told is expected
        else:
            assert isinstance(told, BatchRefused)
            assert "gave up: OSError." in told.detail
            assert "account" not in told.detail


def test_where_ray_is_not_installed_it_is_told_how_to(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BatchRefused, match=r"pip install 'triage\[ray\]'"):
        Cluster(task, "a model", "", 1)


@pytest.mark.parametrize("form", ["{}", "ray://{}"])
def test_an_address_where_nothing_listens_is_told_before_ray_is_asked(
    form: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray would try for minutes"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(BatchRefused, match="ConnectionRefusedError"):
        Cluster(task, "a model", form.format(address), 1)


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1:x", "[::1:6379"])
def test_an_address_that_is_none_is_told(address: str, task: Task) -> None:
    with pytest.raises(BatchRefused, match="ValueError"):
        Cluster(task, "a model", address, 1)
