"""The answers that callers get, written out: `python -m tests.golden.regenerate`.

A changed file is a changed answer: look at the difference, and tell callers in the CHANGELOG.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from triage.answer import as_json, as_openai
from triage.errors import TooLarge
from triage.guard import Refusal
from triage.records import (
    Decision,
    Event,
    Evidence,
    Outcome,
    Scores,
    Segment,
    Span,
    Transcript,
    Word,
)

FOLDER = Path(__file__).parent

DECISION = Decision(
    tier="E3",
    rule="somebody-in-danger",
    reason="Somebody may be in danger.",
    actions=("queue:on-call", "withhold"),
    severity=6,
    category_flagged={"violence": False, "self_harm": False, "distress": True},
    category_severity={"violence": 0, "self_harm": 0, "distress": 6},
    due_at="2026-01-01T13:00:00Z",
    policy="default",
    policy_digest="sha256:0123",
)

HEARD = Outcome(
    id="tri_1",
    recording="call-7",
    scores=Scores(
        model="triage-1.0",
        categories={"violence": 0.18123456, "self_harm": 0.0, "distress": 0.93},
        applied={"violence": ("text", "audio"), "self_harm": ("text",), "distress": ("audio",)},
        seconds=6.12345,
        event_scores={"scream": 0.94999, "speech": 0.02},
        events=(Event("scream", 3.2049, 5.1, 0.94999),),
        segments=(Segment(3.2049, 5.1, {"violence": 0.17, "self_harm": 0.0, "distress": 0.9}),),
        flags={"speech_absent": False, "transcript_unreliable": False},
        evidence=(
            Evidence("distress", "audio", "scream", 1.93333, Span(3.2049, 5.1)),
            Evidence("distress", "text", "words", 0.73, Span(0.5, 1.25), ("help", "me")),
            Evidence("violence", "audio", "scream", 0.02, Span(3.2049, 5.1)),
            Evidence("violence", "text", "words", 0.019, None, ("me",)),
        ),
        transcript=Transcript(
            "help me",
            (Word("help", 0.5, 0.875, 0.9), Word("me", 0.875, 1.25, 0.8)),
            "transcriber",
        ),
    ),
    decision=DECISION,
    audit_hash="0123abcd",
)

READ = replace(
    HEARD,
    id="tri_2",
    scores=Scores(
        model="triage-1.0",
        categories={"violence": 0.0, "self_harm": 0.02, "distress": 0.01},
        applied=dict.fromkeys(("violence", "self_harm", "distress"), ("text",)),
        evidence=(Evidence("self_harm", "text", "words", 0.0202, None, ("down",)),),
        transcript=Transcript("turn it down"),
    ),
    decision=replace(
        DECISION,
        tier="E0",
        rule="none",
        reason="No rule was met.",
        actions=(),
        severity=0,
        category_flagged=dict.fromkeys(("violence", "self_harm", "distress"), False),
        category_severity=dict.fromkeys(("violence", "self_harm", "distress"), 0),
        due_at=None,
    ),
)

FAILED = replace(
    READ,
    id="tri_3",
    scores=Scores(
        model="triage-1.0",
        categories={},
        applied={},
        flags={"stage_failed": True},
        failures={"score": "RuntimeError"},
    ),
    decision=replace(
        DECISION, tier="E2", rule="stage-failed", category_flagged={}, category_severity={}
    ),
)

REFUSED = Refusal("tri_4", "call-8", TooLarge("Too long. Send less.", limit=5), "0123abcd")

ANSWERS: dict[str, Callable[[], dict[str, Any]]] = {
    "heard": lambda: as_json(HEARD),
    "heard_with_transcript": lambda: as_json(HEARD, transcript=True),
    "read": lambda: as_json(READ),
    "read_with_transcript": lambda: as_json(READ, transcript=True),
    "failed": lambda: as_json(FAILED),
    "refused": lambda: as_json(REFUSED),
    "openai": lambda: as_openai([HEARD, READ, FAILED]),
}


def golden(name: str) -> Path:
    return FOLDER / f"answer_{name}.json"


def written(name: str) -> str:
    return json.dumps(ANSWERS[name](), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in ANSWERS:
        golden(name).write_text(written(name), encoding="utf-8")
