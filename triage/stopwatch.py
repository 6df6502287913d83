"""Seconds by stage, for whoever asks where the time of long work goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Adds up the seconds of stages; of one thread, so of work that isn't done side by side."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts what is done within as a stage's."""
        began = perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += perf_counter() - began

    def taken(self) -> dict[str, float]:
        """Seconds by stage since the last time it was asked."""
        taken, self._seconds = dict(self._seconds), defaultdict(float)
        return taken
