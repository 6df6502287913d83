"""Scores that were stored, to be decided anew: lines of `triage score --jsonl`, or the store's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from triage.errors import BadField
from triage.policy.decide import decide
from triage.policy.model import Policy
from triage.policy.surroundings import MAX_INT
from triage.records import Decision, Event, InputKind, Scores

UNKNOWN = datetime(2000, 1, 1, tzinfo=UTC)  # for scores that don't say when they were; no rule asks
LONGEST_LINE = 8 * 2**20  # characters
YEARS = range(2000, 2200)  # of `at`; a deadline that is counted from it must still be a date
OWN_ID = r"^tri_[0-9A-Za-z_-]{1,64}$"  # examples are told by it, so it can't be the caller's


@dataclass(frozen=True, slots=True)
class Stored:
    """What a recording was decided on.

    Attributes:
        id: Triage's own id of the pass.
        scores: Without words and evidence.
        at: When it was decided, with its time zone; None if the line doesn't say.
        recording: The caller's id; only to find its label.
        context: What the caller said of it.
        history: What was known of its account, by window and category.
    """

    id: str
    scores: Scores = field(repr=False)
    at: datetime | None = None
    recording: str = field(default="", repr=False)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    history: Mapping[str, Mapping[str, int]] = field(default_factory=dict, repr=False)

    @property
    def time(self) -> datetime:
        """When it is decided anew."""
        return self.at or UNKNOWN

    def decided(self, policy: Policy, mode: Literal["live", "shadow"] = "live") -> Decision:
        """What a policy says of it; see `decide`."""
        return decide(
            self.scores, policy, self.time, context=self.context, history=self.history, mode=mode
        )


@dataclass(frozen=True, slots=True)
class Unusable:
    """A line that holds no scores.

    Attributes:
        file, line: Where it is; counted from 1.
        why: What is wrong with it, without any of its content.
    """

    file: str
    line: int
    why: str


def _in_years(at: datetime) -> datetime:
    """The time in UTC."""
    # Checked before it is moved: the first and the last year have times with no place in UTC.
    if at.year not in YEARS:
        raise PydanticCustomError("out_of_range", "no year that scores can be of")
    return at.astimezone(UTC)


# Text and true or false aren't taken for numbers, nor the other way round.
_Number = Annotated[float, Strict()]
_Count = Annotated[int, Strict(), Field(ge=0, le=MAX_INT)]


class _Heard(BaseModel):
    model_config = ConfigDict(extra="ignore")
    event: str
    start: _Number
    end: _Number
    score: _Number


class _Result(BaseModel):
    model_config = ConfigDict(extra="ignore")
    category_scores: dict[str, _Number | None]
    category_applied_input_types: dict[str, list[InputKind]] = Field(default_factory=dict)
    event_scores: dict[str, _Number | None] = Field(default_factory=dict)
    events: list[_Heard] = Field(default_factory=list)
    flags: dict[str, Annotated[bool, Strict()]] = Field(default_factory=dict)
    failures: dict[str, str] = Field(default_factory=dict)
    seconds: _Number | None = None


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: Annotated[str, Field(pattern=OWN_ID)]
    recording: str = ""
    model: str = ""
    results: list[_Result] = Field(min_length=1, max_length=1)
    at: Annotated[AwareDatetime, AfterValidator(_in_years)] | None = None
    context: dict[str, Any] = Field(default_factory=dict)
    history: dict[str, dict[str, _Count]] = Field(default_factory=dict)


_NAMES = frozenset(name for part in (_Line, _Result, _Heard) for name in part.model_fields)


def read_stored(paths: Sequence[Path]) -> Iterator[Stored | Unusable]:
    """Reads lines of answers, one at a time.

    A line may have `at` (RFC 3339), `context` and `history` beside what `triage score --jsonl`
    prints. A recording that was refused has no scores and is left out.

    Raises:
        BadField: A file can't be read, or no line of it is an answer. What was read before it was
            given out by then.
    """
    for path in paths:
        try:
            with path.open(encoding="utf-8-sig", errors="replace") as opened:
                yield from _answers(path.name, opened)
        except OSError as error:
            raise BadField(
                f"{path.name} can't be read: {error.strerror}. Name files of answers, as `triage "
                "score --jsonl` prints them."
            ) from None


def _answers(file: str, opened: TextIO) -> Iterator[Stored | Unusable]:
    answers = number = 0
    for number, line in enumerate(_lines(opened), 1):
        if not line.strip():
            continue
        found = _read(file, number, line)
        answers += not isinstance(found, Unusable)
        if found is not None:
            yield found
    if not answers:
        raise BadField(
            f"{file} holds no answer in {number:,} lines. Name files of answers, as `triage score "
            "--jsonl` prints them."
        )


def _lines(opened: TextIO) -> Iterator[str]:
    """Lines, each counted once; one that is too long is cut, and so can't be read."""
    while line := opened.readline(LONGEST_LINE):
        yield line
        while line and not line.endswith("\n"):
            line = opened.readline(LONGEST_LINE)


def _read(file: str, number: int, line: str) -> Stored | Unusable | None:
    try:
        told = json.loads(line)
        if isinstance(told, dict) and "error" in told:
            return None
        return _stored(_Line.model_validate(told))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        # Keys are content too: only the format's own names and places in lists are told.
        steps = (step if isinstance(step, int) or step in _NAMES else "…" for step in first["loc"])
        where = ".".join(map(str, steps))
        return Unusable(file, number, f"{where or 'the line'}: {first['type']}")
    except (ValueError, RecursionError):
        return Unusable(file, number, "no JSON")


def _stored(line: _Line) -> Stored:
    (result,) = line.results
    scores = Scores(
        model=line.model,
        categories=_numbers(result.category_scores),
        applied={k: tuple(v) for k, v in result.category_applied_input_types.items()},
        seconds=result.seconds,
        event_scores=_numbers(result.event_scores),
        events=tuple(Event(e.event, e.start, e.end, e.score) for e in result.events),
        flags=result.flags,
        failures=result.failures,
    )
    return Stored(line.id, scores, line.at, line.recording, line.context, line.history)


def _numbers(told: Mapping[str, float | None]) -> dict[str, float]:
    """Scores; what JSON has as null was no number, and still has to go to a person."""
    return {name: float("nan") if one is None else one for name, one in told.items()}
