"""What an archive gives, in its order: recordings, and all that stands where one should."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import overload

from triage.archive.stores import read_bounded, reason
from triage.errors import InputError, NothingToScore, SetupError, TooLarge, UnsupportedAudio
from triage.records import Recording

# What is passed over, by the words that `PassedOver.kind` holds.
HIDDEN = "hidden"
LINKED_FOLDER = "linked-folder"
MANIFEST = "manifest"
NOT_AUDIO = "not-audio"
SPECIAL = "special-file"
SIDECAR_UNREADABLE = "sidecar-unreadable"
TEXT_WITHOUT_AUDIO = "text-without-audio"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place in an archive that should hold a recording and doesn't.

    Attributes:
        id: The caller's id where there is one, else the file and the number of the line.
        error: What was wrong.
    """

    id: str = field(repr=False)
    error: InputError


@dataclass(frozen=True, slots=True)
class Distant:
    """A recording whose audio is still elsewhere.

    Attributes:
        recording: All but its audio.
        url: Where that is, of a scheme in `triage.archive.stores.SCHEMES`.
    """

    recording: Recording
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Something that is no recording and was left out; counted, and no row of its own.

    Attributes:
        kind: What it was, in one of the words above.
    """

    kind: str


Row = Recording | Unreadable
Entry = Recording | Distant | Unreadable | PassedOver


@overload
def fetch(entry: PassedOver, max_bytes: int) -> PassedOver: ...
@overload
def fetch(entry: Recording | Distant | Unreadable, max_bytes: int) -> Row: ...
def fetch(entry: Entry, max_bytes: int) -> Entry:
    """A distant recording with its bytes, or why they couldn't be had; others as they are.

    Raises:
        BadSetting: What reads the scheme isn't installed.
    """
    if not isinstance(entry, Distant):
        return entry
    id = entry.recording.id
    try:
        content = read_bounded(entry.url, max_bytes)
        check_size(len(content), max_bytes, known=False)
    except InputError as error:
        return Unreadable(id, error)
    except SetupError:
        raise
    except Exception as error:  # each store has errors of its own
        return Unreadable(id, cannot_open(error))
    return replace(entry.recording, audio=content)


def cannot_open(error: Exception) -> UnsupportedAudio:
    return UnsupportedAudio(f"The audio can't be opened: {reason(error)}.")


def check_size(size: int, max_bytes: int, *, known: bool = True) -> None:
    """Refuses audio of no bytes, and of too many; by `known` the size itself is told.

    Raises:
        NothingToScore, TooLarge
    """
    if size == 0:
        raise NothingToScore("The audio is 0 bytes long. Send a recording.")
    if size > max_bytes:
        long = f"{size} bytes long, over" if known else "longer than"
        raise TooLarge(
            f"The audio is {long} the limit of {max_bytes} bytes. Send it in parts.",
            limit=max_bytes,
        )


def plain(name: str | os.PathLike[str]) -> str:
    """A path as text; bytes that aren't UTF-8, which file systems and tar allow, as escapes."""
    text = os.fspath(name)
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that no byte stood for
        return text.encode("utf-8", "backslashreplace").decode()
