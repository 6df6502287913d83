"""`triage evaluate --leave-source-out` on the real encoder and a few of the written lines."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path

import pytest
from typer.testing import CliRunner

from triage.cli.app import app

pytestmark = pytest.mark.models

LINES = Path(__file__).parent.parent / "data" / "authored" / "lines.jsonl.gz"
SOURCES = ("authored-calls", "authored-medical")
EACH = 150


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first line of so many seeds of two files."""
    rows = []
    for source in SOURCES:
        with gzip.open(LINES, "rt") as lines:
            firsts = (r for r in map(json.loads, lines) if r["id"].endswith("-0"))
            rows += list(islice((r for r in firsts if r["source"] == source), EACH))
    file = tmp_path_factory.mktemp("lines") / "some.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_each_source_is_measured_by_heads_that_dont_know_it(data: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "figures.json", tmp_path / "cache"
    told = run(
        str(data), "--leave-source-out", "--repeats", "20", "--cache", str(cache),
        "--json", str(out),
    )  # fmt: skip
    found = json.loads(out.read_text())
    assert [(one["source"], one["left_out"]) for one in found] == [(s, [s]) for s in SOURCES]
    for one in found:
        (distress,) = [each for each in one["figures"] if each["name"] == "distress"]
        assert distress["auroc"]["value"] > 0.6
        assert one["rows"] == EACH
        assert one["source"] in told
    assert "Categories: recall at 1 % false alarms" in told
    assert "tuned on some of these sources" in told  # the encoder that ships was
    assert "distress" in told


def test_a_single_source_is_refused(data: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.jsonl"
    lines = data.read_text().splitlines()[:EACH]
    one.write_text("\n".join(lines) + "\n")
    result = CliRunner().invoke(
        app, ["evaluate", str(one), "--leave-source-out", "--cache", str(tmp_path / "cache")]
    )
    assert result.exit_code != 0
    assert "one source" in str(result.exception) or "one source" in result.output
