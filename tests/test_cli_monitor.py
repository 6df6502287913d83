"""`triage monitor`: what moved is told first, wherever it is asked for, and drift is no failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from triage.cli.app import app
from triage.cli.exits import Exit, exit_code
from triage.cli.monitor import duration
from triage.drift import reference, reference_of
from triage.errors import BadField, TriageError
from triage.live import Window, folder_of
from triage.manifest import MANIFEST, Manifest
from triage.process import Processor
from triage.records import Recording, Scores
from triage.settings import settings

ROWS = 400
EVEN = np.arange(ROWS)
REFERENCE = reference_of(
    {"measurement words": EVEN, "measurement seconds": EVEN, "event scream": EVEN / ROWS}
)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TRIAGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TRIAGE_MODEL", str(tmp_path / "model"))
    monkeypatch.setenv("COLUMNS", "120")
    settings.cache_clear()
    yield tmp_path / "state"
    settings.cache_clear()


@pytest.fixture
def manifest(fake_triage: Any, tmp_path: Path, state: Path) -> Manifest:
    """Of a model in service that has a reference."""
    return put(fake_triage.artefact.manifest.model_copy(update={"reference": REFERENCE}), tmp_path)


def put(manifest: Manifest, folder: Path) -> Manifest:
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / MANIFEST).write_text(manifest.model_dump_json())
    return manifest


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and standard output."""
    done = CliRunner().invoke(app, ["monitor", *map(str, arguments)])
    if isinstance(done.exception, TriageError):
        return exit_code(done.exception), done.exception.detail
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def counted(manifest: Manifest, state: Path, ago: float = 0.0, **shifts: float) -> None:
    """Passes like the reference's, but for measurements that are shifted by so many rows."""
    now = datetime.now(UTC) - timedelta(hours=ago)
    window = Window(folder_of(manifest, state), manifest.reference, now=lambda: now)
    window.add(
        Scores(
            model=manifest.name,
            categories={},
            applied={},
            measurements={name: float(n + shifts.get(name, 0.0)) for name in ("words", "seconds")},
        )
        for n in EVEN
    )
    window.flush()


# The verdict --------------------------------------------------------------------------------


def test_what_moved_comes_first_and_is_no_failure(manifest: Manifest, state: Path) -> None:
    counted(manifest, state, words=300)
    code, told = run()
    assert code == Exit.DONE
    assert told.splitlines()[0] == "triage-fake, drift: much"
    assert told.index("measurement words") < told.index("measurement seconds")
    assert "in no live row: event scream" in told


def test_what_stayed_has_not_drifted(manifest: Manifest, state: Path) -> None:
    counted(manifest, state)
    code, told = run()
    assert (code, told.splitlines()[0]) == (Exit.DONE, "triage-fake, drift: none")


def test_json_says_it_all(manifest: Manifest, state: Path, tmp_path: Path) -> None:
    counted(manifest, state, words=300)
    out = tmp_path / "drift.json"
    assert run("--json", out)[1].startswith("triage-fake, drift")
    found = json.loads(out.read_text())
    assert (found["model"], found["digest"]) == ("triage-fake", manifest.digest)
    assert found["verdict"] == "much"
    assert [one["name"] for one in found["drift"]] == ["measurement words", "measurement seconds"]
    assert [one["verdict"] for one in found["drift"]] == ["much", "none"]
    assert found["drift"][0]["rows"] == ROWS
    assert found["unseen"] == ["event scream"]
    only = run("--json", "-")[1]
    assert json.loads(only) == found


def test_prometheus_gets_the_gauges(manifest: Manifest, state: Path, tmp_path: Path) -> None:
    counted(manifest, state, words=300)
    file = tmp_path / "triage.prom"
    file.write_text("old")
    run("--prometheus", file)
    found = {
        (one.name, one.labels["name"]): one.value
        for family in text_string_to_metric_families(file.read_text())
        for one in family.samples
        if one.labels["model"] == "triage-fake"
    }
    assert found["triage_drift_rows", "measurement words"] == ROWS
    assert found["triage_drift_psi", "measurement words"] > 0.25
    assert not list(tmp_path.glob(".*.part"))


def test_a_page_is_written_whole(manifest: Manifest, state: Path, tmp_path: Path) -> None:
    counted(manifest, state, words=300)
    run("--html", tmp_path / "drift.html")
    page = (tmp_path / "drift.html").read_text()
    assert "Drift: much" in page
    assert page.rstrip().endswith("</html>")


def test_a_place_that_cannot_be_written_is_told(
    manifest: Manifest, state: Path, tmp_path: Path
) -> None:
    counted(manifest, state)
    code, told = run("--prometheus", tmp_path / "none" / "triage.prom")
    assert code == Exit.SETUP
    assert told == "triage.prom can't be written: No such file or directory."


# The time -----------------------------------------------------------------------------------


def test_only_the_time_that_was_asked_for_counts(manifest: Manifest, state: Path) -> None:
    counted(manifest, state, ago=30, words=300)
    counted(manifest, state, ago=1)
    assert "drift: none" in run("--since", "24h")[1]
    assert "drift: much" in run("--since", "2d")[1]


def test_times() -> None:
    assert duration("90m") == timedelta(minutes=90)
    assert duration("24h") == timedelta(hours=24)
    assert duration("30d") == timedelta(days=30)


@pytest.mark.parametrize("told", ["", "h", "0h", "-1h", "1.5h", "24", "24 h", "7w", "31d", "٣d"])
def test_what_is_no_time_is_refused_with_what_is(told: str) -> None:
    with pytest.raises(BadField, match="90m, 24h or 7d, up to 30d") as caught:
        duration(told)
    assert exit_code(caught.value) is Exit.USAGE


# What there is nothing to say of ------------------------------------------------------------


def test_a_model_without_a_reference(fake_triage: Any, tmp_path: Path, state: Path) -> None:
    put(fake_triage.artefact.manifest, tmp_path)
    code, told = run()
    assert code == Exit.SETUP
    assert "triage-fake has no reference" in told
    assert "Train it again" in told


def test_no_pass_in_the_time(manifest: Manifest, state: Path) -> None:
    counted(manifest, state, ago=30)
    code, told = run("--since", "3h")
    assert code == Exit.SETUP
    assert "No pass of triage-fake" in told
    assert "TRIAGE_STATE" in told


def test_files_that_cannot_be_read_are_told(manifest: Manifest, state: Path) -> None:
    counted(manifest, state)
    (folder_of(manifest, state) / "2026-05-04T12Z-0.json").write_text("torn")
    (folder_of(manifest, state) / "no hour.json").write_text("torn")
    assert "unreadable: 1" in run()[1]  # the other one is too old to be looked at


# With the model that ships ------------------------------------------------------------------

ROOMS = ("kitchen", "bedroom", "hall", "office", "garage", "garden", "attic")
THINGS = ("lights", "heating", "radio", "fan", "alarm", "television")
ASKED = (
    "turn on the {b} in the {a}",
    "turn off the {a} {b}",
    "is the {b} on in the {a}",
    "set the {b} to {n}",
    "play something calm in the {a}",
    "wake me at {n}",
    "what time is it",
    "stop",
)
TOLD = (
    "and so we went over to the {a} where my uncle had put the {b} back in {n}",
    "because you know how the {b} never quite works when the {a} is cold",
    "which reminds me of the summer that we painted the {a} and lost {n} brushes",
    "but she said the neighbour would bring a {b} on the {n} of june or so",
)


def commands(rng: Random, count: int) -> list[Recording]:
    return [Recording("a", transcript=filled(rng, ASKED)) for _ in range(count)]


def rambling(rng: Random, count: int) -> list[Recording]:
    return [
        Recording("a", transcript=" ".join(filled(rng, TOLD) for _ in range(rng.randint(4, 9))))
        for _ in range(count)
    ]


def filled(rng: Random, templates: tuple[str, ...]) -> str:
    return rng.choice(templates).format(
        a=rng.choice(ROOMS), b=rng.choice(THINGS), n=rng.randint(1, 30)
    )


@pytest.mark.models
def test_people_who_talk_in_another_way_are_noticed(
    real_processor: Processor, tmp_path: Path, state: Path
) -> None:
    rng = Random(0)  # noqa: S311
    found = reference(map(real_processor.triage.score, commands(rng, 600)))
    manifest = real_processor.triage.artefact.manifest.model_copy(update={"reference": found})
    put(manifest, tmp_path)

    def served(recordings: list[Recording]) -> None:
        window = Window(folder_of(manifest, state), found)
        replace(real_processor, live=window).process(recordings, "http")
        window.flush()

    served(commands(rng, 300))
    assert "drift: none" in run()[1]
    served(rambling(rng, 300))
    told = run()[1]
    assert "drift: much" in told
    words = next(line for line in told.splitlines() if line.startswith("measurement words"))
    assert words.split()[-1] == "much"
    assert sum(line.startswith("category") and "much" in line for line in told.splitlines()) >= 3
