"""The engine of a cluster, on a real Ray: the same as on one machine, whatever dies meanwhile."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import PROJECT

from triage.archive.entries import Unreadable
from triage.batch import cluster
from triage.batch.cluster import Cluster
from triage.batch.cores import GROUP, Cores
from triage.batch.work import Group, Readable, Scored, Task
from triage.errors import ArtefactRefused, InputError, NothingToScore
from triage.records import Recording, Scores
from triage.settings import Settings

pytestmark = [pytest.mark.models, pytest.mark.slow]

SAID = "tell the marzipan to set a timer for {} minutes"
ACCOUNT = "account-of-marzipan"
KEY = secrets.token_bytes(32)
START = "import patient_ray; from ray.scripts.scripts import main; main()"
OF_TWO = 2 * GROUP  # entries that are the first data set of two actors, if each has one group


class Killing(str):
    """What is said where the worker dies that digests it."""

    def encode(self, *_: Any) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@dataclass
class Falls:
    """Brings down the first process that it gets to."""

    mark: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return _fall, (self.mark,)


def _fall(mark: Path) -> str:
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "fell"
    os._exit(1)


# A cluster that runs already -------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """A cluster of one machine.

    Attributes:
        folder: Where Ray writes.
        address: Where it listens.
    """

    folder: Path
    address: str


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    path = {"PYTHONPATH": os.pathsep.join(map(str, (PROJECT, PROJECT / "tests")))}
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/XXXXXX"], text=True).strip())
    try:
        started = subprocess.Popen(
            [
                *(sys.executable, "-c", START, "start", "--head", "--block", "--port=0"),
                *("--num-cpus=2", "--object-store-memory=100000000", f"--temp-dir={folder}"),
                *("--include-dashboard=false", "--min-worker-port=0", "--max-worker-port=0"),
                "--dashboard-agent-listen-port=0",
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | own | path,
        )
        assert started.stdout is not None
        lines = iter(started.stdout)
        address = next(line.split("'")[1] for line in lines if "--address='" in line)
        yield Head(folder, address)
        below = psutil.Process(started.pid).children(recursive=True)
        started.kill()  # asked to end, it would wait half a minute for what is under way
        started.wait()
        for one in below:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(below, 20)
    finally:
        subprocess.run(["rm", "-r", folder], check=True)


def entries(folder: Path) -> list[Readable]:
    """Two groups, in the first of which an actor falls, and a third, over which a worker dies."""
    samples = PROJECT / "data" / "samples"
    found: list[Readable] = [
        Recording("bytes", audio=(samples / "threat.mp3").read_bytes()),
        Recording("path", audio=samples / "scream.flac", context={"account": ACCOUNT}),
        Recording("given", audio=samples / "weather.wav", transcript="what is the weather"),
        Recording("not audio", audio=b"marzipan" * 100),
        Recording("falls", transcript=SAID.format("no"), context={"place": Falls(folder / "mark")}),
        Unreadable("no file", NothingToScore("The audio is 0 bytes long.")),
    ]
    for number in range(OF_TWO - len(found)):
        said = SAID.format(number % 50)
        found.append(Recording(f"said-{number}", transcript=said, context={"account": ACCOUNT}))
    found.append(Recording("kills", transcript=Killing("a timer"), context={"place": "there"}))
    found.append(Recording("last", transcript=SAID.format("many")))
    return found


def plain(scored: Scored) -> tuple[Any, ...]:
    """What can be compared of it."""
    scores = scored.scores
    error = (type(scores), str(scores)) if isinstance(scores, InputError) else scores
    return scored.id, scored.context, scored.content, scored.known, error


@dataclass(frozen=True)
class Both:
    """What a cluster made of entries, and this machine by itself."""

    ray: list[Group]
    cores: list[Group]
    folder: Path


@pytest.fixture(scope="module")
def task(model: Path) -> Task:
    settings = Settings(model=model, state=Path("nowhere"), threads=1)
    return Task(settings, KEY, None, "a test", False)


@pytest.fixture(scope="module")
def both(head: Head, task: Task, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    given = entries(tmp_path_factory.mktemp("entries"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "GROUPS_AN_ACTOR", 1)
        with Cluster(task, "a model", head.address, cores=7) as scoring:
            by_ray = list(scoring.scored(iter(given)))
    with Cores(task, "a model", 2, pinned=False) as scoring:
        yield Both(by_ray, list(scoring.scored(iter(given))), head.folder)


def test_what_comes_of_entries_is_what_comes_of_them_on_one_machine(both: Both) -> None:
    assert len(both.ray) == len(both.cores) == 3
    for of_ray, of_cores in zip(both.ray, both.cores, strict=True):
        assert [plain(one) for one in of_ray.scored] == [plain(one) for one in of_cores.scored]
        assert of_ray.stages.keys() == of_cores.stages.keys()


def test_it_is_in_the_order_of_the_entries(both: Both) -> None:
    given = entries(both.folder)
    assert [one.id for group in both.ray for one in group.scored] == [one.id for one in given]


def test_what_a_worker_dies_over_costs_itself_alone(both: Both) -> None:
    kills, last = both.ray[-1].scored
    assert isinstance(kills.scores, Scores)
    assert kills.scores.failures == {"score": "WorkerDied"}
    assert kills.context == {"place": "there"}
    assert isinstance(last.scores, Scores)
    assert not last.scores.failures


def test_an_actor_that_falls_costs_nothing(both: Both) -> None:
    (fell,) = [one for one in both.ray[0].scored if one.id == "falls"]
    assert fell.context == {"place": "fell"}
    assert isinstance(fell.scores, Scores)
    assert not fell.scores.failures


def test_nothing_that_ray_writes_holds_words_sound_or_secrets(both: Both) -> None:
    sound = (PROJECT / "data" / "samples" / "threat.mp3").read_bytes()
    secret = [b"marzipan", ACCOUNT.encode(), KEY, KEY.hex().encode(), sound[5000:5032]]
    files = [one for one in both.folder.rglob("*") if one.is_file()]
    assert len(files) > 10
    assert not [one.name for one in files if any(word in one.read_bytes() for word in secret)]


def test_nothing_is_reported_to_rays_makers(both: Both) -> None:
    assert not list(both.folder.rglob("usage_stats.json"))


def test_what_a_worker_misses_is_told_in_its_own_words(head: Head, task: Task) -> None:
    settings = task.settings.model_copy(update={"model": Path("no-such-model")})
    missing = Task(settings, KEY, None, "a test", False)
    with (
        Cluster(missing, "a model", head.address, 1) as scoring,
        pytest.raises(ArtefactRefused, match=r"no-such-model|model"),
    ):
        list(scoring.scored(iter([Recording("a", transcript="hello")])))
