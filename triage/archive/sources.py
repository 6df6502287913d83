"""From what a caller names to shards, each of which is read from its start to its end.

A shard is one listing (a folder or a manifest), one container (a tar or zip file), or one audio
file. It can be sent to another process, and gives the same entries there in the same order, as
long as its survey is the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from triage.archive import folders, manifests, zips
from triage.archive.containers import container, members
from triage.archive.entries import Distant, Entry, Unreadable, plain
from triage.archive.kinds import is_manifest, is_zip, suffix_of
from triage.archive.patterns import is_pattern, matches
from triage.archive.stores import (
    BLOCK,
    is_url,
    opened,
    patiently,
    reason,
    scheme_of,
    store,
)
from triage.audio import AUDIO_SUFFIXES
from triage.errors import InputError, NothingToScore, SetupError
from triage.records import Recording

Kind = Literal["folder", "manifest", "archive", "audio"]


@dataclass(frozen=True, slots=True)
class Shard:
    """What is read in one go.

    Attributes:
        place: Its path or URL, as the caller gave it or as their pattern found it.
        kind: What it is.
    """

    place: str = field(repr=False)
    kind: Kind


@dataclass(frozen=True, slots=True)
class Survey:
    """What a shard looks like from outside.

    Attributes:
        fingerprint: Changes when what would be read changes; SHA-256 in hexadecimal.
        recordings: How many rows it gives, or None where counting would mean reading it all.
        bytes: Of the files that would be read; of a manifest, of itself.
    """

    fingerprint: str
    recordings: int | None
    bytes: int


def shards(source: str) -> tuple[Shard, ...]:
    """What a source stands for: one shard, or several for a pattern, by their names.

    A folder is one shard whatever its name. Of files, names that end like a manifest's or an
    archive's are taken for that, and any other for audio.

    Args:
        source: A path, a URL of a scheme in `triage.archive.stores.SCHEMES`, or a pattern of
            either: `shards-{0000..0099}.tar`, `{spring,autumn}.csv`, `day-*.tar`.

    Raises:
        NothingToScore: Nothing is there, or it can't be read.
        BadField: The URL is of no scheme that is read, or columns of a manifest are wrong.
        BadSetting: What reads the scheme isn't installed.
    """
    remote = is_url(source)
    if not is_pattern(source) or (not remote and os.path.exists(source)):
        return (_shard(source, remote=remote, number=1),)
    found = matches(source)
    return tuple(_shard(one, remote=remote, number=n) for n, one in enumerate(found, 1))


def local(path: str) -> Shard:
    """The shard of a path on this machine, however it looks."""
    return Shard(path, "folder" if os.path.isdir(path) else _by_name(path))


def entries(shard: Shard, max_bytes: int) -> Iterator[Entry]:
    """What a shard gives, always in the same order.

    Args:
        max_bytes: Of one recording's audio; what is longer is never held.
    """
    if shard.kind == "folder":
        return folders.entries(shard.place, max_bytes, remote=is_url(shard.place))
    if shard.kind == "manifest":
        return manifests.entries(shard.place)
    if shard.kind == "archive":
        return members(shard.place, max_bytes)
    return iter([_audio(shard.place)])


def _audio(place: str) -> Entry:
    if is_url(place):
        return Distant(Recording(plain(place)), place)
    return Recording(plain(place), audio=Path(place))


def _shard(place: str, *, remote: bool, number: int) -> Shard:
    shard = Shard(place, _store_kind(place, number) if remote else _kind(place, number))
    if shard.kind == "manifest":
        try:
            manifests.check(place)
        except (InputError, SetupError):
            raise
        except Exception as error:  # each store has errors of its own
            raise _not_there(number, reason(error)) from None
    return shard


def _kind(place: str, number: int) -> Kind:
    if not os.access(place, os.R_OK):
        raise _not_there(number, "it doesn't exist or can't be read")
    return local(place).kind


def _store_kind(place: str, number: int) -> Kind:
    fs = store(place)
    if scheme_of(place) == "https":  # has no folders; whether the file is there shows on reading
        return _by_name(place)
    named = is_manifest(place) or container(place) or suffix_of(place) in AUDIO_SUFFIXES
    if number > 1 and named:  # a question for each of thousands of shards would take minutes
        return _by_name(place)
    try:
        folder = patiently(lambda: fs.info(place))["type"] == "directory"
    except Exception as error:  # each store has errors of its own
        raise _not_there(number, reason(error)) from None
    return "folder" if folder else _by_name(place)


def _by_name(place: str) -> Kind:
    if is_manifest(place):
        return "manifest"
    return "archive" if container(place) else "audio"


def _not_there(number: int, why: str) -> NothingToScore:
    return NothingToScore(f"The source can't be read, file {number} of it: {why}. Correct it.")


# From outside --------------------------------------------------------------------------------


def survey(shard: Shard) -> Survey:
    """Looks at a shard without reading audio.

    Raises:
        NothingToScore: It isn't there, or can't be read.
    """
    try:
        if shard.kind == "folder":
            return _survey_folder(shard.place)
        if shard.kind == "manifest":
            return _survey_manifest(shard.place)
        fingerprint, size = _state(shard.place)
        return Survey(fingerprint, _count(shard), size)
    except (InputError, SetupError):
        raise
    except Exception as error:  # each store has errors of its own
        raise _not_there(1, reason(error)) from None


def _survey_folder(place: str) -> Survey:
    digest, size, recordings = hashlib.sha256(), 0, 0
    known = True
    walk = folders.walk_store if is_url(place) else folders.walk
    for one in walk(place):
        if isinstance(one, Unreadable):
            digest.update(repr((one.id, one.error.detail)).encode())
            recordings += 1
        elif isinstance(one, folders.Found):
            digest.update(repr((one.place, one.state)).encode("utf-8", "surrogateescape"))
            size += one.size
            count = _count_found(one)
            known &= count is not None
            recordings += count or 0
    return Survey(digest.hexdigest(), recordings if known else None, size)


def _count_found(found: folders.Found) -> int | None:
    if found.outside:
        return int(container(found.place) or suffix_of(found.place) in AUDIO_SUFFIXES)
    if container(found.place):
        return _count(Shard(found.place, "archive"))
    return int(suffix_of(found.place) in AUDIO_SUFFIXES)


def _survey_manifest(place: str) -> Survey:
    digest, size = hashlib.sha256(), 0
    with opened(place) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            size += len(block)
    try:
        rows = manifests.count_rows(place)
    except InputError:
        rows = 1  # which says what is wrong with the whole
    return Survey(digest.hexdigest(), rows, size)


def _count(shard: Shard) -> int | None:
    if shard.kind == "audio":
        return 1
    if not is_zip(shard.place):
        return None
    try:
        return zips.count(shard.place)
    except SetupError:
        raise
    except Exception:  # each store has errors of its own
        return 1  # which says what is wrong with the whole


def _state(place: str) -> tuple[str, int]:
    """What changes when a file does, and how many bytes it has."""
    if not is_url(place):
        state = os.stat(place)
        told = f"{state.st_size} {state.st_mtime_ns}"
        return hashlib.sha256(told.encode()).hexdigest(), state.st_size
    fs = store(place)
    info = patiently(lambda: fs.info(place))
    # fsspec's own key of a file on the web is its address.
    told = str(sorted(info.items())) if scheme_of(place) == "https" else str(fs.ukey(place))
    return hashlib.sha256(told.encode()).hexdigest(), int(info.get("size") or 0)
