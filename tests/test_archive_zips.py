"""Zip files: what is wrong with one member is no matter of the others."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from archives import MAX_BYTES, given, noise, passed_over, put, recordings, unreadable, zipped
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from triage.archive import zips
from triage.archive.entries import Entry, Unreadable
from triage.errors import DamagedArchive, NestedArchive, NothingToScore, TooLarge

TWO = {"a.wav": b"1" * 900, "b.wav": b"2" * 900}


def of(folder: Path, content: bytes) -> list[Entry]:
    (folder / "x.zip").write_bytes(content)
    return given(folder / "x.zip")


def patched(content: bytes, name: bytes, local: int, central: int, value: bytes) -> bytes:
    """With a field of both headers of a member overwritten."""
    held = bytearray(content)
    first = held.index(name) - 30
    second = held.rindex(name) - 46
    held[first + local : first + local + len(value)] = value
    held[second + central : second + central + len(value)] = value
    return bytes(held)


@pytest.mark.parametrize(
    "form", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_members_in_the_order_of_their_names(tmp_path: Path, form: int) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", form) as archive:
        for name in ("b.wav", "sub/c.wav", "a.wav"):
            archive.writestr(name, name * 10)
    found = of(tmp_path, held.getvalue())
    assert [(one.id, one.audio) for one in recordings(found)] == [
        (f"{tmp_path}/x.zip/{name}", (name * 10).encode())
        for name in ("a.wav", "b.wav", "sub/c.wav")
    ]


def test_members_that_are_no_recordings(tmp_path: Path) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        link = zipfile.ZipInfo("link.wav")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("folder.wav/", b"")
        for name, size in {
            "empty.wav": 0, "long.wav": MAX_BYTES + 1, "fits.wav": MAX_BYTES, "in.zip": 1,
            "in.tar": 1, ".hidden.wav": 1, "notes.pdf": 1, "../up.wav": 1, "/top.wav": 1,
        }.items():  # fmt: skip
            archive.writestr(name, b"1" * size)
    found = of(tmp_path, held.getvalue())
    assert {one.id.rpartition("/")[2]: type(one.error) for one in unreadable(found)} == {
        "link.wav": DamagedArchive,
        "empty.wav": NothingToScore,
        "long.wav": TooLarge,
        "in.zip": NestedArchive,
        "in.tar": NestedArchive,
    }
    assert passed_over(found) == ["hidden", "not-audio"]
    assert sorted(one.id.partition(".zip/")[2] for one in recordings(found)) == [
        "../up.wav", "/top.wav", "fits.wav",
    ]  # fmt: skip
    assert [one.name for one in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.parametrize(
    ("what", "local", "central", "value", "word"),
    [
        ("encrypted", 6, 8, b"\x01\x00", "encrypted"),
        ("deflate64", 8, 10, b"\x09\x00", "compressed"),
        ("check sum", 14, 16, b"\x00\x00\x00\x00", "check sum"),
        ("declared shorter", 22, 24, struct.pack("<L", 10), "check sum"),
    ],
)
def test_member_that_cannot_be_read_leaves_the_others(
    tmp_path: Path, what: str, local: int, central: int, value: bytes, word: str
) -> None:
    first, second = of(tmp_path, patched(zipped(TWO), b"a.wav", local, central, value))
    assert word in unreadable([first])[0].error.detail
    assert recordings([second])[0].audio == TWO["b.wav"]


def test_declared_size_that_lies_is_no_matter(tmp_path: Path) -> None:
    bomb = zipped({"a.wav": bytes(10 * MAX_BYTES), "b.wav": b"2"})
    first, second = of(tmp_path, patched(bomb, b"a.wav", 22, 24, struct.pack("<L", MAX_BYTES)))
    assert unreadable([first])
    assert recordings([second])


@pytest.mark.parametrize("cut", [0, 1, 500, -30, -1])
def test_cut_or_no_zip_at_all(tmp_path: Path, cut: int) -> None:
    (only,) = unreadable(of(tmp_path, zipped({"a.wav": noise(1)})[:cut]))
    assert only.id == str(tmp_path / "x.zip")
    assert isinstance(only.error, DamagedArchive)


def test_sidecar_is_found_wherever_it_stands(tmp_path: Path) -> None:
    found = of(tmp_path, zipped({"a.txt": b"hi", "b.wav": b"2", "a.wav": b"1", "s/b.txt": b"no"}))
    assert [one.transcript for one in recordings(found)] == ["hi", None]
    assert passed_over(found) == ["text-without-audio"]


def test_sidecar_that_cannot_be_read_leaves_the_recording(tmp_path: Path) -> None:
    whole = zipped({"a.wav": b"1", "a.txt": b"hello"})
    found = of(tmp_path, patched(whole, b"a.txt", 14, 16, b"\x00\x00\x00\x00"))
    assert [one.transcript for one in recordings(found)] == [None]
    assert passed_over(found) == ["sidecar-unreadable"]


def test_in_a_store() -> None:
    found = given(put("memory://zips/x.zip", zipped(TWO)))
    assert [one.audio for one in recordings(found)] == list(TWO.values())


def test_server_that_gives_files_only_from_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneWay(io.BytesIO):
        def seekable(self) -> bool:
            return False

    monkeypatch.setattr(zips, "opened", lambda _: OneWay(zipped(TWO)))
    (only,) = zips.parts("https://host/x.zip", MAX_BYTES)
    assert isinstance(only, Unreadable)
    assert "tar" in only.error.detail


@drawn(where=st.integers(0, 400), what=st.binary(min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_whatever_is_overwritten_reading_ends_with_entries(
    tmp_path_factory: pytest.TempPathFactory, where: int, what: bytes
) -> None:
    whole = bytearray(zipped(TWO))
    whole[where % len(whole) :][: len(what)] = what
    spoilt = bytes(whole[: where % len(whole)]) + what + bytes(whole[where % len(whole) :])
    of(tmp_path_factory.mktemp("zip"), bytes(whole))
    of(tmp_path_factory.mktemp("zip"), spoilt)


def test_name_that_is_not_the_utf8_it_claims_to_be_costs_itself_at_most(tmp_path: Path) -> None:
    packed = zipped({"ä.wav": b"1", "z.wav": b"2"}).replace("ä".encode(), b"\xff\xfe")
    (tmp_path / "x.zip").write_bytes(packed)
    found = given(tmp_path / "x.zip")
    assert len(found) == 2
    assert [one.audio for one in recordings(found) if one.id.endswith("/z.wav")] == [b"2"]


def test_members_that_share_their_bytes_are_not_read(tmp_path: Path) -> None:
    whole = zipped({"a.wav": bytes(900), "z.wav": b"2"})
    start, end = whole.find(b"PK\1\2"), whole.find(b"PK\5\6")
    first = whole[start : whole.find(b"PK\1\2", start + 1)]
    added = bytearray(whole[end:])
    added[8:12] = (12).to_bytes(2, "little") * 2
    added[12:16] = (end - start + 10 * len(first)).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(whole[:end] + first * 10 + bytes(added))
    found = given(tmp_path / "x.zip")
    assert [one.audio for one in recordings(found)] == [b"2"]
    assert {one.error.slug for one in unreadable(found)} == {"damaged-archive"}
    assert len(unreadable(found)) == 11


def test_list_of_members_is_not_read_whatever_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.zip").write_bytes(zipped({f"{n}.wav": b"1" for n in range(9)}))
    monkeypatch.setattr(zips, "LONGEST_LISTING", 100)
    (one,) = unreadable(given(tmp_path / "x.zip"))
    assert "list of members" in one.error.detail
