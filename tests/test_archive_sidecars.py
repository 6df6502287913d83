"""Text beside audio: believed in an order, counted if it can't be read, never lost in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from archives import Tree, given, laid_out, passed_over, recordings, tarred
from hypothesis import given as drawn
from hypothesis import strategies as st

from triage.archive import sidecars
from triage.archive.sidecars import READERS, Audio, Beside, key_of, paired, said_by
from triage.records import Recording

VTT = """WEBVTT - a title

STYLE
::cue { color: red }

NOTE no word of this

1
00:01.000 --> 00:02.000 align:start
<v Roger Bingham>We <i>are</i> &amp; were

00:00:05.000 --> 00:00:06.000
<00:05.500>at <c.loud>home</c>
{aside} two
"""
SRT = (
    "1\r\n00:00:01,000 --> 00:00:02,000\r\n<font color='red'>Call</font> {\\an8}<i>my</i>\r\n"
    "sister\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\n{now}\r\n"
)


def beside(folder: Path, tree: Tree) -> tuple[list[Recording], list[str]]:
    found = given(laid_out(folder, {"a.wav": b"1", **tree}))
    return recordings(found), passed_over(found)


@pytest.mark.parametrize(
    ("suffix", "content", "transcript"),
    [
        (".txt", b"\xef\xbb\xbf call my sister\r\n", "call my sister"),
        (".TXT", b"hello", "hello"),
        (".txt", b"", ""),
        (".json", b'{"text": "hi", "speaker": 7}', "hi"),
        (".json", b'{"transcript": "hi"}', "hi"),
        (".json", b'{"text": null, "transcript": ""}', ""),
        (".json", b"{}", None),
        (".vtt", VTT.encode(), "We are & were at home {aside} two"),
        (".vtt", b"WEBVTT\n", ""),
        (".srt", SRT.encode(), "Call my sister {now}"),
        (".srt", b"", ""),
    ],
)
def test_what_is_said(tmp_path: Path, suffix: str, content: bytes, transcript: str | None) -> None:
    (only,), passed = beside(tmp_path, {f"a{suffix}": content})
    assert (only.transcript, passed) == (transcript, [])


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".txt", b"\xff\xfe"),
        (".json", b"{"),
        (".json", b"[]"),
        (".json", b"[" * 100_000),
        (".json", b'{"text": 7}'),
        (".json", b'{"text": "\\ud800"}'),
        (".json", b'{"text": "hi", "context": 7}'),
        (".vtt", b"no cues"),
        (".vtt", b"WEBVTT\n\nfrom --> to\nlost"),
        (".srt", b"no cues"),
    ],
)
def test_what_cannot_be_read_is_counted_and_the_audio_stays(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    (only,), passed = beside(tmp_path, {f"a{suffix}": content})
    assert (only.transcript, passed) == (None, ["sidecar-unreadable"])


def test_too_long_a_sidecar_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecars, "LONGEST_SIDECAR", 4)
    assert beside(tmp_path, {"a.txt": b"12345"})[1] == ["sidecar-unreadable"]
    assert beside(tmp_path, {"a.txt": b"1234"})[1] == []


def test_first_in_the_order_that_tells_a_text_is_believed(tmp_path: Path) -> None:
    tree = {
        "a.json": json.dumps({"text": "json", "context": {"locale": "en-GB"}}).encode(),
        "a.vtt": b"WEBVTT\n\n00:01.000 --> 00:02.000\nvtt\n",
        "a.srt": b"1\n00:00:01,000 --> 00:00:02,000\nsrt\n",
        "a.txt": b"txt",
    }
    for suffix in list(READERS):
        (only,), _ = beside(tmp_path, tree)
        assert only.transcript == suffix.removeprefix(".")
        (tmp_path / f"a{suffix}").unlink()
        del tree[f"a{suffix}"]


def test_context_without_a_text_goes_with_the_text_of_another(tmp_path: Path) -> None:
    (only,), _ = beside(tmp_path, {"a.json": b'{"context": {"x": 1}}', "a.txt": b"hi"})
    assert (only.transcript, only.context) == ("hi", {"x": 1})


def test_one_that_cannot_be_read_leaves_it_to_the_next(tmp_path: Path) -> None:
    (only,), passed = beside(tmp_path, {"a.json": b"{", "a.txt": b"hi"})
    assert (only.transcript, passed) == ("hi", ["sidecar-unreadable"])


def test_names_belong_together_up_to_the_last_dot(tmp_path: Path) -> None:
    tree = {
        "a.1.wav": b"1", "a.1.txt": b"one", "a.2.wav": b"1", "a.2.txt": b"two", "a.mp3": b"1",
        "a.txt": b"both", "b.txt": b"alone", "sub/a.wav": b"1", "a-1.wav": b"1",
    }  # fmt: skip
    found, passed = beside(tmp_path, tree)
    assert {one.id.removeprefix(f"{tmp_path}/"): one.transcript for one in found} == {
        "a.wav": "both", "a.mp3": "both", "a.1.wav": "one", "a.2.wav": "two", "sub/a.wav": None,
        "a-1.wav": None,
    }  # fmt: skip
    assert passed == ["text-without-audio"]


@pytest.mark.parametrize("order", [("k.wav", "k.txt", "k.json"), ("k.json", "k.txt", "k.wav")])
def test_shard_of_webdataset(tmp_path: Path, order: tuple[str, ...]) -> None:
    sample = {"k.wav": b"1", "k.txt": b"txt", "k.json": b'{"context": {"x": 1}}'}
    tree = {f"{n:04}/{name}": sample[name] for n in range(3) for name in order}
    (tmp_path / "x.tar").write_bytes(tarred(tree))
    found = given(tmp_path / "x.tar")
    assert [(one.transcript, one.context) for one in recordings(found)] == [("txt", {"x": 1})] * 3
    assert len(found) == 3


def test_text_that_is_not_adjacent_in_a_tar_is_counted(tmp_path: Path) -> None:
    tree = {"a.wav": b"1", "b.wav": b"1", "a.txt": b"late", "b.txt": b"late", "c.txt": b"alone"}
    (tmp_path / "x.tar").write_bytes(tarred(tree))
    found = given(tmp_path / "x.tar")
    assert [one.transcript for one in recordings(found)] == [None, None]
    assert passed_over(found) == ["text-without-audio"] * 3


def test_one_name_holds_no_more_audio_than_allowed(tmp_path: Path) -> None:
    parts = [Audio(("", "a"), Recording(str(n), audio=b"1" * 40), 40) for n in range(5)]
    text = Beside(("", "a"), ".txt", lambda: b"hi")
    taken = 0

    def counted():  # type: ignore[no-untyped-def]
        nonlocal taken
        for one in (text, *parts):
            taken += 1
            yield one

    first = next(iter(paired(counted(), 100)))
    assert (first.transcript, taken) == ("hi", 4)  # type: ignore[union-attr]


def test_file_without_a_name_before_its_dot_has_no_suffix() -> None:
    assert key_of("a/.wav") == (("a", ".wav"), "")
    assert key_of("a.b/c") == (("a.b", "c"), "")
    assert key_of("a/b.c.WAV") == (("a", "b.c"), ".wav")


@drawn(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_a_sidecar_holds_it_is_read_or_counted(content: bytes) -> None:
    for suffix in READERS:
        for prefix in (
            b"",
            b"WEBVTT\n\n00:01.000 --> 00:02.000\n",
            b"1\n00:00:01,000 --> 00:00:02,000\n",
        ):
            read = lambda prefix=prefix: prefix + content  # noqa: E731
            said, unreadable = said_by({suffix: Beside(("", ""), suffix, read)})
            assert unreadable in (0, 1)
            (said.text or "").encode()


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
@pytest.mark.parametrize("many", ["<a", "{\\\\", "\n", "<", "< i", "{"])
def test_time_to_read_cues_grows_with_their_length_alone(suffix: str, many: str) -> None:
    said = f"hello {many * 200_000} world"  # read for minutes, if each is searched to the end
    text = f"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n{said}\n"
    if suffix == ".srt":
        text = text.replace(".000", ",000")
    said_by({suffix: Beside(("", "x"), suffix, text.encode)})


def test_context_too_deep_is_counted_and_the_audio_stays() -> None:
    text = '{"text": "hello", "context": {"a": ' + "[" * 200 + "]" * 200 + "}}"
    said, unreadable = said_by({".json": Beside(("", "x"), ".json", text.encode)})
    assert (said.text, unreadable) == (None, 1)
