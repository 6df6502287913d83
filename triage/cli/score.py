"""`triage score`: archives in, decisions out, every one of them the guarded way."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

import typer

from triage.answer import as_json
from triage.archive.entries import Row, Unreadable
from triage.archive.manifests import read_lines
from triage.archive.read import count_rows, read
from triage.cli.exits import Exit
from triage.cli.progress import progress
from triage.cli.tables import Results, plain_console
from triage.errors import NothingToScore
from triage.guard import Answer
from triage.process import Processor
from triage.records import Recording
from triage.settings import settings

GROUP_SECONDS = 2.0  # that a group should take: long enough to fill the cores, short to wait for
LARGEST_GROUP = 256
GROUP_BYTES = 2**28  # of audio held in memory, and what goes over it with the last recording


def run(
    paths: Sequence[Path],
    lines: BinaryIO | None,
    *,
    jsonl: bool,
    transcript: bool,
    decide_only: bool,
) -> Exit:
    """Scores what the paths and lines hold, and prints it.

    Args:
        paths, lines: See `triage.archive.read` and `triage.archive.manifests`.
        jsonl: One JSON object a line as soon as it is there, instead of a table at the end.
        transcript: Whether to print what was said.
        decide_only: Whether no case is to be raised, and nobody told.

    Returns:
        `Exit.INCOMPLETE` if any recording wasn't scored by every stage that it needed.

    Raises:
        InputError: A path can't be read, or nothing is there to score.
        SetupError: Models, policy or key are missing or refused.
        AuditFailed: The audit couldn't be written.
    """
    entries = read(paths, settings().max_bytes)
    if lines is not None:
        entries = chain(entries, read_lines(lines, _name(lines)))
    first = next(entries, None)
    if first is None:
        raise NothingToScore("The paths hold no audio file and no line to score.")
    results = None if jsonl else Results(plain_console(), transcript=transcript)
    total = 0 if lines is not None or not sys.stderr.isatty() else count_rows(paths)
    incomplete, cases = False, set[str | None]()
    with progress(keep=False, quiet=jsonl and sys.stdout.isatty()) as report:
        report("loading the model", 0, 0)
        processor = Processor.load(settings())
        report("loading the model", 1, 1)
        answered = answers(
            chain([first], entries), processor, transcript=transcript, escalate=not decide_only
        )
        for done, answer in enumerate(answered, 1):
            incomplete |= is_incomplete(answer)
            cases |= {one["decision"]["case"] for one in answer.get("results", ())} - {None}
            _print_line(answer) if results is None else results.add(answer)
            report("scoring", done, total)
    if results is not None:
        results.print()
    if results is not None and cases:
        plain_console().print(
            f"Cases for people: {len(cases):,}; `triage cases list` has them. The service "
            "tells whom the roster names, or `triage escalate run` does."
        )
    return Exit.INCOMPLETE if incomplete else Exit.DONE


def answers(
    entries: Iterable[Row], processor: Processor, *, transcript: bool, escalate: bool = True
) -> Iterator[dict[str, Any]]:
    """The answer for each entry in its order, as JSON."""
    for _, answer in passes(entries, processor, way="cli", escalate=escalate):
        if isinstance(answer, Unreadable):
            yield {"id": None, "recording": answer.id, "error": answer.error.as_problem()}
        else:
            yield as_json(answer, transcript=transcript)


def passes(
    entries: Iterable[Row], processor: Processor, way: str, *, escalate: bool = True
) -> Iterator[tuple[Row, Answer | Unreadable]]:
    """Each entry in its order with its answer, a group at a time; one unreadable is its own.

    Groups grow or shrink until one takes about two seconds, so that short texts share a write to
    the audit and long recordings don't keep the first answer waiting.
    """
    remaining, size = iter(entries), processor.workers
    while group := _group(remaining, size):
        began = monotonic()
        recordings = [entry for entry in group if isinstance(entry, Recording)]
        processed = iter(processor.process(recordings, way=way, escalate=escalate))
        size = next_size(size, monotonic() - began, processor.workers)
        for entry in group:
            yield entry, entry if isinstance(entry, Unreadable) else next(processed)


def _group(remaining: Iterator[Row], size: int) -> list[Row]:
    """The next so many; fewer, if they hold much audio in memory, as members of a tar file do."""
    group, held = list[Row](), 0
    for entry in islice(remaining, size):
        group.append(entry)
        if isinstance(entry, Recording) and isinstance(entry.audio, bytes):
            held += len(entry.audio)
        if held > GROUP_BYTES:
            break
    return group


def next_size(size: int, seconds: float, least: int) -> int:
    """How many recordings to take next, when `size` took so many seconds; at most twice as many."""
    fitting = size * min(2.0, GROUP_SECONDS / max(seconds, 1e-3))
    return min(LARGEST_GROUP, max(least, round(fitting)))


def is_incomplete(answer: Mapping[str, Any]) -> bool:
    """Whether a recording was refused, or a stage failed on it."""
    return "error" in answer or any("failures" in result for result in answer["results"])


def _name(lines: BinaryIO) -> str:
    """What the ids of lines begin with: the file as the caller named it, or "stdin"."""
    name = getattr(lines, "name", "")
    return "stdin" if name in ("", "<stdin>") else str(name)


def _print_line(answer: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(answer, ensure_ascii=False).encode())  # flushed, whatever the locale
