"""Runs of `triage batch`, given as somebody gives the command, and what they came to."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any, Self

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from benchmarks.protocol import PROJECT
from triage.batch.figures import pace_of
from triage.batch.journal import Journal, name
from triage.cli.exits import Exit
from triage.database.store import open_store
from triage.database.tables import CaseRow, DecisionRow, NotificationRow

KEY = "pseudonyms of recordings that are nobody's"
SPARE = ("TRIAGE_STORE", "TRIAGE_LABELS", "TRIAGE_ROSTER")  # whatever is set of them is another's
POLL = 0.5  # s between two looks at the memory
PATIENCE = 10.0  # s in which workers have to follow their parent


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is.

    Attributes:
        folder: Of all that it writes, and of nothing else.
    """

    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "run"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def environment(self) -> dict[str, str]:
        """With the key that all runs have, so that their pseudonyms are alike."""
        kept = {name: value for name, value in os.environ.items() if name not in SPARE}
        paths = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
        return kept | {"TRIAGE_STATE": str(self.state), "TRIAGE_KEY": KEY, "PYTHONPATH": paths}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run came to.

    Attributes:
        rows, refused, failed: Recordings, those with an error, and those on which a stage failed.
        known: Recordings whose scores were there already.
        sound, fresh: Seconds of sound in them, and in those that came for the first time.
        seconds: From the command to its end, over all sittings.
        took: By the run's own journal.
        cores: Seconds of all processes on any core; of the last sitting alone if one was killed.
        peak: The most MB that all processes had together.
        stages: Seconds of all workers, by stage.
        over_time: After each part: recordings, seconds it took, MB.
        kills: Sittings that were killed.
        outlived: Workers that lived on after one.
    """

    rows: int
    refused: int
    failed: int
    known: int
    sound: float
    fresh: float
    seconds: float
    took: float
    cores: float
    peak: float
    stages: Mapping[str, float]
    over_time: Sequence[Sequence[float]]
    kills: int = 0
    outlived: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """As JSON has it."""
        return cls(**told)

    @property
    def times(self) -> float:
        """How many times faster than real time, start and end included."""
        return self.sound / self.seconds

    @property
    def rate(self) -> float:
        """Rows a second, likewise."""
        return self.rows / self.seconds

    def after(self, start: float) -> float:
        """Seconds without those that a start takes."""
        return max(self.seconds - start, 1e-9)


def run(source: Path, place: Place, *flags: str, kills: Sequence[float] = ()) -> Ran:
    """Runs until it is whole, and gives the same command again after each kill.

    Args:
        source: What is scored.
        place: Where; nothing is there yet.
        flags: Of the command.
        kills: Seconds of work, over all sittings, after which the process is killed.

    Raises:
        RuntimeError: The command ended with an error.
    """
    command = [sys.executable, "-m", "triage", "batch", str(source), "--out", str(place.out)]
    command += ["--quiet", "--by", "bench", "--reason", "bench", *flags]
    place.folder.mkdir(parents=True, mode=0o700)
    pending, worked, killed, peak = sorted(kills), 0.0, 0, 0.0
    orphans: list[psutil.Process] = []
    while True:
        before, began = _used(), perf_counter()
        with Sitting(command, place) as sitting:
            code = sitting.wait(max(pending[0] - worked, 0.0) if pending else None)
            if code is None:
                orphans += sitting.kill()
        worked += perf_counter() - began
        peak = max(peak, sitting.peak)
        if code is None:
            killed += 1
            del pending[0]
        elif code in (Exit.DONE, Exit.INCOMPLETE):
            break
        else:
            raise RuntimeError(f"triage batch ended with {code}; {place.log} says why")
    cores = _used() - before
    _, left = psutil.wait_procs(orphans, timeout=PATIENCE)
    return came_to(place, worked, cores, peak, killed, len(left))


class Sitting:
    """The command, running while it is entered, and how much memory it has had so far.

    Args:
        command: With its arguments.
        place: Where its log goes, and what it finds in its environment.
    """

    def __init__(self, command: Sequence[str], place: Place) -> None:
        self.peak = 0.0
        self._command, self._place = command, place
        self._ended = Event()

    def __enter__(self) -> Self:
        with self._place.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._place.environment,
                cwd=PROJECT,
            )
        self._watching = Thread(target=self._watch)
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.join()
        if self._process.poll() is None:  # the bench itself was stopped; workers follow
            self._process.kill()
            self._process.wait()

    def wait(self, seconds: float | None) -> int | None:
        """Its exit code; None if it still runs after so many seconds."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> list[psutil.Process]:
        """Kills the process that was started, and none of those below it, which it gives."""
        below = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        return below

    def _watch(self) -> None:
        while not self._ended.wait(POLL):
            self.peak = max(self.peak, _megabytes(self._process.pid))


def came_to(
    place: Place, seconds: float, cores: float, peak: float, kills: int = 0, outlived: int = 0
) -> Ran:
    """What a run's folder says of it, beside what was seen from without."""
    journal = Journal(place.out)
    journal.read()
    parts, pace = journal.parts, pace_of(journal)
    return Ran(
        journal.rows,
        sum(part.refused for part in parts),
        sum(part.failed for part in parts),
        pace.known,
        sum(part.seconds for part in parts),
        fresh(results(place.out)),
        seconds,
        pace.took,
        cores,
        max([peak, *(part.megabytes for part in parts)]),
        dict(pace.stages),
        [list(one) for one in pace.over_time],
        kills,
        outlived,
    )


def results(folder: Path, kind: str = "results") -> pa.Table:
    """All that a run wrote of a kind, in the order of its archive."""
    journal = Journal(folder)
    journal.read()
    files = [folder / kind / f"{name(part.part)}.parquet" for part in journal.parts]
    return pa.concat_tables([pq.read_table(file) for file in files])


def fresh(table: pa.Table) -> float:
    """Seconds of sound that came for the first time."""
    first: dict[str, float] = {}
    contents, seconds = table["content"].to_pylist(), table["seconds"].to_pylist()
    for content, one in zip(contents, seconds, strict=True):
        if content is not None:
            first.setdefault(content, one or 0.0)
    return sum(first.values())


# Two runs beside each other -----------------------------------------------------------------


def unlike(one: pa.Table, other: pa.Table) -> dict[str, int]:
    """Where two tables aren't alike; empty if they are equal row for row.

    Returns:
        By column, how many rows differ; with `rows` or `schema` if those do.
    """
    if one.num_rows != other.num_rows:
        return {"rows": abs(one.num_rows - other.num_rows)}
    if not one.schema.equals(other.schema, check_metadata=True):
        return {"schema": one.num_rows}
    found = Counter[str]()
    for column in one.column_names:
        if one[column].equals(other[column]):
            continue
        both = zip(one[column].to_pylist(), other[column].to_pylist(), strict=True)
        found[column] = sum(repr(this) != repr(that) for this, that in both)  # NaN is as NaN
    return dict(+found)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a run left behind besides its results.

    Attributes:
        decided: Rows that a decision was made of, by the results.
        decisions, cases, messages: In the store.
        lost, strange: Decisions of the run's passes that the store hasn't, and those that it has
            of no pass.
        is_whole: Whether `triage audit verify` finds the audit whole.
    """

    decided: int
    decisions: int
    cases: int
    messages: int
    lost: int
    strange: int
    is_whole: bool


def kept(place: Place) -> Kept:
    """What is in the store and the audit."""
    errors = results(place.out)["error"].to_pylist()
    ids = results(place.out, "passes")["id"].to_pylist()
    passed = {id for id, error in zip(ids, errors, strict=True) if error is None}
    with open_store(f"sqlite:///{place.state / 'triage.db'}").connect() as connection:
        stored = list(connection.scalars(sa.select(DecisionRow.id)))
        cases, messages = (
            connection.execute(sa.select(sa.func.count()).select_from(row)).scalar_one()
            for row in (CaseRow, NotificationRow)
        )
    verified = subprocess.run(
        [sys.executable, "-m", "triage", "audit", "verify"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=place.environment,
        cwd=PROJECT,
        check=False,
    )
    return Kept(
        len(passed),
        len(stored),
        cases,
        messages,
        len(passed - set(stored)),
        len(set(stored) - passed),
        verified.returncode == Exit.DONE,
    )


def _used() -> float:
    """Seconds that processes below this one have had on any core, once they have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _megabytes(process: int) -> float:
    """Resident memory of a process and all below it."""
    total = 0
    try:
        parent = psutil.Process(process)
        for one in (parent, *parent.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.Error:  # one has ended meanwhile: the next look will tell
        return 0.0
    return total / 2**20
