"""The README is run: its commands on the command line, its requests against the real service."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.main import get_command

from triage.answer import as_json
from triage.cli import demo
from triage.cli.app import app
from triage.policy.loading import load_policy
from triage.process import Processor
from triage.records import Recording
from triage.safeguards.audit import AuditLog
from triage.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:3000"
RECORDINGS = re.findall(r'"audio": ', (PROJECT / "data/samples/manifest.jsonl").read_text())
NEEDS_TOKEN = {"/cases", "/cases/next", "/outcomes"}
NOT_HERE = "../shared/"  # data that doesn't ship, so what names it is parsed and not run


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def shell_lines() -> list[str]:
    """Every command of every shell block, in one line and without its comment."""
    joined = re.sub(r"\\\n\s*", "", "".join(blocks("sh")))
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line]


LINES = shell_lines()
COMMANDS = [
    shlex.split(line)[1:]
    for line in [
        *(line for line in LINES if line.startswith(".venv/bin/triage ")),
        *re.findall(r"`(triage [^`/]+)`", README),
    ]
]
EXPORTS = dict(line[7:].split("=", 1) for line in LINES if line.startswith("export "))
REQUESTS = [line for line in LINES if line.startswith("curl ")]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder in which something has happened before."""
    folder = tmp_path_factory.mktemp("state")
    AuditLog(folder / "audit.jsonl").append("decision", {}, datetime.now(UTC))
    return folder


@pytest.fixture(scope="module")
def environment(state: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIAGE_")}
    # A cap under which something may be drawn from no more than the samples.
    own = {"TRIAGE_STATE": str(state), "TRIAGE_SAMPLING_CAP": "0.5"}
    return kept | own | EXPORTS | {"BENTOML_HOME": str(state / "bentoml"), "COLUMNS": "120"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with demo.service(tmp_path_factory.mktemp("service"), Console(quiet=True)) as address:
        yield address


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A few labelled lines."""
    said = ("set a timer", "what's the weather", "play something calm", "call my sister")
    rows = [{"id": str(n), "text": text, "labels": {"hate": n % 2}} for n, text in enumerate(said)]
    file = tmp_path / "labelled.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=PROJECT, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


# Commands -----------------------------------------------------------------------------------


def test_no_line_goes_untested() -> None:
    kinds = ("make ", ".venv/bin/triage ", "curl ", "export TRIAGE_")
    assert [line for line in LINES if not line.startswith(kinds)] == []
    assert len(COMMANDS) >= 7
    assert len(REQUESTS) >= 2
    assert [ADDRESS in block for block in blocks("python")] == [True, False]
    assert len(blocks("json")) == 1


def test_make_knows_its_targets() -> None:
    targets = re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    named = set(re.findall(r"`make (\w+)`", README))
    named |= {line.split()[1] for line in LINES if line.startswith("make ")}
    assert {"demo", "test"} <= named <= set(targets)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_option_is_known_and_none_is_missing(arguments: list[str]) -> None:
    command: Any = get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    command.make_context("triage", rest)


def test_options_told_by_themselves_are_those_of_some_command() -> None:
    commands: Any = get_command(app).commands  # type: ignore[attr-defined]
    told = (commands["train"], commands["promote"], commands["batch"])
    known = {option for one in told for parameter in one.params for option in parameter.opts}
    named = {option for code in re.findall(r"`(--[^`]+)`", README) for option in code.split()}
    assert {option for option in named if option.startswith("--")} <= known


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [one for one in COMMANDS if NOT_HERE not in " ".join(one)], ids=" ".join
)
def test_commands_run(
    arguments: list[str], environment: dict[str, str], state: Path, manifest: Path
) -> None:
    """In their order, with one state: what is trained by one is compared by the next."""
    placed = [str(manifest) if one == "MANIFEST" else one for one in arguments]
    placed = [str(state / one[4:]) if one.startswith("var/") else one for one in placed]
    if "CASE" in placed:
        listed = run([sys.executable, "-m", "triage", "cases", "list", "--jsonl"], environment)
        cases = [json.loads(line) for line in listed.splitlines()]
        (mine,) = (case["id"] for case in cases if case["owner"] == "ann")
        placed[placed.index("CASE")] = mine
    printed = run([sys.executable, "-m", "triage", *placed], environment)
    assert printed.strip()
    if "--jsonl" in arguments:
        answers = [json.loads(line) for line in printed.splitlines()]
        assert len(answers) == len(RECORDINGS)
        assert all(len(one["results"]) == 1 for one in answers)


# The service --------------------------------------------------------------------------------


@pytest.mark.models
@pytest.mark.service
@pytest.mark.skipif(shutil.which("curl") is None, reason="the machine has no curl")
@pytest.mark.parametrize("line", REQUESTS)
def test_requests_are_answered(line: str, url: str, environment: dict[str, str]) -> None:
    assert ADDRESS in line
    answer = json.loads(run(["bash", "-c", line.replace(ADDRESS, url)], environment))
    assert answer["results"][0]["decision"]["tier"] in {"E0", "E1", "E2", "E3", "E4"}
    if "id=" in line:
        assert answer["recording"] == re.findall(r"id=(\S+)", line)[0]


@pytest.mark.models
@pytest.mark.service
def test_python_runs(url: str, environment: dict[str, str]) -> None:
    block = blocks("python")[0]
    run([sys.executable, "-c", block.replace(ADDRESS, url)], environment)


@pytest.mark.models
def test_results_are_read_as_shown(environment: dict[str, str], state: Path) -> None:
    (batch,) = (one for one in COMMANDS if one[0] == "batch")
    out = str(state / "run")
    placed = [out if one == "var/run" else one for one in batch]
    run([sys.executable, "-m", "triage", *placed], environment)  # or it is there already
    printed = run([sys.executable, "-c", blocks("python")[1].replace("var/run", out)], environment)
    assert "E0" in printed


@pytest.mark.models
@pytest.mark.service
def test_every_endpoint_is_there(url: str) -> None:
    table = re.findall(r"^\| (`.*?) \|", README, re.MULTILINE)
    paths = [path for cell in table for path in re.findall(r"(?:POST |GET |`)(/[\w./]*)`", cell)]
    assert len(paths) >= 9
    for path in paths:
        post = f"`POST {path}`" in README
        answer = httpx.request("POST" if post else "GET", url + path)
        known = {401} if path in NEEDS_TOKEN else {400, 415, 422} if post else {200}
        assert answer.status_code in known, path


# What it says -------------------------------------------------------------------------------


@pytest.mark.models
def test_the_answer_has_what_the_readme_shows(real_processor: Processor, samples: Path) -> None:
    heard = [Recording("a", samples / f"{name}") for name in ("baby-cry.mp3", "siren.webm")]
    answers = [as_json(one) for one in real_processor.process(heard, "cli")]
    whole = next(
        one for one in answers if one["results"][0]["events"] and one["results"][0]["segments"]
    )
    (shown,) = map(json.loads, blocks("json"))
    assert missing(shown, whole) == []


def missing(shown: Any, real: Any, where: str = "") -> list[str]:
    """Places of what is shown and not there, or of another type."""
    if isinstance(shown, dict) and isinstance(real, dict):
        gone = [f"{where}.{key}" for key in shown if key not in real]
        both = [key for key in shown if key in real]
        return gone + [
            one for key in both for one in missing(shown[key], real[key], f"{where}.{key}")
        ]
    if isinstance(shown, list) and isinstance(real, list) and shown and real:
        return missing(shown[0], real[0], f"{where}[]")
    numbers = (int, float)
    alike = isinstance(real, type(shown)) or (
        isinstance(shown, numbers) and isinstance(real, numbers)
    )
    return [] if alike or real is None else [where]


def test_the_decision_that_is_shown_is_the_policy_s() -> None:
    (shown,) = map(json.loads, blocks("json"))
    decision = shown["results"][0]["decision"]
    rules = {rule.id: rule for rule in load_policy(Settings().policy).rules}
    rule = rules[decision["rule"]]
    assert (decision["tier"], decision["actions"]) == (
        rule.tier,
        [str(one) for one in rule.actions],
    )


def test_all_settings_are_named_and_no_other() -> None:
    named = set(re.findall(r"`TRIAGE_(\w+)`", README))
    assert named == {name.upper() for name in Settings.model_fields}


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (PROJECT / link).exists()] == []
