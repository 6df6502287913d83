"""Ends what is at work at a step of its own: killed where it stands, or refused by a full disk.

A step is a call that changes a file or a folder; on a full disk, also one that makes it outlast a
power cut, since a disk may say only then that it is full.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from triage.errors import BatchFailed

KILLED = 9
PATIENCE = 20.0  # s; a busy machine, not what it takes
CHANGES = ("open", "write", "mkdir", "rmdir", "replace", "unlink", "chmod", "fchmod", "truncate")
Work = Callable[[], object]


def forked(work: Work) -> int:
    """The id of a process that does some work and ends, cleaning up nothing."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # nothing of the test's may go on in here
        os._exit(1)
    os._exit(0)


def ended(child: int) -> int:
    """What a process ended with."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(step: int, work: Work, *, half: bool = False) -> bool:
    """Whether work was killed before one of its steps, and had not come to its end before that.

    Args:
        step: Which, from 0.
        work: Done in a process of its own.
        half: Whether only writing is a step, and half of it is done.
    """

    def dying() -> None:
        _at(step, lambda _: os._exit(KILLED), pytest.MonkeyPatch(), CHANGES, half=half)
        work()

    code = ended(forked(dying))
    assert code in (0, KILLED)
    return code == KILLED


def full_at(step: int, work: Work, *, half: bool = False) -> tuple[str, str]:
    """Does work on a disk that is full at one step and at no other; `half` as in `killed_at`.

    Returns:
        The call that was refused, and what was said of it; both empty if there was none.
    """
    refused, said = "", ""

    def refuse(name: str) -> None:
        nonlocal refused
        refused = name
        if not half:  # what takes a part says how much it took
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        _at(step, refuse, patch, (*CHANGES, "fsync"), half=half)
        try:
            work()
        except BatchFailed as error:
            said = str(error)
    return refused, said


def _at(
    step: int,
    stop: Callable[[str], object],
    patch: pytest.MonkeyPatch,
    calls: Sequence[str],
    *,
    half: bool,
) -> None:
    steps = count()

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*given: Any, **more: Any) -> Any:
            only_reads = name == "open" and not given[1] & os.O_CREAT
            if only_reads or next(steps) != step:
                return real(*given, **more)
            done = real(given[0], given[1][: len(given[1]) // 2]) if half else None
            stop(name)
            return done

        return call

    for name in ("write",) if half else calls:
        patch.setattr(os, name, watched(name))


@contextmanager
def elsewhere(held: AbstractContextManager[object]) -> Iterator[None]:
    """Another process, with something in its hands until it is killed."""
    reading, writing = os.pipe()

    def holding() -> None:
        with held:
            os.write(writing, b"x")
            sleep(PATIENCE)

    child = forked(holding)
    os.close(writing)
    try:
        assert os.read(reading, 1) == b"x"
        yield
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        assert ended(child) == -signal.SIGKILL


def tree(folder: Path) -> dict[str, bytes | None]:
    """What a folder holds, by path; None for a folder."""
    return {
        str(one.relative_to(folder)): None if one.is_dir() else one.read_bytes()
        for one in folder.rglob("*")
    }
