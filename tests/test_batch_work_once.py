"""What is the same is scored once, and what may be kept is known the next time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from archives import put
from misbehaving import kind, scored, size, worker

from triage.archive.entries import Distant
from triage.batch.work import Readable
from triage.errors import UnsupportedAudio
from triage.records import Recording

# Each content once ------------------------------------------------------------------------------


def test_what_is_the_same_is_scored_once_wherever_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"sound")
    put("memory://once/x", b"sound")
    held, fake = worker()
    entries: list[Readable] = [
        Recording("0", b"sound"),
        Recording("1", tmp_path / "x.wav"),
        Recording("2", b"sound", "hello"),
        Distant(Recording("3"), "memory://once/x"),
        Recording("4", None, "hello"),
        Recording("5", b"sound", ""),
        Recording("6", None, "hello", {"account": "b"}),
    ]
    found = held.score(entries).scored
    assert [int(one.id) for one in fake.heard] == [0, 2, 4, 5]
    assert [size(one) for one in found] == [5, 5, 5_005, 5, 5_000, 5, 5_000]
    assert len({one.content for one in found}) == 4
    assert not any(one.known for one in found)


def test_what_is_wrong_with_a_content_is_found_once_and_told_of_all() -> None:
    held, fake = worker()
    found = held.score([Recording("0", b"other"), Recording("1", b"other")]).scored
    assert [kind(one) for one in found] == [UnsupportedAudio] * 2
    assert len(fake.heard) == 1


def test_what_has_no_content_is_never_taken_for_another() -> None:
    held, fake = worker()
    entries = [Recording(f"{n}", Path(f"/none/{n}.wav")) for n in range(3)]
    assert [one.id for one in held.score(entries).scored] == ["0", "1", "2"]
    assert len(fake.heard) == 3


def test_what_is_known_is_not_scored_again(tmp_path: Path) -> None:
    file = tmp_path / "scores.db"
    before = scored([Recording("0", b"sound"), Recording("1", None, "hello")], known=file)
    held, fake = worker(file)
    found = held.score(
        [Recording("2", None, "hello"), Recording("3", b"soundx"), Recording("4", b"sound")]
    ).scored
    assert [one.id for one in fake.heard] == ["3"]
    assert [one.known for one in found] == [True, False, True]
    assert [found[0].scores, found[2].scores] == [before[1].scores, before[0].scores]


@pytest.mark.parametrize("other", [{"key": b"another key"}, {"about": "triage-fake 2"}])
def test_under_another_key_or_model_nothing_is_known(tmp_path: Path, other: Any) -> None:
    scored([Recording("0", b"sound")], known=tmp_path / "scores.db")
    held, fake = worker(tmp_path / "scores.db", **other)
    held.score([Recording("0", b"sound")])
    assert len(fake.heard) == 1


@pytest.mark.parametrize("audio", [b"breaks", b"stage", b"nan", b"event-nan", b"other"])
def test_what_may_go_better_the_next_time_is_not_kept(tmp_path: Path, audio: bytes) -> None:
    file = tmp_path / "scores.db"
    for _ in range(2):
        held, fake = worker(file)
        (one, _) = held.score([Recording("0", audio), Recording("1", b"sound")]).scored
        assert not one.known
        assert fake.heard[0].audio == audio
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT COUNT(*) FROM scores").fetchone() == (1,)


def test_what_a_file_holds_now_is_never_taken_for_what_it_held(tmp_path: Path) -> None:
    sound, file = tmp_path / "x.wav", tmp_path / "scores.db"
    sound.write_bytes(b"sound")
    held, fake = worker(file)
    score = fake.score_together

    def meanwhile(recordings: Any) -> Any:
        sound.write_bytes(b"soundxx")  # after its digest was taken
        return score(recordings)

    fake.score_together = meanwhile  # type: ignore[method-assign]
    held.score([Recording("0", sound)])
    (again,) = scored([Recording("1", b"sound")], known=file)
    assert (again.known, size(again)) == (False, 5)


def test_what_has_no_content_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, _ = worker(tmp_path / "scores.db")
    monkeypatch.setattr(held, "_content", lambda _: "")
    held.score([Recording("0", b"sound"), Recording("1", b"soundx")])
    with closing(sqlite3.connect(tmp_path / "scores.db")) as database:
        assert database.execute("SELECT COUNT(*) FROM scores").fetchone() == (0,)
