"""`triage labels`: what it prints, writes and takes in, with which code, and what it never says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from triage.cli.app import app
from triage.cli.exits import Exit
from triage.errors import LabelsRefused, NothingToScore
from triage.labels.read import read_labels
from triage.labels.rows import Labelled
from triage.pipeline import Triage
from triage.records import Event, Recording, Scores
from triage.settings import settings

SECRET = "not to be repeated"
ROW: dict[str, Any] = {
    "text": SECRET,
    "source": "written",
    "licence": "MIT",
    "split": "train",
    "labels": {"violence": 0},
}


class Listener:
    """Stands in for the model: hears a scream in every sound, can't score the row "odd"."""

    def score(self, recording: Recording) -> Scores:
        if recording.id == "odd":
            raise NothingToScore("There is nothing in it.")
        heard = (Event("scream", 0.5, 1.0, 0.9),) if recording.audio else ()
        return Scores("listener-1", {"violence": 0.8}, {}, seconds=2.0, events=heard)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of its own, a wide terminal, and the stand-in where the model would be."""
    monkeypatch.setenv("TRIAGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(Triage, "load", lambda _: Listener())
    settings.cache_clear()
    yield tmp_path / "state"
    settings.cache_clear()


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and output of `triage labels`."""
    done = CliRunner().invoke(app, ["labels", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert SECRET not in done.output
    return done.exit_code, " ".join(done.output.split())


def put(folder: Path, *rows: dict[str, Any], name: str = "in.jsonl") -> Path:
    """A file of rows, which differ in their words."""
    file = folder / name
    spoken = [ROW | {"text": f"{SECRET} {n}"} | row for n, row in enumerate(rows)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in spoken))
    return file


def clip(folder: Path) -> dict[str, Any]:
    (folder / "a.wav").touch()
    return {"id": "clip", "audio": "a.wav", "text": None, "labels": {}, "events": {"scream": 1}}


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def exported(folder: Path, *arguments: str) -> list[Labelled]:
    code, _ = run("export", folder / "all.jsonl", *arguments)
    assert code == Exit.DONE
    return read_labels([folder / "all.jsonl"]).rows


# check --------------------------------------------------------------------------------------


def test_check_counts_what_is_there(tmp_path: Path) -> None:
    file = put(
        tmp_path,
        {"id": "1", "labels": {"violence": 1, "hate": 0}},
        {"id": "2", "labels": {"violence": 0.25}},
        {"id": "3", "labels": {"violence": 0.5}, "split": "val"},
        clip(tmp_path),
    )
    code, out = run("check", file)
    assert code == Exit.DONE
    assert "Rows: 4" in out
    assert "written MIT 3 1" in out
    assert "category hate 0 1 3" in out
    assert "category violence 2 1 1" in out
    assert "event scream 1 0 3" in out
    assert "Problems: 0" in out
    assert "Conflicts: 0" in out


def test_check_tells_bad_rows_and_writes_all_of_them(tmp_path: Path) -> None:
    bad = [{"id": str(n), "weight": 0, "golden": SECRET} for n in range(15)]
    report = tmp_path / "report.jsonl"
    code, out = run("check", put(tmp_path, {"id": "good"}, *bad), "--report", report)
    assert code == Exit.INCOMPLETE
    assert "Problems: 30" in out
    assert "in.jsonl, row 2, field golden: is neither true nor false" in out
    assert "row 12," not in out
    assert "and 10 more" in out
    told = lines(report)
    assert [one["kind"] for one in told] == ["problem"] * 30
    assert told[-1]["row"] == 16
    assert SECRET not in report.read_text()


def test_check_tells_of_conflicts_but_goes_through(tmp_path: Path) -> None:
    votes = {"a": 1, "b": 0}
    rows = [{"id": "1", "text": SECRET, "annotator": who, "labels": {"violence": vote}}
            for who, vote in votes.items()]  # fmt: skip
    report = tmp_path / "report.jsonl"
    code, out = run("check", put(tmp_path, *rows), "--report", report)
    assert code == Exit.DONE
    assert "Conflicts: 1" in out
    assert [one["kind"] for one in lines(report)] == ["conflict"]
    assert lines(report)[0]["ids"] == ["1"]


def test_check_finds_leaks_by_group_and_by_words(tmp_path: Path) -> None:
    long = " ".join(f"word{n}" for n in range(30))
    rows = [
        {"id": "1", "group": "g"},
        {"id": "2", "group": "g", "split": "val"},
        {"id": "3", "text": long},
        {"id": "4", "text": f"{long} more", "split": "val"},
    ]
    report = tmp_path / "report.jsonl"
    code, out = run("check", put(tmp_path, *rows), "--report", report)
    assert code == Exit.INCOMPLETE
    assert "1 val rows of 1 groups" in out
    assert "1 val rows that are nearly the same" in out
    assert lines(report) == [
        {"kind": "leak", "by": "group", "val": "2"},
        {"kind": "leak", "by": "likeness", "val": "4", "train": "3"},
    ]


def test_check_changes_nothing(tmp_path: Path, state: Path) -> None:
    file = put(tmp_path, {"id": "1"})
    run("check", file)
    assert not state.exists()
    assert list(tmp_path.iterdir()) == [file]


# import -------------------------------------------------------------------------------------


def test_what_was_taken_in_comes_out(tmp_path: Path) -> None:
    file = put(tmp_path, {"id": "1", "annotator": "a"}, {"id": "2"}, clip(tmp_path))
    code, out = run("import", file, "--annotator", "b")
    assert code == Exit.DONE
    assert "3 new, 0 changed, 0 that were there" in out
    by = {row.id: row.annotator for row in exported(tmp_path)}
    assert by == {"1": "a", "2": "b", "clip": "b"}


def test_rows_that_say_nobody_and_are_taken_in_without_a_name(tmp_path: Path) -> None:
    run("import", put(tmp_path, {"id": "1"}))
    assert [row.annotator for row in exported(tmp_path)] == [None]


def test_a_later_label_replaces_the_annotators_own(tmp_path: Path) -> None:
    run("import", put(tmp_path, {"id": "1"}, {"id": "2"}))
    code, out = run("import", put(tmp_path, {"id": "1"}, {"id": "2", "labels": {"hate": 1}}))
    assert code == Exit.DONE
    assert "0 new, 1 changed, 1 that were there" in out
    assert {row.id: dict(row.labels) for row in exported(tmp_path)} == {
        "1": {"violence": 0},
        "2": {"hate": 1},
    }


def test_of_a_file_with_bad_rows_the_good_ones_are_taken_in(tmp_path: Path) -> None:
    report = tmp_path / "report.jsonl"
    file = put(tmp_path, {"id": "1"}, {"id": "2", "lable": SECRET})
    code, out = run("import", file, "--report", report)
    assert code == Exit.INCOMPLETE
    assert "1 new" in out
    assert "row 2, field lable: is no field of ours; labels is" in out
    assert len(lines(report)) == 1


# export -------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_files_go_from_one_format_to_another(tmp_path: Path, format: str) -> None:
    file, out = put(tmp_path, {"id": "1"}, clip(tmp_path)), tmp_path / f"out.{format}"
    code, said = run("export", out, file, "--format", format)
    assert code == Exit.DONE
    assert f"out.{format}: 2 rows" in said
    assert read_labels([out]).rows == read_labels([file]).rows


def test_projects_for_label_studio_with_and_without_sound(tmp_path: Path) -> None:
    file = put(tmp_path, {"id": "1"}, clip(tmp_path), {"id": "2", "labels": {"new_one": 1}})
    code, said = run("export", tmp_path / "p.json", file, "--format", "label-studio")
    assert code == Exit.DONE
    assert "p.audio.json: 1 tasks" in said
    assert "p.text.json: 2 tasks" in said
    assert f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={tmp_path.parent}" in said
    for kind, tag in (("audio", "Audio"), ("text", "Text")):
        tasks = json.loads((tmp_path / f"p.{kind}.json").read_text())
        assert "predictions" not in tasks[0]
        view = ElementTree.parse(tmp_path / f"p.{kind}.config.xml").getroot()  # noqa: S314 - ours
        assert view.find(tag) is not None
        choices = {one.get("value") for one in view.iter("Choice")}
        asked = tasks[0]["data"]["asked"]
        assert set(asked["labels"]) == choices - {"none of these"}
        assert ("new_one" in choices) == (kind == "text")
        assert bool(asked.get("events")) == (kind == "audio")


def test_one_kind_of_task_is_one_project(tmp_path: Path) -> None:
    file = put(tmp_path, {"id": "1"})
    run("export", tmp_path / "p.json", file, "--format", "label-studio")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.jsonl", "p.config.xml", "p.json"]


def test_predictions_go_along(tmp_path: Path) -> None:
    file = put(tmp_path, clip(tmp_path), clip(tmp_path) | {"id": "other"})
    out = tmp_path / "p.json"
    code, _ = run("export", out, file, "--format", "label-studio", "--predictions")
    assert code == Exit.DONE
    for task in json.loads(out.read_text()):
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "listener-1"
        assert [one["type"] for one in prediction["result"]] == ["labels", "choices"]


def test_a_row_that_cannot_be_scored_goes_out_without_predictions(tmp_path: Path) -> None:
    file = put(tmp_path, {"id": "1"}, {"id": "odd"})
    out = tmp_path / "p.json"
    code, said = run("export", out, file, "--format", "label-studio", "--predictions")
    assert code == Exit.INCOMPLETE
    assert "can't be scored: 1" in said
    assert ["predictions" in task for task in json.loads(out.read_text())] == [True, False]


def test_rows_that_are_bad_are_told_at_the_way_out_too(tmp_path: Path) -> None:
    file = put(tmp_path, {"id": "1"}, {"id": "2", "weight": -1})
    code, said = run("export", tmp_path / "out.jsonl", file)
    assert code == Exit.INCOMPLETE
    assert "out.jsonl: 1 rows" in said
    assert "field weight" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("out.csv",), "would not be read as jsonl"),
        (("out.xml", "--format", "label-studio"), "Let it end in .json"),
        (("out.jsonl", "--predictions"), "has a place for predictions"),
        (("gone/out.jsonl",), "can't be written"),
    ],
)
def test_what_can_not_be_written_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    file = put(tmp_path, {"id": "1"})
    with pytest.raises(LabelsRefused, match=told):
        run("export", tmp_path / arguments[0], file, *arguments[1:])
    assert list(tmp_path.iterdir()) == [file]


def test_an_empty_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabelsRefused, match="holds no rows"):
        run("export", tmp_path / "out.jsonl")


def test_label_studio_and_back(tmp_path: Path) -> None:
    """The whole round: tasks out, an annotation, into the store, out again."""
    file = put(tmp_path, clip(tmp_path))
    run("export", tmp_path / "p.json", file, "--format", "label-studio")
    (task,) = json.loads((tmp_path / "p.json").read_text())
    choices = {"from_name": "categories", "to_name": "audio", "type": "choices"}
    result = choices | {"id": "a", "value": {"choices": ["distress"]}}
    task |= {"id": 1, "annotations": [{"id": 2, "completed_by": 3, "result": [result]}]}
    (tmp_path / "done.json").write_text(json.dumps([task]))
    assert run("import", tmp_path / "done.json")[0] == Exit.DONE
    (row,) = exported(tmp_path)
    assert (row.id, row.annotator, row.labels["distress"]) == ("clip", "ls-3", 1)
    assert (row.labels["violence"], row.events["scream"]) == (0, 0)
