"""Timing pipelines in interpreters of their own, with cores of their own: JSON, a line a message.

A worker shares nothing with the bench but this file, which needs the standard library only: so
each pipeline brings its own libraries and its own threads, and can be pinned to cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from time import perf_counter
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent

Job = Callable[[], Any]


class Worker(AbstractContextManager["Worker"]):
    """A pipeline in a process of its own.

    Args:
        python: The interpreter that has what the pipeline needs.
        module: Module that calls `work`.
        cores: Which cores it may use.
        quiet: Whether what it says on standard error is dropped.
    """

    def __init__(
        self, python: Path | str, module: str, cores: Sequence[int], *, quiet: bool = False
    ) -> None:
        self._process = subprocess.Popen(
            [str(python), "-m", module, ",".join(map(str, cores))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            text=True,
            cwd=PROJECT,
        )

    def time(self, task: str, **given: Any) -> float:
        """Seconds that one run of a task takes; what has to be made ready for it isn't counted."""
        seconds: float = self.ask(task, **given)["seconds"]
        return seconds

    def ask(self, task: str, **given: Any) -> dict[str, Any]:
        """Runs a task once; gives its `seconds` and its `result`.

        Raises:
            RuntimeError: The worker has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"task": task, "given": given}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with {self._process.wait()} during {task}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # the end of its input is the end of its work


def work(load: Callable[[int], Mapping[str, Callable[..., Job]]]) -> None:
    """The other side: runs tasks as they are asked for, until the input ends.

    Args:
        load: Takes a number of threads, gives the tasks by name. A task takes what was given,
            makes ready, and gives what is then timed.
    """
    cores = [int(core) for core in sys.argv[1].split(",")]
    os.sched_setaffinity(0, cores)  # before any library counts them
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    tasks = load(len(cores))
    for line in sys.stdin:
        asked = json.loads(line)
        job = tasks[asked["task"]](**asked["given"])
        began = perf_counter()
        result = job()
        seconds = perf_counter() - began
        print(json.dumps({"seconds": seconds, "result": result}), file=answers, flush=True)
