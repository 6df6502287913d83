"""`triage cases board`: queues, clocks and deliveries, live in a terminal."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from time import sleep

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from triage.cli.cases import span, table
from triage.cli.exits import Exit
from triage.cli.tables import NONE, TIER_STYLES, plain_console, plain_table
from triage.errors import StoreFailed
from triage.escalate.casebook import Casebook
from triage.escalate.figures import Delivered, Figures, Open, figures
from triage.escalate.opening import casebook
from triage.escalate.records import State
from triage.escalate.telling import moment
from triage.settings import settings

MOST = 15  # cases shown
PICTURE = 118  # columns


def run(*, once: bool, every: float, svg: Path | None) -> Exit:
    """Shows the board until it is stopped.

    Args:
        once: Show it once.
        every: Seconds between two looks.
        svg: A picture to write, after showing it once.

    Raises:
        StoreFailed: The store can't be read, with `once`; else that is shown.
    """
    book = casebook(settings())
    if svg is not None:
        paper = Console(record=True, width=PICTURE, file=io.StringIO(), force_terminal=True)
        paper.print(board(book))
        paper.save_svg(str(svg), title="triage cases board")
    if once or svg is not None:
        plain_console().print(board(book))
        return Exit.DONE
    with suppress(KeyboardInterrupt), Live(_shown(book), screen=True, auto_refresh=False) as live:
        while True:
            sleep(every)
            live.update(_shown(book), refresh=True)
    return Exit.DONE


def board(book: Casebook) -> RenderableType:
    """What is shown: queues, the most urgent cases, deliveries.

    Raises:
        StoreFailed: The store can't be read.
    """
    now = book.now()
    found, cases = figures(book.opened, now), book.cases(limit=1_000)
    waiting = [case for case in cases if case.state is State.OPEN]
    taken = [case for case in cases if case.state is not State.OPEN]
    shown = [*waiting, *taken][:MOST]
    rest = len(cases) - len(shown)
    below = [Text(f"{rest:,} more", "dim")] if rest > 0 else []
    return Group(
        _head(found, now),
        Panel(_queues(found.open, book), title="Queues", title_align="left"),
        Panel(Group(table(shown, now), *below), title="Most urgent", title_align="left"),
        Panel(_deliveries(found.delivered), title="Messages", title_align="left"),
    )


def _shown(book: Casebook) -> RenderableType:
    """The board, or why it can't be shown now: the next look may be better."""
    try:
        return board(book)
    except StoreFailed as error:
        return Panel(Text(error.detail, "bold red"), title="The store can't be read")


def _head(found: Figures, now: float) -> Text:
    # A case before two queues is late once; which ones are is in the queues' rows.
    missed = sum(found.missed.values())
    told = Text(f"{moment(now)[:19]}Z   ")
    told.append("deadlines missed so far: ")
    told.append(f"{missed:,}", "bold red" if missed else "green")
    for tier, count in sorted(found.missed.items(), reverse=True):
        told.append(f"  {tier} {count:,}", TIER_STYLES[tier])
    return told


def _queues(open_: tuple[Open, ...], book: Casebook) -> Table:
    columns = ("queue", "tier", ">waiting", ">late", ">taken", ">oldest", "~told first")
    found, roster, policy = plain_table("", *columns), book.roster(), book.policy()
    for one in open_:
        members = policy.queues[one.queue].members if one.queue in policy.queues else ()
        line = roster.line(members)
        found.add_row(
            Text(one.queue),
            Text(one.tier, TIER_STYLES[one.tier]),
            f"{one.waiting:,}",
            Text(f"{one.late:,}", "bold red" if one.late else "dim"),
            f"{one.cases - one.waiting:,}",
            span(one.oldest) if one.waiting else NONE,
            Text(", ".join(line[:3]) or "nobody", "" if line else "bold red"),
        )
    if not open_:
        found.add_row(Text("no case is open", "dim"))
    return found


def _deliveries(delivered: tuple[Delivered, ...]) -> Table:
    columns = ("target", ">waiting", ">sent", ">given up", ">failed attempts", ">oldest")
    found = plain_table("", *columns)
    for one in delivered:
        found.add_row(
            Text(one.target),
            f"{one.waiting:,}",
            f"{one.sent:,}",
            Text(f"{one.dead:,}", "bold red" if one.dead else "dim"),
            f"{one.failures:,}",
            span(one.oldest) if one.waiting else NONE,
        )
    if not delivered:
        found.add_row(Text("nothing was to be told", "dim"))
    return found
