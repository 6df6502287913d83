"""Zip files: the members in the order of their names, each read with a bound of its own."""

from __future__ import annotations

import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from triage.archive.entries import Entry, Unreadable, plain
from triage.archive.members import id_of, linked, part, wanted
from triage.archive.sidecars import Audio, Beside, key_of
from triage.archive.stores import opened, reason
from triage.audio import AUDIO_SUFFIXES
from triage.errors import DamagedArchive, InputError, SetupError

ENCRYPTED = 0x1  # of a member's flags


def parts(place: str, max_bytes: int) -> Iterator[Audio | Beside | Entry]:
    """The members of a zip file; what is wrong with one of them is no matter of the others."""
    try:
        with _directory(place) as archive:
            for info in sorted(archive.infolist(), key=lambda one: key_of(one.filename)):
                if not info.is_dir():
                    yield _part(place, archive, info, max_bytes)
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
        with zipfile.ZipFile(raw) as archive:
            yield archive


def _broken(place: str, what: str) -> Unreadable:
    return Unreadable(plain(place), DamagedArchive(f"{what}. Zip it again."))


def _part(
    place: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int
) -> Audio | Beside | Entry:
    found = wanted(place, info.filename)
    if not isinstance(found, tuple):
        return found
    id = id_of(place, info.filename)
    if stat.S_ISLNK(info.external_attr >> 16):
        return linked(id, *found)
    return part(id, *found, info.file_size, lambda most: _content(archive, info, most), max_bytes)


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """Up to `most` bytes of a member and one more.

    Raises:
        DamagedArchive: They can't be had.
    """
    if info.flag_bits & ENCRYPTED:
        raise DamagedArchive("The member is encrypted. Send it without a password.")
    try:
        with archive.open(info) as member:
            return member.read(most + 1)
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
