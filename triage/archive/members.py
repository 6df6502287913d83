"""What tar and zip have in common: names that strangers chose, and members not to be opened."""

from __future__ import annotations

from collections.abc import Callable

from triage.archive.entries import (
    HIDDEN,
    MANIFEST,
    NOT_AUDIO,
    Entry,
    PassedOver,
    Unreadable,
    check_size,
    plain,
)
from triage.archive.kinds import is_manifest, is_tar, is_zip
from triage.archive.sidecars import LONGEST_SIDECAR, READERS, Audio, Beside, Key, key_of
from triage.audio import AUDIO_SUFFIXES
from triage.errors import DamagedArchive, InputError, NestedArchive
from triage.records import Recording


def id_of(place: str, name: str) -> str:
    """The archive's path, a slash and the member's name as it stands, wherever that leads."""
    return f"{plain(place)}/{plain(name)}"


def wanted(place: str, name: str) -> tuple[Key, str] | PassedOver | Unreadable:
    """What a member belongs to and its suffix, or what is said of it without opening it."""
    if any(one.startswith(".") and one not in (".", "..") for one in name.split("/")):
        return PassedOver(HIDDEN)
    key, suffix = key_of(name)
    if suffix in AUDIO_SUFFIXES or suffix in READERS:
        return key, suffix
    if is_tar(name) or is_zip(name):
        return Unreadable(
            id_of(place, name),
            NestedArchive("An archive inside of an archive is not opened. Take it out of there."),
        )
    return PassedOver(MANIFEST if is_manifest(name) else NOT_AUDIO)


def part(
    id: str,
    key: Key,
    suffix: str,
    size: int,
    read: Callable[[int], bytes],
    max_bytes: int,
) -> Audio | Beside | Entry:
    """A member that is wanted, read into memory if it isn't too large for that.

    Args:
        size: In bytes, as the archive declares it.
        read: Gives the member's bytes, or a few more than it is asked for; it may raise an
            `InputError`.
    """
    if suffix in READERS:
        return Beside(key, suffix, _sidecar(size, read))
    try:
        check_size(size, max_bytes)
        content = read(max_bytes)
        check_size(len(content), max_bytes, known=False)
    except InputError as error:
        return Audio(key, Unreadable(id, error))
    return Audio(key, Recording(id, audio=content), len(content))


def _sidecar(size: int, read: Callable[[int], bytes]) -> Callable[[], bytes]:
    """Reads it now: when it is known whether it is needed, the archive may be closed."""
    if size > LONGEST_SIDECAR:
        return _none
    try:
        content = read(LONGEST_SIDECAR)
    except InputError:
        return _none
    return lambda: content


def _none() -> bytes:
    raise OSError


def linked(id: str, key: Key, suffix: str) -> Audio | Beside:
    """A member that is a link; nothing is read through it."""
    if suffix in READERS:
        return Beside(key, suffix, _none)
    return Audio(
        key, Unreadable(id, DamagedArchive("The member is a link. Put the file itself there."))
    )
