"""Reading requests: three ways to send one recording, and every way to get it wrong."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import settings as rounds
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from triage.archive.entries import Unreadable
from triage.errors import (
    BadEncoding,
    BadField,
    InputError,
    NothingToScore,
    TooLarge,
)
from triage.http import body as body_module
from triage.http.admission import Admission, Place
from triage.http.problems import Busy, TooSlow, WrongContentType, WrongField
from triage.http.requests import (
    LONGEST_CONTEXT,
    TEXT_BYTES,
    Asked,
    read_moderation,
    read_score,
    read_texts,
)
from triage.records import Recording
from triage.settings import Settings

LIMITS = Settings(max_bytes=8_000_000, max_characters=100, max_items=5)
BOUNDARY = "a-boundary"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
JSON = {"content-type": "application/json"}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def request(
    chunks: Iterable[bytes], headers: dict[str, str], query: bytes = b""
) -> tuple[Request, list[int]]:
    """A request whose body comes in these chunks, and the sizes of those that were read."""
    taken: list[int] = []
    coming = iter(chunks)

    async def receive() -> Message:
        chunk = next(coming, None)
        if chunk is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        taken.append(len(chunk))
        return {"type": "http.request", "body": chunk, "more_body": True}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": query, "headers": raw}
    return Request(scope, receive), taken


def room(most_bytes: int = 10**9) -> Place:
    return Place(Admission(1, most_bytes))


def read(
    reader: Callable[..., Any],
    body: bytes | Iterable[bytes],
    headers: dict[str, str],
    query: bytes = b"",
    limits: Settings = LIMITS,
) -> Asked:
    one, _ = request([body] if isinstance(body, bytes) else body, headers, query)
    asked: Asked = anyio.run(reader, one, limits, room())
    return asked


def recording(asked: Asked) -> Recording:
    (entry,) = asked.entries
    assert isinstance(entry, Recording)
    return entry


def part(name: str, data: bytes, extra: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def cut(data: bytes, at: Iterable[int]) -> Iterator[bytes]:
    edges = [0, *sorted(point % (len(data) + 1) for point in at), len(data)]
    return (data[a:b] for a, b in pairwise(edges) if a < b)


# One recording -------------------------------------------------------------------------------


@rounds(deadline=None)
@given(
    audio=st.binary(max_size=300) | st.just(f"\r\n--{BOUNDARY}".encode() + b"x"),
    at=st.lists(st.integers(min_value=0), max_size=12),
)
def test_form_json_and_raw_bodies_give_the_same_bytes(audio: bytes, at: list[int]) -> None:
    in_form = form(part("audio", audio, '; filename="what.wav"'))
    in_json = json.dumps({"audio": base64.b64encode(audio).decode()}).encode()
    if f"\r\n--{BOUNDARY}".encode() not in audio:  # which no sender would choose then
        assert recording(read(read_score, cut(in_form, at), FORM)).audio == audio
    assert recording(read(read_score, cut(in_json, at), JSON)).audio == audio
    assert recording(read(read_score, cut(audio, at), {"content-type": "audio/wav"})).audio == audio


def test_every_field_of_a_form() -> None:
    asked = read(
        read_score,
        form(
            part("id", "küche-7".encode()),
            part("audio", b"sound"),
            part("transcript", b"turn it off"),
            part("context", b'{"locale": "en-GB"}'),
            part("include_transcript", b"True"),
        ),
        FORM,
    )
    assert recording(asked) == Recording("küche-7", b"sound", "turn it off", {"locale": "en-GB"})
    assert (asked.include_transcript, asked.many) == (True, False)


def test_every_field_of_json() -> None:
    body = {"id": "küche-7", "audio": "c291bmQ=", "transcript": "off", "context": {"a": 1}}
    asked = read(read_score, json.dumps(body | {"include_transcript": True}).encode(), JSON)
    assert recording(asked) == Recording("küche-7", b"sound", "off", {"a": 1})
    assert asked.include_transcript


@pytest.mark.parametrize("kind", ["audio/wav", "audio/x-anything", "video/webm; codecs=opus"])
def test_a_raw_body_takes_its_id_from_a_header(kind: str) -> None:
    asked = read(read_score, b"sound", {"content-type": kind, "x-recording-id": "küche-7"})
    assert recording(asked) == Recording("küche-7", b"sound")


def test_an_empty_transcript_is_one() -> None:
    # It says that nothing was said, so nothing is transcribed.
    assert recording(read(read_score, form(part("transcript", b"")), FORM)).transcript == ""
    assert recording(read(read_score, form(part("audio", b"s")), FORM)).transcript is None


def test_recordings_without_an_id_get_different_ones() -> None:
    ids = {recording(read(read_score, b"{}", JSON)).id for _ in range(3)}
    assert len(ids) == 3


def test_audio_never_becomes_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was to be written to a temporary file")

    for name in (
        "SpooledTemporaryFile",
        "TemporaryFile",
        "NamedTemporaryFile",
        "mkstemp",
        "mkdtemp",
    ):
        monkeypatch.setattr(tempfile, name, refuse)
    audio = bytes(range(256)) * 20_000  # 5 MB
    body = form(part("audio", audio, '; filename="a.wav"'))
    pieces = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    assert recording(read(read_score, pieces, FORM)).audio == audio
    asked = read(read_score, json.dumps({"audio": base64.b64encode(audio).decode()}).encode(), JSON)
    assert recording(asked).audio == audio


# What is wrong with it -----------------------------------------------------------------------


def wrong(
    reader: Callable[..., Any], body: bytes | Iterable[bytes], headers: dict[str, str]
) -> InputError:
    with pytest.raises(InputError) as caught:
        read(reader, body, headers)
    assert caught.value.detail[-1] == "."
    return caught.value


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (form(part("audoi", b"sound")), WrongField),
        (form(part("audio", b"a"), part("audio", b"b")), WrongField),
        (form(part("", b"a")), WrongField),
        (b"--" + BOUNDARY.encode() + b"\r\n\r\nsound\r\n", WrongField),
        (form(part("audio", b"a"))[:-8], BadEncoding),
        (form(part("audio", b"a"))[:40], BadEncoding),
        (b"no form at all", BadEncoding),
        (b"", BadEncoding),
        (form(part("audio", b"a"), part("id", b"\xff\xfe")), BadEncoding),
        (form(part("audio", b"a"), part("transcript", b"\xff\xfe")), BadEncoding),
        (form(part("audio", b"a"), part("id", b"")), WrongField),
        (form(part("audio", b"a"), part("id", b"x" * 513)), WrongField),
        (form(part("audio", b"a"), part("id", b"x" * 5000)), TooLarge),
        (form(part("audio", b"a"), part("context", b"{")), BadEncoding),
        (form(part("audio", b"a"), part("context", b"[]")), BadField),
        (form(part("audio", b"a"), part("context", b" " * (LONGEST_CONTEXT + 1))), TooLarge),
        (form(part("audio", b"a"), part("include_transcript", b"maybe")), WrongField),
        (form(part("audio", b"a" * 8_000_001)), TooLarge),
        (form(part("audio", b"a", "\r\nX-A: " + "x" * 20_000)), BadEncoding),
    ],
)
def test_wrong_forms(body: bytes, kind: type[InputError]) -> None:
    assert type(wrong(read_score, body, FORM)) is kind


def test_a_form_without_boundary() -> None:
    assert isinstance(wrong(read_score, b"x", {"content-type": "multipart/form-data"}), BadEncoding)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", BadEncoding),
        (b"{", BadEncoding),
        (b'{"transcript": "\xff"}', BadEncoding),
        ('{"transcript": "a"}'.encode("utf-16"), BadEncoding),
        (b'{"transcript": "\\ud83d"}', BadEncoding),
        (b'{"context": {"\\udc00": 1}}', BadEncoding),
        (b'{"context": {"a": NaN}}', BadEncoding),
        (b"[" * 200_000, BadEncoding),
        (b'{"context": {"a": 1' + b"0" * 5_000 + b"}}", BadEncoding),
        (b"[]", BadField),
        (b'"text"', BadField),
        (b"null", BadField),
        (b'{"audoi": "c291bmQ="}', WrongField),
        (b'{"audio": "not base64!"}', BadEncoding),
        (b'{"audio": "c291\\nbmQ="}', BadEncoding),
        (b'{"audio": 1}', WrongField),
        (b'{"transcript": ["a"]}', WrongField),
        (b'{"transcript": "a", "id": 7}', WrongField),
        (b'{"transcript": "a", "id": ""}', WrongField),
        (b'{"transcript": "a", "context": []}', WrongField),
        (b'{"transcript": "a", "include_transcript": "yes"}', WrongField),
    ],
)
def test_wrong_json(body: bytes, kind: type[InputError]) -> None:
    assert type(wrong(read_score, body, JSON)) is kind


def test_an_emoji_in_escapes_is_text() -> None:
    assert recording(read(read_score, b'{"transcript": "\\ud83d\\ude00"}', JSON)).transcript == "😀"


def test_a_misspelt_field_is_named_before_the_missing_one() -> None:
    error = wrong(read_texts, b'{"txet": "a"}', JSON)
    assert isinstance(error, WrongField)
    assert error.field == "txet"


def test_the_wrong_field_is_named() -> None:
    error = wrong(read_score, b'{"transcript": "a", "audoi": "b"}', JSON)
    assert isinstance(error, WrongField)
    assert (error.field, error.status) == ("audoi", 422)
    assert "audoi" in error.detail
    assert "transcript" in (error.limit or ())


@pytest.mark.parametrize("name", ["Alice Smith", "a" * 65, "", "<b>", "é"])
def test_a_name_that_is_no_fields_is_not_repeated(name: str) -> None:
    error = wrong(read_score, json.dumps({name: "x"}).encode(), JSON)
    assert isinstance(error, WrongField)
    assert error.field is None
    assert not name or name not in error.detail


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_wrong_kinds_of_body(headers: dict[str, str]) -> None:
    for reader in (read_score, read_texts, read_moderation):
        error = wrong(reader, b"{}", headers)
        assert isinstance(error, WrongContentType)
        assert error.status == 415


def test_texts_are_json_only() -> None:
    assert isinstance(wrong(read_texts, form(part("text", b"a")), FORM), WrongContentType)


@pytest.mark.parametrize("reader", [read_score, read_texts, read_moderation])
def test_nothing_is_taken_from_the_url(reader: Callable[..., Any]) -> None:
    with pytest.raises(WrongField) as caught:
        read(reader, b'{"transcript": "a"}', JSON, b"id=alice")
    assert "alice" not in caught.value.detail


@pytest.mark.parametrize("id", ["x" * 513, "\xff"])
def test_wrong_ids_in_the_header(id: str) -> None:
    one, _ = request([b"sound"], {"content-type": "audio/wav"})
    one.scope["headers"].append((b"x-recording-id", id.encode("latin-1")))
    with pytest.raises(InputError):
        anyio.run(read_score, one, LIMITS, room())


# Too large, too slow, too many ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "headers", "limit"),
    [
        (read_score, {"content-type": "audio/wav"}, LIMITS.max_bytes),
        (read_score, FORM, LIMITS.max_bytes),
        (read_score, JSON, 4 * LIMITS.max_bytes / 3),
        (read_texts, JSON, TEXT_BYTES),
        (read_moderation, JSON, TEXT_BYTES),
    ],
)
def test_a_declared_size_is_refused_before_the_body(
    reader: Callable[..., Any], headers: dict[str, str], limit: int
) -> None:
    declared = str(int(limit) + 200_000)
    one, taken = request([b"x"], headers | {"content-length": declared})
    with pytest.raises(TooLarge) as caught:
        anyio.run(reader, one, LIMITS, room())
    assert caught.value.status == 413
    assert taken == []


@pytest.mark.parametrize("headers", [{"content-type": "audio/wav"}, JSON, FORM])
def test_an_undeclared_size_is_refused_as_soon_as_it_is_passed(headers: dict[str, str]) -> None:
    start = part("audio", b"")[:-2] if headers is FORM else b""
    body = (start if at == 0 else bytes(1_000_000) for at in range(100))
    one, taken = request(body, headers)
    with pytest.raises(TooLarge):
        anyio.run(read_score, one, LIMITS, room())
    assert sum(taken) < 2 * LIMITS.max_bytes


def test_exactly_the_limit_is_taken() -> None:
    audio = bytes(LIMITS.max_bytes)
    assert len(recording(read(read_score, audio, {"content-type": "audio/wav"})).audio or b"") == (
        LIMITS.max_bytes
    )
    assert isinstance(wrong(read_score, audio + b"x", {"content-type": "audio/wav"}), TooLarge)


def test_bodies_together_have_a_limit() -> None:
    one, taken = request((bytes(1000) for _ in range(100)), {"content-type": "audio/wav"})
    place = room(most_bytes=5_000)
    with pytest.raises(Busy):
        anyio.run(read_score, one, LIMITS, place)
    assert sum(taken) == 6_000


def test_a_body_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "PATIENCE", 0.01)
    one, _ = request([], {"content-type": "audio/wav"})

    async def silence() -> AsyncIterator[bytes]:
        await anyio.sleep(60)
        yield b""

    one.stream = silence  # type: ignore[method-assign]
    with pytest.raises(TooSlow) as caught:
        anyio.run(read_score, one, LIMITS, room())
    assert caught.value.status == 408


# Texts ---------------------------------------------------------------------------------------


def texts(value: object) -> Asked:
    return read(read_texts, json.dumps(value).encode(), JSON)


def test_one_text() -> None:
    asked = texts({"text": "hello", "id": "a", "context": {"b": 1}, "include_transcript": True})
    assert recording(asked) == Recording("a", None, "hello", {"b": 1})
    assert (asked.many, asked.include_transcript) == (False, True)


def test_a_list_of_one_is_a_list() -> None:
    assert texts({"text": ["hello"]}).many


def test_a_bad_item_stays_in_its_place() -> None:
    items = ["a", 7, {"text": "b", "id": "x"}, {"txet": "c", "id": "y"}, {"text": "d", "id": 1}]
    entries = texts({"text": items}).entries
    assert [type(entry) for entry in entries] == [
        Recording,
        Unreadable,
        Recording,
        Unreadable,
        Unreadable,
    ]
    assert [entry.id for entry in entries][2:] == ["x", "y", ""]
    assert isinstance(entries[3], Unreadable)
    assert "text.3." in entries[3].error.detail


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({}, WrongField),
        ({"text": 7}, WrongField),
        ({"text": []}, NothingToScore),
        ({"text": ["a"] * 6}, TooLarge),
        ({"text": ["a"], "id": "x"}, WrongField),
        ({"text": ["a"], "context": {}}, WrongField),
        ({"texts": "a"}, WrongField),
    ],
)
def test_wrong_lists(value: object, kind: type[InputError]) -> None:
    with pytest.raises(kind):
        texts(value)


@rounds(deadline=None)
@given(st.dictionaries(st.sampled_from(["text", "id", "context", "x"]), ANYTHING) | ANYTHING)
def test_no_json_is_a_surprise(value: object) -> None:
    for reader in (read_score, read_texts, read_moderation):
        with suppress(InputError):
            read(reader, json.dumps(value).encode(), JSON)


@rounds(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_are_a_surprise(data: bytes) -> None:
    for headers in (JSON, FORM):
        with pytest.raises(InputError):
            read(read_score, b"\x00" + data, headers)


# OpenAI's shape ------------------------------------------------------------------------------


def moderated(value: object) -> Asked:
    return read(read_moderation, json.dumps({"input": value, "model": "omni"}).encode(), JSON)


def test_strings_are_texts_of_their_own() -> None:
    assert recording(moderated("a")).transcript == "a"
    asked = moderated(["a", "b"])
    assert [entry.transcript for entry in asked.entries if isinstance(entry, Recording)] == [
        "a",
        "b",
    ]


def test_typed_parts_are_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert recording(moderated(parts)).transcript == "a\nb"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}], "input.1"),
        ([{"type": "text", "text": 1}], "input.0.text"),
        ([{"type": "text", "text": "a"}, "b"], "input.1"),
        (["a", 1], "input.1"),
        (7, "input"),
    ],
)
def test_wrong_inputs_are_named(value: object, field: str) -> None:
    with pytest.raises(WrongField) as caught:
        moderated(value)
    assert caught.value.field == field
