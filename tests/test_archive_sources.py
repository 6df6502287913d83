"""Sources: one tree gives the same recordings however it is packed, in one order, surveyed."""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
from archives import (
    MAX_BYTES,
    PACKED,
    SECRET,
    Tree,
    content,
    given,
    laid_out,
    passed_over,
    put,
    recordings,
    tarred,
    zipped,
)
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from triage.archive import tables
from triage.archive.entries import Distant, Entry, PassedOver, Unreadable
from triage.archive.sources import Shard, entries, shards, survey
from triage.errors import BadField, BadSetting, NothingToScore

stems = st.text("ab-._é", min_size=1, max_size=4).filter(lambda one: not one.startswith("."))
names = st.builds(
    lambda folders, stem, suffix: "/".join([*folders, stem + suffix]),
    st.lists(st.sampled_from(["p", "q"]), max_size=2),
    stems,
    st.sampled_from([".wav", ".MP3", ".txt", ".json", ".png"]),
)
contents = st.binary(min_size=1, max_size=30) | st.sampled_from([b'{"text": "hi"}', b"hello"])
trees = st.dictionaries(names, contents, max_size=8)


def fingers(source: Path | str) -> Counter[tuple[object, ...]]:
    """What is given, whatever holds it: a multiset."""
    found = given(source)
    kept = len(str(source)) + 1
    return Counter(
        (one.id[kept:], content(one), one.transcript, json.dumps(dict(one.context)))
        for one in recordings(found)
    )


@drawn(tree=trees)
@settings(max_examples=60, deadline=None)
def test_a_tree_gives_the_same_recordings_however_it_is_packed(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree
) -> None:
    top = tmp_path_factory.mktemp("tree")
    folder = laid_out(top / "folder", tree) if tree else top
    wanted = fingers(folder)
    # As tar would be told to keep the order of the alphabet.
    ordered = dict(sorted(tree.items(), key=lambda one: one[0].rpartition(".")))
    for name, pack in PACKED.items():
        (top / name).write_bytes(pack(ordered))
        assert fingers(top / name) == wanted, name
    url = f"memory://{uuid4().hex}"
    for name, held in tree.items():
        put(f"{url}/{name}", held)
    if tree:
        assert fingers(url) == wanted


@drawn(tree=trees)
@settings(max_examples=30, deadline=None)
def test_entries_twice_are_the_same_and_as_many_as_surveyed(
    tmp_path_factory: pytest.TempPathFactory, tree: Tree
) -> None:
    top = tmp_path_factory.mktemp("tree")
    laid_out(top / "folder", {**tree, "first.wav": b"1"})
    (top / "folder" / "inner.zip").write_bytes(zipped(tree))
    (top / "x.zip").write_bytes(zipped({**tree, "in.zip": b"PK", ".hidden.wav": b"1"}))
    for source in (top / "folder", top / "x.zip"):
        (shard,) = shards(str(source))
        first = list(entries(shard, MAX_BYTES))
        again = list(entries(copied(shard), MAX_BYTES))
        assert list(map(told, again)) == list(map(told, first))
        rows = [one for one in first if not isinstance(one, PassedOver)]
        assert survey(shard).recordings == len(rows)


def copied(shard: Shard) -> Shard:
    return pickle.loads(pickle.dumps(shard))  # type: ignore[no-any-return]  # noqa: S301


def told(entry: Entry) -> object:
    """As can be compared: no two errors are equal."""
    if isinstance(entry, Unreadable):
        return entry.id, entry.error.as_problem()
    return entry


# Surveys ------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", ["folder", "x.tar", "x.zip", "m.jsonl", "m.csv", "a.wav"])
def test_survey_changes_with_the_files_and_only_then(tmp_path: Path, packed: str) -> None:
    def write(text: str) -> None:
        tree = {"a.wav": text.encode(), "a.txt": b"hello"}
        made = {
            "folder/a.wav": text.encode(),
            "x.tar": tarred(tree),
            "x.zip": zipped(tree),
            "m.jsonl": json.dumps({"id": "1", "text": text}).encode(),
            "m.csv": f"id,text\n1,{text}\n".encode(),
            "a.wav": text.encode(),
        }
        laid_out(tmp_path, made)

    write("before")
    os.utime(tmp_path / "folder/a.wav", (1, 1))
    os.utime(tmp_path / "a.wav", (1, 1))
    for name in ("x.tar", "x.zip"):
        os.utime(tmp_path / name, (1, 1))
    (shard,) = shards(str(tmp_path / packed))
    before = survey(shard)
    assert before == survey(shard)
    assert before.recordings == (None if packed == "x.tar" else 1)
    assert before.bytes > 0
    write("afters")
    assert survey(shard).fingerprint != before.fingerprint


def test_survey_of_a_folder_sees_what_comes_goes_and_is_renamed(tmp_path: Path) -> None:
    laid_out(tmp_path, {"a.wav": b"1", "sub/b.wav": b"22"})
    (shard,) = shards(str(tmp_path))
    seen = [survey(shard)]
    laid_out(tmp_path, {"sub/c.txt": b"3"})
    seen.append(survey(shard))
    (tmp_path / "a.wav").rename(tmp_path / "d.wav")
    seen.append(survey(shard))
    (tmp_path / "d.wav").unlink()
    seen.append(survey(shard))
    assert len({one.fingerprint for one in seen}) == 4
    assert [(one.recordings, one.bytes) for one in seen] == [(2, 3), (2, 4), (2, 4), (1, 3)]


def test_survey_of_a_store_changes_when_an_object_does() -> None:
    url = f"memory://{uuid4().hex}"
    for name in ("f/a.wav", "x.tar", "m.jsonl"):
        put(f"{url}/{name}", b"before")
    found = [shards(f"{url}/{name}")[0] for name in ("f", "x.tar", "m.jsonl")]
    before = [survey(shard) for shard in found]
    assert before == [survey(shard) for shard in found]
    assert [one.recordings for one in before] == [1, None, 1]
    for name in ("f/a.wav", "x.tar", "m.jsonl"):
        put(f"{url}/{name}", b"afters")
    assert all(
        survey(shard).fingerprint != one.fingerprint
        for shard, one in zip(found, before, strict=True)
    )


def test_folder_with_a_tar_does_not_know_how_many_it_holds(tmp_path: Path) -> None:
    laid_out(tmp_path, {"a.wav": b"1", "x.tar": tarred({"b.wav": b"1"})})
    assert survey(shards(str(tmp_path))[0]).recordings is None


def test_survey_of_what_is_gone_says_so(tmp_path: Path) -> None:
    for kind in ("archive", "manifest", "audio"):
        with pytest.raises(NothingToScore) as caught:
            survey(Shard(str(tmp_path / f"{SECRET}.zip"), kind))  # type: ignore[arg-type]
        assert SECRET not in str(caught.value)


# Patterns -----------------------------------------------------------------------------------


def test_braces_and_stars_give_a_shard_each_in_order(tmp_path: Path) -> None:
    for number in (0, 1, 2, 10):
        laid_out(tmp_path, {f"s-{number:02}.tar": tarred({"a.wav": b"1"})})
    names = [Path(one.place).name for one in shards(f"{tmp_path}/s-{{00..02}}.tar")]
    assert names == ["s-00.tar", "s-01.tar", "s-02.tar"]
    assert [Path(one.place).name for one in shards(f"{tmp_path}/*.tar")] == [*names, "s-10.tar"]
    assert [Path(one.place).name for one in shards(f"{tmp_path}/s-{{10,00}}.tar")] == [
        "s-10.tar",
        "s-00.tar",
    ]
    assert len(given(f"{tmp_path}/s-0?.tar")) == 3


def test_patterns_in_a_store() -> None:
    url = f"memory://{uuid4().hex}"
    for number in range(3):
        put(f"{url}/s-{number}.tar", tarred({f"{number}.wav": b"1"}))
    wanted = [f"{url}/s-{number}.tar" for number in range(3)]
    assert [one.place for one in shards(f"{url}/*.tar")] == wanted
    assert [one.place for one in shards(f"{url}/s-{{0..2}}.tar")] == wanted
    assert [one.id for one in recordings(given(f"{url}/s-*.tar"))] == [
        f"{url}/s-{number}.tar/{number}.wav" for number in range(3)
    ]
    with pytest.raises(NothingToScore):
        shards(f"{url}/*.zip")


def test_name_that_only_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    laid_out(tmp_path, {"a[1].wav": b"1", "b{1,2}.wav": b"1"})
    assert [one.kind for one in shards(str(tmp_path / "a[1].wav"))] == ["audio"]
    assert [one.kind for one in shards(str(tmp_path / "b{1,2}.wav"))] == ["audio"]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (f"{SECRET}.wav", NothingToScore),
        (f"{SECRET}-*.tar", NothingToScore),
        (f"{SECRET}-{{0..3}}.tar", NothingToScore),
        (f"{SECRET}-{{0..99999999}}.tar", BadField),
        (f"{SECRET}-{{9..0}}.tar", BadField),
        (f"{SECRET}-{{0..99999}}{{0..99999}}{{0..99999}}.tar", BadField),
        (f"memory://{SECRET}", NothingToScore),
        (f"ftp://{SECRET}", BadField),
        (f"file:///{SECRET}", BadField),
        (f"http://{SECRET}/a.wav", BadField),
        (f"simplecache::memory://{SECRET}", BadField),
        (f"memory://{SECRET}::https://a", BadField),
    ],
)
def test_source_that_cannot_be_read_is_refused_without_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, kind: type[Exception]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        shards(source)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "s3"), ("gs", "gs"), ("abfs", "az")])
def test_store_whose_package_is_missing_says_which(
    monkeypatch: pytest.MonkeyPatch, scheme: str, extra: str
) -> None:
    import fsspec

    def missing(*_: object, **__: object) -> None:
        raise ImportError

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(BadSetting, match=rf"pip install 'triage\[{extra}\]'"):
        shards(f"{scheme}://bucket/a.tar")


# Stores -------------------------------------------------------------------------------------


def test_folder_in_a_store_is_read_as_one_here() -> None:
    url = f"memory://{uuid4().hex}"
    tree = {
        "b.wav": b"1",
        "b.txt": b"hello",
        ".hidden.wav": b"1",
        "sub/x.tar": tarred({"k.wav": b"2", "k.json": b'{"text": "hi"}'}),
        "sub/y.zip": zipped({"z.wav": b"3"}),
        "notes.pdf": b"",
    }
    for name, held in tree.items():
        put(f"{url}/{name}", held)
    found = given(url)
    first = next(one for one in found if isinstance(one, Distant))
    assert (first.url, first.recording.audio) == (f"{url}/b.wav", None)
    assert [(one.id.removeprefix(url), one.audio, one.transcript) for one in recordings(found)] == [
        ("/b.wav", b"1", "hello"),
        ("/sub/x.tar/k.wav", b"2", "hi"),
        ("/sub/y.zip/z.wav", b"3", None),
    ]
    assert passed_over(found) == ["hidden", "not-audio"]


def test_manifest_that_the_web_does_not_give_is_refused_without_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(_: str) -> None:
        raise RuntimeError(f"no answer from {SECRET}")

    monkeypatch.setattr(tables, "opened", failing)
    with pytest.raises(NothingToScore, match="RuntimeError") as caught:
        shards(f"https://{SECRET}/m.csv")
    assert SECRET not in str(caught.value)
