"""What is on the machines of a cluster: actors with models, and what they are handed.

Scores by content are looked up and kept on the machine that asks alone, since SQLite can't be
shared over a network.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from os.path import exists
from pathlib import Path
from typing import Any

import numpy as np

from triage import __version__
from triage.batch.cores import Cores
from triage.batch.work import Readable, Task
from triage.errors import BatchRefused
from triage.records import Recording

COLUMN = "pickled"


@dataclass(frozen=True, slots=True)
class Handed:
    """What an actor is given at once.

    Attributes:
        entries: To be scored together.
        seen: A file of theirs that is there.
    """

    entries: Sequence[Readable] = field(repr=False)
    seen: Path | None = field(repr=False)


def handed(group: Sequence[Readable]) -> Handed:
    """A group with its files named as they are from anywhere, and one of them to look for."""
    entries = [
        replace(one, audio=one.audio.absolute())
        if isinstance(one, Recording) and isinstance(one.audio, Path)
        else one
        for one in group
    ]
    files = (one.audio for one in entries if isinstance(one, Recording))
    return Handed(
        entries, next((one for one in files if isinstance(one, Path) and exists(one)), None)
    )


class Actor:
    """Models somewhere on the cluster.

    Args:
        task: For the worker.
        model: Name of the model.
        home: Address of the machine that asks.
        version: Of the Triage that asks.
    """

    def __init__(self, task: Task, model: str, home: str, version: str) -> None:
        ray: Any = import_module("ray")
        if ray.util.get_node_ip_address() != home:
            task = replace(task, known=None)
        self._cores = Cores(task, model, 1, pinned=False)
        self._version = version

    def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Scores what it is handed, pickled; what comes of it is too.

        Raises:
            BatchRefused: This machine isn't like the one that asks.
        """
        if self._version != __version__:
            raise BatchRefused(
                f"A machine of the Ray cluster has Triage {__version__}, and this one "
                f"{self._version}. Install the same on each."
            )
        done: list[bytes] = []
        for pickled in batch[COLUMN]:
            given: Handed = pickle.loads(pickled)  # noqa: S301 - our own
            if given.seen is not None and not exists(given.seen):
                raise BatchRefused(
                    "A machine of the Ray cluster doesn't see the source's files. Put them where "
                    "each sees them under the same path, or give an archive or a store's URL."
                )
            done += map(pickle.dumps, self._cores.scored(iter(given.entries)))
        return {COLUMN: np.array(done, dtype=object)}
