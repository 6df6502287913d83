"""`triage roster`: check who is reached, make tokens."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from rich.text import Text

from triage.cli.exits import Exit
from triage.cli.tables import NONE, plain_console, plain_table
from triage.escalate.roster_file import load_roster, problems
from triage.policy.loading import load_policy
from triage.settings import settings


def check(file: Path | None) -> Exit:
    """Validates a roster against the policy; `Exit.INCOMPLETE` if somebody isn't reached.

    Raises:
        RosterRefused: It isn't a roster.
        PolicyRefused: The policy can't decide.
    """
    roster, policy = load_roster(file or settings().roster), load_policy(settings().policy)
    table = plain_table("", "queue", "~told, in this order", "~its places")
    for name, queue in policy.queues.items():
        line = ", ".join(roster.line(queue.members)) or NONE
        table.add_row(name, Text(line), Text(", ".join(roster.queues.get(name, ())) or NONE))
    console = plain_console()
    console.print(table)
    found = problems(roster, policy)
    for one in found:
        console.print(Text(f"Note: {one}."))
    people, targets = len(roster.people), len(roster.targets)
    console.print(f"{people} people, {targets} targets, {len(found)} notes.")
    return Exit.INCOMPLETE if found else Exit.DONE


def token() -> Exit:
    """Prints a new token and its digest."""
    made = secrets.token_urlsafe(32)
    console = plain_console()
    console.print(f"For them, once: {made}")
    console.print(f"For the roster: token: sha256:{hashlib.sha256(made.encode()).hexdigest()}")
    return Exit.DONE
