"""The engine of one machine: a process for each core, each with models of its own.

A worker that dies or hangs takes with it what it had in hand. That is tried again one by one, and
what kills another worker by itself is given up and goes to a person: one recording, not the run.
One that dies with nothing in hand takes the pool with it, which is begun anew.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from ctypes import c_int
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from typing import Any, Self

from triage.archive.entries import Distant, Unreadable
from triage.batch.work import Group, Readable, Task, Worker, died
from triage.errors import BatchRefused

GROUP = 32  # entries that a worker is given at once: enough to find some of like length
GROUP_BYTES = 16 * 2**20  # and not more than this
DISTANT_BYTES = 2**20  # what one that is elsewhere counts for
HANDED_OUT = 256 * 2**20  # bytes that may be with workers, or done and waiting for one before them
GROUPS_A_WORKER = 24  # groups likewise, so that one long recording doesn't stop the others
LEAST_PATIENCE = 300.0  # s for a group; and a second more for each
PATIENCE_BYTES = 5_000  # of it: 7 s of the thinnest Opus there is
DISTANT_PATIENCE = 3_600.0  # s for one by itself that is elsewhere: it may be as long as any
MOST_DEATHS = 20  # in a row, over recordings by themselves: something else is wrong then
GLANCE = 1.0  # s between two looks at whether there still is a pool


class Cores:
    """Scores on this machine, while it is entered.

    Args:
        task: For the workers.
        model: Name of the model, for what can't be scored.
        cores: How many workers.
        pinned: Whether each is kept on a core of its own.
    """

    def __init__(self, task: Task, model: str, cores: int, *, pinned: bool = True) -> None:
        self._context = get_context("spawn")
        taken = self._context.Array(c_int, cores) if pinned else None
        self._told = task, taken, os.getpid()
        self._model = model
        self._cores = cores
        self._deaths = 0
        self._pool = self._new_pool()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._pool.close()
        else:
            self._pool.stop()  # what is under way when a run is given up is nobody's any more
        self._pool.join()

    def scored(self, entries: Iterator[Readable]) -> Iterator[Group]:
        """Scores entries side by side; what comes of them is in their order.

        Raises:
            BatchRefused: Workers die whatever they are given.
            SetupError: A worker can't do without something that is missing.
        """
        waiting: deque[tuple[list[Readable], int, _Handed]] = deque()
        out = 0
        for group in groups(entries):
            size = sum(map(weight, group))
            waiting.append((group, size, self._hand_out(group)))
            out += size
            while waiting and (
                out > HANDED_OUT
                or len(waiting) >= GROUPS_A_WORKER * self._cores
                or waiting[0][2].future.done()
            ):
                first, size, handed = waiting.popleft()
                out -= size
                yield self._collect(first, handed)
        for first, _, handed in waiting:
            yield self._collect(first, handed)

    def _new_pool(self) -> Any:
        from pebble import ProcessPool

        return ProcessPool(
            max_workers=self._cores,
            context=self._context,
            initializer=_begin,
            initargs=self._told,
        )

    def _hand_out(self, group: Sequence[Readable]) -> _Handed:
        if not self._pool.active:  # one has died with nothing in hand
            self._count_death()
            self._pool.stop()
            self._pool.join()
            self._pool = self._new_pool()
        handed = self._pool.schedule(_score, args=(group,), timeout=patience(group))
        return _Handed(self._pool, handed)

    def _collect(self, group: list[Readable], handed: _Handed) -> Group:
        from pebble import ProcessExpired

        try:
            done = handed.result()
        except (ProcessExpired, TimeoutError):
            return self._one_by_one(group)
        except BrokenProcessPool:
            return self._collect(group, self._hand_out(group))
        self._deaths = 0
        return done

    def _one_by_one(self, group: list[Readable]) -> Group:
        if len(group) > 1:
            each = [self._collect([one], self._hand_out([one])) for one in group]
            stages: dict[str, float] = {}
            for one in each:
                for stage, seconds in one.stages.items():
                    stages[stage] = stages.get(stage, 0.0) + seconds
            scored = list(chain.from_iterable(one.scored for one in each))
            return Group(scored, stages)
        self._count_death()
        return Group([died(group[0], self._model)])

    def _count_death(self) -> None:
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise BatchRefused(
                f"Over {MOST_DEATHS} workers in a row have died over one recording each, or over "
                "none, so it isn't the recordings. Look at the machine's memory, give the same "
                "command again, and name fewer cores with TRIAGE_THREADS.",
                limit=MOST_DEATHS,
            )


@dataclass(frozen=True, slots=True)
class _Handed:
    """A group that a pool was given."""

    pool: Any
    future: Future[Group]

    def result(self) -> Group:
        """What comes of it.

        Raises:
            BrokenProcessPool: Nothing will; a pool that breaks forgets some of what it was given.
        """
        while not wait([self.future], GLANCE).done:
            if not self.pool.active:
                raise BrokenProcessPool
        return self.future.result()


def weight(entry: Readable) -> int:
    """Bytes that an entry holds, or stands for, at most about."""
    if isinstance(entry, Unreadable):
        return 0
    if isinstance(entry, Distant):
        return DISTANT_BYTES
    if isinstance(entry.audio, bytes):
        return len(entry.audio)
    if entry.audio is not None:
        try:
            return entry.audio.stat().st_size
        except OSError:
            return 0
    return len(entry.transcript or "")


def patience(group: Sequence[Readable]) -> float:
    """Seconds after which a worker hangs that has these in hand. Those of many are tried again."""
    if len(group) == 1 and isinstance(group[0], Distant):
        return DISTANT_PATIENCE
    return LEAST_PATIENCE + sum(map(weight, group)) / PATIENCE_BYTES


def groups(entries: Iterator[Readable]) -> Iterator[list[Readable]]:
    """Entries in their order, as many at once as a worker is given."""
    group: list[Readable] = []
    size = 0
    for entry in entries:
        own = weight(entry)
        if group and (len(group) == GROUP or size + own > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(entry)
        size += own
    if group:
        yield group


# In a worker --------------------------------------------------------------------------------

_worker: Worker | Exception | None = None  # or why there is none


def _begin(task: Task, taken: Any, parent: int) -> None:
    """Settles a new worker on a core, if it is to have one, and loads its models."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    if taken is not None:
        _pin(taken)
    try:
        _worker = Worker(task)
    except Exception as error:  # told to whoever asks for scores: the next worker would fare alike
        _worker = error


def _follow(parent: int) -> None:
    """Ends with the parent, however that ends."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _pin(taken: Any) -> None:
    """Keeps this process on the first core that no living worker has."""
    cores = sorted(os.sched_getaffinity(0))
    with taken.get_lock():
        for place in range(len(taken)):
            if not taken[place] or not _lives(taken[place]):
                taken[place] = os.getpid()
                os.sched_setaffinity(0, {cores[place % len(cores)]})
                return


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def _score(group: Sequence[Readable]) -> Group:
    assert _worker is not None  # noqa: S101 - the initializer has run
    if isinstance(_worker, Exception):
        raise _worker
    return _worker.score(group)
