"""The engine of a cluster: Ray Data over groups of entries, with a pool of actors for the models.

Each actor keeps its models in a process below it, as on one machine: what a crash in a codec
costs, and what comes of it, is the same. Entries are read off the source here, where their order
is known; audio that is elsewhere, or in a file that all machines share, is read by the actors.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np

from triage.batch.cores import Cores, groups, weight
from triage.batch.work import Group, Readable, Task
from triage.errors import BatchRefused

# Groups that are a data set for an actor: 2,048 recordings, some minutes of work, against the two
# seconds that its models take to load.
GROUPS_AN_ACTOR = 64

# And no more bytes than that: it is held in Ray's memory for objects, twice on the way.
BYTES_AN_ACTOR = 128 * 2**20

# Sound and words never go to a disk: a full memory for objects ends the run, which can go on. On a
# cluster that runs already this is its owner's to set.
NO_SPILLING = {"automatic_object_spilling_enabled": False}

# Nothing is reported to Ray's makers, and nothing printed that isn't ours.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}

REACHED_WITHIN = 5.0  # s
COLUMN = "pickled"


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
        try:
            if address:
                ray.init(address=address, **quiet)
            else:
                ray.init(
                    num_cpus=cores, include_dashboard=False, _system_config=NO_SPILLING, **quiet
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _unusable(type(error).__name__) from None
        self._actors = max(1, int(ray.cluster_resources().get("CPU", 1)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()

    def scored(self, entries: Iterator[Readable]) -> Iterator[Group]:
        """Scores entries all over the cluster; what comes of them is in their order.

        Raises:
            BatchRefused: The cluster gave up.
        """
        import ray

        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        window: list[list[Readable]] = []
        size = 0
        for group in groups(entries):
            window.append(group)
            size += sum(map(weight, group))
            if (
                len(window) == GROUPS_AN_ACTOR * self._actors
                or size > BYTES_AN_ACTOR * self._actors
            ):
                yield from self._window(window)
                window, size = [], 0
        if window:
            yield from self._window(window)

    def _window(self, window: list[list[Readable]]) -> Iterator[Group]:
        import ray

        rows = [{COLUMN: pickle.dumps(group)} for group in window]
        scored = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Actor,
            fn_constructor_args=(self._task, self._model),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=min(self._actors, len(rows))),
        )
        try:
            for row in scored.iter_rows():
                # Our own records, from our own actors.
                group: Group = pickle.loads(row[COLUMN])  # noqa: S301
                yield group
        except ray.exceptions.RayError as error:
            raise BatchRefused(
                f"The Ray cluster gave up: {type(error).__name__}. What is written holds: give the "
                "same command again when it is up."
            ) from None


def _reach(address: str) -> None:
    """Asks at a cluster's door, since Ray itself would try for minutes."""
    where = urlsplit(address if "://" in address else f"//{address}")
    try:
        if where.hostname and where.port:
            socket.create_connection((where.hostname, where.port), REACHED_WITHIN).close()
    except (OSError, ValueError) as error:
        raise _unusable(type(error).__name__) from None


def _unusable(kind: str) -> BatchRefused:
    return BatchRefused(
        f"The Ray cluster can't be used: {kind}. Look whether it runs, correct --ray-address, and "
        "set RAY_AUTH_MODE=token if it asks for a token."
    )


class Actor:
    """Models somewhere on the cluster.

    Args:
        task: For the worker.
        model: Name of the model.
    """

    def __init__(self, task: Task, model: str) -> None:
        self._cores = Cores(task, model, 1, pinned=False)

    def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        done = [
            pickle.dumps(one)
            for pickled in batch[COLUMN]
            for one in self._cores.scored(iter(pickle.loads(pickled)))  # noqa: S301 - likewise
        ]
        return {COLUMN: np.array(done, dtype=object)}
