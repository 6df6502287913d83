"""What an HTTP client is told when its request can't be answered (RFC 9457, problem details).

`/v1/moderations` tells the same in the shape that OpenAI's clients raise their exceptions from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from triage.errors import BadField, InputError, TriageError, Unauthorised

PROBLEM = "application/problem+json"
OPENAI_PREFIX = "/v1/"
RETRY_AFTER = 2  # s; about what a place in a full queue takes to come free with short recordings

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}")


class WrongField(BadField):
    """A field of the request that is unknown, missing, given twice, or not of its kind.

    Args:
        field: Its name, as the caller wrote it. Shown only if it looks like one: anybody may
            have put anything there.
        why: The rest of the sentence that its name begins.
        limit: See `TriageError`.
    """

    def __init__(self, field: str, why: str, *, limit: int | list[str] | None = None) -> None:
        self.field = field if _PLAIN_NAME.fullmatch(field) else None
        super().__init__(f"The field {self.field or '(name not shown)'} {why}", limit=limit)


class UnknownPath(InputError):
    """A path that the service doesn't have."""

    slug = "unknown-path"
    title = "There is nothing at this path"
    status = 404


class WrongMethod(InputError):
    """A path that is there, but not for this method."""

    slug = "wrong-method"
    title = "The path is not for this method"
    status = 405


class TooSlow(InputError):
    """A request whose body stopped coming."""

    slug = "too-slow"
    title = "The request did not arrive"
    status = 408


class WrongContentType(InputError):
    """A body of a kind that the path doesn't take."""

    slug = "wrong-content-type"
    title = "The path does not take this kind of body"
    status = 415


class Busy(TriageError):
    """More requests at once than the service takes."""

    slug = "busy"
    title = "The service is busy"
    status = 503


class NotReady(TriageError):
    """A service that is still loading its models."""

    slug = "not-ready"
    title = "The service is not ready"
    status = 503


def internal() -> TriageError:
    """An error that was Triage's own. Says nothing of it: its message could hold what was said."""
    return TriageError("The request was not answered. Try again; if it stays, see the log.")


def meaning(error: Exception) -> TriageError:
    """An error as one of ours: itself, Starlette's own refusals, or an internal one."""
    if isinstance(error, TriageError):
        return error
    if not isinstance(error, HTTPException):
        return internal()
    if error.status_code == 404:
        return UnknownPath("There is nothing at this path. GET /openapi.json lists what there is.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        methods = sorted(name for name in allowed.split(", ") if name)
        return WrongMethod(f"This path takes {' and '.join(methods)}.", limit=methods)
    return InputError("The request is not HTTP that the service takes.")


def respond(path: str, error: TriageError, **more: str) -> JSONResponse:
    """The response that tells of an error.

    Args:
        path: The request's, which decides the shape.
        error: What was wrong.
        more: Members beside RFC 9457's own.
    """
    headers = _headers(error)
    if path.startswith(OPENAI_PREFIX):
        return JSONResponse(_as_openai(error), _openai_status(error), headers)
    return JSONResponse(error.as_problem() | more, error.status, headers, PROBLEM)


def _headers(error: TriageError) -> Mapping[str, str]:
    if isinstance(error, Busy | NotReady):
        return {"Retry-After": str(RETRY_AFTER)}
    if isinstance(error, Unauthorised):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, WrongMethod) and isinstance(error.limit, list):
        return {"Allow": ", ".join(error.limit)}
    return {}


def _openai_status(error: TriageError) -> int:
    return 400 if error.status == 422 else error.status


def _as_openai(error: TriageError) -> dict[str, Any]:
    return {
        "error": {
            "message": error.detail,
            "type": "server_error" if error.status >= 500 else "invalid_request_error",
            "param": error.field if isinstance(error, WrongField) else None,
            "code": error.slug,
        }
    }
