"""What callers ask: from a request to the recordings in it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import anyio.to_thread
from starlette.requests import Request

from triage.archive.entries import Row, Unreadable
from triage.errors import BadEncoding, InputError, NothingToScore, TooLarge
from triage.http.admission import Place
from triage.http.body import content_type, form, whole
from triage.http.problems import WrongContentType, WrongField
from triage.http.schemas import (
    LONGEST_ID,
    ModerationBody,
    ScoreBody,
    ScoreTextBody,
    TextItem,
    TextPart,
    parsed,
    validated,
)
from triage.records import Recording
from triage.settings import Settings

ID_HEADER = "X-Recording-Id"  # of a raw body; not in the URL, since URLs end up in logs
LONGEST_CONTEXT = 64 * 2**10  # bytes, in a form
TEXT_BYTES = 16 * 2**20  # of a body of many texts, however short each may be
BYTES_A_CHARACTER = 12  # at most, in JSON: two escapes of six bytes

_RAW = ("application/octet-stream", "application/ogg")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks.

    Attributes:
        entries: The recordings in their order; what can't be read holds the place of one.
        many: Whether the answer is a list, however short.
        include_transcript: Whether the answer holds the words.
    """

    entries: tuple[Row, ...] = field(repr=False)
    many: bool = False
    include_transcript: bool = False


async def read_score(request: Request, settings: Settings, place: Place) -> Asked:
    """One recording, as a form, as JSON, or as the audio itself.

    Raises:
        InputError: What is wrong with the request.
        Busy: There is no room for its body.
    """
    _no_query(request)
    kind, boundary = content_type(request)
    if kind == "multipart/form-data":
        return _from_form(await form(request, boundary, _part_limits(settings), place))
    if kind == "application/json":
        limit = 4 * -(-settings.max_bytes // 3) + _text_bytes(settings)
        body = await whole(request, limit, place)
        return await anyio.to_thread.run_sync(_from_json, body)
    if kind.startswith(("audio/", "video/")) or kind in _RAW:
        id = _id_header(request)
        return Asked((Recording(id, await whole(request, settings.max_bytes, place)),))
    raise WrongContentType(
        "A recording is sent as a form, as JSON with base64, or as the audio itself.",
        limit=["multipart/form-data", "application/json", "audio/*", "video/*", *_RAW],
    )


async def read_texts(request: Request, settings: Settings, place: Place) -> Asked:
    """One text or many; in a list, what can't be read becomes an `Unreadable` in its place.

    Raises:
        InputError: What is wrong with the request as a whole.
        Busy: There is no room for its body.
    """
    body = await _json(request, settings, place)
    asked = validated(ScoreTextBody, body)
    if isinstance(asked.text, str):
        one = Recording(asked.id or _new_id(), None, asked.text, asked.context)
        return Asked((one,), include_transcript=asked.include_transcript)
    for name in {"id", "context"} & body.keys():
        raise WrongField(name, "belongs to one text. Put it into the items of the list.")
    _check_count(asked.text, settings)
    entries = tuple(_item(item, position) for position, item in enumerate(asked.text))
    return Asked(entries, True, asked.include_transcript)


async def read_moderation(request: Request, settings: Settings, place: Place) -> Asked:
    """What OpenAI's clients send: each string is a text, all typed parts together are one.

    Raises:
        InputError: What is wrong with the request.
        Busy: There is no room for its body.
    """
    given = validated(ModerationBody, await _json(request, settings, place)).input
    if isinstance(given, str):
        return Asked((_text(given),))
    _check_count(given, settings)
    if isinstance(given[0], dict):
        parts = (_part(part, position) for position, part in enumerate(given))
        return Asked((_text("\n".join(parts)),))
    for position, text in enumerate(given):
        if not isinstance(text, str):
            raise WrongField(f"input.{position}", "is no text. Send strings, or typed parts.")
    return Asked(tuple(map(_text, given)), many=True)


async def _json(request: Request, settings: Settings, place: Place) -> dict[str, Any]:
    _no_query(request)
    kind, _ = content_type(request)
    if kind != "application/json":
        raise WrongContentType("This path takes JSON.", limit=["application/json"])
    body = await whole(request, max(TEXT_BYTES, _text_bytes(settings)), place)
    return await anyio.to_thread.run_sync(parsed, body)


def _from_json(body: bytes) -> Asked:
    asked = validated(ScoreBody, parsed(body))
    audio = None if asked.audio is None else _unbase64(asked.audio)
    recording = Recording(asked.id or _new_id(), audio, asked.transcript, asked.context)
    return Asked((recording,), include_transcript=asked.include_transcript)


def _from_form(parts: Mapping[str, bytes]) -> Asked:
    words = {name: _utf8(name, data) for name, data in parts.items() if name != "audio"}
    asked = validated(
        ScoreBody,
        {name: text for name, text in words.items() if name in ("id", "transcript")}
        | {"include_transcript": _truth(words.get("include_transcript", "false"))}
        | {"context": parsed(words.get("context") or "{}")},
    )
    id = asked.id or _new_id()
    recording = Recording(id, parts.get("audio"), asked.transcript, asked.context)
    return Asked((recording,), include_transcript=asked.include_transcript)


def _part_limits(settings: Settings) -> dict[str, int]:
    """How many bytes each part of a form may have."""
    return {
        "audio": settings.max_bytes,
        "transcript": _text_bytes(settings),
        "id": 4 * LONGEST_ID,
        "context": LONGEST_CONTEXT,
        "include_transcript": 8,
    }


def _item(item: object, position: int) -> Row:
    """One text of a list: a string, or an object."""
    try:
        one = validated(
            TextItem, {"text": item} if isinstance(item, str) else item, f"text.{position}."
        )
    except InputError as error:
        id = item.get("id") if isinstance(item, dict) else None
        return Unreadable(id if isinstance(id, str) else "", error)
    return Recording(one.id or _new_id(), None, one.text, one.context)


def _part(part: object, position: int) -> str:
    if isinstance(part, dict) and part.get("type") == "image_url":
        raise WrongField(f"input.{position}", "is an image. Only text is scored here.")
    return validated(TextPart, part, f"input.{position}.").text


def _text(text: str) -> Recording:
    return Recording(_new_id(), None, text)


def _new_id() -> str:
    """A name for a recording that came without one, so that no two share a pseudonym."""
    return f"rec_{uuid4().hex}"


def _id_header(request: Request) -> str:
    raw = request.headers.get(ID_HEADER, "").encode("latin-1")  # HTTP has bytes there
    id = _utf8(ID_HEADER, raw)
    if len(id) > LONGEST_ID:
        raise WrongField(ID_HEADER, f"has over {LONGEST_ID} characters.", limit=LONGEST_ID)
    return id or _new_id()


def _no_query(request: Request) -> None:
    for name in request.query_params:
        raise WrongField(
            name,
            f"is in the URL, and URLs end up in logs. Put it into the body, or the id of a raw "
            f"body into the header {ID_HEADER}.",
        )


def _utf8(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadEncoding(f"The field {name} is not UTF-8. Encode it as UTF-8.") from None


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadEncoding("The field audio is not base64. Encode it without line breaks.") from None


def _truth(word: str) -> bool:
    try:
        return _TRUTHS[word.lower()]
    except KeyError:
        raise WrongField("include_transcript", "is neither true nor false.") from None


def _check_count(given: list[Any], settings: Settings) -> None:
    if not given:
        raise NothingToScore("The list is empty. Send at least one text.")
    if len(given) > settings.max_items:
        raise TooLarge(
            f"The list has {len(given)} items, allowed are {settings.max_items}. Send it in parts.",
            limit=settings.max_items,
        )


def _text_bytes(settings: Settings) -> int:
    """The most that one transcript of the longest can take in JSON, with what stands around it."""
    return BYTES_A_CHARACTER * settings.max_characters + LONGEST_CONTEXT
