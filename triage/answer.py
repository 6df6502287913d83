"""Outcomes as the JSON that callers get: one shape for HTTP, the command line and a batch."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from triage.fusion import LEAST_CONTRIBUTION
from triage.guard import Answer, Refusal
from triage.records import Evidence, Outcome, Transcript

PLACES = 4  # of a probability; more would claim more than calibration gives

# OpenAI's names for what we score under ours. A name that we don't score is answered as they answer
# an input that a name doesn't apply to: false and 0, and no input in the applied types.
OPENAI_NAMES: Mapping[str, str | None] = {
    "harassment": "harassment",
    "harassment/threatening": None,
    "hate": "hate",
    "hate/threatening": None,
    "illicit": "illicit",
    "illicit/violent": None,
    "self-harm": "self_harm",
    "self-harm/instructions": None,
    "self-harm/intent": None,
    "sexual": "sexual",
    "sexual/minors": None,
    "violence": "violence",
    "violence/graphic": None,
}


def as_json(answer: Answer, *, transcript: bool = False) -> dict[str, Any]:
    """The answer for one recording, as documented in the README.

    Args:
        answer: What came the guarded way.
        transcript: Whether the caller asked for the words. They are left out otherwise, in the
            explanation too.
    """
    if isinstance(answer, Refusal):
        return {"id": answer.id, "recording": answer.recording, "error": answer.error.as_problem()}
    decision = answer.decision
    return {
        "id": answer.id,
        "recording": answer.recording,
        "model": answer.scores.model,
        "policy": {"name": decision.policy, "digest": decision.policy_digest},
        "audit": answer.audit_hash,
        "results": [_result(answer, transcript)],
    }


def as_openai(answers: list[Outcome]) -> dict[str, Any]:
    """Outcomes in the shape of OpenAI's moderation endpoint, ours beside their names."""
    return {
        "id": answers[0].id,
        "model": answers[0].scores.model,
        "results": [_moderation(_result(answer, False)) for answer in answers],
    }


def _result(outcome: Outcome, transcript: bool) -> dict[str, Any]:
    scores, decision = outcome.scores, outcome.decision
    result: dict[str, Any] = {
        "flagged": any(decision.category_flagged.values()) or bool(scores.failures),
        "categories": dict(decision.category_flagged),
        "category_scores": _rounded(scores.categories),
        "category_severity": dict(decision.category_severity),
        "category_applied_input_types": {k: list(v) for k, v in scores.applied.items()},
        "event_scores": _rounded(scores.event_scores),
        "events": [
            {
                "event": event.event,
                "start": round(event.start, 2),
                "end": round(event.end, 2),
                "score": round(event.score, PLACES),
            }
            for event in scores.events
        ],
        "segments": [
            {
                "start": round(segment.start, 2),
                "end": round(segment.end, 2),
                "category_scores": _rounded(segment.category_scores),
            }
            for segment in scores.segments
        ],
        "flags": dict(scores.flags),
        "explanation": [
            _explained(one, transcript)
            for one in scores.evidence
            if one.contribution >= LEAST_CONTRIBUTION
        ],
        "decision": {
            "tier": decision.tier,
            "rule": decision.rule,
            "reason": decision.reason,
            "actions": list(decision.actions),
            "severity": decision.severity,
            "due_at": decision.due_at,
            "mode": decision.mode,
            "case": decision.case or None,
        },
    }
    if scores.seconds is not None:
        result["seconds"] = round(scores.seconds, 3)
    if scores.screened:
        result["screened"] = True
    if scores.failures:
        result["failures"] = dict(scores.failures)
    if transcript and scores.transcript is not None:
        result["transcript"] = _spelled(scores.transcript)
    return result


def _explained(one: Evidence, transcript: bool) -> dict[str, Any]:
    where = f" {one.span.start:.1f}–{one.span.end:.1f} s" if one.span else ""  # noqa: RUF001
    told: dict[str, Any] = {
        "evidence": one.name + where,
        "category": one.category,
        "input": one.input,
        "contribution": round(one.contribution, 3),
    }
    if transcript and one.words:
        told["words"] = list(one.words)
    return told


def _spelled(transcript: Transcript) -> dict[str, Any]:
    return {
        "text": transcript.text,
        "source": transcript.source,
        "reliable": transcript.reliable,
        "words": [
            {"word": word.text, "start": round(word.start, 2), "end": round(word.end, 2)}
            for word in transcript.words
        ],
    }


def _moderation(result: Mapping[str, Any]) -> dict[str, Any]:
    def renamed(key: str, unscored: object) -> dict[str, Any]:
        ours = result[key]
        theirs = {
            n: ours.get(own, unscored) if own else unscored for n, own in OPENAI_NAMES.items()
        }
        return {**theirs, **ours}

    return {
        "flagged": result["flagged"],
        "categories": renamed("categories", False),
        "category_scores": renamed("category_scores", 0.0),
        "category_applied_input_types": renamed("category_applied_input_types", []),
    }


def _rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: what is no number is null. The policy has sent it to a person by then."""
    return {k: round(value, PLACES) if isfinite(value) else None for k, value in values.items()}
