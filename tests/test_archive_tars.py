"""Tar files: read as a stream, never unpacked, and every way to spoil one is said."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archives import MAX_BYTES, SECRET, given, noise, passed_over, recordings, tarred, unreadable
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from triage.archive import tars
from triage.archive.entries import Entry
from triage.errors import DamagedArchive, NestedArchive, NothingToScore, TooLarge

TWO = {"a.wav": b"1" * 900, "b.wav": b"2" * 900}
# No compressor makes it smaller, so that what is cut off is sound and not padding.
NOISE = {f"{n}.wav": noise(n) for n in range(20)}
PACKERS = [bytes, gzip.compress, bz2.compress, lzma.compress]


def of(
    folder: Path, content: bytes, name: str = "x.tar", max_bytes: int = MAX_BYTES
) -> list[Entry]:
    (folder / name).write_bytes(content)
    return given(folder / name, max_bytes)


def built(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=form) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return held.getvalue()


def special(name: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info, b""


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.TGZ", "x.tar.bz2", "x.tar.xz"])
@pytest.mark.parametrize("pack", PACKERS)
def test_compression_is_told_by_the_bytes(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    found = of(tmp_path, pack(tarred(TWO)), name)
    assert [(one.id, one.audio) for one in recordings(found)] == [
        (f"{tmp_path}/{name}/{member}", content) for member, content in TWO.items()
    ]
    assert len(found) == 2


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_in_several_streams(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    whole = tarred(NOISE)
    found = of(tmp_path, pack(whole[:5000]) + pack(whole[5000:]))
    assert len(recordings(found)) == len(found) == len(NOISE)


@pytest.mark.parametrize("pack", PACKERS)
def test_cut_anywhere_it_gives_what_came_before_and_says_so(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    whole = pack(tarred(NOISE))
    end = len(NOISE) * 1536 if pack is bytes else len(whole)  # the plain one pads its end
    for cut in range(1, end, 997):
        found = of(tmp_path, whole[:cut])
        (last,) = unreadable(found)
        assert found[-1] is last
        assert last.id == str(tmp_path / "x.tar")
        assert isinstance(last.error, DamagedArchive)
        assert [one.audio for one in recordings(found)] == list(NOISE.values())[: len(found) - 1]


def test_damaged_header_ends_it_with_a_word(tmp_path: Path) -> None:
    whole = bytearray(tarred(TWO))
    whole[1536 + 150] ^= 0xFF  # of the second member's check sum
    first, second = of(tmp_path, bytes(whole))
    assert recordings([first])
    assert unreadable([second])


def test_damaged_check_sum_of_gzip_is_seen_behind_the_end(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(tarred(TWO)))
    whole[-6] ^= 0xFF
    *found, last = of(tmp_path, bytes(whole))
    assert len(recordings(found)) == 2
    assert unreadable([last])


def test_what_stands_behind_the_end_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    *found, last = of(tmp_path, tarred(TWO) + tarred({"c.wav": b"3"}))
    assert len(recordings(found)) == 2
    assert "behind" in unreadable([last])[0].error.detail


@pytest.mark.parametrize("content", [b"", b"not a tar" * 200, b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0"])
def test_no_tar_at_all(tmp_path: Path, content: bytes) -> None:
    (only,) = unreadable(of(tmp_path, content))
    assert isinstance(only.error, DamagedArchive)


def test_empty_tar_is_one(tmp_path: Path) -> None:
    assert of(tmp_path, tarred({})) == []


def test_what_is_missing_is_said_without_its_name(tmp_path: Path) -> None:
    (only,) = tars.parts(str(tmp_path / f"{SECRET}.tar"), MAX_BYTES)
    assert "it isn't there" in only.error.detail  # type: ignore[union-attr]
    assert SECRET not in only.error.detail  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name", ["/etc/a.wav", "../../a.wav", "./a.wav", "a//b.wav", "ü/ß.wav", "x" * 300 + ".wav"]
)
def test_names_that_lead_elsewhere_are_only_names(tmp_path: Path, name: str) -> None:
    (only,) = of(tmp_path, tarred({name: b"1"}))
    assert only.id == f"{tmp_path}/x.tar/{name}"  # type: ignore[union-attr]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.tar"]


def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    held = built((tarfile.TarInfo("\udcff.wav"), b"1"), form=tarfile.GNU_FORMAT)
    (only,) = recordings(of(tmp_path, held))
    assert only.id == f"{tmp_path}/x.tar/\\xff.wav"


def test_members_that_are_no_recordings(tmp_path: Path) -> None:
    info = tarfile.TarInfo
    found = of(
        tmp_path,
        built(
            special("folder.wav", tarfile.DIRTYPE),
            special("pipe.wav", tarfile.FIFOTYPE),
            special("disk.wav", tarfile.BLKTYPE),
            special("link.wav", tarfile.SYMTYPE),
            special("hard.wav", tarfile.LNKTYPE),
            (info(".hidden.wav"), b"1"),
            (info("__MACOSX/._a.wav"), b"1"),
            (info("notes.pdf"), b"1"),
            (info("m.jsonl"), b"1"),
            (info("inner.tar.gz"), b"1"),
            (info("inner.zip"), b"1"),
            (info("empty.wav"), b""),
            (info("long.wav"), b"1" * (MAX_BYTES + 1)),
            (info("fits.wav"), b"1" * MAX_BYTES),
        ),
    )
    assert {one.id.rpartition("/")[2]: type(one.error) for one in unreadable(found)} == {
        "link.wav": DamagedArchive,
        "hard.wav": DamagedArchive,
        "inner.tar.gz": NestedArchive,
        "inner.zip": NestedArchive,
        "empty.wav": NothingToScore,
        "long.wav": TooLarge,
    }
    assert passed_over(found) == [
        "hidden", "hidden", "manifest", "not-audio", "special-file", "special-file",
    ]  # fmt: skip
    assert [one.audio for one in recordings(found)] == [b"1" * MAX_BYTES]


def test_sparse_member_is_bounded_by_its_whole_size(tmp_path: Path) -> None:
    info = tarfile.TarInfo("holes.wav")
    info.pax_headers = {
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": str(2**40),
        "GNU.sparse.name": "holes.wav",
    }
    (only,) = of(tmp_path, built((info, b"1")))
    assert isinstance(unreadable([only])[0].error, TooLarge)


def test_bomb_ends_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "MOST_PASSED", 2**20)
    zeros = bytes(2**23)
    bomb = gzip.compress(tarred({"a.wav": b"1", "zeros.bin": zeros, "b.wav": b"2"}))
    *found, last = of(tmp_path, bomb)
    assert [one.audio for one in recordings(found)] == [b"1"]
    assert "expands" in unreadable([last])[0].error.detail


def test_silence_compresses_well_and_is_no_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "MOST_PASSED", 2**20)
    silent = {f"{n}.wav": bytes(2**19) for n in range(20)}
    found = of(tmp_path, gzip.compress(tarred(silent)), max_bytes=2**20)
    assert [one.audio for one in found] == list(silent.values())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE]
)
def test_header_of_any_size_is_not_read_into_memory(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("a.wav")
    info.type, info.size = kind, 2**33
    (only,) = unreadable(of(tmp_path, info.tobuf(tarfile.GNU_FORMAT)))
    assert isinstance(only.error, DamagedArchive)


def test_xz_that_asks_for_gigabytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "XZ_MEMORY", 2**20)
    assert unreadable(of(tmp_path, lzma.compress(tarred(TWO))))


def test_headers_without_end_are_an_end(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 5
    header = info.tobuf(tarfile.GNU_FORMAT) + b"name\0".ljust(512, b"\0")
    assert unreadable(of(tmp_path, header * 5000 + tarred(TWO)))


@drawn(where=st.integers(0, 4000), what=st.binary(min_size=1, max_size=300))
@settings(max_examples=150, deadline=None)
def test_whatever_is_overwritten_reading_ends_with_entries(
    tmp_path_factory: pytest.TempPathFactory, where: int, what: bytes
) -> None:
    whole = bytearray(tarred(TWO))
    whole[where : where + len(what)] = what
    folder = tmp_path_factory.mktemp("tar")
    for pack in PACKERS:
        assert of(folder, pack(bytes(whole)))
    packed = bytearray(gzip.compress(tarred(TWO)))
    packed[where % len(packed) :][: len(what)] = what
    assert of(folder, bytes(packed))


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf()


def test_size_that_lies_ends_the_archive_soon(tmp_path: Path) -> None:
    lying = tarfile.TarInfo("y.wav")
    lying.size = 10**18
    (tmp_path / "x.tar").write_bytes(tarred({"a.wav": b"1"})[:1024] + lying.tobuf())
    found = given(tmp_path / "x.tar")
    assert len(recordings(found)) == 1
    assert [one.error.slug for one in unreadable(found)] == ["too-large", "damaged-archive"]


def test_map_of_holes_is_not_read_whatever_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "LONGEST_HEADER", 2**13)
    head = tarfile.TarInfo("y.wav")
    head.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.realsize": "9",
    }
    head.size = 2**30
    new = head.tobuf(tarfile.PAX_FORMAT) + b"999999999\n" + b"1\n" * 2**13
    old = bytearray(_header("y.wav", 512, tarfile.GNUTYPE_SPARSE))
    old[257:265], old[482], old[148:156] = b"ustar  \0", 1, b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    block = b"00000000001\0" * 42 + b"\1" + bytes(7)
    for content in (new, bytes(old) + block * 2**6):
        (tmp_path / "x.tar").write_bytes(content)
        (one,) = unreadable(given(tmp_path / "x.tar"))
        assert "map of a sparse member" in one.error.detail


def test_what_is_said_of_all_members_is_not_heaped_up(tmp_path: Path) -> None:
    seen: list[int] = []

    class Watched(tarfile.TarFile):
        def next(self) -> tarfile.TarInfo | None:
            seen.append(len(self.pax_headers))
            return super().next()

    for n in range(3):
        note = tarfile.TarInfo.create_pax_global_header({f"key{n}": "1"})
        with (tmp_path / "x.tar").open("ab") as file:
            file.write(note + _header(f"{n}.wav", 1) + b"1" + bytes(511))
    with (tmp_path / "x.tar").open("ab") as file:
        file.write(bytes(1024))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tarfile, "open", Watched.open)
        assert len(recordings(given(tmp_path / "x.tar"))) == 3
    assert max(seen) == 1
