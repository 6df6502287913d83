"""Writing labelled rows: what is written reads as the same rows, and is there whole or not."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.errors import LabelsRefused
from triage.labels.read import read_labels
from triage.labels.rows import Labelled, Problem
from triage.labels.schema import FIELDS
from triage.labels.write import LEFT_OUT, SUFFIXES, Format, as_json, write_problems, write_rows

FORMATS: tuple[Format, ...] = ("jsonl", "csv", "parquet")
NAMES = [name for names in SUFFIXES.values() for name in names]
TEXTS = st.text(min_size=1)
SHARES = st.dictionaries(TEXTS, st.sampled_from([0, 1]) | st.floats(0, 1), max_size=4)
ROWS = st.lists(
    st.builds(
        Labelled,
        id=TEXTS,
        source=TEXTS,
        licence=TEXTS,
        group=TEXTS,
        split=st.sampled_from(["train", "val"]),
        labels=SHARES,
        events=SHARES,
        text=TEXTS,
        audio=st.none() | st.sampled_from(["a.wav", "b/ü, x.ogg"]),
        annotator=st.none() | TEXTS,
        golden=st.booleans(),
        weight=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    ),
    min_size=1,
    unique_by=lambda row: (row.id, row.annotator),
)
ROW = Labelled("1", "s", "MIT", "g", "train", {"hate": 1}, {}, "canary")

in_one_folder = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def format_of(name: str) -> Format:
    return next(format for format in FORMATS if name in SUFFIXES[format])


def placed(rows: list[Labelled], folder: Path) -> list[Labelled]:
    """The rows with audio that is there."""
    for name in ("a.wav", "b/ü, x.ogg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return [
        Labelled(**{name: getattr(row, name) for name in FIELDS} | {"audio": folder / row.audio})
        if row.audio
        else row
        for row in rows
    ]


@pytest.mark.parametrize("name", NAMES)
@in_one_folder
@given(rows=ROWS)
def test_what_is_written_reads_as_the_same_rows(
    tmp_path: Path, name: str, rows: list[Labelled]
) -> None:
    rows = placed(rows, tmp_path)
    write_rows(rows, tmp_path / f"out{name}", format_of(name))
    reading = read_labels([tmp_path / f"out{name}"])
    assert reading.problems == []
    assert reading.rows == rows


@pytest.mark.parametrize("format", FORMATS)
def test_more_rows_than_one_batch_come_from_an_iterator(tmp_path: Path, format: Format) -> None:
    rows = [Labelled(str(n), "s", "MIT", "g", "val", {}, {}, "x") for n in range(9_000)]
    out = tmp_path / f"out.{format}"
    write_rows(iter(rows), out, format)
    assert read_labels([out]).rows == rows


def test_every_field_is_written() -> None:
    assert set(LEFT_OUT) == FIELDS


def test_audio_below_the_folder_moves_with_it(tmp_path: Path, monkeypatch: Any) -> None:
    outside = tmp_path / "outside.wav"
    (row,) = placed([Labelled("1", "s", "MIT", "g", "val", {}, {}, audio=Path("a.wav"))], tmp_path)
    assert as_json(row, tmp_path)["audio"] == "a.wav"
    elsewhere = Labelled("1", "s", "MIT", "g", "val", {}, {}, audio=outside)
    assert as_json(elsewhere, tmp_path / "inner")["audio"] == str(outside)
    monkeypatch.chdir(tmp_path)
    here = Labelled("1", "s", "MIT", "g", "val", {}, {}, audio=Path("a.wav"))
    assert as_json(here, tmp_path)["audio"] == "a.wav"


def test_what_need_not_be_said_is_left_out(tmp_path: Path) -> None:
    bare = Labelled("1", "s", "MIT", "g", "val", {}, {}, "x")
    assert set(as_json(bare, tmp_path)) == {"id", "text", "source", "licence", "group", "split"}


@pytest.mark.parametrize("name", ["out.csv", "out.json", "jsonl", "out.jsonl.zip"])
def test_a_name_that_would_be_read_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LabelsRefused) as caught:
        write_rows([ROW], tmp_path / name, "jsonl")
    assert ".jsonl.gz" in caught.value.detail
    assert list(tmp_path.iterdir()) == []


def broken(error: BaseException) -> Iterator[Labelled]:
    yield ROW
    raise error


@pytest.mark.parametrize("name", NAMES)
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    out = tmp_path / f"out{name}"
    write_rows([ROW], out, format_of(name))
    before = out.read_bytes()
    full = OSError(errno.ENOSPC, "No space left on device", "canary")
    with pytest.raises(LabelsRefused) as caught:
        write_rows(broken(full), out, format_of(name))
    assert "No space left on device" in caught.value.detail
    assert "canary" not in caught.value.detail
    with pytest.raises(KeyboardInterrupt):
        write_rows(broken(KeyboardInterrupt()), out, format_of(name))
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    write_rows([ROW], out, "jsonl")
    with out.open() as old:
        write_rows([], out, "jsonl")
        assert len(old.readlines()) == 1


@pytest.mark.parametrize("folder", ["gone", "file"])
def test_a_place_that_is_none_is_told(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LabelsRefused, match="can't be written"):
        write_rows([ROW], tmp_path / folder / "out.jsonl", "jsonl")


@pytest.mark.parametrize("name", [".jsonl.gz", ".csv.gz"])
def test_the_same_rows_are_the_same_bytes(tmp_path: Path, name: str) -> None:
    one, other = tmp_path / f"a{name}", tmp_path / f"b{name}"
    for out in (one, other):
        write_rows([ROW], out, format_of(name))
    assert one.read_bytes() == other.read_bytes()


def test_problems_are_json_lines(tmp_path: Path) -> None:
    out = tmp_path / "report.jsonl"
    write_problems([Problem("a.csv", 3, "id", "is missing")], out, [{"kind": "leak"}])
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert told == [
        {"kind": "problem", "file": "a.csv", "row": 3, "field": "id", "reason": "is missing"},
        {"kind": "leak"},
    ]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
def test_what_was_said_is_for_its_owner_only(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    write_rows([], file, file.suffix[1:])
    assert file.stat().st_mode & 0o777 == 0o600
