"""`triage batch` as it is given: the real command, in processes of its own, on the real models."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pytest
from batch_command import (
    FILES,
    WHO,
    WHOLE,
    Done,
    Runs,
    done,
    given,
    laid_out_in_four_ways,
    rows,
    scored,
    small,
    told,
)

from triage.cli.exits import Exit

pytestmark = pytest.mark.models

WORDS = ("my father", "breathing", "tomorrow", "the kitchen", "kill you")


@pytest.fixture(scope="module")
def sources(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return laid_out_in_four_ways(tmp_path_factory.mktemp("sources"), samples)


@pytest.fixture(scope="module")
def four(
    sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Runs, Done]]:
    """A run over each, that of the folder in parts of two rows."""
    found = {}
    for name, source in sources.items():
        runs = Runs(tmp_path_factory.mktemp("runs"))
        way = small() if name == "folder" else WHOLE
        more = {"folder": ["--jsonl", "--by", "ann"], "x.zip": ["--quiet"]}.get(name, [])
        found[name] = runs, runs.run(source, "--out", runs.out(), *more, way=way)
    return found


@pytest.fixture(scope="module")
def whole(four: dict[str, tuple[Runs, Done]]) -> Path:
    """The folder of an unbroken run of three parts."""
    return four["folder"][0].out()


# What a run leaves -------------------------------------------------------------------------------


def test_every_source_of_the_same_recordings_comes_to_the_same(
    four: dict[str, tuple[Runs, Done]], whole: Path
) -> None:
    wanted = scored(whole)
    assert len(wanted) == len(FILES)
    for runs, end in four.values():
        done(end)
        assert scored(runs.out()) == wanted
        assert [row["position"] for row in rows(runs.out())] == list(range(len(FILES)))


def test_what_is_found_is_what_the_samples_hold(whole: Path) -> None:
    looked_at = [row["recording"].split("-")[-1] for row in rows(whole) if row["tier"] >= "E2"]
    assert looked_at == ["collapse.wav", "threat.mp3"]


def test_results_are_read_as_documented(whole: Path) -> None:
    assert len(list((whole / "results").iterdir())) == 3
    table = pd.read_parquet(whole / "results")
    scores = pd.json_normalize(table["category_scores"])
    assert scores.shape[0] == len(FILES)
    assert scores["violence"].idxmax() == FILES.index("threat.mp3")
    parts = ds.dataset(whole / "results", format="parquet")
    looked_at = parts.to_table(filter=ds.field("tier") >= "E2", columns=["position", "tier"])
    passes = ds.dataset(whole / "passes", format="parquet").to_table(columns=["position", "case"])
    both = looked_at.join(passes, "position", join_type="inner")
    assert both.num_rows == looked_at.num_rows > 0
    assert all(both["case"].to_pylist())
    lines = [
        json.loads(line)
        for file in sorted((whole / "jsonl").iterdir())
        for line in file.read_text().splitlines()
    ]
    kept = ("recording", "tier", "category_scores", "rule")
    assert [[line[k] for k in kept] for line in lines] == [
        [row[k] for k in kept] for row in rows(whole)
    ]


def test_the_page_needs_nothing_and_names_nobody(whole: Path) -> None:
    page = (whole / "report.html").read_text()
    assert "6 recordings" in page
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)|url\((?!#)|@import|<script", page)
    assert WHO not in page.lower()


def test_nothing_that_was_said_is_left_anywhere(four: dict[str, tuple[Runs, Done]]) -> None:
    for runs, end in four.values():
        left = told(runs.place)
        assert "category_scores" in left
        for said in WORDS:
            assert said not in left
            assert said not in (end.out + end.err).lower()
        in_results = json.dumps(rows(runs.out()), default=str).lower()
        assert "ambulance" not in in_results.replace("may need an ambulance", "")


def test_no_account_is_written_and_ids_are_in_results_only(
    four: dict[str, tuple[Runs, Done]],
) -> None:
    for runs, end in four.values():
        assert WHO not in end.out + end.err
        for file in [*runs.place.rglob("*")]:
            if file.is_file() and file.parent.name not in ("results", "passes", "jsonl"):
                assert WHO.encode() not in file.read_bytes(), file.name
        assert f'"{WHO}"' not in told(runs.out())


def test_what_is_left_is_for_its_owner_only(whole: Path) -> None:
    assert whole.stat().st_mode & 0o077 == 0


def test_a_log_gets_lines_and_the_end_is_told(four: dict[str, tuple[Runs, Done]]) -> None:
    _, end = four["x.zip"]
    assert all(line.startswith("batch: ") for line in end.err.splitlines())
    assert end.err.splitlines()[-1].startswith("batch: 6 of 6 (100%) scored")
    assert end.out.startswith("6 recordings; somebody has to look at ")


# What is asked for -------------------------------------------------------------------------------


def test_only_what_is_asked_for_is_scored(sources: dict[str, Path], tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    more = ["--where", f"!id.contains('glass') && id.contains('{WHO}')", "--limit", "2"]
    end = done(runs.run(sources["manifest"], "--out", "out", "--sound-only", *more, "--quiet"))
    names = [row["recording"] for row in rows(runs.out())]
    assert names == [f"{WHO}-collapse.wav", f"{WHO}-lights.m4a"]
    assert "weren't asked for (1)" in end.out
    first, second = rows(runs.out())
    assert first["category_applied_input_types"] != second["category_applied_input_types"]
    assert "text" not in json.dumps(second["category_applied_input_types"])
    assert WHO not in (runs.out() / "report.html").read_text() + end.out + end.err


def test_other_choices_in_the_folder_of_a_run_are_never_accepted(
    four: dict[str, tuple[Runs, Done]], sources: dict[str, Path]
) -> None:
    runs, _ = four["x.zip"]
    for more in (["--limit", "2"], ["--where", "id != 'x'"]):
        command = ("batch", sources["x.zip"], "--out", "out", *more, "--accept-changes")
        assert "begun with another choice" in done(given(runs, *command), Exit.SETUP).err


def test_what_is_wrong_with_a_command_is_told_by_its_code(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    runs = Runs(tmp_path)
    folder = sources["folder"]
    for given_, code in {
        (tmp_path / f"{WHO}-gone", "--out", "out"): Exit.USAGE,
        (folder, "--out", "out", "--where", "id +"): Exit.USAGE,
        (folder, "--out", "out", "--sample", "0"): Exit.USAGE,
        (folder, "--out", "out", "--engine", "other"): Exit.USAGE,
        (folder, "--out", folder): Exit.SETUP,
    }.items():
        told = done(given(runs, "batch", *given_), code)
        assert told.err
        assert WHO not in told.err
    assert sorted(one.name for one in folder.iterdir() if one.name.startswith(".")) == []


def test_the_codes_are_in_the_help() -> None:
    told = " ".join(given(Runs(Path.cwd()), "batch", "--help").out.split())
    assert all(f"{code.value} " in told.split("Exit codes:")[1] for code in Exit)
