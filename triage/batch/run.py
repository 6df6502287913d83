"""A run: an archive's recordings, scored by an engine, taken the guarded way part by part."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any, Protocol

from triage.archive.entries import Distant, Entry, PassedOver
from triage.batch import rows
from triage.batch.journal import Journal, name
from triage.batch.plan import End, Part, Plan
from triage.batch.work import Group, Readable, Scored
from triage.decisions import Decisions, Past
from triage.errors import BatchRefused
from triage.guard import Answer, Guard, OfRun
from triage.policy.parts import LOOKED_AT
from triage.records import Outcome, Recording, Scores

ROWS = 2_000  # of a part: enough for a good column, and few enough to lose
SECONDS = 30.0  # that decisions wait for their part at most, if there are any


class Engine(Protocol):
    """Scores entries, wherever and however many at once."""

    def scored(self, entries: Iterator[Readable]) -> Iterator[Group]:
        """What comes of entries, in their order."""


@dataclass(frozen=True, slots=True)
class Stand:
    """How far a run is.

    Attributes:
        done: Recordings scored.
        seconds: Of sound in them.
        refused, failed: Of the recordings.
    """

    done: int = 0
    seconds: float = 0.0
    refused: int = 0
    failed: int = 0

    def and_(self, scored: Iterable[Scored]) -> Stand:
        """With some more."""
        done, seconds, refused, failed = self.done, self.seconds, self.refused, self.failed
        for one in scored:
            done += 1
            if isinstance(one.scores, Scores):
                seconds += one.scores.seconds or 0.0
                failed += bool(one.scores.failures)
            else:
                refused += 1
        return Stand(done, seconds, refused, failed)


Watch = Callable[[Stand], None]


@dataclass(slots=True)
class Run:
    """A run under way.

    Attributes:
        plan: What makes it what it is.
        journal: Its folder.
        guard: The guarded way.
        watch: Told how far it is.
    """

    plan: Plan
    journal: Journal
    guard: Guard
    watch: Watch
    _ids: Any = field(default_factory=hashlib.sha256)
    _read: int = 0  # rows that the source has given
    _passed_over: deque[tuple[int, str]] = field(default_factory=deque)
    _pending: list[Scored] = field(default_factory=list)
    _stages: Counter[str] = field(default_factory=Counter)
    _since: float = field(default_factory=monotonic)

    def settle_staged(self) -> None:
        """Completes the part that a kill left, or throws it away.

        Raises:
            BatchFailed, StoreFailed
        """
        part = self.journal.staged()
        if part is None:
            self.journal.discard()
            return
        written = part.part < len(self.journal.parts)  # only its last step was missing
        decisions = Decisions(self.guard.book.opened)
        if written or not part.witness or decisions.holds(part.witness):
            self.journal.promote()
        else:
            self.journal.discard()

    def go(self, entries: Iterable[Entry], engine: Engine) -> None:
        """Takes all that isn't done the guarded way.

        Args:
            entries: All that the source gives, from its beginning.
            engine: Scores.

        Raises:
            BatchRefused: What is done already isn't what the source gives now.
            BatchFailed, AuditFailed, StoreFailed: Something can't be written. What was written
                before holds.
        """
        stand = Stand(
            self.journal.rows,
            sum(part.seconds for part in self.journal.parts),
            sum(part.refused for part in self.journal.parts),
            sum(part.failed for part in self.journal.parts),
        )
        self.watch(stand)
        self._since = monotonic()
        for group in engine.scored(self._not_done(entries)):
            self._stages.update(group.stages)  # with the part that its first recording is in
            for scored in group.scored:
                self._pending.append(scored)
                if len(self._pending) == ROWS:
                    self._write()
            if self._pending and monotonic() - self._since >= SECONDS:
                self._write()
            stand = stand.and_(group.scored)
            self.watch(stand)
        if self._pending:
            self._write()

    def end(self, survey: str) -> None:
        """Says that it is whole.

        Args:
            survey: Digest of what the source holds now.
        """
        rest = Counter(kind for _, kind in self._passed_over)
        self.journal.finish(End(rows=self.journal.rows, survey=survey, passed_over=dict(rest)))

    # Reading ------------------------------------------------------------------------------------

    def _not_done(self, entries: Iterable[Entry]) -> Iterator[Readable]:
        """What is left to do, once what is done has been found where it was."""
        done = self.journal.rows
        for entry in entries:
            if isinstance(entry, PassedOver):
                if self._read >= done:
                    self._passed_over.append((self._read, entry.kind))
                continue
            self._read += 1
            if self._read <= done:
                self._count(_id(entry))
                if self._read == done:
                    self._check_done()
            else:
                yield entry
        if self._read < done:
            raise _another_source()

    def _count(self, id: str) -> None:
        content = id.encode("utf-8", "surrogatepass")
        self._ids.update(len(content).to_bytes(8, "big") + content)

    def _check_done(self) -> None:
        if self._ids.hexdigest() != self.journal.parts[-1].ids:
            raise _another_source()

    # Writing ------------------------------------------------------------------------------------

    def _write(self) -> None:
        """Takes what is pending the guarded way, and puts it into its place."""
        scored, self._pending = self._pending, []
        first = self.journal.rows
        of = OfRun(
            self.plan.run,
            [self.plan.id(first + number) for number in range(len(scored))],
            Past(self.plan.began, self.plan.prefix),
            partial(self._stage, scored),
        )
        recordings = [Recording(one.id, context=one.context) for one in scored]
        passes = [one.scores for one in scored]
        self.guard.settle(recordings, passes, "batch", of, escalate=self.plan.escalate)
        self.journal.promote()
        self._stages.clear()
        self._since = monotonic()

    def _stage(self, scored: list[Scored], answers: Iterable[Answer]) -> None:
        """Writes a part beside its place; after that its decisions are committed."""
        first, manifest = self.journal.rows, self.guard.triage.artefact.manifest
        made = [
            rows.Row(first + number, one.content, rows.recorded_at(one.context), answer)
            for number, (one, answer) in enumerate(zip(scored, answers, strict=True))
        ]
        about = rows.About(manifest.name, self.plan.policy)
        results = [rows.result(row, about) for row in made]
        now = self.guard.now()
        passes = [rows.passed(row, now) for row in made]
        schema = rows.results_schema(manifest.categories, manifest.events)
        part = self._line(scored, answers)
        files = {
            f"results/{name(part.part)}.parquet": partial(rows.write_parquet, results, schema),
            f"passes/{name(part.part)}.parquet": partial(
                rows.write_parquet, passes, rows.passes_schema()
            ),
        }
        if self.plan.jsonl:
            files[f"jsonl/{name(part.part)}.jsonl"] = partial(rows.write_lines, results)
        self.journal.stage(files, part)

    def _line(self, scored: list[Scored], answers: Iterable[Answer]) -> Part:
        first = self.journal.rows
        stand = Stand().and_(scored)
        outcomes = [one for one in answers if isinstance(one, Outcome)]
        for one in scored:
            self._count(one.id)
        passed_over: Counter[str] = Counter()
        while self._passed_over and self._passed_over[0][0] < first + len(scored):
            passed_over[self._passed_over.popleft()[1]] += 1
        return Part(
            part=len(self.journal.parts),
            first=first,
            rows=len(scored),
            refused=stand.refused,
            failed=stand.failed,
            looks=sum(one.decision.tier in LOOKED_AT for one in outcomes),
            passed_over=dict(passed_over),
            seconds=stand.seconds,
            took=monotonic() - self._since,
            stages=dict(self._stages),
            known=sum(one.known for one in scored),
            ids=self._ids.hexdigest(),
            results="",
            witness=outcomes[0].id if outcomes else "",
            megabytes=_megabytes(),
        )


def _id(entry: Readable) -> str:
    return entry.recording.id if isinstance(entry, Distant) else entry.id


def _another_source() -> BatchRefused:
    return BatchRefused(
        "The source doesn't hold any more what this run has done already, so the run can't go on. "
        "Bring the source back to what it was, or begin anew in another folder."
    )


def _megabytes() -> float:
    """Memory of this process and those below it."""
    import psutil

    own = psutil.Process()
    total: int = own.memory_info().rss
    for child in own.children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.Error:  # it has ended meanwhile
            continue
    return total / 2**20
