"""Archives: every recording in its place, every bad line an error in its place."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.archive import manifests
from triage.archive.entries import Row, Unreadable
from triage.archive.manifests import read_lines
from triage.archive.read import read
from triage.archive.rows import FIELDS, IGNORED
from triage.errors import BadEncoding, BadField, InputError, NothingToScore, TooLarge
from triage.records import Recording

SECRET = "not to be repeated"


def write(folder: Path, *lines: object) -> Path:
    """A manifest; bytes as they are, everything else as JSON."""
    file = folder / "manifest.jsonl"
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    file.write_bytes(b"\n".join(raw) + b"\n")
    return file


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def ids(entries: Sequence[Row]) -> list[str]:
    return [entry.id for entry in entries]


def error(folder: Path, line: object) -> InputError:
    """What is said of a manifest's only line."""
    (entry,) = read([write(folder, line)])
    assert isinstance(entry, Unreadable)
    return entry.error


# Paths --------------------------------------------------------------------------------------


def test_folder_gives_audio_below_it_sorted_without_hidden_names(tmp_path: Path) -> None:
    touch(tmp_path, "b.WAV", "a.mp3", "notes.txt", "more.jsonl", ".hidden.wav", ".git/x.wav")
    touch(tmp_path, "sub/c.ogg", "sub/deeper/a.flac", "alpha/z.opus")
    found = list(read([tmp_path]))
    names = ["a.mp3", "b.WAV", "alpha/z.opus", "sub/c.ogg", "sub/deeper/a.flac"]
    assert ids(found) == [str(tmp_path / name) for name in names]
    assert [one.audio for one in found if isinstance(one, Recording)] == [
        tmp_path / name for name in names
    ]


def test_file_named_by_itself_is_audio_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "clip.bin", ".hidden.wav")
    given = [tmp_path / "clip.bin", tmp_path / ".hidden.wav"]
    assert [one.audio for one in read(given) if isinstance(one, Recording)] == given


def test_paths_keep_the_callers_order_and_repetition(tmp_path: Path) -> None:
    touch(tmp_path, "b.wav", "a.wav")
    given = [tmp_path / name for name in ("b.wav", "a.wav", "b.wav")]
    assert ids(list(read(given))) == [str(path) for path in given]


def test_missing_path_is_said_before_anything_is_read(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    with pytest.raises(NothingToScore, match="Path number 2") as caught:
        read([tmp_path / "a.wav", tmp_path / f"{SECRET}.wav"])
    assert SECRET not in str(caught.value)


def test_file_name_that_is_not_utf8_gets_an_id_that_can_be_printed(tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.wav", os.O_CREAT | os.O_WRONLY))
    (found,) = read([tmp_path])
    assert found.id == f"{tmp_path}/\\xff.wav"
    assert isinstance(found, Recording)
    assert isinstance(found.audio, Path)
    assert found.audio.is_file()


def test_folder_that_cannot_be_opened_is_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.wav", "sub/b.wav")
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    first, second = read([tmp_path])
    assert isinstance(first, Recording)
    assert isinstance(second, Unreadable)
    assert second.id == str(tmp_path / "sub")
    assert "Permission denied" in second.error.detail


# Manifests ----------------------------------------------------------------------------------


def test_manifest_gives_its_lines_in_order(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        {"id": "sound", "audio": "clips/a.wav"},
        {"id": "words", "text": "call my sister", "context": {"locale": "en-GB"}},
        {"id": "both", "audio": "clips/b.wav", "text": "hello"},
    )
    assert list(read([file])) == [
        Recording("sound", tmp_path / "clips/a.wav"),
        Recording("words", None, "call my sister", {"locale": "en-GB"}),
        Recording("both", tmp_path / "clips/b.wav", "hello"),
    ]


def test_audio_counts_from_the_manifest_and_not_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    touch(tmp_path, "elsewhere/a.wav", "archive/a.wav")
    file = write(
        tmp_path / "archive", {"id": "1", "audio": "a.wav"}, {"id": "2", "audio": "/a.wav"}
    )
    monkeypatch.chdir(elsewhere)
    relative, absolute = (one for one in read([file]) if isinstance(one, Recording))
    assert relative.audio == tmp_path / "archive" / "a.wav"
    assert absolute.audio == Path("/a.wav")


def test_labels_are_ignored_and_other_fields_are_not(tmp_path: Path) -> None:
    labelled = {"id": "1", "text": "hello"} | {name: {"hate": 1} for name in IGNORED}
    assert list(read([write(tmp_path, labelled)])) == [Recording("1", transcript="hello")]
    unknown = error(tmp_path, {"id": "1", "audio": "a.wav", SECRET: 1})
    assert isinstance(unknown, BadField)
    assert unknown.limit == list(FIELDS)


def test_transcript_under_another_name_does_not_go_unscored(tmp_path: Path) -> None:
    assert isinstance(error(tmp_path, {"id": "1", "audio": "a.wav", "transcript": "x"}), BadField)


def test_empty_transcript_stands_beside_audio_only(tmp_path: Path) -> None:
    (silent,) = read([write(tmp_path, {"id": "1", "audio": "a.wav", "text": ""})])
    assert silent == Recording("1", tmp_path / "a.wav", "")
    assert isinstance(error(tmp_path, {"id": "1", "text": ""}), BadField)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"{", BadEncoding),
        (b"\xff\xfe\xfd", BadEncoding),
        (b"[" * 100_000, BadEncoding),
        ([], BadField),
        ({"text": SECRET}, BadField),
        ({"id": 7, "text": SECRET}, BadField),
        ({"id": "", "text": SECRET}, BadField),
        ({"id": SECRET}, NothingToScore),
        ({"id": SECRET, "audio": None, "text": None}, NothingToScore),
        ({"id": SECRET, "audio": ["a.wav"]}, BadField),
        ({"id": SECRET, "audio": ""}, BadField),
        ({"id": SECRET, "text": {"x": SECRET}}, BadField),
        ({"id": SECRET, "text": f"{SECRET} \ud800"}, BadEncoding),
        ({"id": f"{SECRET} \udc00", "text": "hello"}, BadEncoding),
        ({"id": SECRET, "text": "hello", "context": SECRET}, BadField),
        ({"id": SECRET, "text": "hello", SECRET: SECRET}, BadField),
    ],
)
def test_bad_line_is_an_error_in_its_place(
    tmp_path: Path, line: object, kind: type[InputError]
) -> None:
    good = {"id": "good", "text": "hello"}
    before, bad, after = read([write(tmp_path, good, line, good)])
    assert before == after == Recording("good", transcript="hello")
    assert isinstance(bad, Unreadable)
    assert type(bad.error) is kind
    assert SECRET not in f"{bad.error.as_problem()} {bad!r}"


def test_bad_line_is_named_by_its_id_or_else_by_its_number(tmp_path: Path) -> None:
    file = write(tmp_path, {"id": "known", "audio": 1}, b"", b"{", {"id": "fine", "text": "hi"})
    assert ids(list(read([file]))) == ["known", f"{file}:3", "fine"]


def test_line_that_is_too_long_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "LONGEST_LINE", 40)
    rows = [{"id": str(n), "text": "x" * size} for n, size in enumerate((5, 200, 5, 16, 18))]
    assert len(json.dumps(rows[3])) == 40 - 1  # and the newline
    found = list(read([write(tmp_path, *rows)]))
    assert [type(one) for one in found] == [Recording, Unreadable, Recording, Recording, Unreadable]
    assert all(type(one.error) is TooLarge for one in found if isinstance(one, Unreadable))


def test_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    (found,) = read([write(tmp_path, b'\xef\xbb\xbf{"id": "1", "text": "hello"}')])
    assert found == Recording("1", transcript="hello")


def test_manifest_that_breaks_off_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Torn(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().readline(size)

    file = write(tmp_path, {"id": "1", "text": "hello"}, {"id": "2", "text": "hello"})
    torn = Torn(file.read_bytes())
    monkeypatch.setattr(manifests, "opened", lambda _: torn)
    first, second = read([file])
    assert first == Recording("1", transcript="hello")
    assert isinstance(second, Unreadable)
    assert "Input/output error" in second.error.detail


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    rows=st.lists(
        st.binary(max_size=40)
        | json_values.map(lambda value: json.dumps(value).encode())
        | st.dictionaries(st.sampled_from([*FIELDS, "labels", "x"]), json_values).map(
            lambda row: json.dumps(row).encode()
        ),
        max_size=8,
    )
)
def test_whatever_stands_in_a_manifest_each_line_gives_one_entry(
    tmp_path_factory: pytest.TempPathFactory, rows: list[bytes]
) -> None:
    lines = [line for row in rows for line in row.split(b"\n") if line.strip()]
    found = list(read([write(tmp_path_factory.mktemp("archive"), *rows)]))
    assert len(found) == len(lines)
    for entry in found:
        entry.id.encode()
        assert isinstance(entry, Unreadable) or entry.audio or entry.transcript


# Lines --------------------------------------------------------------------------------------


def test_lines_are_transcripts_named_by_number() -> None:
    stream = io.BytesIO(b"set a timer\n\n  call my sister \r\n\xff\xfe\nlast")
    first, second, bad, last = read_lines(stream, "stdin")
    assert first == Recording("stdin:1", transcript="set a timer")
    assert second == Recording("stdin:3", transcript="call my sister")
    assert isinstance(bad, Unreadable)
    assert (bad.id, type(bad.error)) == ("stdin:4", BadEncoding)
    assert last == Recording("stdin:5", transcript="last")
