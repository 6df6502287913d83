"""Label Studio: its documented shapes go out and come back, and unticked isn't always no."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.errors import LabelsRefused
from triage.labels import label_studio
from triage.labels.label_studio import (
    NONE_OF_THESE,
    Asked,
    config,
    document_root,
    read_export,
    tasks,
)
from triage.labels.read import read_labels
from triage.labels.rows import Labelled, Reading
from triage.records import Event, Scores

CANARY = "canary"
ASKED = Asked(("violence", "distress", "new_one"), ("scream", "cry"))
NAMES = st.sets(st.sampled_from(ASKED.labels))
EVENTS = st.sets(st.sampled_from(ASKED.events))

in_one_folder = settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def clip(folder: Path, id: str = "1", **more: Any) -> Labelled:
    file = folder / "clips" / f"{id}, ü.wav"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return Labelled(id, "s", "MIT", "g", "train", {}, {}, audio=file, weight=3.5, **more)


def text(id: str = "1") -> Labelled:
    return Labelled(id, "s", "MIT", "g", "val", {"hate": 1}, {}, "turn it off")


def scores(**more: Any) -> Scores:
    found = (Event("scream", 0.5, 1.25, 0.93), Event("alarm", 2.0, 3.0, 0.7))
    categories = {"violence": 0.4, "distress": 0.8, "hate": 0.9}
    return Scores("m-1", categories, {}, seconds=4.0, events=found, **more)


def annotation(
    ticked: Any, marked: Any = (), who: Any = 7, to: str = "audio", **more: Any
) -> dict[str, Any]:
    """An annotation as Label Studio's guide shows them."""
    regions = [
        {
            "id": f"r{n}",
            "from_name": "events",
            "to_name": "audio",
            "type": "labels",
            "origin": "manual",
            "original_length": 18,
            "value": {"start": 3.1, "end": 8.2, "channel": 0, "labels": [name]},
        }
        for n, name in enumerate(marked)
    ]
    choices = {
        "id": "c",
        "from_name": "categories",
        "to_name": to,
        "type": "choices",
        "origin": "manual",
        "value": {"choices": sorted(ticked)},
    }
    return {
        "id": 1001,
        "completed_by": who,
        "result": [*regions, choices],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2021-03-09T22:16:08.728353Z",
        "updated_at": "2021-03-09T22:16:08.728378Z",
        "lead_time": 4.288,
        "task": 1,
    } | more


def export(folder: Path, *found: Any) -> Path:
    file = folder / "project-1.json"
    file.write_text(json.dumps(list(found)), encoding="utf-8")
    return file


def back(folder: Path, *found: Any, asked: tuple[str, ...] = ()) -> Reading:
    return read_labels([export(folder, *found)], asked)


def task(row: Labelled, *annotations: Any, asked: Asked = ASKED) -> dict[str, Any]:
    """A task of ours as Label Studio gives it back."""
    root = document_root([row])
    (made,) = json.loads(json.dumps(tasks([row], asked, root, {row.id: scores()})))
    return made | {"id": 12, "project": 1, "annotations": list(annotations)}


def shortened(task: dict[str, Any]) -> dict[str, Any]:
    """A task as Label Studio's converter makes it JSON-MIN."""
    (one,) = task["annotations"]
    *regions, choices = one["result"]
    names = choices["value"]["choices"]
    short = {"categories": names[0] if len(names) == 1 else {"choices": names}}
    if regions:
        short["events"] = [region["value"] for region in regions]
    told = {"id": task["id"], "annotator": one["completed_by"], "annotation_id": one["id"]}
    return task["data"] | short | told | {"created_at": "x", "updated_at": "x", "lead_time": 1.0}


# Out and back -------------------------------------------------------------------------------


@pytest.mark.parametrize("short", [False, True])
@in_one_folder
@given(ticked=NAMES, marked=EVENTS)
def test_what_was_asked_and_not_ticked_is_0(
    tmp_path: Path, short: bool, ticked: set[str], marked: set[str]
) -> None:
    row = clip(tmp_path)
    done = task(row, annotation(ticked or {NONE_OF_THESE}, marked))
    (read,) = back(tmp_path, shortened(done) if short else done).rows
    assert read == Labelled(
        id="1",
        source="s",
        licence="MIT",
        group="g",
        split="train",
        labels={name: int(name in ticked) for name in ASKED.labels},
        events={name: int(name in marked) for name in ASKED.events},
        audio=row.audio,
        annotator="ls-7",
        weight=3.5,
    )


def test_words_go_out_and_come_back_without_events(tmp_path: Path) -> None:
    (read,) = back(tmp_path, task(text(), annotation(["violence"], to="text"))).rows
    assert (read.text, read.audio, read.split) == ("turn it off", None, "val")
    assert read.labels == {"violence": 1, "distress": 0, "new_one": 0}
    assert read.events == {}


def test_several_annotators_are_several_rows(tmp_path: Path) -> None:
    found = [
        annotation(["violence"], who=1),
        annotation([NONE_OF_THESE], who={"id": 2, "email": f"{CANARY}@example.org"}),
        annotation(["distress"], who=3, was_cancelled=True),
        annotation(["distress"], who=4, ground_truth=True),
    ]
    reading = back(tmp_path, task(text(), *found))
    assert [row.annotator for row in reading.rows] == ["ls-1", "ls-2", "ls-4"]
    assert [row.golden for row in reading.rows] == [False, False, True]
    assert [row.labels["violence"] for row in reading.rows] == [1, 0, 0]
    assert CANARY not in str(reading)


def test_a_task_nobody_has_labelled_is_no_row_and_no_problem(tmp_path: Path) -> None:
    reading = back(tmp_path, task(text("2")), task(text(), annotation(["violence"])))
    assert [row.id for row in reading.rows] == ["1"]
    assert reading.problems == []


def test_an_e_mail_is_no_pseudonym(tmp_path: Path) -> None:
    bad = annotation(["violence"], who=f"{CANARY}@example.org")
    reading = back(tmp_path, task(text(), bad), task(text("2"), annotation(["violence"])))
    (problem,) = reading.problems
    assert (problem.row, problem.field) == (1, "completed_by")
    assert CANARY not in str(reading)


def test_none_of_these_beside_another_is_a_problem(tmp_path: Path) -> None:
    bad = annotation(["violence", NONE_OF_THESE])
    reading = back(tmp_path, task(text(), annotation(["violence"])), task(text("2"), bad))
    assert [(one.row, one.field) for one in reading.problems] == [(2, "labels")]


# Foreign projects ---------------------------------------------------------------------------


def foreign(found: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"text": "x", **data}, "annotations": [found]}


def test_unticked_is_unknown_where_nobody_says_what_was_asked(tmp_path: Path) -> None:
    (row,) = back(tmp_path, foreign(annotation(["violence"]))).rows
    assert (row.id, row.labels, row.events) == ("task-5", {"violence": 1}, {})
    assert (row.source, row.group) == ("unknown", "task-5")


def test_who_imports_may_say_what_was_asked(tmp_path: Path) -> None:
    (tmp_path / "a b.wav").touch()
    done = foreign(annotation(["violence"]), audio="/data/local-files/?d=a%20b.wav")
    (row,) = back(tmp_path, done, asked=("violence", "hate", "scream")).rows
    assert (row.labels, row.events) == ({"violence": 1, "hate": 0}, {"scream": 0})
    assert row.audio == tmp_path / "a b.wav"
    (row,) = back(tmp_path, foreign(annotation(["hate"])), asked=("hate", "scream")).rows
    assert (row.labels, row.events) == ({"hate": 1}, {})


def test_a_stretch_of_words_is_no_sound(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    found = annotation(["hate"])
    value = {"start": 0, "end": 3, "text": CANARY, "labels": ["scream"]}
    found["result"].append({"type": "labels", "to_name": "text", "value": value})
    (row,) = back(tmp_path, foreign(found, audio="a.wav")).rows
    assert row.events == {}


def test_sound_that_is_elsewhere_is_a_problem(tmp_path: Path) -> None:
    gone = foreign(annotation(["hate"]), audio="https://example.org/a.wav")
    with pytest.raises(LabelsRefused, match=r"row 1, field audio: is the path of no file"):
        back(tmp_path, gone)


# What goes out ------------------------------------------------------------------------------


def test_a_task_has_the_sound_where_label_studio_serves_it(tmp_path: Path) -> None:
    row = clip(tmp_path)
    assert document_root([row]) == tmp_path
    (made,) = tasks([row], ASKED, tmp_path)
    assert made["data"]["audio"] == "/data/local-files/?d=clips/1%2C%20%C3%BC.wav"
    assert made["data"]["text"] == ""
    assert "id" not in made["data"]
    assert "predictions" not in made


def test_a_recording_is_one_task_however_many_labelled_it(tmp_path: Path) -> None:
    rows = [clip(tmp_path, annotator="a"), clip(tmp_path, annotator="b"), clip(tmp_path, "2")]
    assert [one["data"]["recording"] for one in tasks(rows, ASKED, tmp_path)] == ["1", "2"]


def test_labels_that_are_there_are_not_shown_to_annotators() -> None:
    (made,) = tasks([text()], ASKED, Path("/"))
    assert "hate" not in json.dumps(made)


def test_predictions_are_as_documented(tmp_path: Path) -> None:
    (made,) = tasks([clip(tmp_path)], ASKED, tmp_path, {"1": scores()})
    assert made["predictions"] == [
        {
            "model_version": "m-1",
            "score": 0.8,
            "result": [
                {
                    "id": "event-0",
                    "from_name": "events",
                    "to_name": "audio",
                    "type": "labels",
                    "original_length": 4.0,
                    "score": 0.93,
                    "value": {"start": 0.5, "end": 1.25, "labels": ["scream"]},
                },
                {
                    "id": "categories",
                    "from_name": "categories",
                    "to_name": "audio",
                    "type": "choices",
                    "value": {"choices": ["distress"]},
                },
            ],
        }
    ]


def test_a_model_does_not_say_that_there_is_nothing() -> None:
    (made,) = tasks([text()], Asked(("violence",), ()), Path("/"), {"1": scores()})
    assert made["predictions"][0]["result"] == []


@pytest.mark.parametrize("audio", [True, False])
def test_predictions_fit_the_interface(tmp_path: Path, audio: bool) -> None:
    row = clip(tmp_path) if audio else text()
    (made,) = tasks([row], ASKED, tmp_path, {"1": scores()})
    view = ElementTree.fromstring(config(ASKED, audio=audio))  # noqa: S314 - our own
    controls = {one.get("name"): one for one in view}
    for result in made["predictions"][0]["result"]:
        control = controls[result["from_name"]]
        assert control.get("toName") == result["to_name"]
        assert control.tag.lower() == result["type"]
        offered = {one.get("value") for one in control}
        assert set(result["value"][result["type"]]) <= offered
    shown = {one.get("value") for one in view if one.tag in ("Audio", "Text")}
    assert shown == {f"${name}" for name in ("audio", "text") if name in made["data"]}


def test_the_interface_asks_for_an_answer_and_offers_none_of_these() -> None:
    view = ElementTree.fromstring(config(Asked(('a"<&',), ()), audio=True))  # noqa: S314
    assert [one.tag for one in view] == ["Audio", "Text", "Choices"]
    (choices,) = view.findall("Choices")
    assert (choices.get("choice"), choices.get("required")) == ("multiple", "true")
    assert [one.get("value") for one in choices] == ['a"<&', NONE_OF_THESE]


# Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 7, 100, 2**20])
def test_an_export_is_read_in_pieces(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_studio, "CHUNK", chunk)
    done = [task(text(str(n)), annotation(["violence"])) for n in range(5)]
    for indent in (None, 2):
        stream = io.BytesIO(b" " + json.dumps(done, indent=indent).encode() + b"\n")
        rows = list(read_export(stream))
        assert [number for number, _ in rows] == [1, 2, 3, 4, 5]
        assert [row["id"] for _, row in rows if isinstance(row, dict)] == list("01234")


def test_an_export_that_breaks_off_has_its_tasks_up_to_there(tmp_path: Path) -> None:
    file = export(tmp_path, *(task(text(str(n)), annotation(["violence"])) for n in range(3)))
    file.write_bytes(file.read_bytes()[:-100])
    reading = read_labels([file])
    assert [row.id for row in reading.rows] == ["0", "1"]
    (problem,) = reading.problems
    assert (problem.row, problem.field) == (3, "row")
    assert "EOFError" in problem.reason


KEYS = """data annotations result value choices labels start type id completed_by asked events
    recording text audio file annotation_id annotator categories was_cancelled"""
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS.split()),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ANY, max_size=4))
def test_whatever_an_export_holds_nothing_breaks(tmp_path: Path, found: list[Any]) -> None:
    reading = back(tmp_path, task(text(), annotation(["violence"])), *found)
    assert reading.rows


@pytest.mark.parametrize(
    "broken",
    [
        {"annotations": 5},
        {"annotations": [5, None]},
        {"data": {"text": "x", "asked": 3}},
        {"data": {"text": "x", "asked": {"labels": [[], "hate"], "events": "cry"}}},
        {"annotations": [annotation(["violence"]) | {"result": {"a": 1}}]},
        {"annotations": [annotation(["violence"]) | {"result": [[], {"type": "choices"}]}]},
        {"data": {"recording": ["x"], "text": "x"}},
        {"data": {"recording": "2", "text": 5, "audio": None}},
    ],
)
def test_an_odd_task_breaks_nothing(tmp_path: Path, broken: dict[str, Any]) -> None:
    good = task(text(), annotation(["violence"]))
    odd = task(text("2"), annotation(["violence"])) | broken
    assert back(tmp_path, good, odd).rows[0].id == "1"
