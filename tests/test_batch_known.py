"""Scores by content: what is the same is known again, and whatever goes wrong costs time only."""

from __future__ import annotations

import hashlib
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest
from batch_parts import SAID, scores
from breaking import elsewhere, ended, forked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.batch.known import Known, secret
from triage.batch.work import without_words
from triage.records import Evidence, Recording, Scores, Transcript

KEY = secret(b"a key of thirty-two bytes or more")
ABOUT = "triage-fake 1"
PLAIN = Scores("triage-fake", {"violence": 0.25}, {"violence": ("text",)})

into_a_file = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
sounds = st.none() | st.binary(max_size=3)
words = st.none() | st.text(max_size=3) | st.binary(max_size=3).map(lambda b: b.decode("latin-1"))
given_in = st.tuples(sounds, words, st.sampled_from([b"k", b"l"]), st.sampled_from(["m", "n"]))


def known(file: Path | None, *, key: bytes = KEY, about: str = ABOUT) -> Known:
    return Known(file, key, about)


def digest(sound: bytes | Path | None, said: str | None, key: bytes = KEY, about: str = "") -> str:
    return known(None, key=key, about=about).content(Recording("x", sound, said))


# Digests ----------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(given_in, given_in)
def test_contents_are_alike_if_sound_words_key_and_model_are(
    one: tuple[bytes | None, str | None, bytes, str],
    other: tuple[bytes | None, str | None, bytes, str],
) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((b"a", None), (None, "a")),
        ((None, None), (None, "")),
        ((b"", ""), (None, "")),
        ((b"", None), (None, None)),
        ((b"a", None), (b"a", "")),
        ((b"ab", "c"), (b"a", "bc")),
        ((hashlib.sha256(b"a").digest(), None), (None, "a")),
        ((None, "caf\u00e9"), (None, "cafe\u0301")),  # the encoder reads them otherwise, too
        ((None, "\ud800"), (None, "\ud801")),
    ],
)
def test_what_nearly_is_the_same_is_not(
    one: tuple[bytes | None, str | None], other: tuple[bytes | None, str | None]
) -> None:
    assert digest(*one) != digest(*other)


@into_a_file
@given(st.binary(max_size=2_000), words)
def test_a_file_is_its_bytes(tmp_path: Path, sound: bytes, said: str | None) -> None:
    (tmp_path / "x.wav").write_bytes(sound)
    assert digest(tmp_path / "x.wav", said) == digest(sound, said)


def test_whose_it_is_does_not_matter() -> None:
    mine, yours = Recording("a", b"x", SAID), Recording("b", b"x", SAID, {"account": "b"})
    assert known(None).content(mine) == known(None).content(yours)


def test_a_digest_is_thirty_two_hex_digits_that_tell_nothing_without_the_key() -> None:
    found = digest(None, SAID)
    assert len(bytes.fromhex(found)) == 16
    assert found != digest(None, SAID, key=secret(b"another key of thirty-two bytes"))
    assert secret(b"k") != b"k"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        digest(tmp_path / "none.wav", None)


# Scores -----------------------------------------------------------------------------------------


@into_a_file
@given(st.dictionaries(st.from_regex(r"\A[0-9a-f]{32}\Z"), scores(), max_size=4))
def test_what_is_put_there_is_what_is_got(tmp_path: Path, kept: dict[str, Scores]) -> None:
    file = tmp_path / "scores.db"
    known(file).put(kept)
    assert known(file).get([*kept, "never put"]) == kept


def test_only_what_is_asked_for_is_got(tmp_path: Path) -> None:
    here = known(tmp_path / "scores.db")
    here.put({"a": PLAIN, "b": PLAIN})
    here.put({})
    assert here.get(["b", "c", "b"]) == {"b": PLAIN}
    assert here.get([]) == {}


def test_what_is_put_again_is_the_newer_one(tmp_path: Path) -> None:
    here, newer = known(tmp_path / "scores.db"), replace(PLAIN, seconds=2.0)
    here.put({"a": PLAIN})
    here.put({"a": newer})
    assert here.get(["a"]) == {"a": newer}


def test_without_a_file_nothing_is_kept() -> None:
    here = known(None)
    here.put({"a": PLAIN})
    assert here.get(["a"]) == {}


def test_no_word_is_on_the_disk_nor_what_it_could_be_told_by(tmp_path: Path) -> None:
    evidence = (Evidence("violence", "text", "words", 1.0, words=tuple(SAID.split())),)
    heard = replace(PLAIN, transcript=Transcript(SAID), evidence=evidence)
    here = known(tmp_path / "scores.db")
    content = here.content(Recording("x", None, SAID))
    here.put({content: without_words(heard)})
    disk = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert content.encode() in disk
    hashed = hashlib.sha256(SAID.encode())
    for told in (b"timer", b"minutes", hashed.digest(), hashed.hexdigest().encode(), KEY):
        assert told not in disk
    (kept,) = here.get([content]).values()
    assert (kept.categories, kept.evidence[0].name) == (heard.categories, "words")


@pytest.mark.usefixtures("open_to_all")
def test_nobody_else_may_read_what_is_kept(tmp_path: Path) -> None:
    here = known(tmp_path / "scores.db")
    here.put({"a": PLAIN})
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    assert modes.keys() >= {"scores.db", "scores.db-wal", "scores.db.lock"}
    assert set(modes.values()) == {0o600}


# What goes wrong --------------------------------------------------------------------------------


def is_no_matter(file: Path) -> None:
    """Whatever is there, nothing is raised, and nothing is got but what was put."""
    here = known(file)
    here.put({"a": PLAIN})
    assert here.get(["a"]) in ({}, {"a": PLAIN})


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a process leaves that is killed when it has put something there."""
    folder = tmp_path_factory.mktemp("left")
    child = forked(lambda: known(folder / "scores.db").put({f"{n}": PLAIN for n in range(50)}))
    assert ended(child) == 0
    return {one.name: one.read_bytes() for one in folder.iterdir()}


@settings(max_examples=15)
@given(st.sampled_from(["scores.db", "scores.db-wal", "scores.db-shm"]), st.floats(0, 1), st.data())
def test_files_damaged_anywhere_cost_no_recording(
    left: dict[str, bytes], name: str, share: float, data: st.DataObject
) -> None:
    content, at = left[name], int(share * len(left[name]))
    damage = data.draw(st.sampled_from([b"\0" * 100, b"\xff" * 5_000, None]))
    rest = b"" if damage is None else damage + content[at + len(damage) :]
    with TemporaryDirectory() as folder:  # another each time: nothing may have these files open
        for one, held in (left | {name: content[:at] + rest}).items():
            (Path(folder) / one).write_bytes(held)
        here = known(Path(folder) / "scores.db")
        assert here.get(["7"]) in ({}, {"7": PLAIN})
        is_no_matter(Path(folder) / "scores.db")


def test_what_a_killed_process_put_there_is_there(tmp_path: Path, left: dict[str, bytes]) -> None:
    for one, held in left.items():
        (tmp_path / one).write_bytes(held)
    assert known(tmp_path / "scores.db").get(["7", "49"]) == {"7": PLAIN, "49": PLAIN}


@pytest.mark.parametrize("content", [b"", b"x", b"not a database " * 400])
def test_what_never_was_such_a_file_costs_no_recording(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scores.db").write_bytes(content)
    is_no_matter(tmp_path / "scores.db")


@pytest.mark.parametrize("where", [".", "none/scores.db", "file/scores.db"])
def test_a_place_that_cannot_be_written_costs_no_recording(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    is_no_matter(tmp_path / where)


@pytest.mark.parametrize("kept", ["", "{}", "null", '{"model": 1}', b"\xff", None, 7])
def test_scores_that_are_none_are_not_got(tmp_path: Path, kept: object) -> None:
    here = known(tmp_path / "scores.db")
    with closing(sqlite3.connect(tmp_path / "scores.db")) as other, other:
        other.execute("INSERT INTO scores VALUES ('a', ?)", (kept,))
    assert here.get(["a"]) == {}


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield


def test_a_file_that_another_holds_is_waited_for_and_then_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triage.batch.known.WAIT", 0.02)
    here = known(tmp_path / "scores.db")
    here.put({"a": PLAIN})
    with elsewhere(locked(tmp_path / "scores.db")):
        here.put({"b": PLAIN})
        assert here.get(["a", "b"]) == {"a": PLAIN}
        is_no_matter(tmp_path / "scores.db")
    here.put({"b": PLAIN})
    assert here.get(["a", "b"]) == {"a": PLAIN, "b": PLAIN}


@pytest.mark.parametrize("again", range(8))
def test_processes_that_begin_at_once_keep_all_that_they_put(tmp_path: Path, again: int) -> None:
    file, start = tmp_path / "scores.db", monotonic() + 0.03
    mine = [[f"{worker} {n}" for n in range(5)] for worker in range(4)]

    def work(contents: list[str]) -> None:
        while monotonic() < start:
            pass
        here = known(file)
        for content in contents:
            here.put({content: PLAIN, "shared": PLAIN})
        assert set(here.get(contents)) == set(contents)

    children = [forked(lambda contents=contents: work(contents)) for contents in mine]
    assert [ended(child) for child in children] == [0] * len(mine)
    assert len(known(file).get(["shared", *(content for one in mine for content in one)])) == 21
