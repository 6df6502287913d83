"""A run's folder: what is done, written so that a kill at any moment loses no row and doubles none.

    run.json                 what makes the run what it is (`Plan`)
    journal.jsonl            a line for each part that is written (`Part`), at last an `End`
    results/part-000000.parquet, passes/part-000000.parquet, and jsonl/part-000000.jsonl on request
    staged/                  the part that is being written
    scores.db                scores by content, so that nothing is scored twice
    report.html

A part is staged whole before its decisions are committed, moved to its place after that, and only
then in the journal. Whoever goes on finds either the staged part and its decisions, and moves it,
or one without the other, and throws it away.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from triage.batch.plan import FORMAT, End, Part, Plan
from triage.errors import BatchFailed, BatchRefused
from triage.files import append, put, sync

PLAN, JOURNAL, STAGED, LINE = "run.json", "journal.jsonl", "staged", "part.json"
FOLDERS = ("results", "passes")

Read = TypeVar("Read", bound=BaseModel)


class Journal:
    """A run's folder, held by one process.

    Attributes:
        folder: As given; made by `hold`.
        parts: Those written so far.
        end: The last line; None if the run isn't whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts: list[Part] = []
        self.end: End | None = None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keeps other processes out.

        Raises:
            BatchRefused: Another one has it, or it is a folder with something else in it.
            BatchFailed: It can't be made.
        """
        with writing():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            strange = not (self.folder / PLAN).exists() and any(
                one.name != ".lock" and not one.name.startswith(f".{PLAN}.")
                for one in self.folder.iterdir()
            )
        if strange:
            raise BatchRefused(
                "The folder given with --out has something in it that no run wrote. Name an "
                "empty one, or a new one."
            )
        lock = FileLock(self.folder / ".lock", timeout=0, mode=0o600)
        with writing():
            try:
                lock.acquire()
            except Timeout:
                raise BatchRefused(
                    "Another process is at work in the folder given with --out. Wait for its end, "
                    "or name another folder."
                ) from None
        try:
            yield
        finally:
            lock.release()

    # What is there --------------------------------------------------------------------------

    def plan(self) -> Plan | None:
        """The run that was begun here; None if none was.

        Raises:
            BatchRefused: It can't be read, or is of another version.
        """
        content = _content(self.folder / PLAN)
        return None if content is None else _read(Plan, content, PLAN)

    def read(self) -> None:
        """Reads the journal. A line that a kill left unfinished is taken away.

        Raises:
            BatchRefused: It can't be read, or its parts don't follow each other.
        """
        file = self.folder / JOURNAL
        content = _content(file) or b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with writing():
                os.truncate(file, len(whole))
        self.parts, self.end = [], None
        for line in whole.splitlines():
            if line.startswith(b'{"end"'):
                self.end = _read(End, line, JOURNAL)
            else:
                self.parts.append(_read(Part, line, JOURNAL))
        ends = [0, *(part.end for part in self.parts)]
        follow = all((p.part, p.first) == (n, ends[n]) for n, p in enumerate(self.parts))
        if not follow or (self.end is not None and self.end.rows != ends[-1]):
            raise BatchRefused(
                f"{JOURNAL} isn't as it was written: its parts don't follow each other. Restore "
                "it, or begin anew in another folder."
            )
        self._check_files()

    def _check_files(self) -> None:
        for part in self.parts:
            for folder in FOLDERS:
                if not (self.folder / folder / f"{name(part.part)}.parquet").is_file():
                    raise BatchRefused(
                        f"{folder}/{name(part.part)}.parquet is gone. Restore it, or begin anew "
                        "in another folder."
                    )

    @property
    def rows(self) -> int:
        """How many recordings are done."""
        return self.parts[-1].end if self.parts else 0

    # Writing ----------------------------------------------------------------------------------

    def write_plan(self, plan: Plan) -> None:
        """Keeps what makes the run what it is.

        Raises:
            BatchFailed: It can't be written.
        """
        with writing():
            put(self.folder / PLAN, plan.model_dump_json(indent=2).encode() + b"\n", lasting=True)

    def stage(self, files: Mapping[str, Callable[[Path], None]], part: Part) -> Part:
        """Writes a part beside its place, through to the disk.

        Args:
            files: What writes each file, by its name in the run's folder.
            part: Its line, with the digest of its results yet to come.

        Returns:
            The line.

        Raises:
            BatchFailed: It can't be written.
        """
        with writing():
            staged = self._clear()
            for path, write in files.items():
                write(staged / path.replace("/", "+"))
            for file in staged.iterdir():
                file.chmod(0o600)
                sync(file)
            results = staged / f"results+{name(part.part)}.parquet"
            line = part.model_copy(update={"results": _digest(results)})
            put(staged / LINE, line.model_dump_json().encode(), lasting=True)
        return line

    def promote(self) -> Part | None:
        """Moves what is staged to its place and puts it into the journal; twice is as once.

        Raises:
            BatchFailed: It can't be written.
        """
        part = self.staged()
        if part is None:
            return None
        with writing():
            folders = {self.folder}
            for file in sorted((self.folder / STAGED).iterdir()):
                if file.name != LINE:
                    place = self.folder / file.name.replace("+", "/")
                    place.parent.mkdir(exist_ok=True, mode=0o700)
                    file.replace(place)
                    folders.add(place.parent)
            for folder in folders:
                sync(folder)
            if part.part == len(self.parts):
                self._append(part)
                self.parts.append(part)
            (self.folder / STAGED / LINE).unlink()
        return part

    def staged(self) -> Part | None:
        """The part that was staged and isn't in its place; None if none was whole."""
        try:
            return Part.model_validate_json((self.folder / STAGED / LINE).read_bytes())
        except (OSError, ValidationError):
            return None

    def discard(self) -> None:
        """Throws away what is staged."""
        with writing():
            self._clear()

    def finish(self, end: End) -> None:
        """Says that the run is whole.

        Raises:
            BatchFailed: It can't be written.
        """
        with writing():
            for folder in FOLDERS:
                (self.folder / folder).mkdir(exist_ok=True, mode=0o700)
            self._clear().rmdir()
            self._append(end)
        self.end = end

    def _append(self, line: BaseModel) -> None:
        file = os.open(self.folder / JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            before = os.fstat(file).st_size
            append(file, line.model_dump_json().encode() + b"\n", before)
            if not before:
                sync(self.folder)
        finally:
            os.close(file)

    def _clear(self) -> Path:
        staged = self.folder / STAGED
        if not staged.exists():
            staged.mkdir(mode=0o700)
            sync(self.folder)
        for file in sorted(staged.iterdir(), key=lambda one: one.name != LINE):
            file.unlink()  # the line first: without it the rest counts for nothing
        return staged


def name(part: int) -> str:
    """What a part's files are called."""
    return f"part-{part:06d}"


@contextmanager
def writing() -> Iterator[None]:
    """What the run's own folder can't take, as an error of ours.

    Raises:
        BatchFailed: It can't be written.
    """
    try:
        yield
    except OSError as error:
        raise BatchFailed(
            f"The run's folder can't be written: {error.strerror or type(error).__name__}. Put "
            "its disk or folder right and give the same command again: it goes on from there."
        ) from None


def _content(file: Path) -> bytes | None:
    """What is in a file; None if there is none."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BatchRefused(f"{file.name} can't be read: {error.strerror}.") from None


def _read(kind: type[Read], content: bytes, file: str) -> Read:
    try:
        version = json.loads(content).get("format", FORMAT)
        if version != FORMAT:
            raise BatchRefused(
                f"{file} is of format {version}, and this Triage writes {FORMAT}. Go on with the "
                "version that began it, or begin anew in another folder.",
                limit=FORMAT,
            )
        return kind.model_validate_json(content)
    except (ValueError, AttributeError):
        raise BatchRefused(
            f"{file} can't be read: it isn't what a run wrote. Restore it, or begin anew in "
            "another folder."
        ) from None


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
