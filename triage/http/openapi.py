"""The service described in OpenAPI 3.1, with examples, for people and for generated clients."""

from __future__ import annotations

from typing import Any

import triage
from triage.http import openapi_cases
from triage.http.openapi_cases import SCHEMAS
from triage.http.problems import PROBLEM
from triage.http.requests import ID_HEADER
from triage.http.schemas import Body, ModerationBody, ScoreBody, ScoreTextBody, TextItem, TextPart
from triage.settings import Settings

_JSON = "application/json"
_SCHEMAS: tuple[type[Body], ...] = (ScoreBody, ScoreTextBody, TextItem, ModerationBody, TextPart)

ANSWER: dict[str, Any] = {
    "id": "tri_3f0c8d1e5b7a4c0f9e2d6a8b1c3d5e7f",
    "recording": "kitchen-0419",
    "model": "triage-1",
    "policy": {"name": "default", "digest": "sha256:6f1d…"},
    "audit": "9c4e…",
    "results": [
        {
            "flagged": True,
            "categories": {"distress": True, "violence": False},
            "category_scores": {"distress": 0.91, "violence": 0.0312},
            "category_severity": {"distress": 6, "violence": 0},
            "category_applied_input_types": {"distress": ["audio"], "violence": []},
            "event_scores": {"scream": 0.94, "speech": 0.02},
            "events": [{"event": "scream", "start": 3.2, "end": 5.1, "score": 0.94}],
            "segments": [{"start": 3.2, "end": 5.1, "category_scores": {"distress": 0.91}}],
            "flags": {"speech_absent": True},
            "explanation": [
                {
                    "evidence": "scream 3.2-5.1 s",
                    "category": "distress",
                    "input": "audio",
                    "contribution": 2.41,
                }
            ],
            "decision": {
                "tier": "E3",
                "rule": "distress-heard",
                "reason": "Somebody screams, cries or calls for help.",
                "actions": ["queue:safety"],
                "severity": 6,
                "due_at": "2026-01-01T13:00:00Z",
                "mode": "live",
                "case": "tri_3f0c8d1e5b7a4c0f9e2d6a8b1c3d5e7f",
            },
            "seconds": 8.0,
        }
    ],
}
PROBLEM_EXAMPLE: dict[str, Any] = {
    "type": "urn:triage:problem:too-large",
    "title": "The request is larger than this service allows",
    "status": 413,
    "detail": "The audio is longer than the limit of 14400 s. Send it in parts.",
    "limit": 14400,
}
MODERATION: dict[str, Any] = {
    "id": ANSWER["id"],
    "model": ANSWER["model"],
    "results": [
        {
            "flagged": True,
            "categories": {"violence": True, "violence/graphic": None, "distress": False},
            "category_scores": {"violence": 0.93, "violence/graphic": None, "distress": 0.04},
            "category_applied_input_types": {"violence": ["text"]},
        }
    ],
}


def document(settings: Settings) -> dict[str, Any]:
    """The description of the service with these limits."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Triage",
            "version": triage.__version__,
            "description": "Scores voice-assistant recordings by their sound and their words, and "
            "says by a policy who must look. Every recording that is scored or refused is in the "
            "audit log before it is answered.",
        },
        "paths": {
            "/score": {"post": _score(settings)},
            "/score_text": {"post": _score_text(settings)},
            "/v1/moderations": {"post": _moderations()},
            "/model": {"get": _told("The model: what it scores, its data, its metrics.", _JSON)},
            "/policy": {"get": _told("The policy: thresholds, tiers, rules.", _JSON)},
            "/openapi.json": {"get": _told("This description.", _JSON)},
            "/metrics": {"get": _told("Counters, for Prometheus.", "text/plain")},
            "/livez": {"get": _probe("Answers while the process lives.")},
            "/healthz": {"get": _probe("The same as /livez.")},
            "/readyz": {"get": _probe("Answers 200 once the models are loaded, 503 before.")},
            **openapi_cases.paths(),
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _score(settings: Settings) -> dict[str, Any]:
    form = {
        "type": "object",
        "properties": {
            "audio": {"type": "string", "contentMediaType": "application/octet-stream"},
            "transcript": {"type": "string"},
            "id": {"type": "string"},
            "context": {"type": "string", "contentMediaType": _JSON},
            "include_transcript": {"type": "string", "enum": ["true", "false"]},
        },
        "additionalProperties": False,
    }
    raw = {"schema": {"contentMediaType": "application/octet-stream"}}
    return {
        "summary": "Score one recording",
        "description": "Audio in any common container, a transcript, or both. With a transcript, "
        f"nothing is transcribed. At most {settings.max_bytes} bytes, {settings.max_seconds:g} s, "
        f"{settings.max_channels} channels, {settings.max_characters} characters.",
        "parameters": [
            {
                "name": ID_HEADER,
                "in": "header",
                "description": "Your name for the recording, where the body is the audio itself.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": form},
                _JSON: _body(
                    ScoreBody,
                    {
                        "transcript": "turn on the light in the kitchen",
                        "id": "kitchen-0419",
                        "context": {"locale": "en-GB"},
                    },
                ),
                "audio/*": raw,
                "video/*": raw,
                "application/octet-stream": raw,
                "application/ogg": raw,
            },
        },
        "responses": _responses(_answer(ANSWER), 400, 408, 413, 415, 422, 500, 503),
    }


def _score_text(settings: Settings) -> dict[str, Any]:
    one = {"text": "turn on the light in the kitchen", "id": "kitchen-0419"}
    many = {"text": ["what's the weather", {"text": "play some music", "id": "hall-77"}]}
    content = {
        "schema": {"$ref": "#/components/schemas/ScoreTextBody"},
        "examples": {"one": {"value": one}, "many": {"value": many}},
    }
    items = {
        "items": [ANSWER, {"id": None, "recording": "hall-77", "error": PROBLEM_EXAMPLE}],
    }
    answers = {
        "schema": {
            "anyOf": [
                {"$ref": "#/components/schemas/Answer"},
                {
                    "type": "object",
                    "properties": {"items": {"type": "array", "items": {"type": "object"}}},
                    "required": ["items"],
                },
            ]
        },
        "examples": {"one": {"value": ANSWER}, "many": {"value": items}},
    }
    return {
        "summary": "Score one text or many",
        "description": f"At most {settings.max_items} texts. In a list, a text that can't be "
        "scored is a row with an error in its place; the others are scored.",
        "requestBody": {"required": True, "content": {_JSON: content}},
        "responses": _responses(answers, 400, 408, 413, 415, 422, 500, 503),
    }


def _moderations() -> dict[str, Any]:
    responses = _responses({"schema": {"type": "object"}, "example": MODERATION})
    responses["default"] = {
        "description": "An error in OpenAI's shape",
        "content": {_JSON: {"schema": {"$ref": "#/components/schemas/OpenAIError"}}},
    }
    return {
        "summary": "Score text for clients of OpenAI's moderation endpoint",
        "description": "Strings are texts of their own; typed parts together are one text. Names "
        "of OpenAI's that aren't scored are false and 0; the model's own stand beside them.",
        "requestBody": {
            "required": True,
            "content": {_JSON: _body(ModerationBody, {"input": "play some music"})},
        },
        "responses": responses,
    }


def _told(summary: str, kind: str) -> dict[str, Any]:
    schema = {"type": "object"} if kind == _JSON else {"type": "string"}
    ok = {"description": "OK", "content": {kind: {"schema": schema}}}
    return {"summary": summary, "responses": {"200": ok}}


def _probe(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": {"description": "Yes"}}}


def _body(kind: type[Body], example: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}, "example": example}


def _answer(example: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {"$ref": "#/components/schemas/Answer"}, "example": example}


def _responses(content: dict[str, Any], *errors: int) -> dict[str, Any]:
    problem = {
        "description": "What was wrong, and what to do",
        "content": {
            PROBLEM: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": PROBLEM_EXAMPLE,
            }
        },
    }
    ok = {"description": "The answer", "content": {_JSON: content}}
    return {"200": ok} | {str(status): problem for status in errors}


def _schemas() -> dict[str, Any]:
    schemas = {kind.__name__: kind.model_json_schema() for kind in _SCHEMAS + SCHEMAS}
    # Items and parts are read one by one, so the schemas of the lists don't name them.
    schemas["ScoreTextBody"]["properties"]["text"] = _text_or(_ref("TextItem"))
    schemas["ModerationBody"]["properties"]["input"] = _text_or(_ref("TextPart"))
    return schemas | {
        "Answer": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "Triage's own id of this pass"},
                "recording": {"type": "string", "description": "Your id, or one made for you"},
                "model": {"type": "string"},
                "policy": {"type": "object"},
                "audit": {"type": "string", "description": "Hash of the audit entry"},
                "results": {"type": "array", "items": {"type": "object"}},
            },
            "required": list(ANSWER),
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457, problem details",
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "limit": {"description": "The limit that was passed, or what is allowed"},
                "id": {"type": "string", "description": "Of the pass, if it is in the audit"},
                "recording": {"type": "string"},
            },
            "required": ["type", "title", "status", "detail"],
        },
        "OpenAIError": {
            "type": "object",
            "properties": {"error": {"type": "object"}},
            "required": ["error"],
        },
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _text_or(item: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "string"}
    return {"anyOf": [text, {"type": "array", "items": {"anyOf": [text, item]}}]}
