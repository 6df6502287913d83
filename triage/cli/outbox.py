"""`triage outbox`: messages that didn't arrive, and sending them again."""

from __future__ import annotations

from rich.text import Text

from triage.cli.exits import Exit
from triage.cli.tables import NONE, plain_console, plain_table
from triage.database.store import open_store
from triage.errors import BadField
from triage.escalate.outbox import Outbox
from triage.escalate.rows import DEAD, WAITING
from triage.escalate.telling import moment
from triage.settings import settings


def listed(*, waiting: bool) -> Exit:
    """Prints what didn't arrive; `Exit.INCOMPLETE` if anything was given up.

    Raises:
        StoreFailed: The store can't be read.
    """
    found = Outbox(open_store(settings().store_url)).undelivered(
        (DEAD, WAITING) if waiting else (DEAD,)
    )
    console = plain_console()
    if not found:
        console.print("Every message has arrived." if waiting else "No message was given up.")
        return Exit.DONE
    columns = ("message", "tier", "state", "target", "kind", ">attempts", "error", "made")
    table = plain_table("", *columns)
    for one in found:
        told = (one.tier, one.state, one.target, one.kind, str(one.attempts))
        table.add_row(*map(Text, (one.id, *told, one.error or NONE, moment(one.at))))
    console.print(table)
    dead = sum(one.state == DEAD for one in found)
    if dead:
        console.print(f"{dead:,} given up. `triage outbox resend --all` sends them again.")
    return Exit.INCOMPLETE if dead else Exit.DONE


def resend(ids: list[str], *, all: bool) -> Exit:
    """Has messages sent again.

    Raises:
        BadField: None of them was given up.
        StoreFailed: The store can't be written.
    """
    count = Outbox(open_store(settings().store_url)).send_again(None if all else ids)
    if count == 0 and not all:
        raise BadField("None of these messages was given up. `triage outbox list` has those.")
    plain_console().print(f"{count:,} will be sent again, by the service or `triage escalate run`.")
    return Exit.DONE
