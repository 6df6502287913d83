"""Tar files, plain or compressed, read as a stream from their start to their end.

What the standard library passes in silence is said here: an archive that ends without its mark,
a header that doesn't add up, and whatever stands behind the end.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Self, cast

from triage.archive.entries import SPECIAL, Entry, PassedOver, Unreadable, plain
from triage.archive.members import id_of, linked, part, wanted
from triage.archive.sidecars import Audio, Beside
from triage.archive.stores import BLOCK, opened, reason
from triage.errors import DamagedArchive, InputError, SetupError

MOST_PASSED = 2**30  # bytes that may come out of a compressed stream without a recording in them
STEEPEST = 200  # times as many bytes out as in; speech that is stored well gives 1, silence 1,000
LONGEST_HEADER = 2**20  # bytes of names and attributes; they are read into memory whole
XZ_MEMORY = 2**28  # bytes; xz -9 takes 65 MiB
XZ_BLOCK = 2**13  # bytes; what is left of one is copied for each stream that begins in it
MOST_ENDS = 16  # reads at the end; a header that lies about a size makes for billions
_IN_HEADERS = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


class _Stopped(Exception):
    """Reading ends here, for the reason given; no OSError, which some readers would swallow."""


def parts(place: str, max_bytes: int) -> Iterator[Audio | Beside | Entry]:
    """The members of a tar file, and at its end what was wrong with the whole."""
    try:
        with opened(place) as raw:
            yield from _members(place, _Expanding(raw), max_bytes)
    except SetupError:
        raise
    except _Stopped as stop:
        yield _broken(place, str(stop))
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile):
        yield _broken(place, "Its compression breaks off or is damaged")
    except (tarfile.TarError, ValueError, RecursionError):
        yield _broken(place, "It breaks off or is damaged, or is no tar file")
    except InputError as error:
        yield Unreadable(plain(place), error)
    except Exception as error:  # each store has errors of its own
        yield _broken(place, f"It can't be read: {reason(error)}")


def _broken(place: str, what: str) -> Unreadable:
    return Unreadable(
        plain(place), DamagedArchive(f"{what}. What may stand behind that place was not read.")
    )


def _members(place: str, stream: _Expanding, max_bytes: int) -> Iterator[Audio | Beside | Entry]:
    tar = tarfile.open(  # noqa: SIM115 - nothing to close but the stream
        fileobj=cast(BinaryIO, stream),
        mode="r|",
        tarinfo=_Header,
        encoding="utf-8",
        errors="surrogateescape",
    )
    while (header := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # or it would keep a million of them
        cast(Any, tar).pax_headers.clear()  # and copy what was said of all of them for each
        one = _part(place, tar, header, max_bytes)
        if one is not None:
            yield one
        if isinstance(one, Audio) and one.held:
            stream.gave()
    rest = cast(Any, tar).fileobj
    while block := rest.read(BLOCK):  # to the end, where gzip has its check sum
        if block.strip(b"\0"):
            raise _Stopped("Something follows its end")


def _part(
    place: str, tar: tarfile.TarFile, header: tarfile.TarInfo, max_bytes: int
) -> Audio | Beside | Entry | None:
    if header.isdir():
        return None
    link = header.issym() or header.islnk()
    if not (link or header.isreg()):
        return PassedOver(SPECIAL)
    found = wanted(place, header.name)
    if not isinstance(found, tuple):
        return found
    id = id_of(place, header.name)
    if link:
        return linked(id, *found)

    def read(_: int) -> bytes:
        file = tar.extractfile(header)
        return b"" if file is None else file.read()

    return part(id, *found, header.size, read, max_bytes)


class _Header(tarfile.TarInfo):
    """A header that may not be large, and ends the archive with a word if it isn't one."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError:
            if buf and not buf.strip(b"\0") and len(buf) == tarfile.BLOCKSIZE:
                raise  # the mark of the end
            raise _Stopped("It breaks off or is damaged, or is no tar file") from None
        if header.size < 0 or (header.type in _IN_HEADERS and header.size > LONGEST_HEADER):
            raise _Stopped("The name of a member is longer than any name is")
        return header

    def _proc_sparse(self, tarfile: Any) -> Any:
        with _bounded(tarfile):
            return super()._proc_sparse(tarfile)  # type: ignore[misc]

    def _proc_gnusparse_10(self, next: Any, pax_headers: Any, tarfile: Any) -> None:
        with _bounded(tarfile):
            super()._proc_gnusparse_10(next, pax_headers, tarfile)  # type: ignore[misc]


@contextmanager
def _bounded(tar: Any) -> Iterator[None]:
    """Ends the archive at a map of holes that is longer than any is; it is kept in memory."""
    stream, tar.fileobj = tar.fileobj, _Bounded(tar.fileobj)
    try:
        yield
    finally:
        tar.fileobj = stream


class _Bounded:
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = LONGEST_HEADER
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise _Stopped("The map of a sparse member is longer than any is")
        return bytes(self._stream.read(size))


class _Expanding(io.RawIOBase):
    """The tar in a file that may be compressed; ends what grows without giving anything."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._taken = _Taken(raw)
        self._inner = _expanded(self._taken)
        self._out = self._out_before = self._in_before = self._ends = 0

    def readable(self) -> bool:
        return True

    def gave(self) -> None:
        """A recording came out of it."""
        self._out_before, self._in_before = self._out, self._taken.bytes

    def read(self, size: int = -1) -> bytes:
        block = bytes(self._inner.read(size))
        self._out += len(block)
        self._ends += not block
        if self._ends > MOST_ENDS:
            raise _Stopped("It breaks off or is damaged, or is no tar file")
        passed = self._out - self._out_before
        if passed > MOST_PASSED and passed > STEEPEST * (self._taken.bytes - self._in_before):
            raise _Stopped(
                f"It expands to more than {STEEPEST} times its size without holding a recording"
            )
        return block


class _Taken(io.RawIOBase):
    """Counts what is read of a file."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw
        self.bytes = 0

    def readable(self) -> bool:
        return True

    def head(self) -> bytes:
        return self._raw.peek(6)[:6]

    def read(self, size: int = -1) -> bytes:
        block = self._raw.read(size)
        self.bytes += len(block)
        return block

    def readinto(self, buffer: Any) -> int:
        count = self._raw.readinto(buffer)
        self.bytes += count
        return count


def _expanded(taken: _Taken) -> Any:
    """By the first bytes of a file and not by its name, as tar itself does."""
    head = taken.head()
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=taken)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(cast(BinaryIO, taken))
    if head.startswith(b"\xfd7zXZ\0"):
        return _Xz(taken)
    return taken


class _Xz:
    """As `lzma.LZMAFile`, which has no limit of memory: a header may ask for 4 GiB."""

    def __init__(self, taken: _Taken) -> None:
        self._taken = taken
        self._rest = b""
        self._new()

    def _new(self) -> None:
        self._inner = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while True:
            if self._inner.eof:
                self._rest = (self._inner.unused_data or self._taken.read(XZ_BLOCK)).lstrip(b"\0")
                if not self._rest:
                    return b""
                self._new()
            if self._inner.needs_input and not self._rest:
                self._rest = self._taken.read(XZ_BLOCK)
                if not self._rest:
                    raise EOFError
            block = self._inner.decompress(self._rest, size)
            self._rest = b""
            if block:
                return block
