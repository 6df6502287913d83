"""Stores: read with a bound, tried again, and never named in an error."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import tenacity
from archives import MAX_BYTES, SECRET, given, noise, put, recordings, tarred, unreadable

from triage.archive import stores
from triage.archive.entries import Distant, PassedOver, Unreadable, fetch, plain
from triage.archive.stores import beside, is_url, opened, patiently, read_bounded, reason
from triage.errors import BadField, BadSetting, NothingToScore, TooLarge, UnsupportedAudio
from triage.records import Recording


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda _: None)


def distant(url: str) -> Distant:
    return Distant(Recording("id", None, "hi", {"x": 1}), url)


def test_fetch_gives_the_recording_with_its_bytes() -> None:
    url = put("memory://f/a.wav", b"1" * MAX_BYTES)
    assert fetch(distant(url), MAX_BYTES) == Recording("id", b"1" * MAX_BYTES, "hi", {"x": 1})


def test_fetch_leaves_what_is_here() -> None:
    for one in (Recording("1", b"1"), Unreadable("1", NothingToScore("x")), PassedOver("hidden")):
        assert fetch(one, 1) is one


@pytest.mark.parametrize(
    ("size", "kind"), [(0, NothingToScore), (MAX_BYTES + 1, TooLarge), (MAX_BYTES * 9, TooLarge)]
)
def test_fetch_is_bounded(size: int, kind: type[Exception]) -> None:
    found = fetch(distant(put("memory://f/b.wav", b"1" * size)), MAX_BYTES)
    assert isinstance(found, Unreadable)
    assert (found.id, type(found.error)) == ("id", kind)


def test_fetch_of_what_is_not_there_names_no_url() -> None:
    found = fetch(distant(f"memory://{SECRET}/a.wav"), MAX_BYTES)
    assert isinstance(found, Unreadable)
    assert type(found.error) is UnsupportedAudio
    assert found.error.detail == "The audio can't be opened: it isn't there."


class Shaky:
    """A file system whose files fail so often, and then don't."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures = failures
        self.asked = 0

    def open(self, *_: object, **__: object) -> io.BytesIO:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return io.BytesIO(b"sound")


class Broken(Exception):
    """As packages have them: no OSError, with the URL in it."""


@pytest.mark.parametrize(
    ("failures", "asked", "gives"),
    [
        ([OSError(5, SECRET)] * 2, 3, True),
        ([TimeoutError(SECRET), Broken(SECRET)], 3, True),
        ([OSError(5, SECRET)] * 3, 3, False),
        ([FileNotFoundError(SECRET)], 1, False),
        ([PermissionError(13, SECRET)], 1, False),
        ([Broken(SECRET)] * 3, 3, False),
    ],
)
def test_what_may_pass_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, failures: list[Exception], asked: int, gives: bool
) -> None:
    shaky = Shaky(list(failures))
    monkeypatch.setattr(stores, "store", lambda _: shaky)
    found = fetch(distant("s3://bucket/a.wav"), MAX_BYTES)
    assert shaky.asked == asked
    if gives:
        assert found.audio == b"sound"  # type: ignore[union-attr]
    else:
        assert isinstance(found, Unreadable)
        assert SECRET not in f"{found.error.as_problem()} {found!r}"


class Torn(io.BytesIO):
    """Fails at every other read."""

    healthy = True

    def read(self, size: int | None = -1) -> bytes:
        self.healthy = not self.healthy
        if not self.healthy:
            super().read(3)  # and loses its place
            raise OSError(5, SECRET)
        return super().read(size)


def test_archive_is_read_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    url = put("memory://torn/x.tar", tarred({f"{n}.wav": noise(n) for n in range(200)}))

    class Store:
        def open(self, *_: object) -> io.BytesIO:
            return Torn(read_all(url))

    def read_all(place: str) -> bytes:
        import fsspec

        return bytes(fsspec.filesystem("memory").cat_file(place))

    monkeypatch.setattr(stores, "store", lambda _: Store())
    monkeypatch.setattr(stores, "BLOCK", 2**16)
    with opened(url) as stream:
        assert stream.read() == read_all(url)


def test_stream_that_cannot_be_turned_back_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OneWay(Torn):
        def seekable(self) -> bool:
            return False

    class Store:
        def open(self, *_: object) -> io.BytesIO:
            return OneWay(tarred({"a.wav": b"1"}))

    monkeypatch.setattr(stores, "store", lambda _: Store())
    from triage.archive.containers import members

    (only,) = unreadable(list(members("https://host/x.tar", MAX_BYTES)))
    assert SECRET not in only.error.detail


def test_missing_package_is_for_whoever_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def missing(*_: object, **__: object) -> None:
        raise ImportError

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(BadSetting, match=r"triage\[s3\]"):
        fetch(distant("s3://bucket/a.wav"), MAX_BYTES)


@pytest.mark.parametrize(
    ("place", "url"),
    [
        ("a.wav", False),
        ("/a/b:c.wav", False),
        ("s3://b/a", True),
        ("S3://b/a", True),
        ("a::b", False),
    ],
)
def test_paths_and_urls(place: str, url: bool) -> None:
    assert is_url(place) is url


@pytest.mark.parametrize(
    "place", ["http://h/a", "zip://a::s3://b", "s3://a::b", "x://y", "git+ssh://y"]
)
def test_other_schemes_and_chains_are_refused(place: str) -> None:
    with pytest.raises(BadField):
        is_url(place)


def test_beside() -> None:
    assert beside("s3://bucket/day/m.jsonl", "../a.wav") == "s3://bucket/a.wav"
    assert beside("memory://m.jsonl", "a.wav") == "memory://a.wav"
    assert beside("https://h/d/m.csv?k=1", "a.wav") == "https://h/d/a.wav"


def test_reasons_hold_no_name() -> None:
    assert reason(OSError(5, SECRET, SECRET)) == "Input/output error"
    assert reason(FileNotFoundError(SECRET)) == "it isn't there"
    assert reason(OSError(SECRET)) == "OSError"
    assert reason(Broken(SECRET)) == "Broken"


def test_names_can_always_be_written() -> None:
    assert plain("a\udcff.wav") == "a\\xff.wav"
    assert plain("a\ud800.wav").encode() == b"a\\ud800.wav"
    assert plain("ü") == "ü"


# The web ------------------------------------------------------------------------------------


def test_https_is_read_in_one_stream_that_ends_at_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}

    class Web:
        def open(self, _: str, __: str, **how: Any) -> io.BytesIO:
            asked.update(how)
            return io.BytesIO(b"1" * 100)

    monkeypatch.setattr(stores, "store", lambda _: Web())
    assert read_bounded("https://host/a.wav", 10) == b"1" * 11
    assert asked == {"block_size": 0}


def test_failed_reads_are_not_kept() -> None:
    tries: Iterator[int] = iter((1, 2, 3))

    def attempt() -> int:
        if (n := next(tries)) < 3:
            raise OSError(5, "")
        return n

    assert patiently(attempt) == 3


def test_lone_audio_file_in_a_store() -> None:
    url = put("memory://lone/clip.bin", b"1")
    assert recordings(given(url)) == [Recording(url, b"1")]
