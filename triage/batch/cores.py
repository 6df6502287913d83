"""The engine of one machine: a process for each core, each with models of its own.

A worker that dies or hangs takes with it what it had in hand. That is tried again one by one, and
what kills another worker by itself is given up and goes to a person: one recording, not the run.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from ctypes import c_int
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
MOST_DEATHS = 20  # in a row, over recordings by themselves: something else is wrong then


class Cores:
    """Scores on this machine, while it is entered.

    Args:
        task: For the workers.
        model: Name of the model, for what can't be scored.
        cores: How many workers.
        pinned: Whether each is kept on a core of its own.
    """

    def __init__(self, task: Task, model: str, cores: int, *, pinned: bool = True) -> None:
        from pebble import ProcessPool

        context = get_context("spawn")
        taken = context.Array(c_int, cores) if pinned else None
        self._model = model
        self._cores = cores
        self._deaths = 0
        self._pool: Any = ProcessPool(
            max_workers=cores,
            context=context,
            initializer=_begin,
            initargs=(task, taken, os.getpid()),
        )

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
        waiting: deque[tuple[list[Readable], int, Future[Group]]] = deque()
        out = 0
        for group in groups(entries):
            size = sum(map(weight, group))
            waiting.append((group, size, self._hand_out(group)))
            out += size
            while waiting and (
                out > HANDED_OUT
                or len(waiting) >= GROUPS_A_WORKER * self._cores
                or waiting[0][2].done()
            ):
                first, size, future = waiting.popleft()
                out -= size
                yield self._collect(first, future)
        for first, _, future in waiting:
            yield self._collect(first, future)

    def _hand_out(self, group: Sequence[Readable]) -> Future[Group]:
        patience = LEAST_PATIENCE + sum(map(weight, group)) / PATIENCE_BYTES
        handed: Future[Group] = self._pool.schedule(_score, args=(group,), timeout=patience)
        return handed

    def _collect(self, group: list[Readable], future: Future[Group]) -> Group:
        from pebble import ProcessExpired

        try:
            done = future.result()
        except (ProcessExpired, TimeoutError):
            return self._one_by_one(group)
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
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise BatchRefused(
                f"{MOST_DEATHS} workers in a row have died over one recording each, so it isn't "
                "the recordings. Look at the machine's memory, give the same command again, and "
                "name fewer cores with TRIAGE_THREADS.",
                limit=MOST_DEATHS,
            )
        return Group([died(group[0], self._model)])


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

_worker: Worker | None = None


def _begin(task: Task, taken: Any, parent: int) -> None:
    """Settles a new worker on a core, if it is to have one, and loads its models."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    if taken is not None:
        _pin(taken)
    _worker = Worker(task)


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
    return _worker.score(group)
