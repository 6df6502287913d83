"""Archives of recordings: audio files, folders of them, manifests, and lines of text.

A manifest is a `.jsonl` file with one object a line:

    id       the caller's own name for the recording; needed
    audio    path of an audio file; a relative one counts from the manifest's folder
    text     the caller's transcript; audio, text or both
    context  an object for the caller's policy; may be left out

What a labelled row says about itself besides (`IGNORED`) is not read, so a labelled file can be
scored as it is. Any other field is an error: a misspelt one would go unscored without a word.

Whatever can't be read becomes an `Unreadable` in its place, and reading goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any, BinaryIO

from triage.audio import AUDIO_SUFFIXES
from triage.errors import BadEncoding, BadField, InputError, NothingToScore, TooLarge
from triage.records import Recording

MANIFEST_SUFFIX = ".jsonl"
FIELDS = ("id", "audio", "text", "context")
IGNORED = frozenset(
    {"labels", "events", "source", "licence", "group", "split", "expected"}
    | {"seconds", "native_hz", "emotion", "intensity", "detail"}
)
LONGEST_LINE = 8 * 2**20  # bytes; the longest transcript allowed by default takes 1.2 MB at most


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place in an archive that should hold a recording and doesn't.

    Attributes:
        id: The caller's id where there is one, else the file and the number of the line.
        error: What was wrong.
    """

    id: str = field(repr=False)
    error: InputError


Entry = Recording | Unreadable


def read(paths: Sequence[Path]) -> Iterator[Entry]:
    """Reads the recordings that the paths name, in their order, without opening any audio.

    A folder is read with all that is below it, in the order of the alphabet, hidden names left
    out. Of its files, those whose suffix is that of audio are taken; folders below it that can't
    be opened come last. A file named by itself is taken for audio whatever its suffix, unless it
    is a manifest. An audio file's id is its path as the caller gave it, or as found below the
    folder that they gave.

    Raises:
        NothingToScore: A path can't be read at all; said before anything is.
    """
    for position, path in enumerate(paths, 1):
        if not os.access(path, os.R_OK):
            raise NothingToScore(
                f"Path number {position} doesn't exist or can't be read. Correct it."
            )
    return chain.from_iterable(map(_entries, paths))


def read_lines(stream: BinaryIO, name: str) -> Iterator[Entry]:
    """Reads each line of UTF-8 as one transcript; blank lines are left out.

    Args:
        stream: What to read; not closed.
        name: Of the stream. A line's id is this, a colon and its number, from 1.
    """
    for place, line in _lines(stream, name):
        if isinstance(line, Unreadable):
            yield line
            continue
        try:
            yield Recording(place, transcript=line.decode().strip())
        except UnicodeDecodeError:
            yield Unreadable(place, BadEncoding("The line is not UTF-8. Convert the text."))


def _entries(path: Path) -> Iterator[Entry]:
    if path.is_dir():
        return _folder(path)
    if path.suffix.lower() == MANIFEST_SUFFIX:
        return _manifest(path)
    return iter([_audio_file(path)])


def _folder(folder: Path) -> Iterator[Entry]:
    closed: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                yield _audio_file(Path(here, name))
    for error in closed:
        message = f"The folder can't be opened: {error.strerror}."
        yield Unreadable(_name(error.filename), BadField(message))


def _audio_file(path: Path) -> Recording:
    return Recording(_name(path), audio=path)


def _name(path: Path | str) -> str:
    """A path as text; bytes that aren't UTF-8, which a file system allows, as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _manifest(file: Path) -> Iterator[Entry]:
    try:
        with file.open("rb") as stream:
            for place, line in _lines(stream, _name(file)):
                yield line if isinstance(line, Unreadable) else _row(line, place, file.parent)
    except OSError as error:
        yield Unreadable(
            _name(file), BadEncoding(f"The manifest can't be read to its end: {error.strerror}.")
        )


def _lines(stream: BinaryIO, name: str) -> Iterator[tuple[str, bytes | Unreadable]]:
    """Each line that isn't blank, with its place; one that is too long is passed over."""
    for number in count(1):
        line = stream.readline(LONGEST_LINE + 1)
        if not line:
            return
        place, long = f"{name}:{number}", len(line) > LONGEST_LINE
        while long and line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
        if long:
            message = f"The line is longer than {LONGEST_LINE} bytes. Send less text in one line."
            yield place, Unreadable(place, TooLarge(message, limit=LONGEST_LINE))
        elif line.strip():
            yield place, line


def _row(line: bytes, place: str, folder: Path) -> Entry:
    id = place
    try:
        row = _object(line)
        id = _text(row, "id")
        return _recording(id, row, folder)
    except InputError as error:
        return Unreadable(id, error)


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise BadEncoding("The line is not JSON in UTF-8. Write one object a line.") from None
    if not isinstance(row, dict):
        raise BadField("The line is not an object. Write one object a line.")
    return row


def _recording(id: str, row: Mapping[str, Any], folder: Path) -> Recording:
    if not IGNORED.issuperset(row.keys() - set(FIELDS)):
        # The unknown name stays out of the message: a caller may have put anything there.
        raise BadField(
            f"The line has a field that isn't known. Known are {', '.join(FIELDS)}; a transcript "
            "is called text.",
            limit=list(FIELDS),
        )
    audio, text, context = row.get("audio"), row.get("text"), row.get("context", {})
    if audio is None and text is None:
        raise NothingToScore("The line has neither audio nor text. Give it at least one.")
    if not isinstance(context, dict):
        raise BadField("The field context is not an object.")
    return Recording(
        id,
        audio=None if audio is None else folder / _text(row, "audio"),
        # An empty transcript beside audio says that nothing was said, so it is not transcribed.
        transcript=None if text is None else _text(row, "text", empty=audio is not None),
        context=context,
    )


def _text(row: Mapping[str, Any], name: str, *, empty: bool = False) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not (value or empty):
        raise BadField(f"The field {name} is missing, empty or not a text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadEncoding(f"The field {name} holds half a character (a lone surrogate).") from None
    return value
