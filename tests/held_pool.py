"""A pool in place of pebble's, whose workers are thought: it works when somebody waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from misbehaving import MODEL
from pebble import ProcessExpired

from triage.archive.entries import Distant
from triage.batch import cores
from triage.batch.work import Group, Readable, Scored
from triage.errors import ArtefactRefused
from triage.records import Recording, Scores


class Promise(Future[Group]):
    pool: Pool


@dataclass
class Pool:
    """In place of pebble's.

    Attributes:
        at_once: Whether work is done when it is given.
        forgets: Whether what it was given stays without an answer when it breaks.
        breaks: How many of the next times it breaks over a recording that says so.
        given: Every group, with its patience.
    """

    at_once: bool
    forgets: bool
    breaks: list[int]
    told: dict[str, Any]
    active: bool = True
    ended: list[str] = field(default_factory=list)
    given: list[tuple[list[Readable], float]] = field(default_factory=list)
    queue: list[tuple[list[Readable], Promise]] = field(default_factory=list)

    def schedule(self, function: Any, args: Any, timeout: float) -> Promise:
        assert function is cores._score
        assert self.active
        promise = Promise()
        promise.pool = self
        self.given.append((list(args[0]), timeout))
        self.queue.append((list(args[0]), promise))
        if self.at_once:
            self.work()
        return promise

    def work(self) -> None:
        group, promise = self.queue.pop(0)
        said = [one.audio for one in group if isinstance(one, Recording)]
        if b"break" in said and self.breaks[0] > 0:
            self.breaks[0] -= 1
            self.active = False
            for one in [] if self.forgets else [promise, *(one for _, one in self.queue)]:
                one.set_exception(BrokenProcessPool())
        elif b"missing" in said:
            promise.set_exception(ArtefactRefused("There is no model."))
        elif b"kill" in said:
            promise.set_exception(ProcessExpired("Abnormal termination"))
        elif b"hang" in said:
            promise.set_exception(TimeoutError())
        else:
            scored = [Scored(named(one), {}, "", Scores(MODEL, {"a": 1.0}, {})) for one in group]
            promise.set_result(Group(scored, {"read": 1.0, "text": len(group) / 4}))

    def close(self) -> None:
        self.ended.append("close")

    def stop(self) -> None:
        self.ended.append("stop")

    def join(self) -> None:
        self.ended.append("join")


def waits(promises: Sequence[Promise], timeout: float) -> Any:
    """What is waited for is done meanwhile, and all that was given before it."""
    (promise,) = promises
    assert timeout > 0
    while not promise.done() and promise.pool.active:
        promise.pool.work()
    return SimpleNamespace(done={promise} if promise.done() else set())


@contextmanager
def pools(
    *, at_once: bool = False, forgets: bool = False, breaks: int = 0, **more: Any
) -> Iterator[list[Pool]]:
    """All pools that are made within; by `more` the module's limits."""
    made: list[Pool] = []
    left = [breaks]

    def pool(**told: Any) -> Pool:
        made.append(Pool(at_once, forgets, left, told))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pebble.ProcessPool", pool)
        patch.setattr(cores, "wait", waits)
        for name, value in more.items():
            patch.setattr(cores, name, value)
        yield made


def named(one: Readable) -> str:
    return one.recording.id if isinstance(one, Distant) else one.id
