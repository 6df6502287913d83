"""`triage escalate run`: casework without the service, or beside it."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import suppress
from threading import Event
from time import monotonic, sleep

from triage.cli.exits import Exit
from triage.cli.tables import plain_console
from triage.escalate.casebook import Casebook
from triage.escalate.figures import figures
from triage.escalate.opening import casebook
from triage.escalate.run import Casework, casework
from triage.settings import settings

PATIENCE = 60.0  # s that `--once` waits for what is due to be sent
EVERY = 0.2  # s between two looks of it


def run(*, once: bool) -> Exit:
    """Tells people and keeps the clocks, until SIGINT or SIGTERM.

    Returns:
        `Exit.INCOMPLETE` if, with `once`, something that was due wasn't sent.

    Raises:
        SetupError: The store, the policy or the roster can't be used.
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    own, book = settings(), casebook(settings())
    book.policy()  # what is wrong with it is told now
    working = casework(lambda: book, own.decision_days, own.case_days)
    if once:
        return _once(working, book)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.info("casework begins; Ctrl-C ends it")
    with suppress(KeyboardInterrupt):
        working.start()
        Event().wait()
    working.stop()
    return Exit.DONE


def _once(working: Casework, book: Casebook) -> Exit:
    working.step()
    end = monotonic() + PATIENCE
    while (rest := _waiting(book)) and monotonic() < end:
        sleep(EVERY)
    working.stop()
    plain_console().print(f"{rest:,} messages are still to be sent." if rest else "All is sent.")
    return Exit.INCOMPLETE if rest else Exit.DONE


def _waiting(book: Casebook) -> int:
    return sum(one.waiting for one in figures(book.opened, book.now()).delivered)
