"""`triage batch`: an archive in, a folder of results out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from triage.archive.entries import plain
from triage.batch.begin import Asked, Opened, open_run, written_down
from triage.batch.figures import digest_of, found_in, pace_of
from triage.batch.journal import Journal, writing
from triage.batch.run import Engine, Run
from triage.cli.exits import Exit
from triage.cli.pace import pace
from triage.cli.tables import plain_console
from triage.files import put
from triage.settings import settings

PAGE = "report.html"


def run(asked: Asked, out: Path, *, engine: str, address: str, quiet: bool) -> Exit:
    """Scores an archive, or goes on with it.

    Returns:
        `Exit.INCOMPLETE` if there are rows with an error, or on which a stage failed, or if the
        source changed while it was read.

    Raises:
        TriageError: The run can't begin, or can't go on. What is written holds.
    """
    journal = Journal(out)
    with journal.hold(), _ended_by_a_term():
        opened = open_run(asked, journal, settings())
        journal.read()
        if journal.end is None:
            with pace(opened.plan.recordings, quiet=quiet) as watch:
                work = Run(opened.plan, journal, opened.guard, watch)
                work.settle_staged()
                with _engine(engine, address, opened) as scoring:
                    work.go(opened.entries(), scoring)
                _ended(opened, journal)
                work.end(opened.surveyed())
        opened.guard.live.flush()
        return _told(opened, journal, out)


def _ended(opened: Opened, journal: Journal) -> None:
    """Puts the end into the audit, with what it came to; before the run says that it is whole."""
    found = found_in(journal)
    counts = {
        "recordings": found.rows,
        "tiers": dict(sorted(found.tiers.items())),
        "errors": dict(sorted(found.errors.items())),
        "failed": sum(part.failed for part in journal.parts),
        "results": digest_of(journal.parts),
    }
    written_down(opened.guard, opened.plan, "ended", counts)


def _engine(name: str, address: str, opened: Opened) -> AbstractContextManager[Engine]:
    model = opened.guard.triage.artefact.manifest.name
    if name == "ray":
        from triage.batch.cluster import Cluster

        return Cluster(opened.task, model, address, settings().cores)
    from triage.batch.cores import Cores

    return Cores(opened.task, model, settings().cores)


def _told(opened: Opened, journal: Journal, out: Path) -> Exit:
    """Tells what was written."""
    from triage.report.batch import Told, page, summary

    changed = journal.end is not None and journal.end.survey != opened.plan.survey
    policy = opened.guard.triage.policy
    told = Told(opened.plan, policy, found_in(journal), pace_of(journal), changed)
    with writing():
        put(out / PAGE, page(told).encode())
    console = plain_console()
    for line in summary(told):
        console.print(line)
    console.print(f"Results are in {plain(out)}; {PAGE} shows them.")
    wrong = changed or told.found.errors or told.found.failures
    return Exit.INCOMPLETE if wrong else Exit.DONE


@contextmanager
def _ended_by_a_term() -> Iterator[None]:
    """Ends as with Ctrl-C when the system asks it to, so that workers are let go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
