"""Progress on standard error, for people only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from triage.records import Report


@contextmanager
def progress(*, keep: bool = True, quiet: bool = False) -> Iterator[Report]:
    """A bar for each stage, with the time left; nothing where nobody watches.

    Args:
        keep: Whether the bars stay on the screen at the end.
        quiet: Show nothing in any case.

    Yields:
        What to tell of the progress: stage, how many are done, of how many (0 if unknown).
    """
    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=not keep,
        disable=quiet or not console.is_terminal,
        redirect_stdout=False,  # standard output may be a file, and must stay where it is
    )
    tasks = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage.capitalize(), total=total or None)
        bars.update(tasks[stage], completed=done, total=total or None)

    with bars:
        yield report
