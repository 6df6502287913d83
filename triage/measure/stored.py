"""Scores that were stored, to be decided anew: lines of `triage score --jsonl`, or the store's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from triage.errors import BadField
from triage.records import Event, InputKind, Scores

LONGEST_LINE = 8 * 2**20  # characters


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


class _Heard(BaseModel):
    model_config = ConfigDict(extra="ignore")
    event: str
    start: float
    end: float
    score: float


class _Result(BaseModel):
    model_config = ConfigDict(extra="ignore")
    category_scores: dict[str, float | None]
    category_applied_input_types: dict[str, list[InputKind]] = Field(default_factory=dict)
    event_scores: dict[str, float | None] = Field(default_factory=dict)
    events: list[_Heard] = Field(default_factory=list)
    flags: dict[str, bool] = Field(default_factory=dict)
    failures: dict[str, str] = Field(default_factory=dict)
    seconds: float | None = None


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: str
    recording: str = ""
    model: str = ""
    results: list[_Result] = Field(min_length=1, max_length=1)
    at: AwareDatetime | None = None
    context: dict[str, Any] = Field(default_factory=dict)
    history: dict[str, dict[str, int]] = Field(default_factory=dict)


def read_stored(paths: Sequence[Path]) -> Iterator[Stored | Unusable]:
    """Reads lines of answers, one at a time.

    A line may have `at` (RFC 3339), `context` and `history` beside what `triage score --jsonl`
    prints. A recording that was refused has no scores and is left out.

    Raises:
        BadField: A file can't be read.
    """
    for path in paths:
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                for number, line in enumerate(iter(lambda: lines.readline(LONGEST_LINE), ""), 1):
                    if line.strip() and (found := _read(path.name, number, line)) is not None:
                        yield found
        except OSError as error:
            raise BadField(
                f"{path.name} can't be read: {error.strerror}. Name files of answers, as `triage "
                "score --jsonl` prints them."
            ) from None


def _read(file: str, number: int, line: str) -> Stored | Unusable | None:
    try:
        told = json.loads(line)
        if isinstance(told, dict) and "error" in told:
            return None
        return _stored(_Line.model_validate(told))
    except ValidationError as error:
        where = ".".join(str(step) for step in error.errors()[0]["loc"])
        return Unusable(file, number, f"{where or 'the line'}: {error.errors()[0]['type']}")
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
    at = line.at.astimezone(UTC) if line.at else None
    return Stored(line.id, scores, at, line.recording, line.context, line.history)


def _numbers(told: Mapping[str, float | None]) -> dict[str, float]:
    """Scores; what JSON has as null was no number, and still has to go to a person."""
    return {name: float("nan") if one is None else one for name, one in told.items()}
