"""How far a run is, on standard error: a bar where somebody watches, lines where a log is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from triage.batch.run import Stand, Watch

EVERY = 30.0  # s between two lines
SMOOTHING = 120.0  # s over which the time left is estimated


@contextmanager
def pace(total: int | None, *, quiet: bool) -> Iterator[Watch]:
    """Tells how far a run is.

    Args:
        total: How many recordings there are; None if that isn't known.
        quiet: Lines from time to time, even where somebody watches.

    Yields:
        What to tell.
    """
    console = Console(stderr=True, highlight=False, markup=False)
    if quiet or not console.is_terminal:
        lines = Lines(partial(console.print, soft_wrap=True), total)  # one is one, however long
        yield lines.tell
        lines.last()
        return
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rates]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        redirect_stdout=False,  # standard output may be a file, and must stay where it is
        speed_estimate_period=SMOOTHING,
    )
    task = bars.add_task("Scoring", total=total, rates="")
    rates = Rates()

    def tell(stand: Stand) -> None:
        told = rates.told(stand, monotonic())
        bars.update(task, completed=stand.done, rates=told)

    with bars:
        yield tell


class Rates:
    """How fast a run is since it was watched."""

    def __init__(self) -> None:
        self._first: tuple[Stand, float] | None = None

    def told(self, stand: Stand, now: float) -> str:
        """Recordings a second, times real time, and what went wrong."""
        if self._first is None:
            self._first = stand, now
        before, since = self._first
        took = now - since
        parts = []
        if took > 0 and stand.done > before.done:
            parts.append(f"{(stand.done - before.done) / took:,.1f}/s")
            if stand.seconds > before.seconds:
                parts.append(f"{(stand.seconds - before.seconds) / took:,.0f}x real time")
        for count, name in ((stand.refused, "errors"), (stand.failed, "with a failed stage")):
            if count:
                parts.append(f"{count:,} {name}")
        return ", ".join(parts)

    def left(self, stand: Stand, total: int | None, now: float) -> float | None:
        """Seconds until the end; None if that can't be said."""
        if self._first is None or not total or stand.done <= self._first[0].done:
            return None
        before, since = self._first
        return (now - since) * max(total - stand.done, 0) / (stand.done - before.done)


class Lines:
    """A line from time to time, for logs.

    Args:
        write: Takes a line.
        total: As in `pace`.
        every: Seconds between two.
        now: The clock.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        total: int | None,
        every: float = EVERY,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._write, self._total, self._every, self._now = write, total, every, now
        self._rates = Rates()
        self._told_at: float | None = None
        self._stand: Stand | None = None

    def tell(self, stand: Stand) -> None:
        """Notes how far it is; a line of it if the last was long ago."""
        now = self._now()
        told, self._stand = self._rates.told(stand, now), stand
        if self._told_at is None or now - self._told_at >= self._every:
            self._line(stand, told, now)

    def last(self) -> None:
        """The line at the end."""
        if self._stand is not None:
            now = self._now()
            self._line(self._stand, self._rates.told(self._stand, now), now)

    def _line(self, stand: Stand, told: str, now: float) -> None:
        self._told_at = now
        of = f" of {self._total:,} ({stand.done / self._total:.0%})" if self._total else ""
        left = self._rates.left(stand, self._total, now)
        parts = [f"{stand.done:,}{of} scored", told, "" if left is None else _time_left(left)]
        self._write("batch: " + ", ".join(part for part in parts if part))


def _time_left(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min left"
    return f"{minutes} min left" if minutes else f"{rest} s left"
