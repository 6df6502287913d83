"""Text beside audio: `call.txt`, `.srt`, `.vtt` or `.json` says what `call.wav` holds.

What stands next to each other under one name, up to its last dot, belongs together; that is how
WebDataset lays out its shards, and how a sorted folder reads.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from triage.archive.entries import (
    SIDECAR_UNREADABLE,
    TEXT_WITHOUT_AUDIO,
    Distant,
    Entry,
    PassedOver,
    Unreadable,
)
from triage.archive.rows import check_context
from triage.records import Recording

LONGEST_SIDECAR = 8 * 2**20  # bytes; as long as a line of a manifest may be

Key = tuple[str, str]  # a folder, and a name in it up to the last dot


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording that may have text beside it, and how many bytes it holds in memory."""

    key: Key = field(repr=False)
    entry: Recording | Distant | Unreadable
    held: int = 0


@dataclass(frozen=True, slots=True)
class Beside:
    """A sidecar.

    Attributes:
        suffix: One of `READERS`.
        read: Gives its bytes; raises OSError if they can't be had.
    """

    key: Key = field(repr=False)
    suffix: str
    read: Callable[[], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Said:
    """What a sidecar tells; `text` is None where it tells none."""

    text: str | None = field(default=None, repr=False)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)


def key_of(name: str) -> tuple[Key, str]:
    """What a file belongs to, and its suffix in small letters, with the dot or empty."""
    folder, _, base = name.rpartition("/")
    stem, dot, suffix = base.rpartition(".")
    if not stem:
        return (folder, base), ""
    return (folder, stem), (dot + suffix).lower()


def paired(parts: Iterable[Audio | Beside | Entry], most: int) -> Iterator[Entry]:
    """Gives each recording what neighbours of its name say about it.

    Args:
        parts: In the order of the archive. What is an entry already goes through.
        most: Bytes of audio to hold at once; if one name has more, what was held goes out with
            what was known until then.
    """
    group: list[Audio] = []
    sidecars: dict[str, Beside] = {}
    key: Key | None = None
    for part in parts:
        if isinstance(part, PassedOver):
            yield part
            continue
        same = isinstance(part, Audio | Beside) and part.key == key
        if not same:
            yield from _given_out(group, sidecars)
            group, sidecars = [], {}
        if not isinstance(part, Audio | Beside):
            key = None
            yield part
            continue
        key = part.key
        if isinstance(part, Audio):
            if group and part.held + sum(one.held for one in group) > most:
                yield from _told(group, sidecars)
                group = []
            group.append(part)
        elif part.suffix in sidecars:
            yield PassedOver(SIDECAR_UNREADABLE)  # the same name twice; the first one holds
        else:
            sidecars[part.suffix] = part
    yield from _given_out(group, sidecars)


def _given_out(group: list[Audio], sidecars: Mapping[str, Beside]) -> Iterator[Entry]:
    if not group:
        yield from [PassedOver(TEXT_WITHOUT_AUDIO)] * len(sidecars)
    yield from _told(group, sidecars)


def _told(group: list[Audio], sidecars: Mapping[str, Beside]) -> Iterator[Entry]:
    if not group:
        return
    said, unreadable = said_by(sidecars) if sidecars else (Said(), 0)
    for one in group:
        entry = one.entry
        if isinstance(entry, Distant):
            yield replace(entry, recording=_with(entry.recording, said))
        else:
            yield entry if isinstance(entry, Unreadable) else _with(entry, said)
    yield from [PassedOver(SIDECAR_UNREADABLE)] * unreadable


def _with(recording: Recording, said: Said) -> Recording:
    return replace(recording, transcript=said.text, context=said.context)


def said_by(sidecars: Mapping[str, Beside]) -> tuple[Said, int]:
    """What the sidecars of one name tell, and how many of them can't be read.

    The first in the order of `READERS` that tells a text is believed, and those after it aren't
    looked at.
    """
    context: Mapping[str, Any] = {}
    unreadable = 0
    for suffix, reader in READERS.items():
        if suffix not in sidecars:
            continue
        try:
            content = sidecars[suffix].read()
            said = reader(_decoded(content))
        except Exception:  # a parser of strangers' files may raise anything; it is counted
            unreadable += 1
            continue
        context = context or said.context
        if said.text is not None:
            return Said(said.text, context), unreadable
    return Said(None, context), unreadable


def _decoded(content: bytes) -> str:
    if len(content) > LONGEST_SIDECAR:
        raise ValueError
    return content.decode("utf-8-sig")


def _plain(text: str) -> Said:
    return Said(text.strip())


def _object(text: str) -> Said:
    row = json.loads(text)
    words = row.get("text")
    words = row.get("transcript") if words is None else words
    context = row.get("context")
    context = {} if context is None else context
    if not isinstance(words, str | None) or not isinstance(context, dict):
        raise ValueError
    check_context(context)
    (words or "").encode()  # half a character can't be scored
    return Said(words, context)


def _web_cues(text: str) -> Said:
    if not text.startswith("WEBVTT"):
        raise ValueError
    # Names of speakers, times and classes stand in tags of the format's own.
    return _cues(text, "vtt", lambda cue: html.unescape(re.sub(r"<[^<>]*>", "", cue)))


def _srt_cues(text: str) -> Said:
    return _cues(text, "srt", lambda cue: cue)


def _cues(text: str, form: str, clean: Callable[[str], str]) -> Said:
    from pysubs2 import SSAFile

    # A bracket that nothing closes, and lines that hold nothing, would each be searched from to the
    # end: for hours, if there are a million of them.
    text = re.sub(r"\n{3,}", "\n\n", re.sub(r"<(?![^<>]*>)", " ", text))
    cues = [cue for cue in SSAFile.from_string(text, format_=form) if not cue.is_comment]
    if not cues and ("-->" in text or (form == "srt" and text.strip())):
        raise ValueError
    # Its own plain text leaves out whatever stands in braces, and so would a word of a caller.
    bare = (re.sub(r"\{\\[^{}]*\}|\\[Nnh]", " ", cue.text) for cue in cues)
    return Said(" ".join(clean(" ".join(bare)).split()))


READERS: Mapping[str, Callable[[str], Said]] = {
    ".json": _object,
    ".vtt": _web_cues,
    ".srt": _srt_cues,
    ".txt": _plain,
}
