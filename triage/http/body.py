"""Reading a request's body into memory, and a form's parts, never past their limits.

Starlette's own form parser, and BentoML's file inputs, write what is larger than a megabyte to
a temporary file. A person's voice is not written down because it was sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING

import anyio
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from triage.errors import BadEncoding, TooLarge
from triage.http.admission import Place
from triage.http.problems import TooSlow, WrongContentType, WrongField

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

PATIENCE = 30.0  # s without a byte after which a body is given up
FRAMING = 64 * 2**10  # bytes that a form's boundaries and headers may take


def content_type(request: Request) -> tuple[str, str]:
    """The body's media type in lower case, and the boundary of its parts where it has one.

    Raises:
        WrongContentType: The body is compressed as a whole.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise WrongContentType("The body is compressed. Send it without Content-Encoding.")
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    return kind.decode("latin-1").lower(), options.get(b"boundary", b"").decode("latin-1")


async def chunks(request: Request, limit: int, place: Place) -> AsyncIterator[bytes]:
    """The body as it comes.

    Args:
        limit: Bytes that it may have; checked by what it declares before any of it is read.
        place: Where the bytes are accounted for.

    Raises:
        TooLarge: It has more.
        TooSlow: It stopped coming.
        Busy: All bodies together have more than fits.
    """
    declared = request.headers.get("content-length", "")
    _check(int(declared) if declared.isdecimal() else 0, limit)
    seen = 0
    stream = request.stream()
    while True:
        try:
            with anyio.fail_after(PATIENCE):
                chunk = await anext(stream, b"")
        except TimeoutError:
            raise TooSlow(
                f"No byte of the body came for {PATIENCE:g} s. Send it again.", limit=PATIENCE
            ) from None
        if not chunk:
            return
        seen += len(chunk)
        _check(seen, limit)
        place.hold(len(chunk))
        yield chunk


async def whole(request: Request, limit: int, place: Place) -> bytes:
    """The whole body. Raises as `chunks` does."""
    body = BytesIO()
    async for chunk in chunks(request, limit, place):
        body.write(chunk)
    return body.getvalue()


async def form(
    request: Request, boundary: str, limits: Mapping[str, int], place: Place
) -> dict[str, bytes]:
    """The parts of a multipart/form-data body, by name.

    Args:
        boundary: As the content type gives it.
        limits: The names that parts may have, and how many bytes each.
        place: Where the bytes are accounted for.

    Raises:
        BadEncoding: It isn't a form, or breaks off.
        WrongField: A part has another name, none, or one that is taken.
        TooLarge: A part has more bytes than its limit.
    """
    if not boundary:
        raise BadEncoding("The form has no boundary in its Content-Type. Let the client set it.")
    parts = _Parts(limits)
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        async for chunk in chunks(request, sum(limits.values()) + FRAMING, place):
            parser.write(chunk)
        parser.finalize()
    except MultipartParseError:
        raise BadEncoding("The body is not a well-formed multipart form. Send it anew.") from None
    if not parts.ended:
        raise BadEncoding("The form breaks off before its last boundary. Send it anew.")
    return {name: part.getvalue() for name, part in parts.done.items()}


class _Parts:
    """What the parser calls as it goes; takes each part into memory."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self.done: dict[str, BytesIO] = {}
        self.ended = False
        self._limits = limits
        self._field, self._value, self._disposition = b"", b"", b""
        self._name = ""

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value
        self._field, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name not in self._limits:
            raise WrongField(
                self._name,
                f"is not known. Known are {', '.join(self._limits)}.",
                limit=list(self._limits),
            )
        if self._name in self.done:
            raise WrongField(self._name, "is there twice. Send one recording in one request.")
        self.done[self._name] = BytesIO()

    def _data(self, data: bytes, start: int, end: int) -> None:
        part, limit = self.done[self._name], self._limits[self._name]
        part.write(memoryview(data)[start:end])
        if part.tell() > limit:
            raise TooLarge(
                f"The field {self._name} is over the limit of {limit} bytes. Send it in parts.",
                limit=limit,
            )

    def _end(self) -> None:
        self.ended = True


def _check(size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(
            f"The body is over the limit of {limit} bytes for this path. Send it in parts.",
            limit=limit,
        )
