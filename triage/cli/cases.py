"""`triage cases`: list, show, take, move and raise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from triage.cli.exits import Exit
from triage.cli.monitor import duration
from triage.cli.tables import NONE, TIER_STYLES, plain_console, plain_table
from triage.errors import BadField
from triage.escalate.by_hand import Raised
from triage.escalate.casebook import Casebook
from triage.escalate.moves import may_see
from triage.escalate.opening import casebook
from triage.escalate.records import UNRESOLVED, Case, Ending, Move, Order, State
from triage.escalate.shown import history, shown
from triage.escalate.telling import moment
from triage.policy.parts import LOOKED_AT, Tier
from triage.settings import settings

SHORT = 12  # characters of an id that are shown; as many as tell it from the others are taken


def listed(person: str | None, queue: str, *, resolved: bool, limit: int, jsonl: bool) -> Exit:
    """Prints cases, the most urgent first.

    Raises:
        StoreFailed: They can't be read.
    """
    book, console = casebook(settings()), plain_console()
    cases = book.cases((State.RESOLVED,) if resolved else UNRESOLVED, queue)
    if person is not None:
        cases = [one for one in cases if may_see(one, person, book.roster(), book.policy())]
    now, rest = book.now(), len(cases) - limit
    if jsonl:
        for case in cases[:limit]:
            console.print(json.dumps(shown(case, now)), soft_wrap=True)
        return Exit.DONE
    console.print(table(cases[:limit], now) if cases else "No case waits.")
    if rest > 0:
        console.print(f"{rest:,} more; --limit shows them.")
    return Exit.DONE


def one(id: str, *, as_json: bool) -> Exit:
    """Prints a case with its history.

    Raises:
        NoSuchCase: There is none.
        StoreFailed: It can't be read.
    """
    book, console = casebook(settings()), plain_console()
    case = book.case(book.named(id))
    moves = book.history(case.id)
    if as_json:
        console.print(json.dumps(shown(case, book.now()) | {"history": history(moves)}, indent=2))
        return Exit.DONE
    console.print(table([case], book.now()))
    console.print(Text(f"{case.reason} Rule {case.rule}, {_scores(case)}."))
    for moved_ in moves:
        to = f" {moved_.to}" if moved_.to else ""
        why = f": {moved_.reason}" if moved_.reason else ""
        console.print(Text(f"{moment(moved_.at)}  {moved_.actor}  {moved_.move}{to}{why}"))
    return Exit.DONE


def take(person: str, queue: str) -> Exit:
    """Claims the next case for somebody.

    Raises:
        Forbidden: The roster doesn't know them, or they have taken as many as they may.
    """
    book, console = casebook(settings()), plain_console()
    case = book.take(person, queue)
    console.print(table([case], book.now()) if case else "No case waits for you.")
    return Exit.DONE


def raised(person: str, queue: str, tier: str, heard: list[str], recording: str | None) -> Exit:
    """Raises a case by hand.

    Raises:
        BadField: The policy has no such queue or category.
        Forbidden: The roster doesn't know the person.
    """
    from triage.safeguards.pseudonym import Pseudonymiser, load_key

    if tier not in LOOKED_AT:
        raise BadField(f"Nobody looks in tier {tier}.", limit=list(LOOKED_AT))
    wanted: Tier = tier
    named = Pseudonymiser(load_key(settings())).pseudonym(recording) if recording else ""
    book = casebook(settings())
    case = book.raise_by_hand(Raised(person, queue, wanted, tuple(heard), named))
    _print(plain_console(), book, case)
    return Exit.DONE


def moved(
    id: str,
    person: str,
    move: str,
    *,
    to: str = "",
    lasts: str = "",
    outcome: str = "",
    heard: list[str] | None = None,
    reason: str = "",
) -> Exit:
    """Does something with a case.

    Raises:
        NoSuchCase: There is none.
        MoveRefused: Its state doesn't allow it.
        Forbidden: It is not for them.
        BadField: Something said can't be.
    """
    book = casebook(settings())
    if outcome and outcome not in list(Ending):
        raise BadField(f"A case ends as one of {', '.join(Ending)}.", limit=list(Ending))
    until = book.now() + duration(lasts, "--for") / timedelta(seconds=1) if lasts else None
    order = Order(
        Move(move),
        person,
        reason=reason,
        to=to,
        until=until,
        ending=Ending(outcome) if outcome else None,
        heard=tuple(heard) if heard else None,
    )
    case = book.move(book.named(id), order)
    _print(plain_console(), book, case)
    return Exit.DONE


def table(cases: Sequence[Case], now: float) -> Table:
    """Cases as people see them."""
    columns = ("case", "tier", ">left", ">severity", "state", "whose", "~queues", "~rule")
    found = plain_table("", *columns)
    for case in cases:
        left, style = left_of(case, now)
        found.add_row(
            Text(case.id[:SHORT]),
            Text(case.tier, TIER_STYLES[case.tier]),
            Text(left, style),
            str(case.severity),
            Text(str(case.state)),
            Text(case.owner or NONE),
            Text(", ".join(case.queues)),
            Text(case.rule + (f" ({case.recordings} recordings)" if case.recordings > 1 else "")),
        )
    return found


def left_of(case: Case, now: float) -> tuple[str, str]:
    """The time that a case has left, for people, and its style."""
    if case.state is not State.OPEN:
        return NONE, "dim"
    left = case.due_at - now
    told = span(abs(left))
    return (f"-{told}", "bold red") if left < 0 else (told, "yellow" if left < 300 else "")


def span(seconds: float) -> str:
    """A time as h:mm:ss, and days where it is long."""
    whole = int(seconds)
    days, rest = divmod(whole, 86_400)
    told = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {told}" if days else told


def _print(console: Console, book: Casebook, case: Case) -> None:
    console.print(table([case], book.now()))


def _scores(case: Case) -> str:
    told = [
        f"{name} {score:.2f}"
        for kind in ("categories", "events")
        for name, score in case.scores.get(kind, {}).items()
    ]
    return ", ".join(told) or "without scores"
