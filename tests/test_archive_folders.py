"""Folders: links that lead out, archives within, and what can't be listed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from archives import (
    SECRET,
    given,
    laid_out,
    passed_over,
    put,
    recordings,
    tarred,
    unreadable,
    zipped,
)

from triage.archive.sources import shards, survey
from triage.errors import BadField
from triage.records import Recording


def test_audio_is_a_path_and_is_not_opened(tmp_path: Path) -> None:
    laid_out(tmp_path, {"a.wav": b"1", "empty.wav": b""})
    assert given(tmp_path) == [
        Recording(str(tmp_path / name), tmp_path / name) for name in ("a.wav", "empty.wav")
    ]


def test_ids_begin_as_the_caller_began_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out(tmp_path, {"in/a.wav": b"1", "in/x.zip": zipped({"z.wav": b"1"})})
    monkeypatch.chdir(tmp_path)
    for source in ("in", "in/", "./in"):
        assert [one.id for one in recordings(given(source))] == ["in/a.wav", "in/x.zip/z.wav"]
    monkeypatch.chdir(tmp_path / "in")
    assert [one.id for one in recordings(given("."))] == ["a.wav", "x.zip/z.wav"]


def test_links_are_read_only_within_the_folder(tmp_path: Path) -> None:
    laid_out(tmp_path / "out", {"secret.wav": b"1", "secret.txt": b"no", "x.tar": tarred({})})
    top = laid_out(tmp_path / "in", {"a.wav": b"1", "sub/b.wav": b"2", "c.wav": b"3"})
    (top / "inside.wav").symlink_to("sub/b.wav")
    (top / "outside.wav").symlink_to(tmp_path / "out/secret.wav")
    (top / "outside.tar").symlink_to(tmp_path / "out/x.tar")
    (top / "c.txt").symlink_to(tmp_path / "out/secret.txt")
    (top / "folder").symlink_to(tmp_path / "out")
    (top / "loop").symlink_to(top)
    (top / "gone.wav").symlink_to("nowhere.wav")
    found = given(top)
    assert sorted(Path(one.id).name for one in recordings(found)) == [
        "a.wav", "b.wav", "c.wav", "gone.wav", "inside.wav",
    ]  # fmt: skip
    assert all(one.transcript is None for one in recordings(found))
    refused = unreadable(found)
    assert sorted(Path(one.id).name for one in refused) == ["outside.tar", "outside.wav"]
    assert all("leads out" in one.error.detail for one in refused)
    assert passed_over(found) == ["linked-folder", "linked-folder", "sidecar-unreadable"]


def test_folder_that_is_itself_a_link_is_the_callers_choice(tmp_path: Path) -> None:
    top = laid_out(tmp_path / "real", {"a.wav": b"1"})
    (top / "b.wav").symlink_to("a.wav")
    (tmp_path / "link").symlink_to(top)
    assert [one.id for one in recordings(given(tmp_path / "link"))] == [
        f"{tmp_path}/link/{name}" for name in ("a.wav", "b.wav")
    ]


def test_neighbour_whose_name_begins_the_same_is_outside(tmp_path: Path) -> None:
    laid_out(tmp_path / "in-not", {"a.wav": b"1"})
    top = laid_out(tmp_path / "in", {})
    top.mkdir(exist_ok=True)
    (top / "a.wav").symlink_to(tmp_path / "in-not/a.wav")
    assert unreadable(given(top))


def test_archives_are_read_where_they_stand(tmp_path: Path) -> None:
    laid_out(
        tmp_path,
        {
            "a.wav": b"1",
            "b.tar": tarred({"k.wav": b"2", "k.txt": b"hi", "in.zip": b""}),
            "b.txt": b"of no audio",
            "c.wav": b"3",
            "d.zip": zipped({"z.wav": b"4"}),
            "e.tar.gz": b"broken",
            "m.csv": b"",
        },
    )
    found = given(tmp_path)
    assert [one.id.removeprefix(f"{tmp_path}/") for one in recordings(found)] == [
        "a.wav", "b.tar/k.wav", "c.wav", "d.zip/z.wav",
    ]  # fmt: skip
    assert [one.id.removeprefix(f"{tmp_path}/") for one in unreadable(found)] == [
        "b.tar/in.zip", "e.tar.gz",
    ]  # fmt: skip
    assert passed_over(found) == ["manifest", "text-without-audio"]


def test_pipe_beside_audio_is_not_waited_for(tmp_path: Path) -> None:
    laid_out(tmp_path, {"a.wav": b"1"})
    os.mkfifo(tmp_path / "a.txt")
    assert passed_over(given(tmp_path)) == ["sidecar-unreadable"]


def test_folder_too_deep_to_open_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out(tmp_path, {"a/b.wav": b"1", "c.wav": b"1"})
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("/a"):
            raise OSError(36, f"File name too long: {SECRET}")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    *_, last = given(tmp_path)
    (only,) = unreadable([last])
    assert isinstance(only.error, BadField)
    assert SECRET not in only.error.detail


def test_folder_of_a_store_that_cannot_be_listed_is_an_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    url = "memory://closed"
    put(f"{url}/a.wav", b"1")
    put(f"{url}/sub/b.wav", b"1")
    real = MemoryFileSystem.ls

    def ls(self: MemoryFileSystem, path: str, detail: bool = True, **more: object) -> object:
        if path.endswith("sub"):
            raise PermissionError(f"{SECRET}")
        return real(self, path, detail, **more)

    monkeypatch.setattr(MemoryFileSystem, "ls", ls)
    found = given(url)
    assert len(recordings(found)) == 1
    assert unreadable(found)[0].id == f"{url}/sub"
    assert SECRET not in unreadable(found)[0].error.detail


@pytest.mark.parametrize("name", ["p.tar", "p.zip", "p.tar.gz"])
def test_pipe_named_as_an_archive_is_not_waited_for(tmp_path: Path, name: str) -> None:
    laid_out(tmp_path, {"a.wav": b"1"})
    os.mkfifo(tmp_path / name)
    (shard,) = shards(str(tmp_path))
    survey(shard)
    found = given(tmp_path)
    assert len(recordings(found)) == 1
    (one,) = unreadable(found)
    assert "pipe or a device" in one.error.detail


def test_zip_that_cannot_be_opened_costs_nothing_but_itself(tmp_path: Path) -> None:
    laid_out(tmp_path, {"a.wav": b"1"})
    (tmp_path / "gone.zip").symlink_to("nowhere")
    (tmp_path / "loop.zip").symlink_to("loop.zip")
    (shard,) = shards(str(tmp_path))
    assert survey(shard).recordings == 3
    found = given(tmp_path)
    assert (len(recordings(found)), len(unreadable(found))) == (1, 2)
