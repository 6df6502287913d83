"""The paths of cases, described in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from triage.http.cases import MOVES
from triage.http.problems import PROBLEM
from triage.http.schemas import Body, NextBody, OutcomeBody, RaiseBody

_JSON = "application/json"
SCHEMAS: tuple[type[Body], ...] = (*dict.fromkeys(MOVES.values()), NextBody, OutcomeBody, RaiseBody)

CASE: dict[str, Any] = {
    "id": "tri_3f0c8d1e5b7a4c0f9e2d6a8b1c3d5e7f",
    "state": "claimed",
    "owner": "ann",
    "tier": "E3",
    "severity": 6,
    "rule": "distress-heard",
    "reason": "A scream or a gunshot is likely to be heard.",
    "queues": ["on-call"],
    "scores": {"categories": {"distress": 0.91}, "events": {"scream": 0.94}},
    "account": "acc_mzxw6ytboi2gk3tumvzg65dumu",
    "recording": "rec_nbswy3dpfqqho33snrscc43boq",
    "recordings": 2,
    "raised_by": None,
    "raised_at": "2026-01-01T12:00:00.000Z",
    "due_at": "2026-01-01T13:00:00.000Z",
    "is_late": False,
    "acknowledged_at": "2026-01-01T12:04:10.000Z",
    "snoozed_until": None,
    "resolved_at": None,
    "model": "triage-1",
    "policy": "sha256:6f1d…",
}
_MOVED = {
    "at": "2026-01-01T12:04:10.000Z",
    "actor": "ann",
    "move": "claim",
    "before": "open",
    "after": "claimed",
    "to": None,
    "reason": None,
}
_SUMMARIES = {
    "acknowledge": "Say that you will look: nobody is told of it any more",
    "claim": "Take a case: you look, and nobody else need",
    "hand-over": "Hand a case to somebody else of its queues",
    "release": "Give a case back to its queues",
    "snooze": "Leave a case until later, for its tier's deadline at most",
    "resolve": "Say how a case ended, and what was heard: it becomes labels",
    "reopen": "Open a resolved case again; its clock begins anew",
}


def paths() -> dict[str, Any]:
    """The paths, with examples."""
    id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    moves = {
        f"/cases/{{id}}/{move}": {
            "post": _asks(_SUMMARIES[move], body, CASE, 400, 401, 403, 404, 409, 422, 503)
            | {"parameters": [id]}
        }
        for move, body in MOVES.items()
    }
    listed = _answers("The cases that are yours to see", {"cases": [CASE], "count": 1}, 401, 422)
    one = _answers("A case, and what was done with it", CASE | {"history": [_MOVED]}, 401, 404)
    queries = [
        {"name": name, "in": "query", "schema": {"type": "string"}, "description": told}
        for name, told in (
            ("state", "One or more, with commas between; those that aren't resolved without it"),
            ("queue", "Before which they are"),
            ("limit", "How many at most"),
        )
    ]
    raised = _asks("Raise a case for what you heard", RaiseBody, CASE, 400, 401, 403, 422, 503)
    raised["responses"]["201"] = raised["responses"].pop("200")
    took = _asks("Claim the next case that is for you", NextBody, CASE, 401, 403, 503)
    took["responses"]["204"] = {"description": "Nothing waits for you"}
    told = _asks("Tell how a case ended", OutcomeBody, CASE, 400, 401, 404, 409, 422, 503)
    told["description"] = "For review tools. Signed as Standard Webhooks has it; counts once."
    told["security"] = []
    return {
        "/cases": {"get": listed | {"parameters": queries}, "post": raised},
        "/cases/next": {"post": took},
        "/cases/{id}": {"get": one | {"parameters": [id]}},
        **moves,
        "/outcomes": {"post": told},
    }


def _asks(summary: str, body: type[Body], example: Any, *errors: int) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    needed = any(one.is_required() for one in body.model_fields.values())
    asked = {"required": needed, "content": {_JSON: {"schema": schema}}}
    return _answers(summary, example, *errors) | {"requestBody": asked}


def _answers(summary: str, example: Any, *errors: int) -> dict[str, Any]:
    ok = {
        "description": "OK",
        "content": {_JSON: {"schema": {"type": "object"}, "example": example}},
    }
    problem = {
        "description": "What was wrong, and what to do",
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    responses = {"200": ok} | {str(status): problem for status in errors}
    return {"summary": summary, "security": [{"token": []}], "responses": responses}
