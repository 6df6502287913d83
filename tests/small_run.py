"""A run in small: a journal at work, with a file in place of the store of decisions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from batch_parts import a_part, a_plan
from breaking import tree

from triage.batch.journal import FOLDERS, PLAN, Journal, name
from triage.batch.plan import End, Part

PARTS, ROWS = 2, 3
END = End(rows=PARTS * ROWS, survey="a" * 64, passed_over={"hidden": 1})


def content(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest()


def paths(part: int) -> list[str]:
    return [*(f"{folder}/{name(part)}.parquet" for folder in FOLDERS), f"jsonl/{name(part)}.jsonl"]


def writing(path: str) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            if os.write(opened, content(path)) < len(content(path)):
                raise OSError(28, "No space left on device")
        finally:
            os.close(opened)

    return write


def stage(journal: Journal) -> Part:
    """The next part, beside its place."""
    number = len(journal.parts)
    files = {path: writing(path) for path in paths(number)}
    return journal.stage(files, a_part(number, journal.rows, ROWS))


def begun(folder: Path) -> Path:
    """Where a run may write; nothing is decided yet."""
    folder.mkdir(parents=True)
    (folder / "store").touch()
    return folder / "run"


def go_on(run: Path) -> None:
    """Takes a run to its end, from wherever it is."""
    journal, store = Journal(run), run.with_name("store")
    with journal.hold():
        if journal.plan() is None:
            journal.write_plan(a_plan())
        journal.read()
        if journal.end is not None:
            return
        staged = journal.staged()
        if staged is not None and f"{staged.part}\n" in store.read_text():
            journal.promote()
        else:
            journal.discard()
        while len(journal.parts) < PARTS:
            number = stage(journal).part
            with store.open("a") as decided:
                decided.write(f"{number}\n")
            journal.promote()
        journal.finish(END)


def what_came_of(run: Path) -> dict[str, bytes | None]:
    """All that anybody reads of a run that is whole, each of whose parts was decided once."""
    assert run.with_name("store").read_text() == "".join(f"{one}\n" for one in range(PARTS))
    # A plan that was half written: it never came to its place.
    return {path: held for path, held in tree(run).items() if not path.startswith(f".{PLAN}.")}
