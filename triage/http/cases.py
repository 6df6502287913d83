"""Cases over HTTP: for those whom the roster knows, by their token, each case by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from triage.errors import NoSuchCase, Unauthorised
from triage.escalate.by_hand import Raised
from triage.escalate.casebook import Casebook
from triage.escalate.inbound import outcome, verified
from triage.escalate.moves import may_see
from triage.escalate.records import UNRESOLVED, Case, Ending, Move, Order, State
from triage.escalate.shown import history, shown
from triage.guard import ACCOUNT
from triage.http.admission import Admission, Place
from triage.http.body import content_type, whole
from triage.http.problems import WrongContentType, WrongField
from triage.http.schemas import (
    Body,
    HandOverBody,
    MoveBody,
    NextBody,
    OutcomeBody,
    RaiseBody,
    ReasonBody,
    ResolveBody,
    SnoozeBody,
    parsed,
    validated,
)
from triage.process import Processor

MOST = 200  # cases in one answer
LONGEST = 64 * 2**10  # bytes of a body
SCHEME = "bearer "

# What the body of a move is, by the last part of its path.
MOVES: Mapping[Move, type[Body]] = {
    Move.ACKNOWLEDGE: MoveBody,
    Move.CLAIM: MoveBody,
    Move.HAND_OVER: HandOverBody,
    Move.RELEASE: ReasonBody,
    Move.SNOOZE: SnoozeBody,
    Move.RESOLVE: ResolveBody,
    Move.REOPEN: ReasonBody,
}


class CasesApi:
    """The endpoints.

    Args:
        processor: Gives the guarded way, with its casebook.
        admission: How many requests there may be at once.
    """

    def __init__(self, processor: Callable[[], Processor], admission: Admission) -> None:
        self._processor, self._admission = processor, admission

    def routes(self) -> list[Route]:
        moves = [
            Route(f"/cases/{{id}}/{move}", partial(self.move, move=move), methods=["POST"])
            for move in MOVES
        ]
        return [
            Route("/cases", self.cases, methods=["GET"]),
            Route("/cases", self.raised, methods=["POST"]),
            Route("/cases/next", self.next, methods=["POST"]),
            Route("/cases/{id}", self.case, methods=["GET"]),
            *moves,
            Route("/outcomes", self.outcome, methods=["POST"]),
        ]

    async def cases(self, request: Request) -> Response:
        book, actor = self._entered(request)
        query = dict(request.query_params)
        known = {"state", "queue", "limit"}
        for name in query.keys() - known:
            raise WrongField(name, f"is not known. Known are {', '.join(sorted(known))}.")
        states = query.get("state", ",".join(UNRESOLVED)).split(",")
        if not set(states) <= set(State):
            raise WrongField("state", f"is one or more of {', '.join(State)}.", limit=list(State))
        limit = query.get("limit", str(MOST))
        if not limit.isdecimal() or not 0 < int(limit) <= MOST:
            raise WrongField("limit", f"is a number from 1 to {MOST}.", limit=MOST)
        found = await _run(book.cases, states, query.get("queue", ""))
        mine = [shown(case, book.now()) for case in found if _sees(book, actor, case)]
        return JSONResponse({"cases": mine[: int(limit)], "count": len(mine)})

    async def case(self, request: Request) -> Response:
        book, actor = self._entered(request)
        case = await _run(_seen, book, actor, request.path_params["id"])
        moves = await _run(book.history, case.id)
        return JSONResponse(shown(case, book.now()) | {"history": history(moves)})

    async def raised(self, request: Request) -> Response:
        book, actor = self._entered(request)
        body = await self._body(request, RaiseBody)
        pseudonym = self._processor().pseudonymiser.pseudonym
        wanted = Raised(
            actor,
            body.queue,
            body.tier,
            tuple(body.heard),
            pseudonym(body.recording) if body.recording else "",
            pseudonym(body.account, ACCOUNT) if body.account else "",
        )
        case = await _run(book.raise_by_hand, wanted)
        return JSONResponse(shown(case, book.now()), 201)

    async def next(self, request: Request) -> Response:
        book, actor = self._entered(request)
        body = await self._body(request, NextBody)
        case = await _run(book.take, actor, body.queue)
        return Response(status_code=204) if case is None else _told(book, case)

    async def move(self, request: Request, move: Move) -> Response:
        book, actor = self._entered(request)
        id = request.path_params["id"]
        body = await self._body(request, MOVES[move])
        await _run(_seen, book, actor, id)  # what isn't theirs to see isn't there for them
        return _told(book, await _run(book.move, id, _order(move, actor, body)))

    async def outcome(self, request: Request) -> Response:
        """An outcome from a tool of somebody else's, signed as Standard Webhooks has it."""
        book = self._processor().book
        with self._admission.place() as place:
            content = await _json(request, place)
        sender = verified(content, request.headers, book.roster())
        body = validated(OutcomeBody, parsed(content))
        heard = None if body.heard is None else tuple(body.heard)
        key = request.headers["webhook-id"]
        case = await _run(
            outcome, book, sender, key, body.case, Ending(body.outcome), heard, body.reason
        )
        return _told(book, case)

    def _entered(self, request: Request) -> tuple[Casebook, str]:
        """The casebook, and who asks.

        Raises:
            Unauthorised: Nobody that the roster knows.
        """
        book = self._processor().book
        given = request.headers.get("authorization", "")
        token = given[len(SCHEME) :] if given.lower().startswith(SCHEME) else ""
        actor = book.roster().bearer(token) if token else None
        if actor is None:
            raise Unauthorised(
                "No person of the roster has this token. Send Authorization: Bearer and a token "
                "of which the roster has the digest."
            )
        return book, actor

    async def _body(self, request: Request, kind: type[Any]) -> Any:
        with self._admission.place() as place:
            content = await _json(request, place)
        return validated(kind, parsed(content or b"{}"))


async def _json(request: Request, place: Place) -> bytes:
    content = await whole(request, LONGEST, place)
    if content and content_type(request)[0] != "application/json":
        raise WrongContentType("This path takes JSON.", limit=["application/json"])
    return content


async def _run(call: Callable[..., Any], *given: Any) -> Any:
    return await anyio.to_thread.run_sync(partial(call, *given))


def _seen(book: Casebook, actor: str, id: str) -> Case:
    case = book.case(id)
    if not _sees(book, actor, case):
        raise NoSuchCase("There is no case of this id, or it is not for whoever asks.")
    return case


def _sees(book: Casebook, actor: str, case: Case) -> bool:
    return may_see(case, actor, book.roster(), book.policy())


def _told(book: Casebook, case: Case) -> Response:
    return JSONResponse(shown(case, book.now()))


def _order(move: Move, actor: str, body: Any) -> Order:
    given = body.model_dump()
    until = given.get("until")
    heard = given.get("heard")
    return Order(
        move,
        actor,
        reason=given.get("reason", ""),
        to=given.get("to", ""),
        until=_instant(until) if until is not None else None,
        ending=Ending(given["outcome"]) if "outcome" in given else None,
        heard=None if heard is None else tuple(heard),
    )


def _instant(told: str) -> float:
    try:
        found = datetime.fromisoformat(told)
    except ValueError:
        found = datetime.min
    if found.tzinfo is None:
        raise WrongField("until", "is a time with its zone, as 2026-01-01T13:00:00Z.")
    return found.timestamp()
