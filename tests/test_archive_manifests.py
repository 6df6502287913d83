"""Manifests as tables, in stores, and with audio elsewhere; JSON lines are in test_archive_read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import SECRET, given, put, recordings, unreadable
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from triage.archive import tables
from triage.archive.entries import Distant, Entry, Unreadable
from triage.archive.manifests import entries
from triage.archive.rows import FIELDS, IGNORED
from triage.archive.sources import shards, survey
from triage.errors import BadEncoding, BadField, NothingToScore
from triage.records import Recording


def from_csv(folder: Path, content: str | bytes) -> list[Entry]:
    raw = content.encode() if isinstance(content, str) else content
    (folder / "m.csv").write_bytes(raw)
    return given(folder / "m.csv")


def from_parquet(folder: Path, columns: Mapping[str, Any]) -> list[Entry]:
    pq.write_table(pa.table(dict(columns)), folder / "m.parquet", row_group_size=3)
    return given(folder / "m.parquet")


def as_csv(rows: Sequence[Sequence[str]]) -> str:
    held = io.StringIO()
    csv.writer(held).writerows(rows)
    return held.getvalue()


# CSV ----------------------------------------------------------------------------------------


def test_csv_gives_its_rows_in_order(tmp_path: Path) -> None:
    rows = [
        ["id", "audio", "text", "context", "context.locale", "labels"],
        ["007", "clips/a.wav", "", "", "", "{}"],
        ["words", "", 'say "hi", \n twice', '{"x": 1, "none": null}', "en-GB", ""],
        ["both", "/b.wav", "hello", "", "", ""],
    ]
    assert from_csv(tmp_path, "\ufeff" + as_csv(rows)) == [
        Recording("007", tmp_path / "clips/a.wav"),
        Recording("words", None, 'say "hi", \n twice', {"x": 1, "locale": "en-GB"}),
        Recording("both", Path("/b.wav"), "hello"),
    ]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("1", BadField),
        ("1,a.wav,hi,{},more", BadField),
        (",a.wav,hi,", BadField),
        (f"{SECRET},,,", NothingToScore),
        (f"1,,hi,{SECRET}", BadField),
        ("1,,hi,[]", BadField),
        ('1,,"hi"x,', BadEncoding),
        (b"1,,\xff\xfe,", BadEncoding),
        (b"\xff,,hi,", BadEncoding),
        (f"1,ftp://{SECRET},,", BadField),
        (f"1,a::s3://{SECRET},,", BadField),
    ],
)
def test_bad_row_is_an_error_in_its_place(
    tmp_path: Path, row: str | bytes, kind: type[Exception]
) -> None:
    raw = row if isinstance(row, bytes) else row.encode()
    head, good = b"id,audio,text,context\n", b"good,,hello,\n"
    before, bad, after = from_csv(tmp_path, head + good + raw + b"\n\n" + good)
    assert before == after == Recording("good", transcript="hello")
    assert isinstance(bad, Unreadable)
    assert type(bad.error) is kind
    assert SECRET not in f"{bad.error.as_problem()} {bad!r}"


def test_quote_that_nobody_closed_is_an_error(tmp_path: Path) -> None:
    first, bad = from_csv(tmp_path, 'id,text\n1,hi\n2,"open\n3,lost\n')
    assert first == Recording("1", transcript="hi")
    assert unreadable([bad])[0].id == f"{tmp_path}/m.csv:3"


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("", "no column id"),
        ("audio,text", "no column id"),
        ("id,context", "neither a column audio nor text"),
        (f"id,text,{SECRET}", "number 3 of the manifest is not known"),
        ("id,text,context.", "number 3 of the manifest is not known"),
        ("id,text,text", "same name"),
        ('"id,text', "no header"),
    ],
)
def test_columns_are_refused_before_any_row(tmp_path: Path, header: str, word: str) -> None:
    (tmp_path / "m.csv").write_text(f"{header}\n1,2,3\n")
    with pytest.raises((BadField, BadEncoding), match=word) as caught:
        shards(str(tmp_path / "m.csv"))
    assert SECRET not in str(caught.value)
    if isinstance(caught.value, BadField):
        assert caught.value.limit == [*FIELDS, "context.NAME"]
    (only,) = entries(str(tmp_path / "m.csv"))  # it may have changed since
    assert isinstance(only, Unreadable)
    assert only.error.detail == caught.value.detail


def test_labelled_table_is_scored_as_it_is(tmp_path: Path) -> None:
    names = ["id", "text", *sorted(IGNORED)]
    rows = [names, ["1", "hello", *("x" for _ in IGNORED)]]
    assert from_csv(tmp_path, as_csv(rows)) == [Recording("1", transcript="hello")]


# Parquet ------------------------------------------------------------------------------------


def test_parquet_gives_its_rows_in_order(tmp_path: Path) -> None:
    found = from_parquet(
        tmp_path,
        {
            "id": [1, 2, 3, 4],
            "audio": [None, "a.wav", "memory://b/c.wav", "d.wav"],
            "text": ["hi", "", None, None],
            "context": [{"x": 1, "y": None}, None, {"x": None, "y": "z"}, None],
            "context.at": [datetime(2026, 1, 2), None, None, None],
            "labels": [{"hate": 1.0}] * 4,
        },
    )
    assert found == [
        Recording("1", None, "hi", {"x": 1, "at": "2026-01-02T00:00:00"}),
        Recording("2", tmp_path / "a.wav", ""),
        Distant(Recording("3", None, None, {"y": "z"}), "memory://b/c.wav"),
        Recording("4", tmp_path / "d.wav"),
    ]


@pytest.mark.parametrize(
    "context",
    [
        pa.array([[("x", "1")]], pa.map_(pa.string(), pa.string())),
        pa.array([{"x": "1"}]),
        pa.array(['{"x": "1"}']),
        pa.array(['{"x": "1"}'], pa.large_string()),
    ],
)
def test_context_as_struct_map_or_json(tmp_path: Path, context: pa.Array) -> None:
    found = from_parquet(tmp_path, {"id": ["1"], "text": ["hi"], "context": context})
    assert found == [Recording("1", transcript="hi", context={"x": "1"})]


def test_rows_of_parquet_of_the_wrong_kind(tmp_path: Path) -> None:
    for wrong in ({"id": [True]}, {"id": [1.5]}, {"id": [None]}, {"text": [7]}, {"context": [7]}):
        (only,) = from_parquet(tmp_path, {"id": ["1"], "text": ["hi"]} | wrong)
        assert isinstance(only, Unreadable)


def test_parquet_that_is_none_or_breaks_off(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_bytes(b"PAR1 not at all PAR1")
    with pytest.raises(BadEncoding):
        shards(str(tmp_path / "m.parquet"))
    from_parquet(tmp_path, {"id": [str(n) for n in range(9)], "text": ["hello"] * 9})
    whole = bytearray((tmp_path / "m.parquet").read_bytes())
    whole[4:100] = bytes(96)
    (tmp_path / "m.parquet").write_bytes(whole)
    assert isinstance(list(entries(str(tmp_path / "m.parquet")))[-1], Unreadable)


def test_parquet_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH", 2)
    found = from_parquet(tmp_path, {"id": list(range(7)), "text": ["hello"] * 7})
    assert [one.id for one in recordings(found)] == [str(n) for n in range(7)]


cells = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@drawn(rows=st.lists(st.tuples(cells, cells, cells), max_size=6))
@settings(max_examples=60, deadline=None)
def test_one_table_says_the_same_in_every_format(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str | None, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    told = [
        dict(zip(("id", "audio", "text"), [one or None for one in row], strict=True))
        for row in rows
    ]
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    (folder / "m.csv").write_text(
        as_csv([["id", "audio", "text"], *([one or "" for one in row.values()] for row in told)]),
        newline="",
    )
    schema = pa.schema([(name, pa.string()) for name in ("id", "audio", "text")])
    pq.write_table(pa.Table.from_pylist(told, schema), folder / "m.parquet")
    found = [
        [
            type(one.error) if isinstance(one, Unreadable) else one
            for one in entries(str(folder / f"m.{kind}"))
        ]
        for kind in ("jsonl", "csv", "parquet")
    ]
    assert found[0] == found[1] == found[2]
    for kind in ("jsonl", "csv", "parquet"):
        assert survey(shards(str(folder / f"m.{kind}"))[0]).recordings == len(rows)


# Audio elsewhere ----------------------------------------------------------------------------


def test_audio_counts_from_the_manifest_in_a_store() -> None:
    url = f"memory://{uuid4().hex}"
    put(f"{url}/clips/a.wav", b"1")
    put(f"{url}/b.wav", b"2")
    rows = [
        {"id": "1", "audio": "clips/a.wav"},
        {"id": "2", "audio": "clips/../b.wav", "text": "hi"},
        {"id": "3", "audio": f"{url}/b.wav"},
        {"id": "4", "audio": "/etc/passwd"},
    ]
    lines = "\n".join(map(json.dumps, rows)).encode()
    found = given(put(f"{url}/m.jsonl", lines))
    assert [(one.id, one.audio, one.transcript) for one in recordings(found)] == [
        ("1", b"1", None),
        ("2", b"2", "hi"),
        ("3", b"2", None),
    ]
    assert "absolute path" in unreadable(found)[0].error.detail


def test_audio_of_the_web_counts_from_the_manifests_address() -> None:
    from triage.archive.rows import from_row

    row = {"id": "1", "audio": "clips/a.wav"}
    found = from_row(row, "place", "https://host/day/m.jsonl?key=1")
    assert found == Distant(Recording("1"), "https://host/day/clips/a.wav")


@pytest.mark.parametrize("url", ["http://host/a.wav", "file:///etc/passwd", "ssh://host/a.wav"])
def test_url_of_another_scheme_is_an_error(tmp_path: Path, url: str) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "1", "audio": url}))
    (only,) = unreadable(given(tmp_path / "m.jsonl"))
    assert isinstance(only.error, BadField)
    assert url not in only.error.detail


def test_row_of_csv_that_is_too_long_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LONGEST_ROW", 50)
    long, lines = "x" * 200, '"\n' + '","\n' * 30 + '"'
    for bad in (f"2,{long}", f'2,"{long}"', lines):
        found = from_csv(tmp_path, f"id,text\n1,hi\n{bad}\n3,hello\n")
        assert found[0] == Recording("1", transcript="hi")
        # Where a row of many lines was left, nobody knows whether a quote is open.
        assert bad is lines or found[2:] == [Recording("3", transcript="hello")]
        assert isinstance(found[1], Unreadable)
        assert found[1].id == f"{tmp_path}/m.csv:3"
        assert found[1].error.slug == "too-large"
    assert len(recordings(from_csv(tmp_path, "id,text\n" + "1,hi\n" * 30))) == 30


def test_row_of_parquet_is_no_matter_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(tables, "LONGEST_CELL", 9)
    offsets = pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in (0, 2, 4, 14, 16)))
    text = pa.StringArray.from_buffers(4, offsets, pa.py_buffer(b"\xff\xfehixxxxxxxxxxyo"))
    twice = [(SECRET, 1), (SECRET, 2)]
    context = pa.array([[], twice, [], [("a", 1)]], pa.map_(pa.string(), pa.int64()))
    table = pa.table({"id": list("1234"), "text": text, "context": context})
    pq.write_table(table, tmp_path / "m.parquet")
    *bad, good = given(tmp_path / "m.parquet")
    assert good == Recording("4", transcript="yo", context={"a": 1})
    told = [one.error for one in unreadable(bad)]
    assert [one.slug for one in told] == ["bad-encoding", "bad-encoding", "too-large"]
    assert SECRET not in f"{[one.detail for one in told]} {[str(one) for one in recwarn]}"


def test_context_of_parquet_is_as_json_has_it(tmp_path: Path) -> None:
    inner = [{"d": Decimal("1.5"), "t": [date(2026, 5, 4)], "n": None}]
    table = pa.table({"id": ["1"], "text": ["hi"], "context": inner, "context.b": [[{"c": 1}]]})
    pq.write_table(table, tmp_path / "m.parquet")
    (one,) = recordings(given(tmp_path / "m.parquet"))
    assert one.context == {"d": 1.5, "t": ["2026-05-04"], "b": [{"c": 1}]}
    table = pa.table({"id": ["1"], "text": ["hi"], "context.b": [b"x"]})
    pq.write_table(table, tmp_path / "m.parquet")
    (bad,) = unreadable(given(tmp_path / "m.parquet"))
    assert bad.error.slug == "bad-field"
