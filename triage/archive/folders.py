"""Folders, here or in a store: all that is below them in the order of the alphabet."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triage.archive.containers import container, members
from triage.archive.entries import (
    HIDDEN,
    LINKED_FOLDER,
    MANIFEST,
    NOT_AUDIO,
    Distant,
    Entry,
    PassedOver,
    Unreadable,
    plain,
)
from triage.archive.kinds import is_manifest
from triage.archive.sidecars import LONGEST_SIDECAR, READERS, Audio, Beside, key_of, paired
from triage.archive.stores import patiently, read_bounded, reason, store, with_scheme
from triage.audio import AUDIO_SUFFIXES
from triage.errors import BadField
from triage.records import Recording


@dataclass(frozen=True, slots=True)
class Found:
    """A file below a folder.

    Attributes:
        place: Its path or URL.
        state: What changes when the file does.
        size: In bytes.
        outside: Whether it is a link that leads out of the folder, so it isn't read.
    """

    place: str = field(repr=False)
    state: str = field(default="", repr=False)
    size: int = 0
    outside: bool = False


def entries(folder: str, max_bytes: int, *, remote: bool) -> Iterator[Entry]:
    """Everything below a folder; folders that can't be opened come last.

    Of the files, those are taken whose suffix is that of audio, with the text beside them, and
    tar and zip files, which are read where they stand. Hidden names are left out.
    """
    found = walk_store(folder) if remote else walk(folder)
    return paired(_parts(found, max_bytes, remote=remote), max_bytes)


def _parts(
    found: Iterator[Found | Entry], max_bytes: int, *, remote: bool
) -> Iterator[Audio | Beside | Entry]:
    for one in found:
        if not isinstance(one, Found):
            yield one
            continue
        key, suffix = key_of(one.place)
        id = plain(one.place)
        if suffix in AUDIO_SUFFIXES:
            yield Audio(key, _audio(id, one, remote=remote))
        elif suffix in READERS:
            yield Beside(key, suffix, _reader(one))
        elif container(one.place):
            yield from [_leads_out(id)] if one.outside else members(one.place, max_bytes)
        else:
            yield PassedOver(MANIFEST if is_manifest(one.place) else NOT_AUDIO)


def _audio(id: str, found: Found, *, remote: bool) -> Recording | Distant | Unreadable:
    if found.outside:
        return _leads_out(id)
    if remote:
        return Distant(Recording(id), found.place)
    return Recording(id, audio=Path(found.place))


def _leads_out(id: str) -> Unreadable:
    return Unreadable(
        id,
        BadField("The name is a link that leads out of the folder, so it isn't read. Copy it in."),
    )


def _reader(found: Found) -> Any:
    def read() -> bytes:
        # A pipe would be waited for.
        if found.outside or not ("://" in found.place or Path(found.place).is_file()):
            raise OSError
        return read_bounded(found.place, LONGEST_SIDECAR)

    return read


def _closed(name: str, error: Exception) -> Unreadable:
    return Unreadable(plain(name), BadField(f"The folder can't be opened: {reason(error)}."))


# Here ----------------------------------------------------------------------------------------


def walk(top: str) -> Iterator[Found | Entry]:
    """The files below a folder, never holding more names than those of one path downwards."""
    closed: list[Unreadable] = []
    yield from _below(top, os.path.realpath(top), closed)
    yield from closed


def _below(here: str, root: str, closed: list[Unreadable]) -> Iterator[Found | Entry]:
    # By a stack and not by recursion: a stranger's tree may be deeper than Python's.
    waiting = [here]
    while waiting:
        here = waiting.pop()
        folders, files, hidden = list[str](), list[str](), 0
        try:
            with os.scandir(here) as listing:
                for entry in listing:
                    if entry.name.startswith("."):
                        hidden += 1
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    else:
                        files.append(entry.name)
        except OSError as error:
            closed.append(_closed(here, error))
            continue
        yield from [PassedOver(HIDDEN)] * hidden
        for name in sorted(files, key=key_of):
            yield _file(str(Path(here, name)), root)
        waiting += (os.path.join(here, name) for name in sorted(folders, reverse=True))


def _file(path: str, root: str) -> Found | Entry:
    try:
        state = os.lstat(path)
        if stat.S_ISLNK(state.st_mode):
            inside = os.path.realpath(path).startswith(root.rstrip("/") + "/")
            if os.path.isdir(path):
                return PassedOver(LINKED_FOLDER)
            if not inside:
                return Found(path, "outside", 0, outside=True)
            state = os.stat(path)
    except OSError:  # gone by now, or a link to nothing; whoever opens it says so
        return Found(path)
    return Found(path, f"{state.st_size} {state.st_mtime_ns}", state.st_size)


# In a store ----------------------------------------------------------------------------------


def walk_store(top: str) -> Iterator[Found | Entry]:
    """The same of a folder in a store, listed one at a time."""
    fs, waiting, closed = store(top), [top], list[Unreadable]()
    while waiting:
        here = waiting.pop()
        try:
            listing = patiently(lambda here=here: fs.ls(here, detail=True))  # type: ignore[misc]
        except Exception as error:  # each store has errors of its own
            closed.append(_closed(here, error))
            continue
        folders = list[str]()
        own = fs._strip_protocol(here).rstrip("/")
        for info in sorted(listing, key=lambda one: key_of(str(one["name"]))):
            path = str(info["name"]).rstrip("/")
            if path == own:  # stores keep an empty object for a folder
                continue
            name, url = path.rpartition("/")[2], with_scheme(top, path)
            if name.startswith("."):
                yield PassedOver(HIDDEN)
            elif info["type"] == "directory":
                folders.append(url)
            else:
                size = int(info.get("size") or 0)
                yield Found(url, str(sorted(info.items(), key=lambda one: one[0])), size)
        waiting += reversed(folders)
    yield from closed
