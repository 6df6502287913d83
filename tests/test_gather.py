"""Which rows a training takes, and for what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from triage.errors import LabelsRefused
from triage.labels.read import read_labels
from triage.labels.store import Store
from triage.training.gather import Gathered, gather
from triage.training.plan import STRENGTHS

ROW: dict[str, Any] = {"source": "s", "licence": "MIT", "split": "train"}
SAME = "somebody said that this is the very same line with nothing else in it"


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    (folder / "a.wav").touch()
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(ROW | {"group": row["id"]} | row) + "\n" for row in rows))
    return file


def gathered(*data: Path, store: str = "", **changed: Any) -> Gathered:
    how: dict[str, Any] = {
        "licences": (), "sources": (), "categories": (), "drop_leaks": False
    } | changed  # fmt: skip
    return gather(
        data,
        store,
        how["licences"],
        how["sources"],
        how["categories"],
        STRENGTHS,
        lambda *_: None,
        drop_leaks=how["drop_leaks"],
    )


def ids(rows: list[Any]) -> list[str]:
    return [row.id for row in rows]


def test_rows_go_where_they_are_of_use(tmp_path: Path) -> None:
    found = gathered(
        write(
            tmp_path,
            {"id": "words", "text": "red", "labels": {"hate": 1}},
            {"id": "sound", "audio": "a.wav", "events": {"scream": 1}},
            {"id": "both", "audio": "a.wav", "text": "x", "labels": {"hate": 0}},
            {"id": "heard", "audio": "a.wav", "labels": {"hate": 0}, "events": {"scream": 0}},
            {"id": "unlabelled", "text": "blue"},
        )
    )
    assert ids(found.texts) == ["words", "both", "heard"]
    assert ids(found.clips) == ["sound", "both", "heard"]
    assert set(found.digests) == {"words", "sound", "both", "heard"}


@pytest.mark.parametrize(
    ("excluded", "kept"),
    [((), ["a", "b", "c"]), (("NC",), ["a", "c"]), (("nc", "UNKNOWN"), ["a"])],
)
def test_licences_that_are_left_out(
    tmp_path: Path, excluded: tuple[str, ...], kept: list[str]
) -> None:
    file = write(
        tmp_path,
        {"id": "a", "text": "red", "labels": {"hate": 1}},
        {"id": "b", "text": "red", "labels": {"hate": 1}, "licence": "CC-BY-NC-4.0"},
        {"id": "c", "text": "red", "labels": {"hate": 1}, "licence": "unknown"},
    )
    assert ids(gathered(file, licences=excluded).texts) == kept


def test_nothing_left_to_train_on_is_refused_with_the_licences(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        {"id": "a", "text": "red", "labels": {"hate": 1}, "licence": "NC"},
        {"id": "b", "text": "red", "labels": {"hate": 1}, "split": "val"},
    )
    with pytest.raises(LabelsRefused, match=r"Of 2 rows none .* \['NC'\]"):
        gathered(file, licences=("NC",))


def test_only_the_categories_that_are_wanted(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        {"id": "a", "text": "red", "labels": {"hate": 1, "distress": 0}},
        {"id": "b", "text": "blue", "labels": {"hate": 1}},
        {"id": "c", "audio": "a.wav", "labels": {"hate": 1}, "events": {"scream": 1}},
    )
    found = gathered(file, categories=("distress",))
    assert [(row.id, row.labels) for row in found.texts] == [("a", {"distress": 0})]
    assert ids(found.clips) == ["c"]  # for its event


def test_what_a_sound_explains_is_unknown_of_the_words(tmp_path: Path) -> None:
    labels = {"distress": 1, "hate": 1, "violence": 0}
    file = write(
        tmp_path,
        {"id": "a", "audio": "a.wav", "labels": labels, "events": {"scream": 1, "siren": 0}},
        {"id": "b", "audio": "a.wav", "labels": labels, "events": {"scream": 0}},
    )
    explained, plain = gathered(file).texts
    assert explained.labels == {"hate": 1, "violence": 0}
    assert plain.labels == labels
    assert gathered(file).clips[0].labels == labels  # of the recording it is known


def test_bad_rows_are_told_and_conflicts_counted(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        {"id": "a", "text": "red", "labels": {"hate": 1}, "annotator": "x"},
        {"id": "a", "text": "red", "labels": {"hate": 0}, "annotator": "y"},
        {"id": "b", "text": "red", "labels": {"hate": 3}},
        {"id": "c", "audio": "gone.wav", "labels": {"hate": 1}},
    )
    found = gathered(file)
    assert [(one.row, one.field) for one in found.problems] == [(3, "labels"), (4, "audio")]
    assert found.conflicts == 1
    assert [row.labels for row in found.texts] == [{"hate": 0.5}]


def test_leaks_are_refused_or_left_out(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        {"id": "a", "text": SAME, "labels": {"hate": 1}},
        {"id": "b", "text": SAME, "labels": {"hate": 1}, "split": "val"},
        {"id": "c", "text": "red", "labels": {"hate": 1}, "split": "val", "group": "a"},
        {"id": "d", "text": "red", "labels": {"hate": 1}, "split": "val"},
    )
    with pytest.raises(LabelsRefused, match="--leaks drop"):
        gathered(file)
    found = gathered(file, drop_leaks=True)
    assert (ids(found.texts), found.dropped) == (["a", "d"], 2)


def test_without_data_the_store_is_taken(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'labels.db'}"
    file = write(tmp_path, {"id": "a", "text": "red", "labels": {"hate": 1}})
    Store(url).put(read_labels([file]).rows)
    assert ids(gathered(store=url).texts) == ["a"]
    assert gathered(store=url).digests == gathered(file).digests


def test_a_source_is_left_out(tmp_path: Path) -> None:
    rows = [{"id": n, "text": n, "labels": {"hate": 1}, "source": n} for n in ("a", "b", "ab")]
    assert ids(gathered(write(tmp_path, *rows), sources=("a",)).texts) == ["b", "ab"]


def test_a_source_that_isnt_there_is_refused_rather_than_trained_on(tmp_path: Path) -> None:
    rows = [{"id": n, "text": n, "labels": {"hate": 1}, "source": n} for n in ("a", "b")]
    with pytest.raises(LabelsRefused, match=r"no row of source aa .*There are: a, b"):
        gathered(write(tmp_path, *rows), sources=("aa",))
