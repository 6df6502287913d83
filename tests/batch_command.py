"""The real `triage batch` in a process of its own, for tests."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from archives import PACKED, laid_out

from triage.__main__ import main
from triage.cli.exits import Exit
from triage.settings import settings

KEY = "a key of thirty-two bytes or more"
WHO = "alice"  # the account, and in every id
SAID = "call an ambulance my father has collapsed and he isn't breathing"
FILES = ("collapse.wav", "glass.ogg", "lights.m4a", "silence.wav", "threat.mp3", "weather.wav")
SIDECAR = {"text": SAID, "context": {"account": WHO, "recorded_at": "2026-05-04T12:30:00Z"}}
PATIENCE = 300.0  # s; a busy machine, not what it takes

# Parts of two rows and groups of one, so that a small archive has many; and, if a step is given,
# a kill there: before the call of that number that changes a file or makes it outlast a power cut.
SMALL = """
import itertools, os, sys
import triage.batch.cores, triage.batch.run
from triage.__main__ import main
triage.batch.run.ROWS, triage.batch.cores.GROUP = 2, 1
steps, last = itertools.count(), int(sys.argv.pop(1))
def dying(real):
    def call(*given, **more):
        if next(steps) == last:
            os.kill(os.getpid(), 9)
        return real(*given, **more)
    return call
for name in ("fsync", "replace", "truncate", "unlink"):
    setattr(os, name, dying(getattr(os, name)))
main()
"""
WHOLE = ("-m", "triage")


def small(step: int = -1) -> tuple[str, ...]:
    return "-c", SMALL, str(step)


@dataclass(frozen=True)
class Done:
    """What a command ended with, and all that it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Runs:
    """A place to run in, with a state of its own.

    Attributes:
        place: Folder that all is in.
        settings: More of the environment.
    """

    place: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    def out(self, name: str = "out") -> Path:
        return self.place / name

    @property
    def environment(self) -> dict[str, str]:
        own = {"TRIAGE_STATE": str(self.place / "state"), "TRIAGE_KEY": KEY, "TRIAGE_THREADS": "1"}
        return os.environ | own | dict(self.settings)

    def begin(self, *given: str | Path, way: tuple[str, ...] = WHOLE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *way, "batch", *map(str, given)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.place,
            start_new_session=True,
            preexec_fn=_heeds_ctrl_c,
        )

    def run(self, *given: str | Path, way: tuple[str, ...] = WHOLE) -> Done:
        return ended(self.begin(*given, way=way))


def _heeds_ctrl_c() -> None:
    """As from a terminal; what runs behind a shell is made to ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(begun: subprocess.Popen[str]) -> Done:
    """Waits until it and all that holds its standard output have ended."""
    try:
        out, err = begun.communicate(timeout=PATIENCE)
    except BaseException:
        os.killpg(begun.pid, signal.SIGKILL)
        raise
    return Done(begun.returncode, out, err)


def done(ended: Done, code: int = Exit.DONE) -> Done:
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    return ended


def rows(out: Path, kind: str = "results") -> list[dict[str, Any]]:
    """What anybody reads of a run, in the order of its parts."""
    return pq.read_table(out / kind).to_pylist()


def scored(out: Path) -> list[dict[str, Any]]:
    """Its results but for what tells one source from another."""
    own = {"recording", "recorded_at", "position"}
    return [{k: v for k, v in row.items() if k not in own} for row in rows(out)]


def stored(runs: Runs, query: str) -> list[tuple[Any, ...]]:
    """What the store of decisions answers."""
    with closing(sqlite3.connect(runs.place / "state" / "triage.db")) as store:
        return store.execute(query).fetchall()


def told(out: Path) -> str:
    """All that is in a folder, as text, in small letters."""
    texts = []
    for file in sorted(out.rglob("*")):
        if file.suffix == ".parquet":
            texts.append(json.dumps(pq.read_table(file).to_pylist(), default=str))
        elif file.is_file():
            texts.append(file.read_bytes().decode("utf-8", "replace"))
    return "\n".join([*map(str, out.rglob("*")), *texts]).lower()


def given(runs: Runs, *command: str | Path) -> Done:
    """The command in this process, for what ends before any model is loaded."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in runs.environment.items():
            patch.setenv(name, value)
        patch.chdir(runs.place)
        for name, value in (("argv", ["triage", *map(str, command)]), ("stdout", out)):
            patch.setattr(f"sys.{name}", value)
        patch.setattr("sys.stderr", err)
        settings.cache_clear()
        with pytest.raises(SystemExit) as raised:
            main()
        settings.cache_clear()
    return Done(int(raised.value.code or 0), out.getvalue(), err.getvalue())


def laid_out_in_four_ways(place: Path, samples: Path) -> dict[str, Path]:
    """The same six recordings, of which one has its words and its context beside it."""
    held = {f"{WHO}-{name}": (samples / name).read_bytes() for name in FILES}
    tree = dict(sorted([*held.items(), (f"{WHO}-collapse.json", json.dumps(SIDECAR).encode())]))
    folder = laid_out(place / "folder", tree)
    for name in ("x.tar.gz", "x.zip"):
        (place / name).write_bytes(PACKED[name](tree))
    lines = [
        {"id": f"{WHO}-{name}", "audio": f"folder/{WHO}-{name}"}
        | (SIDECAR if name.startswith("collapse") else {})
        for name in FILES
    ]
    manifest = place / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    packed = {name: place / name for name in ("x.tar.gz", "x.zip")}
    return {"folder": folder, "manifest": manifest, **packed}
