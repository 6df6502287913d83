"""Zip files: the members in the order of their names, each read with a bound of its own."""

from __future__ import annotations

import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from triage.archive.entries import Entry, Unreadable, plain
from triage.archive.members import id_of, linked, part, wanted
from triage.archive.sidecars import Audio, Beside, key_of
from triage.archive.stores import BLOCK, opened, reason
from triage.audio import AUDIO_SUFFIXES
from triage.errors import DamagedArchive, InputError, SetupError

ENCRYPTED, UTF8 = 0x1, 0x800  # of a member's flags
CENTRAL = b"PK\1\2"  # begins an entry of the list of members
ENTRY = struct.Struct("<8xH18xHHH12x")  # its flags, and how long name, extra field and comment are
LONGEST_LISTING = 2**28  # bytes; two million members


def parts(place: str, max_bytes: int) -> Iterator[Audio | Beside | Entry]:
    """The members of a zip file; what is wrong with one of them is no matter of the others."""
    try:
        with _directory(place) as archive:
            shared = _shared(archive)
            for info in sorted(archive.infolist(), key=lambda one: key_of(one.filename)):
                if not info.is_dir():
                    yield _part(place, archive, info, max_bytes, info.header_offset in shared)
    except SetupError:
        raise
    except InputError as error:
        yield Unreadable(plain(place), error)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
        yield _broken(place, "It breaks off or is damaged, or is no zip file")
    except Exception as error:  # each store has errors of its own
        yield _broken(place, f"It can't be read: {reason(error)}")


@contextmanager
def _directory(place: str) -> Iterator[zipfile.ZipFile]:
    with opened(place) as raw:
        if not raw.seekable():
            raise DamagedArchive(
                "A zip file is read from its end, and the server gives files only from their "
                "start. Fetch it first, or pack it as a tar file."
            )
        listing = _Listing(raw)
        with zipfile.ZipFile(cast(BinaryIO, listing)) as archive:
            listing.ended = True
            yield archive


class _Listing:
    """A zip file whose names can all be read: one that isn't the UTF-8 it claims to be is taken
    for bytes, or it would cost all members of the archive.
    """

    def __init__(self, raw: io.BufferedReader) -> None:
        self._raw = raw
        self.ended = False
        self.seek, self.tell, self.seekable = raw.seek, raw.tell, raw.seekable

    def read(self, size: int = -1) -> bytes:
        if self.ended:
            return self._raw.read(size)
        if size > LONGEST_LISTING:
            raise DamagedArchive(
                f"Its list of members is longer than {LONGEST_LISTING} bytes. Pack it in parts."
            )
        content = self._raw.read(size)
        return _claiming_less(content) if content.startswith(CENTRAL) else content


def _claiming_less(listing: bytes) -> bytes:
    held, at = bytearray(listing), 0
    while held.startswith(CENTRAL, at) and len(held) >= at + ENTRY.size:
        flags, *lengths = ENTRY.unpack_from(held, at)
        name = held[at + ENTRY.size : at + ENTRY.size + lengths[0]]
        if flags & UTF8 and not _is_utf8(name):
            held[at + 8 : at + 10] = (flags & ~UTF8).to_bytes(2, "little")
        at += ENTRY.size + sum(lengths)
    return bytes(held)


def _is_utf8(name: bytes | bytearray) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _broken(place: str, what: str) -> Unreadable:
    return Unreadable(plain(place), DamagedArchive(f"{what}. Zip it again."))


def _part(
    place: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int, shared: bool
) -> Audio | Beside | Entry:
    found = wanted(place, info.filename)
    if not isinstance(found, tuple):
        return found
    id = id_of(place, info.filename)
    if stat.S_ISLNK(info.external_attr >> 16):
        return linked(id, *found)

    def read(most: int) -> bytes:
        if shared:
            raise DamagedArchive("The member shares its bytes with another. Zip it again.")
        return _content(archive, info, most)

    return part(id, *found, info.file_size, read, max_bytes)


def _shared(archive: zipfile.ZipFile) -> set[int]:
    """Where members begin that reach into the next one: a small file could hold any number of them.

    Of several in one place, as of one within another, none is read.
    """
    shared: set[int] = set()
    reached, begun = -1, -1
    for info in sorted(archive.infolist(), key=lambda one: one.header_offset):
        if info.header_offset < reached:
            shared |= {info.header_offset, begun}
        end = info.header_offset + zipfile.sizeFileHeader + info.compress_size  # type: ignore[attr-defined]
        if end > reached:
            reached, begun = end, info.header_offset
    return shared


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """Up to `most` bytes of a member and one more.

    Raises:
        DamagedArchive: They can't be had.
    """
    if info.flag_bits & ENCRYPTED:
        raise DamagedArchive("The member is encrypted. Send it without a password.")
    try:
        held = bytearray()
        with archive.open(info) as member:  # whose `read` expands as much as it is asked for
            while len(held) <= most and (more := member.read(min(BLOCK, most + 1 - len(held)))):
                held += more
        return bytes(held)
    except NotImplementedError:
        raise DamagedArchive("The member is compressed in a way that isn't read.") from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError):
        raise DamagedArchive("The member is damaged: it doesn't match its check sum.") from None
    except Exception as error:  # each store has errors of its own; the next member may be had
        raise DamagedArchive(f"The member can't be read: {reason(error)}.") from None


def count(place: str) -> int:
    """How many rows a zip file gives, by its directory alone.

    Raises:
        DamagedArchive, zipfile.BadZipFile, OSError
    """
    with _directory(place) as archive:
        files = [info.filename for info in archive.infolist() if not info.is_dir()]
    found = [wanted("", name) for name in files]
    return sum(
        one[1] in AUDIO_SUFFIXES if isinstance(one, tuple) else isinstance(one, Unreadable)
        for one in found
    )
