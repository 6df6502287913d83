"""Reading labelled rows: what is wrong is told by row and field, and never in a text's words."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.errors import LabelsRefused
from triage.labels.read import read_labels
from triage.labels.rows import Labelled, Problem
from triage.labels.schema import VAL_SHARE, split_of

CANARY = "canary"
ROW: dict[str, Any] = {
    "id": "1",
    "source": "written",
    "licence": "MIT",
    "group": "g",
    "split": "train",
    "labels": {"violence": 1, "hate": 0, "distress": 0.25},
    "events": {"scream": 0},
    "text": "turn it off",
    "annotator": "r1",
    "golden": True,
    "weight": 12.5,
}
READ = Labelled(
    id="1",
    source="written",
    licence="MIT",
    group="g",
    split="train",
    labels={"violence": 1, "hate": 0, "distress": 0.25},
    events={"scream": 0},
    text="turn it off",
    annotator="r1",
    golden=True,
    weight=12.5,
)
GOOD = {"id": "good", "text": "x"}

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def put(folder: Path, *rows: object, name: str = "labels.jsonl") -> Path:
    """A file of rows; what is a string goes in as it is."""
    file = folder / name
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def put_csv(folder: Path, *rows: Sequence[str]) -> Path:
    file = folder / "labels.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return file


def put_parquet(folder: Path, columns: dict[str, Any]) -> Path:
    file = folder / "labels.parquet"
    pq.write_table(pa.table(columns), file)
    return file


def rows_of(*files: Path) -> list[Labelled]:
    reading = read_labels(files)
    assert reading.problems == []
    return reading.rows


def wrong(file: Path, rows: int = 1) -> list[tuple[int, str, str]]:
    """Row, field and reason of each problem in a file with so many good rows."""
    reading = read_labels([file])
    assert len(reading.rows) == rows
    assert {problem.file for problem in reading.problems} <= {file.name}
    assert CANARY not in "".join(map(str, reading.problems))
    return [(one.row, one.field, one.reason) for one in reading.problems]


def places(file: Path, rows: int = 1) -> list[tuple[int, str]]:
    return [(row, field) for row, field, _ in wrong(file, rows)]


def refused(*paths: Path) -> str:
    with pytest.raises(LabelsRefused) as caught:
        read_labels(paths)
    assert CANARY not in caught.value.detail
    assert str(paths[0].parent) not in caught.value.detail
    return caught.value.detail


# Good rows ----------------------------------------------------------------------------------


def test_a_row_comes_back_whole(tmp_path: Path) -> None:
    assert rows_of(put(tmp_path, ROW)) == [READ]


def test_audio_counts_from_the_folder_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "1.wav").touch()
    (row,) = rows_of(put(tmp_path, {"id": "1", "audio": "clips/1.wav"}))
    assert row.audio == tmp_path / "clips" / "1.wav"
    assert row.text is None
    (row,) = rows_of(put(tmp_path, {"id": "1", "audio": str(tmp_path / "clips" / "1.wav")}))
    assert row.audio == tmp_path / "clips" / "1.wav"


def test_a_row_needs_no_more_than_an_id_and_something_to_score(tmp_path: Path) -> None:
    (row,) = rows_of(put(tmp_path, {"id": "a", "text": "x"}))
    assert row == Labelled("a", "unknown", "unknown", "a", split_of("a"), {}, {}, "x")
    assert row.weight == 1


def test_null_is_the_same_as_not_there(tmp_path: Path) -> None:
    nulls = dict.fromkeys(ROW | {"audio": 0}) | GOOD
    (bare,) = rows_of(put(tmp_path, GOOD))
    assert rows_of(put(tmp_path, nulls)) == [bare]
    (row,) = rows_of(put(tmp_path, GOOD | {"labels": {"hate": None, "violence": 1}}))
    assert row.labels == {"violence": 1}


@in_one_folder
@given(st.lists(st.text().filter(lambda t: t and t.isprintable()), min_size=1, unique=True))
def test_rows_come_in_order_zipped_or_not_with_any_text(tmp_path: Path, texts: list[str]) -> None:
    file = put(tmp_path, *({"id": text, "text": text} for text in texts))
    zipped = tmp_path / "labels.jsonl.gz"
    zipped.write_bytes(gzip.compress(file.read_bytes()))
    plain = rows_of(file)
    assert [row.text for row in plain] == texts
    assert rows_of(zipped) == plain


def test_text_need_not_be_escaped_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    file = put(tmp_path, "", '{"id": "1", "text": "f\u00fcr \u2028 dich"}', "  ", ROW | {"id": "2"})
    assert [row.text for row in rows_of(file)] == ["f\u00fcr \u2028 dich", "turn it off"]


@pytest.mark.parametrize(
    ("given", "read"), [(1, 1), (0, 0), (True, 1), (1.0, 1), (0.5, 0.5), (1e-9, 1e-9)]
)
def test_a_share_from_0_to_1_is_a_label(tmp_path: Path, given: object, read: float) -> None:
    (row,) = rows_of(put(tmp_path, ROW | {"labels": {"hate": given}}))
    assert row.labels == {"hate": read}
    assert type(row.labels["hate"]) is type(read)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    file = put(tmp_path, "\ufeff" + json.dumps(ROW))
    assert rows_of(file) == [READ]


def test_labels_may_be_spread_over_fields(tmp_path: Path) -> None:
    row = GOOD | {"label.hate": 1, "label.violence": None, "event.scream": 0}
    (read,) = rows_of(put(tmp_path, row))
    assert (read.labels, read.events) == ({"hate": 1}, {"scream": 0})


def test_other_fields_are_passed_over(tmp_path: Path) -> None:
    more = {"seconds": 3, "native_hz": 8000, "transcript": CANARY, "detail": [1], "source_id": 4}
    (bare,) = rows_of(put(tmp_path, GOOD))
    assert rows_of(put(tmp_path, GOOD | more)) == [bare]


def test_what_rows_share_is_in_memory_once(tmp_path: Path) -> None:
    one, other = rows_of(put(tmp_path, ROW, ROW | {"id": "2"}))
    assert one.labels is other.labels
    assert one.source is other.source
    assert one.group is other.group


# Splits -------------------------------------------------------------------------------------


def test_one_group_in_ten_is_val_where_nobody_says() -> None:
    counts = Counter(split_of(str(group)) for group in range(10_000))
    assert counts["val"] == pytest.approx(10_000 * VAL_SHARE, rel=0.1)
    assert counts["train"] == 10_000 - counts["val"]


def test_the_split_of_a_group_never_changes() -> None:
    # Another rule would put rows into training that earlier models were measured on.
    assert [n for n in range(60) if split_of(str(n)) == "val"] == [9, 39, 49, 51, 55]


def test_a_group_stays_on_one_side_whoever_labels_it(tmp_path: Path) -> None:
    rows = [{"id": str(n), "text": "x", "group": str(n % 40)} for n in range(200)]
    sides = {(row.group, row.split) for row in rows_of(put(tmp_path, *rows))}
    assert len(sides) == 40
    assert {split for _, split in sides} == {"train", "val"}


# Bad rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 5),
        ("id", ""),
        ("id", "\ud800"),
        ("text", 5),
        ("text", ""),
        ("text", [CANARY]),
        ("text", f"{CANARY} \udcff"),
        ("audio", {CANARY: 1}),
        ("audio", ""),
        ("audio", f"{CANARY}.wav"),
        ("audio", "."),
        ("audio", "a\0b"),
        ("source", 1),
        ("licence", [CANARY]),
        ("group", ""),
        ("split", "test"),
        ("split", CANARY),
        ("split", [CANARY]),
        ("labels", [CANARY]),
        ("labels", ""),
        ("labels", 0),
        ("labels", {"hate": 2}),
        ("labels", {"hate": -0.1}),
        ("labels", {"hate": "1"}),
        ("labels", {CANARY: [1]}),
        ("labels", {"": 1}),
        ("labels", {"hate": float("nan")}),
        ("events", {"scream": -1}),
        ("annotator", 7),
        ("golden", "yes"),
        ("golden", 2),
        ("weight", 0),
        ("weight", -1),
        ("weight", "2"),
        ("weight", float("inf")),
        ("weight", float("nan")),
        ("weight", 10**400),
    ],
)
def test_a_bad_field_is_named_with_its_row(tmp_path: Path, field: str, value: object) -> None:
    bad = ROW | {"id": "2", "text": f"{CANARY} one"} | {field: value}
    ((row, name, reason),) = wrong(put(tmp_path, ROW, "", bad))
    assert (row, name) == (3, field)
    assert reason.startswith("is ")


@pytest.mark.parametrize("without", ["id", "text"])
def test_a_missing_field_is_named(tmp_path: Path, without: str) -> None:
    row = {k: v for k, v in ROW.items() if k != without}
    ((number, field, reason),) = wrong(put(tmp_path, GOOD, row))
    assert (number, field) == (2, "id" if without == "id" else "audio")
    assert reason.startswith("is missing")


def test_all_that_is_wrong_with_a_row_is_told(tmp_path: Path) -> None:
    bad = {"text": 1, "labels": 1, "events": 1, "split": 1, "weight": 0, "golden": 3, "lable": 1}
    told = places(put(tmp_path, bad, GOOD))
    assert sorted(told) == [(1, name) for name in sorted([*bad, "id"])]


def test_an_id_is_there_once_for_each_annotator(tmp_path: Path) -> None:
    rows = [GOOD, GOOD | {"annotator": "a"}, GOOD | {"annotator": "b"}, GOOD | {"annotator": "a"}]
    ((row, field, reason),) = wrong(put(tmp_path, *rows), rows=3)
    assert (row, field) == (4, "id")
    assert "there twice" in reason


def test_an_id_is_there_once_in_all_files(tmp_path: Path) -> None:
    files = put(tmp_path, GOOD, name="a.jsonl"), put(tmp_path, GOOD, name="b.jsonl")
    (problem,) = read_labels(files).problems
    assert (problem.file, problem.row, problem.field) == ("b.jsonl", 1, "id")


def test_a_bad_row_does_not_count_as_there(tmp_path: Path) -> None:
    assert places(put(tmp_path, GOOD | {"weight": 0}, GOOD)) == [(1, "weight")]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lable", "labels"),
        ("label", "labels"),
        ("Labels", "labels"),
        ("transcripts", "text"),
        ("license", "licence"),
        ("auido", "audio"),
        ("lable.hate", "labels"),
        ("annotators", "annotator"),
    ],
)
def test_a_misspelt_field_is_a_problem(tmp_path: Path, name: str, meant: str) -> None:
    ((row, field, reason),) = wrong(put(tmp_path, GOOD, GOOD | {"id": "2", name: CANARY}))
    assert (row, field) == (2, name)
    assert reason == f"is no field of ours; {meant} is"


def test_labels_are_not_told_in_two_ways(tmp_path: Path) -> None:
    row = GOOD | {"id": "2", "label.hate": 1, "labels": {"hate": 0}}
    assert places(put(tmp_path, GOOD, row)) == [(2, "labels")]


@pytest.mark.parametrize("line", ["{", CANARY, f'{{"text": "{CANARY}', "\ufeff{}", "[" * 100_000])
def test_a_line_that_is_no_json_is_named(tmp_path: Path, line: str) -> None:
    assert wrong(put(tmp_path, ROW, line)) == [(2, "row", "is not JSON")]


@pytest.mark.parametrize("line", ["[]", f'"{CANARY}"', "1", "null", '[["row", "x"]]'])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    assert wrong(put(tmp_path, ROW, line)) == [(2, "row", "is no object")]


def test_a_line_that_is_no_utf_8_spoils_no_other(tmp_path: Path) -> None:
    file = put(tmp_path, GOOD, "x", ROW)
    file.write_bytes(file.read_bytes().replace(b"x\n", b'{"id": "\xff"}\n'))
    assert wrong(file, rows=2) == [(2, "row", "is not UTF-8")]


def test_one_bad_row_in_a_hundred_costs_no_more_than_itself(tmp_path: Path) -> None:
    rows = [{"id": str(n), "text": "x" if n % 100 else 5} for n in range(1000)]
    assert places(put(tmp_path, *rows), rows=990) == [(n + 1, "text") for n in range(0, 1000, 100)]


def test_nothing_good_is_refused_with_the_first_problems(tmp_path: Path) -> None:
    told = refused(put(tmp_path, *[f"{CANARY}"] * 5))
    assert "Problems: 5" in told
    assert told.count("is not JSON") == 3
    assert "labels.jsonl, row 3, field row" in told


def test_no_rows_are_refused(tmp_path: Path) -> None:
    assert "no good row" in refused(put(tmp_path))
    assert "no good row" in refused(put(tmp_path, "", " "))


# CSV ----------------------------------------------------------------------------------------


def test_a_row_of_csv_is_the_same_row(tmp_path: Path) -> None:
    cells = {
        **ROW,
        "labels": json.dumps(ROW["labels"]),
        "events": '{"scream": 0}',
        "golden": "TRUE",
    }
    file = put_csv(tmp_path, list(cells), [str(cell) for cell in cells.values()])
    assert rows_of(file) == [READ]
    zipped = tmp_path / "labels.csv.gz"
    zipped.write_bytes(gzip.compress(file.read_bytes()))
    assert rows_of(zipped) == [READ]


def test_columns_of_labels_with_nothing_in_them_are_unknown(tmp_path: Path) -> None:
    header = ["id", "text", "label.hate", "label.violence", "event.cry", "golden", "weight"]
    file = put_csv(tmp_path, header, ["1", "x", "1", "", "0.5", "", ""])
    (row,) = rows_of(file)
    assert (row.labels, row.events, row.golden, row.weight) == ({"hate": 1}, {"cry": 0.5}, False, 1)


def test_a_table_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes('\ufeffid,text\r\n1,"f\u00fcr, ""dich""\r\nund mich"\r\n\r\n2,x\r\n'.encode())
    assert [row.text for row in rows_of(file)] == ['f\u00fcr, "dich"\r\nund mich', "x"]


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        (["2", "x", "{", "", ""], "labels"),
        (["2", "x", "[1]", "", ""], "labels"),
        (["2", "x", "", "many", ""], "weight"),
        (["2", "x", "", "nan", ""], "weight"),
        (["2", "x", "", "", "perhaps"], "golden"),
        (["2", "", "", "", ""], "audio"),
        (["", "x", "", "", ""], "id"),
        (["2", "x"], "row"),
        (["2", "x", "", "", "", CANARY], "row"),
    ],
)
def test_a_bad_cell_is_named_with_the_line_it_is_on(
    tmp_path: Path, cells: list[str], field: str
) -> None:
    header = ["id", "text", "labels", "weight", "golden"]
    file = put_csv(tmp_path, header, ["1", "one\nand two", "", "", ""], cells)
    assert places(file) == [(4, field)]


@pytest.mark.parametrize("share", ["yes", "2", "nan", "-1"])
def test_a_bad_share_in_a_column_of_its_own_is_named(tmp_path: Path, share: str) -> None:
    file = put_csv(tmp_path, ["id", "text", "label.hate"], ["1", "x", share], ["2", "x", "1"])
    assert places(file) == [(2, "labels")]


def test_bytes_that_are_no_utf_8_spoil_their_own_cell(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(b"id,text\n1,x\n2,f\xfcr\n3,y\n")
    assert wrong(file, rows=2) == [(3, "text", "is not UTF-8 throughout")]


def test_a_quote_inside_a_cell_is_named(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(f'id,text\n1,x\n2,"{CANARY}"x\n3,y\n')
    assert places(file, rows=2) == [(3, "row")]


def test_a_quote_left_open_is_named_where_it_opens(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(f'id,text\n1,x\n2,"{CANARY}\n3,y\n')
    assert places(file) == [(3, "row")]


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("text,group", "id"),
        ("id,group", "audio"),
        ("id,text,lable", "lable"),
        ("id,text,text", "text"),
        ("id;text", "id"),
        ("", "id"),
    ],
)
def test_a_wrong_column_is_told_once(tmp_path: Path, header: str, field: str) -> None:
    good = put(tmp_path, ROW)
    file = tmp_path / "labels.csv"
    file.write_text(header + "\n" + "1,2,3\n" * 50)
    reading = read_labels([good, file])
    assert len(reading.rows) == 1
    assert (1, field) in [(one.row, one.field) for one in reading.problems]
    assert len(reading.problems) <= 2


# Parquet ------------------------------------------------------------------------------------


def test_a_row_of_parquet_is_the_same_row(tmp_path: Path) -> None:
    file = put_parquet(tmp_path, {name: [value] for name, value in ROW.items()})  # structs
    assert rows_of(file) == [READ]


def test_labels_in_a_map_a_text_or_columns(tmp_path: Path) -> None:
    labels: list[Any] = [[("hate", 1.0), ("violence", None)], None]
    columns = {
        "id": ["1", "2"],
        "text": ["x", "y"],
        "labels": pa.array(labels, pa.map_(pa.string(), pa.float64())),
        "events": ['{"cry": 0.5}', None],
        "picture": [b"1", b"2"],
    }
    one, other = rows_of(put_parquet(tmp_path, columns))
    assert (one.labels, one.events) == ({"hate": 1}, {"cry": 0.5})
    assert (other.labels, other.events) == ({}, {})
    spread = {"id": ["1"], "text": ["x"], "label.hate": [1], "event.cry": [None]}
    (row,) = rows_of(put_parquet(tmp_path, spread))
    assert (row.labels, row.events) == ({"hate": 1}, {})


def test_more_rows_of_parquet_than_one_batch(tmp_path: Path) -> None:
    ids = [str(n) for n in range(10_000)]
    texts = ["x" if n != 9_000 else None for n in range(10_000)]
    assert places(put_parquet(tmp_path, {"id": ids, "text": texts}), rows=9_999) == [
        (9_001, "audio")
    ]


@pytest.mark.parametrize("columns", [{"text": ["x"]}, {"id": ["1"], "text": ["x"], "lable": [1]}])
def test_a_wrong_column_of_parquet_is_told(tmp_path: Path, columns: dict[str, Any]) -> None:
    assert "row 1, field" in refused(put_parquet(tmp_path, columns))


def test_damaged_parquet_is_told(tmp_path: Path) -> None:
    file = put_parquet(tmp_path, {"id": ["1"], "text": [CANARY]})
    content = file.read_bytes()
    for cut in (b"", b"PAR1", content[:100], content[:-9]):
        file.write_bytes(cut)
        assert "field row" in refused(file)


# Files that break off -----------------------------------------------------------------------


def zipped(folder: Path, name: str = "labels.jsonl.gz") -> tuple[Path, bytes]:
    rows = [json.dumps(GOOD | {"id": str(7919 * row)}) for row in range(5_000)]
    content = gzip.compress("\n".join(rows).encode(), mtime=0)
    (folder / name).write_bytes(content)
    return folder / name, content


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_of_a_zipped_file_that_was_cut_the_rows_before_count(tmp_path: Path, share: float) -> None:
    file, content = zipped(tmp_path)
    file.write_bytes(content[: int(share * len(content))])
    reading = read_labels([file])
    (problem,) = reading.problems
    assert 0 < len(reading.rows) < 5_000
    assert [row.id for row in reading.rows] == [str(7919 * n) for n in range(len(reading.rows))]
    assert (problem.row, problem.field) == (len(reading.rows) + 1, "row")
    assert "can't be read" in problem.reason


def test_a_changed_byte_in_a_zipped_file_is_told(tmp_path: Path) -> None:
    file, content = zipped(tmp_path)
    good = put(tmp_path, GOOD)
    for at in range(10, len(content), 997):
        changed = bytearray(content)
        changed[at] ^= 0xFF
        file.write_bytes(changed)
        assert read_labels([good, file]).problems


def test_what_is_not_zipped_is_told(tmp_path: Path) -> None:
    assert "BadGzipFile" in refused(put(tmp_path, ROW, name="labels.jsonl.gz"))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "gone.jsonl is neither" in refused(tmp_path / "gone.jsonl")


def test_a_file_that_is_no_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert "notes.txt is neither" in refused(tmp_path / "notes.txt")


# Folders ------------------------------------------------------------------------------------


def test_a_folder_is_read_by_name_and_the_rest_of_it_left(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    put(tmp_path / "b", GOOD | {"id": "2"})
    put(tmp_path, GOOD | {"id": "3"}, name="b.jsonl")
    put_csv(tmp_path, ["id", "text"], ["4", "x"])
    put(tmp_path, GOOD | {"id": "1"}, name="a.jsonl")
    put(tmp_path, CANARY, name="README.md")
    put(tmp_path, CANARY, name=".labels.jsonl.1.part")
    put(tmp_path, CANARY, name=".hidden.jsonl")
    assert [row.id for row in rows_of(tmp_path)] == ["1", "2", "3", "4"]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty is neither" in refused(tmp_path / "empty")


@pytest.mark.parametrize("content", ['{"a": 1}', "[1, 2]", "", "[{", "null", '[{"data": 1}]'])
def test_json_that_is_no_export_is_a_problem(tmp_path: Path, content: str) -> None:
    put(tmp_path, GOOD)
    file = put(tmp_path, content, name="model.json")
    reading = read_labels([tmp_path])
    assert len(reading.rows) == 1
    assert reading.problems[0].file == file.name
    assert reading.problems[0].field == "row"


# Anything -----------------------------------------------------------------------------------

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@in_one_folder
@given(st.lists(st.dictionaries(st.sampled_from([*ROW, "audio", "lable"]) | st.text(), ANY_JSON)))
def test_whatever_a_row_holds_it_is_read_or_told(tmp_path: Path, rows: list[Any]) -> None:
    reading = read_labels([put(tmp_path, GOOD, *rows)])
    told = {problem.row for problem in reading.problems}
    assert len(reading.rows) + len(told) == 1 + len(rows)
    assert all(isinstance(problem, Problem) for problem in reading.problems)


@in_one_folder
@given(st.binary(max_size=200), st.sampled_from(["jsonl", "csv", "json", "parquet", "jsonl.gz"]))
def test_whatever_a_file_holds_nothing_breaks(tmp_path: Path, content: bytes, kind: str) -> None:
    good = put(tmp_path, GOOD)
    file = tmp_path / f"any.{kind}"
    file.write_bytes(content)
    assert len(read_labels([good, file]).rows) >= 1


def test_csv_of_any_cells(tmp_path: Path) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([["id", "text"], ["1", "\x00 \x1a \u2028 \r"]])
    (tmp_path / "a.csv").write_bytes(out.getvalue().encode())
    assert [row.text for row in rows_of(tmp_path / "a.csv")] == ["\x00 \x1a \u2028 \r"]
