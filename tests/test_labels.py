"""Labelled rows: what is wrong is told by line and field, and never in the words of a text."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.errors import LabelsRefused
from triage.labels.rows import MOST_PROBLEMS, Labelled, label_matrix, read_labels

CANARY = "canary"
ROW = {
    "id": "1",
    "source": "written",
    "licence": "MIT",
    "group": "g",
    "split": "train",
    "labels": {"violence": 1, "hate": 0},
    "events": {"scream": 0},
    "text": "turn it off",
    "audio": "clips/1.wav",
}
NAMES = ("violence", "hate", "distress")

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def put(folder: Path, *rows: object) -> Path:
    """A file of rows; what is a string goes in as it is."""
    file = folder / "labels.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def problem(file: Path) -> str:
    with pytest.raises(LabelsRefused) as caught:
        read_labels(file)
    assert CANARY not in caught.value.detail
    assert str(file.parent) not in caught.value.detail
    return caught.value.detail


# Good rows ----------------------------------------------------------------------------------


def test_a_row_comes_back_whole(tmp_path: Path) -> None:
    assert read_labels(put(tmp_path, ROW)) == [
        Labelled(
            id="1",
            source="written",
            licence="MIT",
            group="g",
            split="train",
            labels={"violence": 1, "hate": 0},
            events={"scream": 0},
            text="turn it off",
            audio=tmp_path / "clips/1.wav",
        )
    ]


def test_a_row_needs_no_more_than_an_id_and_something_to_score(tmp_path: Path) -> None:
    words, sound = read_labels(put(tmp_path, {"id": "a", "text": "x"}, {"id": "b", "audio": "y"}))
    assert (words.source, words.licence, words.group, words.split) == (
        "unknown",
        "unknown",
        "a",
        "val",
    )
    assert (words.labels, words.events, words.audio) == ({}, {}, None)
    assert (sound.text, sound.audio) == (None, tmp_path / "y")


@in_one_folder
@given(st.lists(st.text().filter(lambda t: t and t.isprintable()), min_size=1, unique=True))
def test_rows_come_in_order_zipped_or_not_with_any_text(tmp_path: Path, texts: list[str]) -> None:
    file = put(tmp_path, *({"id": text, "text": text} for text in texts))
    zipped = tmp_path / "labels.jsonl.gz"
    zipped.write_bytes(gzip.compress(file.read_bytes()))
    plain = read_labels(file)
    assert [row.text for row in plain] == texts
    assert read_labels(zipped) == plain


def test_text_need_not_be_escaped_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    file = put(tmp_path, "", '{"id": "1", "text": "f\u00fcr \u2028 dich"}', "  ", ROW | {"id": "2"})
    assert [row.text for row in read_labels(file)] == ["f\u00fcr \u2028 dich", "turn it off"]


@pytest.mark.parametrize(("given", "read"), [(1, 1), (0, 0), (True, 1), (1.0, 1)])
def test_what_equals_1_or_0_is_a_label(tmp_path: Path, given: object, read: int) -> None:
    (row,) = read_labels(put(tmp_path, ROW | {"labels": {"hate": given}}))
    assert row.labels == {"hate": read}
    assert type(row.labels["hate"]) is int


# Bad rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("id", 5),
        ("id", ""),
        ("text", 5),
        ("text", ""),
        ("text", [CANARY]),
        ("audio", {CANARY: 1}),
        ("audio", ""),
        ("split", "test"),
        ("split", CANARY),
        ("split", None),
        ("split", [CANARY]),
        ("labels", None),
        ("labels", [CANARY]),
        ("labels", {"hate": None}),
        ("labels", {"hate": 2}),
        ("labels", {"hate": 0.5}),
        ("labels", {"hate": "1"}),
        ("labels", {CANARY: [1]}),
        ("labels", {"hate": float("nan")}),
        ("events", {"scream": -1}),
    ],
)
def test_a_bad_field_is_named_with_its_line(tmp_path: Path, field: str, value: object) -> None:
    bad = ROW | {"id": "2", "text": f"{CANARY} one"} | {field: value}
    told = problem(put(tmp_path, ROW, "", bad))
    assert f"line 3, field {field}: is " in told
    assert "line 1" not in told


@pytest.mark.parametrize("without", ["id", "audio"])
def test_a_missing_field_is_named(tmp_path: Path, without: str) -> None:
    row = {k: v for k, v in ROW.items() if k not in (without, "text")}
    assert f"line 1, field {without}: is " in problem(put(tmp_path, row))


def test_an_id_is_there_once(tmp_path: Path) -> None:
    told = problem(put(tmp_path, ROW | {"id": CANARY}, ROW, ROW | {"id": CANARY}))
    assert "line 3, field id: is there twice" in told


@pytest.mark.parametrize("line", ["{", CANARY, f'{{"text": "{CANARY}', "\ufeff{}"])
def test_a_line_that_is_no_json_is_named(tmp_path: Path, line: str) -> None:
    assert "line 2 is not JSON" in problem(put(tmp_path, ROW, line))


@pytest.mark.parametrize("line", ["[]", f'"{CANARY}"', "1", "null"])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    assert "line 2, field row: is no object" in problem(put(tmp_path, ROW, line))


def test_a_line_nested_beyond_reason_is_named(tmp_path: Path) -> None:
    assert "line 2 is not JSON" in problem(put(tmp_path, ROW, "[" * 100_000))


@pytest.mark.parametrize("field", ["source", "licence", "group"])
def test_null_is_no_name(tmp_path: Path, field: str) -> None:
    assert f"line 1, field {field}: " in problem(put(tmp_path, ROW | {field: None}))


@pytest.mark.parametrize(("bad", "more"), [(MOST_PROBLEMS, ""), (MOST_PROBLEMS + 3, "and 3 more")])
def test_the_first_twenty_are_told_and_the_rest_counted(
    tmp_path: Path, bad: int, more: str
) -> None:
    told = problem(put(tmp_path, *[CANARY] * bad))
    assert told.count("is not JSON") == MOST_PROBLEMS
    assert f"line {MOST_PROBLEMS} is not JSON" in told
    assert ("more" in told) == bool(more)
    assert more in told


def test_no_rows_are_refused(tmp_path: Path) -> None:
    assert "no row" in problem(put(tmp_path))
    assert "no row" in problem(put(tmp_path, "", " "))


# Bad files ----------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "FileNotFoundError" in problem(tmp_path / "labels.jsonl")


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.jsonl.gz"])
def test_what_is_not_utf_8_is_refused(tmp_path: Path, name: str) -> None:
    content = f'{{"id": "1", "text": "{CANARY} f\u00fcr"}}'.encode("latin-1")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert "UnicodeDecodeError" in problem(tmp_path / name)


def zipped(tmp_path: Path) -> tuple[Path, bytes]:
    rows = [json.dumps(ROW | {"id": str(7919 * row)}) for row in range(50)]
    content = gzip.compress("\n".join(rows).encode(), mtime=0)
    return tmp_path / "labels.jsonl.gz", content


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_zipped_file_that_was_cut_is_refused(tmp_path: Path, share: float) -> None:
    file, content = zipped(tmp_path)
    file.write_bytes(content[: int(share * len(content))])
    assert "can't be read to its end" in problem(file)


def test_a_zipped_file_with_a_changed_byte_is_refused(tmp_path: Path) -> None:
    file, content = zipped(tmp_path)
    for at in range(10, len(content)):
        changed = bytearray(content)
        changed[at] ^= 0xFF
        file.write_bytes(changed)
        problem(file)


# Labels as an array -------------------------------------------------------------------------

ANY_LABELS = st.dictionaries(st.sampled_from([*NAMES, "other"]), st.sampled_from([0, 1]))


@given(st.lists(st.tuples(ANY_LABELS, ANY_LABELS), max_size=5))
def test_what_was_not_asked_is_unknown_and_not_0(
    given: list[tuple[dict[str, int], dict[str, int]]],
) -> None:
    rows = [Labelled("1", "s", "MIT", "g", "val", labels, events) for labels, events in given]
    for kind in ("labels", "events"):
        matrix = label_matrix(rows, kind, NAMES)
        assert matrix.shape == (len(rows), len(NAMES))
        assert matrix.dtype == np.float32
        for row, values in zip(rows, matrix.tolist(), strict=True):
            asked: dict[str, Any] = getattr(row, kind)
            for name, value in zip(NAMES, values, strict=True):
                assert asked[name] == value if name in asked else math.isnan(value)
