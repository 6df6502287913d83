"""One row of a manifest, of whatever format, as a recording."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from triage.archive.entries import Distant, Entry, Unreadable
from triage.archive.stores import beside, is_url
from triage.errors import BadEncoding, BadField, InputError, NothingToScore, TooLarge
from triage.records import Recording

FIELDS = ("id", "audio", "text", "context")
LONGEST_CONTEXT = 64 * 2**10  # characters of JSON, as the service has it
DEEPEST_CONTEXT = 32
LONGEST_PATH = 8_192  # characters; of a URL as well
IGNORED = frozenset(
    {"labels", "events", "source", "licence", "group", "split", "expected"}
    | {"seconds", "native_hz", "emotion", "intensity", "detail"}
)


def from_row(row: Mapping[str, Any], place: str, manifest: str) -> Entry:
    """The recording that a row tells of."""
    id = place
    try:
        id = _text(row, "id")
        return _recording(id, row, manifest)
    except InputError as error:
        return Unreadable(id, error)


def _recording(id: str, row: Mapping[str, Any], manifest: str) -> Entry:
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
    check_context(context)
    # An empty transcript beside audio says that nothing was said, so it is not transcribed.
    transcript = None if text is None else _text(row, "text", empty=audio is not None)
    if audio is None:
        return Recording(id, None, transcript, context)
    return _with_audio(id, _text(row, "audio"), manifest, transcript, context)


def check_context(context: Mapping[str, Any]) -> None:
    """Refuses what can't be handed on: contexts are kept for a whole part, and sent to workers.

    Raises:
        BadField, TooLarge
    """
    level: list[Any] = [context]
    for _ in range(DEEPEST_CONTEXT):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            break
    else:
        raise BadField(
            f"The context is nested more than {DEEPEST_CONTEXT} deep. Make it flatter.",
            limit=DEEPEST_CONTEXT,
        )
    if context and len(json.dumps(context, default=str)) > LONGEST_CONTEXT:
        raise TooLarge(
            f"The context is longer than {LONGEST_CONTEXT} characters of JSON. Send less of it.",
            limit=LONGEST_CONTEXT,
        )


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _with_audio(
    id: str, audio: str, manifest: str, transcript: str | None, context: Mapping[str, Any]
) -> Entry:
    if "\0" in audio or len(audio) > LONGEST_PATH:
        raise BadField("The field audio is longer than any path, or holds a zero byte. Correct it.")
    if not is_url(audio):
        if not is_url(manifest):
            return Recording(id, Path(manifest).parent / audio, transcript, context)
        if audio.startswith("/"):
            # Whoever writes into a bucket may not choose among the files of this machine.
            raise BadField(
                "The field audio is an absolute path, in a manifest that is not on this machine. "
                "Make it relative, or a URL."
            )
        audio = beside(manifest, audio)
    return Distant(Recording(id, None, transcript, context), audio)


def _text(row: Mapping[str, Any], name: str, *, empty: bool = False) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not (value or empty):
        raise BadField(f"The field {name} is missing, empty or not a text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadEncoding(f"The field {name} holds half a character (a lone surrogate).") from None
    return value
