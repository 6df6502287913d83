"""The JSON that callers send, and its strict reading.

An unknown field is an error: a misspelt one would otherwise go unscored without a word.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from triage.errors import BadEncoding, BadField
from triage.escalate.moves import MAX_REASON
from triage.http.problems import WrongField

LONGEST_ID = 512  # characters

Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)]
Context = dict[str, Any]
Reason = Annotated[str, Field(max_length=MAX_REASON)]
EndingName = Literal["false_alarm", "helped", "referred", "reported", "no_action", "unclear"]


class Body(BaseModel):
    """What all bodies share."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class ScoreBody(Body):
    """One recording: `audio`, `transcript` or both.

    Attributes:
        audio: An encoded file in base64.
        transcript: The caller's; without one the audio is transcribed.
        id: The caller's name for the recording; one is made if there is none.
        context: Whatever the policy wants to know.
        include_transcript: Whether the answer holds the words.
    """

    audio: str | None = None
    transcript: str | None = None
    id: Id | None = None
    context: Context = {}
    include_transcript: bool = False


class TextItem(Body):
    """One text of many."""

    text: str
    id: Id | None = None
    context: Context = {}


class ScoreTextBody(Body):
    """One text, or a list: of strings, or of objects with `text`, `id` and `context`."""

    text: str | list[Any]
    id: Id | None = None
    context: Context = {}
    include_transcript: bool = False


class TextPart(Body):
    """A piece of one text, as OpenAI's clients send it."""

    type: Literal["text"]
    text: str


class ModerationBody(Body):
    """What OpenAI's clients send: a text, many, or the parts of one. `model` is not looked at."""

    input: str | list[Any]
    model: str | None = None


class MoveBody(Body):
    """Nothing: who moves a case is told by the token."""


class ReasonBody(Body):
    """Why a case is released or reopened."""

    reason: Reason = ""


class HandOverBody(Body):
    """Whom a case is handed to."""

    to: str
    reason: Reason = ""


class SnoozeBody(Body):
    """Until when a case is left, as RFC 3339 has it, and why."""

    until: str
    reason: Reason


class ResolveBody(Body):
    """How a case ended.

    Attributes:
        outcome: How.
        heard: The categories that were heard; what was flagged and isn't here wasn't.
        reason: In the reviewer's words.
    """

    outcome: EndingName
    heard: list[str] | None = None
    reason: Reason = ""


class OutcomeBody(ResolveBody):
    """How a case ended that was reviewed elsewhere."""

    case: str


class NextBody(Body):
    """The queue to take the next case of; any of one's own if empty."""

    queue: str = ""


class RaiseBody(Body):
    """What somebody heard.

    Attributes:
        queue: Before whom it comes.
        tier: How soon somebody must look.
        heard: Its categories.
        recording, account: The caller's own ids, if known; kept as pseudonyms.
    """

    queue: str
    tier: Literal["E2", "E3", "E4"]
    heard: Annotated[list[str], Field(min_length=1)]
    recording: Id | None = None
    account: Id | None = None


Some = TypeVar("Some", bound=Body)


def parsed(body: bytes | str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadEncoding: It isn't UTF-8, or isn't JSON.
        BadField: It is JSON, but no object.
    """
    try:
        text = body.decode() if isinstance(body, bytes) else body
        # Halves of surrogate pairs are JSON, but no text: nothing after this could write them.
        value = json.loads(text, parse_constant=_no_constant)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        raise BadEncoding("The body is not UTF-8. Encode it as UTF-8.") from None
    except (ValueError, RecursionError):
        raise BadEncoding("The body is not JSON. Send one JSON object.") from None
    if not isinstance(value, dict):
        raise BadField("The body is JSON, but no object. Send one JSON object.")
    return value


def validated(kind: type[Some], value: object, within: str = "") -> Some:
    """A body of a kind.

    Args:
        kind: Which.
        value: What was sent.
        within: The place of the value in the request, for the message; ends with a dot.

    Raises:
        WrongField: It isn't of that kind. Names one field that is wrong.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
    # A misspelt name first: that another is missing may only follow from it.
    first = min(wrong, key=lambda one: one["type"] != "extra_forbidden")
    # Of a union, what was tried comes after the field's own name.
    field = within + str(first["loc"][0]) if first["loc"] else within.rstrip(".")
    if first["type"] == "extra_forbidden":
        known = list(kind.model_fields)
        raise WrongField(field, f"is not known. Known are {', '.join(known)}.", limit=known)
    raise WrongField(field, f"can't be used: {first['msg']}.")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
