"""Following what is promoted: the new model takes over when it is whole, and not before."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Event
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from triage.errors import ArtefactRefused
from triage.http import metrics
from triage.http.app import build_app
from triage.http.loading import Loading
from triage.process import Processor
from triage.settings import Settings

EVERY = 0.002  # s between two looks


def until(holds: Callable[[], bool]) -> None:
    """Waits for a thread to get there."""
    end = monotonic() + 10
    while not holds():
        assert monotonic() < end
        sleep(0.001)


@dataclass
class World:
    """What is promoted, by name, and the processors that were loaded of it.

    Attributes:
        promoted: The promoted model; None: nothing to follow.
        broken: Names of models that can't be loaded, and what loading them raises.
        loads: Names of models that were to be loaded, in their order.
    """

    processor: Processor
    promoted: str | None = None
    broken: dict[str, Exception] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    over: bool = False

    def load(self) -> Processor:
        name = self.promoted or "shipped"
        self.loads.append(name)
        if name in self.broken:
            raise self.broken[name]
        return replace(self.processor, triage=Named(self.processor.triage, name))  # type: ignore[arg-type]

    def to_follow(self) -> str | None:
        if self.over:
            Event().wait()  # the thread of a test that is over waits for the process's end
        return self.promoted and f"digest of {self.promoted}"


class Named:
    """The fake model under another name, which it gives out with every score."""

    def __init__(self, fake: Any, name: str) -> None:
        manifest = SimpleNamespace(name=name, digest=f"digest of {name}")
        self._fake = fake
        self.artefact = SimpleNamespace(manifest=manifest)
        self.policy, self.policies = fake.policy, fake.policies

    def score(self, recording: Any) -> Any:
        return replace(self._fake.score(recording), model=self.artefact.manifest.name)


@pytest.fixture
def world(fake_processor: Processor) -> Iterator[World]:
    world = World(fake_processor)
    yield world
    world.over = True


def started(world: World, again: float = 60.0) -> Loading:
    loading = Loading(world.load, world.to_follow, every=EVERY, again=again)
    loading.start()
    until(lambda: loading.ready or loading.error is not None)
    return loading


def name(loading: Loading) -> str:
    told: str = loading.processor().triage.artefact.manifest.name
    return told


def reloads(result: str) -> float:
    value: float = metrics.RELOADS.labels(result)._value.get()
    return value


def info(model: str) -> float:
    value: float = metrics.MODEL.labels(model, f"digest of {model}")._value.get()
    return value


def test_nothing_promoted_nothing_changes(world: World) -> None:
    loading = started(world)
    sleep(10 * EVERY)
    assert (name(loading), world.loads) == ("shipped", ["shipped"])


def test_what_is_promoted_takes_over_and_what_was_comes_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = reloads("done")
    loading = started(world)
    for promoted in ("one", "two", "shipped"):
        world.promoted = promoted
        until(lambda: name(loading) == world.promoted)
        until(lambda: info(str(world.promoted)) == 1)
    until(lambda: reloads("done") - before == 3)
    assert (info("one"), info("two")) == (0, 0)
    assert world.loads == ["shipped", "one", "two", "shipped"]
    assert caplog.text.count("is in service") == 4


def test_what_can_not_be_loaded_leaves_the_old_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    before = reloads("failed")
    loading = started(world)
    world.broken = {"bad": ArtefactRefused("heads are wrong."), "worse": RuntimeError("surprise")}
    for promoted in world.broken:
        world.promoted = promoted
        until(lambda: world.promoted in world.loads)
        until(lambda: metrics.BEHIND._value.get() == 1)
        assert (name(loading), loading.ready) == ("shipped", True)
    sleep(10 * EVERY)
    assert world.loads == ["shipped", "bad", "worse"]  # not again and again
    assert reloads("failed") - before == 2
    assert "heads are wrong." in caplog.text
    assert caplog.text.count("shipped goes on serving") == 2
    world.promoted = "good"
    until(lambda: name(loading) == "good")
    until(lambda: metrics.BEHIND._value.get() == 0)


def test_going_back_from_what_failed_needs_no_loading(world: World) -> None:
    loading = started(world)
    world.broken = {"bad": ArtefactRefused("heads are wrong.")}
    world.promoted = "bad"
    until(lambda: metrics.BEHIND._value.get() == 1)
    world.promoted = "shipped"
    until(lambda: metrics.BEHIND._value.get() == 0)
    assert (name(loading), world.loads) == ("shipped", ["shipped", "bad"])


def test_what_failed_is_tried_again_in_time(world: World) -> None:
    loading = started(world, again=0.05)
    world.broken = {"late": ArtefactRefused("the disk is gone.")}
    world.promoted = "late"
    until(lambda: world.loads.count("late") > 1)
    world.broken = {}
    until(lambda: name(loading) == "late")


def test_a_service_that_never_had_a_model_takes_the_next_one(world: World) -> None:
    bad, worse = ArtefactRefused("heads are wrong."), ArtefactRefused("there are none.")
    world.promoted, world.broken = "bad", {"bad": bad, "worse": worse}
    loading = started(world)
    assert loading.error is bad
    sleep(10 * EVERY)
    assert world.loads == ["bad"]
    world.promoted = "worse"
    until(lambda: loading.error is worse)
    world.promoted = "good"
    until(lambda: loading.ready)
    assert name(loading) == "good"


def test_a_request_in_hand_ends_on_the_model_it_began_with(
    world: World, limits: Settings, fake_triage: Any, held: Callable[[], None]
) -> None:
    loading = started(world)
    client = TestClient(build_app(loading.processor, limits))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client.post, "/score_text", json={"text": "hello"})
        assert fake_triage.waiting.wait(10)
        world.promoted = "one"
        until(lambda: name(loading) == "one")
        held()
        assert slow.result().json()["model"] == "shipped"
    assert client.post("/score_text", json={"text": "hello"}).json()["model"] == "one"


def test_the_old_model_is_let_go(world: World) -> None:
    loading = started(world)
    old = weakref.ref(loading.processor().triage)
    world.promoted = "one"
    until(lambda: name(loading) == "one")
    gc.collect()
    until(lambda: old() is None)
