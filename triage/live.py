"""The window of live scores, kept on disk as counts and nothing else.

    <state>/live/<model digest, 16>/<hour, UTC>-<process>.json

Each process writes files of its own, one an hour, so none waits for another. A file holds how
many values fell into each bin of the model's reference: no id, no time but the hour, no value.
"""

from __future__ import annotations

import atexit
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock, Timer
from typing import Annotated
from uuid import uuid4

import numpy as np
from pydantic import Field, TypeAdapter

from triage.drift import place, values
from triage.files import put
from triage.manifest import Histogram, Manifest
from triage.records import Doubles, Scores

EVERY = 60.0  # s from the first pass that isn't on disk until it is
KEPT = timedelta(days=30)
HOUR = "%Y-%m-%dT%HZ"

Hour = dict[str, list[int]]  # counts by name, one for each bin
_HOUR = TypeAdapter(dict[str, list[Annotated[int, Field(ge=0)]]])

log = logging.getLogger(__name__)


# Writing ------------------------------------------------------------------------------------


class Window:
    """Counts this process's passes, and writes the counts down beside the passes' own way.

    No pass waits for the disk or fails by it. What can't be written stays in memory and is tried
    again. A process that is killed loses what it hasn't written, a minute's passes at most.

    Args:
        folder: Of the model's files (see `folder_of`); made when there is something to write.
        reference: What the model's live scores are compared with; without it nothing is counted.
        now: The clock.
        every: Seconds until a pass is written.

    Attributes:
        folder, reference: As given.
        failures: Writes that failed.
    """

    def __init__(
        self,
        folder: Path,
        reference: Mapping[str, Histogram],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        every: float = EVERY,
    ) -> None:
        self.failures = 0
        self.folder = folder
        self.reference = reference
        self._now = now
        self._every = every
        self._process = uuid4().hex[:12]  # process numbers repeat among containers
        self._hours: dict[str, Hour] = {}
        self._changed: set[str] = set()
        self._timer: Timer | None = None
        self._counting, self._writing = Lock(), Lock()

    def add(self, passes: Iterable[Scores]) -> None:
        """Counts passes; from any thread."""
        if not self.reference:
            return
        with self._counting:
            name = self._now().strftime(HOUR)
            hour = self._hours.setdefault(name, {})
            for scores in passes:
                _count(scores, self.reference, hour)
                self._changed.add(name)
            self._start()

    def flush(self) -> None:
        """Writes what has changed; what fails is counted, told in the log once, and kept."""
        with self._writing:
            with self._counting:
                self._stop()
                current = self._now().strftime(HOUR)
                changed = {name: _HOUR.dump_json(self._hours[name]) for name in self._changed}
                self._changed.clear()
            failed = {name for name, content in changed.items() if not self._written(name, content)}
            with self._counting:
                self._changed |= failed
                for name in self._hours.keys() - self._changed - {current}:
                    del self._hours[name]
                self._start()

    def _written(self, hour: str, content: bytes) -> bool:
        """The edge at which a disk that is full or gone costs the window, not a recording."""
        file = self.folder / f"{hour}-{self._process}.json"
        try:
            if not file.exists():
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                _prune(self.folder.parent, self._now() - KEPT)
            put(file, content)
        except OSError as error:
            if not self.failures:
                log.error("live counts can't be written, will be tried again: %s", error.strerror)
            self.failures += 1
            return False
        return True

    def _start(self) -> None:
        """Sees to it that what has changed is written in time, and at the process's end."""
        if not self._changed or self._timer is not None:
            return
        timer = Timer(self._every, self.flush)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # the system gives no more threads; the next pass asks again
            return
        self._timer = timer
        atexit.register(self.flush)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            atexit.unregister(self.flush)


def no_window() -> Window:
    """One that counts nothing."""
    return Window(Path(), {})


def folder_of(manifest: Manifest, state: Path) -> Path:
    """Where a model's live counts are kept, below the state folder.

    The digest stands for the reference too, so all of its files have the same bins.
    """
    return state / "live" / manifest.digest[:16]


def _count(scores: Scores, reference: Mapping[str, Histogram], hour: Hour) -> None:
    for name, value in values(scores):
        if name in reference and math.isfinite(value):
            edges = reference[name].edges
            counts = hour.setdefault(name, [0] * (len(edges) + 1))
            counts[place(value, edges)] += 1


def _prune(live: Path, before: datetime) -> None:
    """Takes away what is old enough; what can't be looked at stays, and stops nobody."""
    for file in live.glob("*/*"):
        with suppress(OSError):  # another process may do the same, and links may lead nowhere
            if file.lstat().st_mtime < before.timestamp():
                file.unlink()


# Reading ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Live:
    """What is on disk of a model's live scores.

    Attributes:
        hours: By the hour's start, rising: counts by name, each of shape (bins,).
        unreadable: Files that were left out, as they don't hold counts over the reference's bins.
    """

    hours: Mapping[datetime, Mapping[str, Doubles]]
    unreadable: int

    @property
    def total(self) -> dict[str, Doubles]:
        """The counts of all hours together."""
        total: dict[str, Doubles] = {}
        for hour in self.hours.values():
            _add(total, hour)
        return total


def read(folder: Path, reference: Mapping[str, Histogram], since: datetime) -> Live:
    """Reads what all processes have written.

    Args:
        folder: See `folder_of`.
        reference: Of the model.
        since: The hour that this lies in is the first.
    """
    hours: dict[datetime, dict[str, Doubles]] = {}
    unreadable = 0
    first = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    for file in sorted(folder.glob("*.json")):
        try:
            hour = datetime.strptime(file.name.partition("Z")[0] + "Z", HOUR).replace(tzinfo=UTC)
            if hour >= first:
                _add(hours.setdefault(hour, {}), _checked(file.read_bytes(), reference))
        except (OSError, ValueError):
            unreadable += 1
    return Live({hour: counts for hour, counts in hours.items() if counts}, unreadable)


def _checked(content: bytes, reference: Mapping[str, Histogram]) -> dict[str, Doubles]:
    """The counts in a file.

    Raises:
        ValueError: They are none, or not over the reference's bins.
    """
    counts = _HOUR.validate_json(content)
    bins = {name: len(histogram.counts) for name, histogram in reference.items()}
    if any(bins.get(name) != len(row) for name, row in counts.items()):
        raise ValueError("counts over other bins")
    return {name: np.array(row, np.float64) for name, row in counts.items()}


def _add(total: dict[str, Doubles], more: Mapping[str, Doubles]) -> None:
    for name, counts in more.items():
        total[name] = total[name] + counts if name in total else counts
