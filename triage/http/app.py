"""The service as an ASGI application, whatever server it runs under."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triage.answer import as_json, as_openai
from triage.archive.entries import Unreadable
from triage.errors import TriageError
from triage.guard import Answer, Refusal
from triage.http import metrics
from triage.http.about import about_model, about_policy
from triage.http.admission import WAITING, Admission, Place
from triage.http.cases import CasesApi
from triage.http.openapi import document
from triage.http.problems import internal, meaning, respond
from triage.http.requests import Asked, read_moderation, read_score, read_texts
from triage.process import Processor
from triage.records import Recording
from triage.settings import Settings

log = logging.getLogger(__name__)

BODIES = 4  # times the largest recording: what the bodies of all requests may hold together

Read = Callable[[Request, Settings, Place], Awaitable[Asked]]


class Api:
    """The endpoints.

    Args:
        processor: Gives the guarded way, or raises why it isn't there.
        settings: The limits.
    """

    def __init__(self, processor: Callable[[], Processor], settings: Settings) -> None:
        self._processor = processor
        self._settings = settings
        self._admission = Admission(settings.cores + WAITING, BODIES * settings.max_bytes)
        self._document = document(settings)
        self._limiter = anyio.CapacityLimiter(settings.cores)

    def routes(self) -> list[Route]:
        return [
            Route("/score", self.score, methods=["POST"]),
            Route("/score_text", self.score_text, methods=["POST"]),
            Route("/v1/moderations", self.moderations, methods=["POST"]),
            Route("/model", self.model),
            Route("/policy", self.policy),
            Route("/openapi.json", self.openapi),
            Route("/metrics", self.metrics),
            *CasesApi(self._processor, self._admission).routes(),
        ]

    async def score(self, request: Request) -> Response:
        asked, (answer,) = await self._answered(request, read_score, "score")
        return _one(request, answer, asked)

    async def score_text(self, request: Request) -> Response:
        asked, answers = await self._answered(request, read_texts, "score_text")
        if not asked.many:
            return _one(request, answers[0], asked)
        return JSONResponse({"items": [_row(answer, asked) for answer in answers]})

    async def moderations(self, request: Request) -> Response:
        _, answers = await self._answered(request, read_moderation, "moderations")
        outcomes = []
        for answer in answers:
            if isinstance(answer, Refusal | Unreadable):
                return respond(request.url.path, answer.error)
            outcomes.append(answer)
        return JSONResponse(as_openai(outcomes))

    async def model(self, request: Request) -> Response:
        return JSONResponse(about_model(self._processor().triage.artefact.manifest))

    async def policy(self, request: Request) -> Response:
        policies = self._processor().triage.policies
        return JSONResponse(about_policy(policies.current()) | {"problem": policies.problem})

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(self._document)

    async def metrics(self, request: Request) -> Response:
        content = await anyio.to_thread.run_sync(metrics.exposition, self._processor)
        return Response(content, media_type=metrics.CONTENT_TYPE)

    async def _answered(
        self, request: Request, read: Read, way: str
    ) -> tuple[Asked, list[Answer | Unreadable]]:
        """Reads a request and takes what is in it the guarded way, beside the event loop."""
        processor = self._processor()
        with self._admission.place() as place:
            asked = await read(request, self._settings, place)
            recordings = [entry for entry in asked.entries if isinstance(entry, Recording)]
            answers = await anyio.to_thread.run_sync(
                _process, processor, recordings, way, limiter=self._limiter
            )
        return asked, list(_merged(asked, answers))


def _process(processor: Processor, recordings: list[Recording], way: str) -> list[Answer]:
    began = perf_counter()
    answers = processor.process(recordings, "http")
    metrics.POLICY_REFUSED.set(bool(processor.triage.policies.problem))
    metrics.count_answers(way, answers, perf_counter() - began)
    return answers


def _merged(asked: Asked, answers: Iterable[Answer]) -> Iterator[Answer | Unreadable]:
    """The answers in the order that was asked, with what couldn't be read in its place."""
    remaining = iter(answers)
    for entry in asked.entries:
        if isinstance(entry, Unreadable):
            metrics.count_refusal(entry.error)
            yield entry
        else:
            yield next(remaining)


def _one(request: Request, answer: Answer | Unreadable, asked: Asked) -> Response:
    if isinstance(answer, Refusal):
        more = {"id": answer.id, "recording": answer.recording}
        return respond(request.url.path, answer.error, **more)
    return JSONResponse(_row(answer, asked))


def _row(answer: Answer | Unreadable, asked: Asked) -> dict[str, Any]:
    if isinstance(answer, Unreadable):
        problem = answer.error.as_problem()
        return {"id": None, "recording": answer.id or None, "error": problem}
    return as_json(answer, transcript=asked.include_transcript)


async def _refused(request: Request, error: Exception) -> Response:
    meant = meaning(error)
    metrics.count_refusal(meant)
    return respond(request.url.path, meant)


class Edge:
    """Around everything: counts and logs requests, and lets out nothing but answers.

    A path that isn't ours is not logged, as a caller may have put an id there; of ours it is the
    pattern; nor is a query; nor is the message of an unforeseen error, as a library may have put
    what was said there.

    Args:
        app: What is around.
        routes: The paths that are ours.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[Route]) -> None:
        self._app = app
        self._plain = frozenset(route.path for route in routes if "{" not in route.path)
        self._patterns = [(route.path_regex, route.path) for route in routes if "{" in route.path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The edge at which whatever wasn't foreseen becomes an answer that says nothing of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 499  # nginx's: the client left before there was an answer

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with metrics.IN_HAND.track_inprogress():
            try:
                await self._app(scope, receive, noting)
            except ClientDisconnect:
                pass
            except Exception as error:
                log.error("request failed: %s", type(error).__name__)
                await respond(scope["path"], internal())(scope, receive, noting)
        seconds = perf_counter() - began
        path = self._pattern(scope["path"])
        metrics.count_request(path, status, seconds)
        log.info("%s %s %d %.0f ms", scope["method"], path, status, 1000 * seconds)

    def _pattern(self, path: str) -> str:
        if path in self._plain:
            return path
        return next((told for match, told in self._patterns if match.fullmatch(path)), "unknown")


def build_app(processor: Callable[[], Processor], settings: Settings) -> Starlette:
    """The application.

    Args:
        processor: Gives the guarded way; raises `NotReady` or what it couldn't be loaded for.
        settings: The limits.
    """
    routes = Api(processor, settings).routes()
    return Starlette(
        routes=routes,
        middleware=[Middleware(Edge, routes=routes)],
        exception_handlers={TriageError: _refused, HTTPException: _refused},
    )
