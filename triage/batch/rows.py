"""What a run writes: one row a recording in `results`, and one in `passes`.

`results` says what a recording holds and what the policy says of it. It depends on the source, the
model, the policy and its history alone, so a run that was interrupted, or made on other machines,
gives the same rows. `passes` says what this run did about it: ids, times, cases, the audit. Both
are in the order of the archive, and `position` joins them. No row holds a word that was said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triage.answer import as_json
from triage.guard import Answer, Refusal
from triage.taxonomy import FLAGS

if TYPE_CHECKING:
    import pyarrow as pa

RECORDED_AT = "recorded_at"  # what a context calls it
FORMAT = 1  # of both schemas; raised when a column changes its name, kind or meaning


@dataclass(frozen=True, slots=True)
class About:
    """What all rows of a part have in common.

    Attributes:
        model: Name of the model.
        policy: Digest of what decided.
    """

    model: str
    policy: str


@dataclass(frozen=True, slots=True)
class Row:
    """One recording's place and answer.

    Attributes:
        position: Which of the run's recordings it is, from 0.
        content: A keyed digest of what was scored: the same for the same sound and words.
        recorded_at: When it was recorded, if that is known.
        answer: What came the guarded way.
    """

    position: int
    content: str
    recorded_at: datetime | None
    answer: Answer = field(repr=False)


def results_schema(categories: Sequence[str], events: Sequence[str]) -> pa.Schema:
    """Columns of `results`, as docs/batch.md has them.

    Args:
        categories, events: Of the model.
    """
    import pyarrow as pa

    scores = pa.struct([(name, pa.float64()) for name in categories])
    severities = pa.struct([(name, pa.int8()) for name in categories])
    applied = pa.struct([(name, pa.list_(pa.string())) for name in categories])
    span = [("start", pa.float64()), ("end", pa.float64())]
    event = pa.struct([("event", pa.string()), *span, ("score", pa.float64())])
    evidence = [("evidence", pa.string()), ("category", pa.string()), ("input", pa.string())]
    return pa.schema(
        [
            pa.field("position", pa.int64(), nullable=False),
            pa.field("recording", pa.string(), nullable=False),
            pa.field("recorded_at", pa.timestamp("us", "UTC")),
            pa.field("content", pa.string()),
            pa.field("model", pa.string(), nullable=False),
            pa.field("policy", pa.string(), nullable=False),
            pa.field("error", pa.string()),
            pa.field("detail", pa.string()),
            pa.field("seconds", pa.float64()),
            pa.field("screened", pa.bool_()),
            pa.field("tier", pa.string()),
            pa.field("rule", pa.string()),
            pa.field("reason", pa.string()),
            pa.field("actions", pa.list_(pa.string())),
            pa.field("severity", pa.int8()),
            pa.field("flagged", pa.bool_()),
            pa.field("categories", pa.list_(pa.string())),
            pa.field("category_scores", scores),
            pa.field("category_severity", severities),
            pa.field("category_applied_input_types", applied),
            pa.field("event_scores", pa.struct([(n, pa.float64()) for n in events])),
            pa.field("events", pa.list_(event)),
            pa.field("segments", pa.list_(pa.struct([*span, ("category_scores", scores)]))),
            pa.field("flags", pa.struct([(name, pa.bool_()) for name in FLAGS])),
            pa.field(
                "explanation", pa.list_(pa.struct([*evidence, ("contribution", pa.float64())]))
            ),
            pa.field(
                "failures", pa.list_(pa.struct([("stage", pa.string()), ("error", pa.string())]))
            ),
        ],
        metadata={"triage.results": str(FORMAT)},
    )


def passes_schema() -> pa.Schema:
    """Columns of `passes`."""
    import pyarrow as pa

    time = pa.timestamp("us", "UTC")
    return pa.schema(
        [
            pa.field("position", pa.int64(), nullable=False),
            pa.field("recording", pa.string(), nullable=False),
            pa.field("id", pa.string(), nullable=False),
            pa.field("decided_at", time, nullable=False),
            pa.field("due_at", time),
            pa.field("case", pa.string()),
            pa.field("audit", pa.string(), nullable=False),
        ],
        metadata={"triage.passes": str(FORMAT)},
    )


def result(row: Row, about: About) -> dict[str, Any]:
    """A row of `results`, as JSON has it."""
    answer = row.answer
    common: dict[str, Any] = {
        "position": row.position,
        "recording": answer.recording,
        "recorded_at": row.recorded_at,
        "content": row.content or None,
        "model": about.model,
        "policy": about.policy,
    }
    if isinstance(answer, Refusal):
        return common | {"error": answer.error.slug, "detail": answer.error.detail}
    (told,) = as_json(answer)["results"]
    decision = told["decision"]
    return common | {
        "error": None,
        "detail": None,
        "seconds": told.get("seconds"),
        "screened": answer.scores.screened,
        **{name: decision[name] for name in ("tier", "rule", "reason", "actions", "severity")},
        "flagged": told["flagged"],
        "categories": list(answer.decision.flagged),
        "category_scores": told["category_scores"] or None,
        "category_severity": told["category_severity"] or None,
        "category_applied_input_types": told["category_applied_input_types"] or None,
        "event_scores": told["event_scores"] or None,
        "events": told["events"],
        "segments": told["segments"],
        "flags": told["flags"],
        "explanation": told["explanation"],
        "failures": [
            {"stage": stage, "error": error}
            for stage, error in sorted(told.get("failures", {}).items())
        ],
    }


def passed(row: Row, now: datetime) -> dict[str, Any]:
    """A row of `passes`."""
    answer = row.answer
    told: dict[str, Any] = {
        "position": row.position,
        "recording": answer.recording,
        "id": answer.id,
        "decided_at": now,
        "audit": answer.audit_hash,
    }
    if isinstance(answer, Refusal):
        return told
    due = answer.decision.due_at
    return told | {
        "due_at": None if due is None else datetime.fromisoformat(due),
        "case": answer.decision.case or None,
    }


def recorded_at(context: Mapping[str, Any]) -> datetime | None:
    """When a recording was made: its context's `recorded_at`, RFC 3339, if it has a zone."""
    try:
        found = datetime.fromisoformat(str(context.get(RECORDED_AT, "")))
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):  # the latter is of a day that UTC hasn't
        return None


def write_parquet(rows: Sequence[Mapping[str, Any]], schema: pa.Schema, file: Path) -> None:
    """Writes rows as Parquet; the same bytes for the same rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), file, compression="zstd")


def write_lines(rows: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Writes rows as one JSON object a line."""
    with file.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, default=_plain) + "\n")


def _plain(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(type(value).__name__)
    return value.isoformat().replace("+00:00", "Z")
