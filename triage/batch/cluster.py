"""The engine of a cluster: Ray Data over groups of entries, with a pool of actors for the models.

Each actor keeps its models in a process below it, as on one machine: what a crash in a codec
costs, and what comes of it, is the same. Entries are read off the source here, where their order
is known; audio that is elsewhere, or in a file that all machines see, is read by the actors.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import urlsplit

from triage import __version__
from triage.batch.actors import COLUMN, Actor, handed
from triage.batch.cores import groups
from triage.batch.work import Group, Readable, Task
from triage.errors import BatchRefused, TriageError

# Groups that are a data set for an actor: up to 8,192 recordings, many minutes of work, against
# the seconds in which it starts and loads its models, for each data set anew.
GROUPS_AN_ACTOR = 256

# And no more bytes on their way than that: they are held in Ray's memory for objects.
BYTES_AN_ACTOR = 128 * 2**20
SHARE = 4  # of that memory, at most a fourth: what is under way in Ray is held beside it
LEAST_MEMORY = 128 * 2**20

# Groups that an actor is given at once. More would wait for it while others have nothing to do.
IN_HAND = 2

# Sound and words never go to a disk: a full memory for objects ends the run, which can go on. On a
# cluster that runs already this is its owner's to set.
NO_SPILLING = {"automatic_object_spilling_enabled": False}
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory, a private folder in it
ELSEWHERE = Path("/tmp")  # noqa: S108 - likewise; the paths of sockets have to be short

# Nothing is reported to Ray's makers, and nothing printed that isn't ours.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}

REACHED_WITHIN = 5.0  # s
STDERR = 2


class Cluster:
    """Scores on a Ray cluster, while it is entered.

    Args:
        task: For the workers.
        model: Name of the model, for what can't be scored.
        address: Of the cluster; empty starts one on this machine.
        cores: How many actors on a cluster that is started here.

    Raises:
        BatchRefused: Ray isn't installed, or the cluster can't be reached.
    """

    def __init__(self, task: Task, model: str, address: str, cores: int) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        try:
            ray: Any = import_module("ray")
        except ImportError:
            raise BatchRefused(
                "Ray isn't installed. Install it with pip install 'triage[ray]', or leave out "
                "--engine ray."
            ) from None
        self._task, self._model = task, model
        _reach(address)
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        with ExitStack() as undone, _own_answer_to_a_term():
            if address:
                more: dict[str, Any] = {"address": address}
            else:
                more = undone.enter_context(_private(cores))
            undone.callback(ray.shutdown, wait_for_processes=True)
            try:
                with _nothing_printed():
                    ray.init(**more, **quiet)
            except Exception as error:  # Ray raises bare ones as well
                raise _unusable(type(error).__name__) from None
            self._home: str = ray.util.get_node_ip_address()
            self._undo = undone.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def scored(self, entries: Iterator[Readable]) -> Iterator[Group]:
        """Scores entries all over the cluster; what comes of them is in their order.

        Raises:
            BatchRefused: The cluster gave up.
            SetupError: A worker can't do without something that is missing.
        """
        window: list[bytes] = []
        size, actors, most = 0, *_strength()
        for group in groups(entries):
            window.append(pickle.dumps(handed(group)))
            size += len(window[-1])
            if len(window) == GROUPS_AN_ACTOR * actors or size > most:
                yield from self._window(window, actors)
                window.clear()
                size, actors, most = 0, *_strength()
        if window:
            yield from self._window(window, actors)

    def _window(self, window: Sequence[bytes], actors: int) -> Iterator[Group]:
        import ray

        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.raise_original_map_exception = True
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what is raised is told by us
        rows = [{COLUMN: pickled} for pickled in window]
        scored = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Actor,
            fn_constructor_args=(self._task, self._model, self._home, __version__),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(
                size=min(actors, len(rows)), max_tasks_in_flight_per_actor=IN_HAND
            ),
        )
        try:
            for row in scored.iter_rows():
                # Our own records, from our own actors.
                group: Group = pickle.loads(row[COLUMN])  # noqa: S301
                yield group
        except ray.exceptions.RayError as error:
            raise _gave_up(error) from None


@contextmanager
def _private(cores: int) -> Iterator[dict[str, Any]]:
    """What a cluster of this machine is started with, whose files are in memory and go with it.

    Whoever reaches a cluster over the network can run what they like on it, so this one asks for
    a token, which nobody else is told.
    """
    where = MEMORY if os.access(MEMORY, os.W_OK) else ELSEWHERE
    objects = SHARE * BYTES_AN_ACTOR * cores
    if where == MEMORY:
        free = shutil.disk_usage(where).free // 2
        if free < LEAST_MEMORY:
            raise BatchRefused(
                f"Ray needs {2 * LEAST_MEMORY // 2**20} MB of shared memory, and there are "
                f"{2 * free // 2**20}. Give the container more (docker run --shm-size=2g), or "
                "leave out --engine ray.",
                limit=2 * LEAST_MEMORY,
            )
        objects = min(objects, free)
    with TemporaryDirectory(prefix="triage-", dir=where, ignore_cleanup_errors=True) as folder:
        before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
        os.environ.setdefault("RAY_AUTH_TOKEN", _token())  # the mode is Ray's own to set
        try:
            yield {
                "num_cpus": cores,
                "object_store_memory": objects,
                "include_dashboard": False,
                "_temp_dir": f"{folder}/ray",  # which Ray opens to all
                "_system_config": NO_SPILLING,
            }
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


@cache
def _token() -> str:
    """One for this process, since Ray reads it once."""
    return token_hex(32)


@contextmanager
def _own_answer_to_a_term() -> Iterator[None]:
    """Keeps to what we do when the system asks us to end, in place of what Ray would."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """Keeps from the terminal what Ray's own library prints below Python, such as that it won't."""
    kept, nowhere = os.dup(STDERR), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
    try:
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
        os.close(nowhere)


def _strength() -> tuple[int, int]:
    """How many actors the cluster carries at this moment, and how many bytes may be with it."""
    ray: Any = import_module("ray")
    has = ray.cluster_resources()
    actors = max(1, int(has.get("CPU", 1)))
    # Objects are put into the memory of this machine, which may be the smallest of them.
    machines = max(1, sum(node["Alive"] for node in ray.nodes()))
    objects = int(has.get("object_store_memory", BYTES_AN_ACTOR)) // machines
    return actors, min(BYTES_AN_ACTOR * actors, objects // SHARE)


def _reach(address: str) -> None:
    """Asks at a cluster's door, since Ray itself would try for minutes."""
    try:
        where = urlsplit(address if "://" in address else f"//{address}")
        if where.hostname and where.port:
            socket.create_connection((where.hostname, where.port), REACHED_WITHIN).close()
    except (OSError, ValueError) as error:
        raise _unusable(type(error).__name__) from None


def _unusable(kind: str) -> BatchRefused:
    return BatchRefused(
        f"The Ray cluster can't be used: {kind}. Look whether it runs, and with the same versions "
        "of Python and Ray as here; correct --ray-address, and set RAY_AUTH_MODE=token if it asks "
        "for a token."
    )


def _gave_up(error: Exception) -> TriageError:
    """What is told of an error that ended a data set: our own by itself, others by their kind."""
    own = getattr(error, "cause", None)
    if isinstance(own, TriageError):
        return own
    return BatchRefused(
        f"The Ray cluster gave up: {type(error).__name__}. What is written holds: give the same "
        "command again when it is up, with this Triage and its models on each machine."
    )
