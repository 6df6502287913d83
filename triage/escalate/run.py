"""Casework by itself: clocks and delivery, inside the service or by `triage escalate run`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic

from triage.errors import StoreFailed, TriageError
from triage.escalate.casebook import Casebook
from triage.escalate.clocks import Clocks
from triage.escalate.delivery import Delivery
from triage.escalate.outbox import Outbox
from triage.escalate.roster import Roster
from triage.escalate.roster_file import problems

EVERY = 1.0  # s between two looks at the clocks
FORGET = 3600.0  # s between two looks for what is old

log = logging.getLogger(__name__)


def casework(book: Callable[[], Casebook], decision_days: int, case_days: int) -> Casework:
    """The casework of a casebook.

    Args:
        book: What is in service; may raise why there is none yet.
        decision_days, case_days: Until decisions and resolved cases are forgotten.
    """
    return Casework(
        lambda: Clocks(book(), decision_days, case_days),
        lambda: Delivery(Outbox(book().opened), lambda: book().roster()),
    )


class Casework:
    """Tells people and keeps the clocks, until it is stopped.

    Args:
        clocks: Of the cases in service, now; may raise why there are none yet.
        delivery: Sends what is to be told.
        every: Seconds between two looks.
    """

    def __init__(
        self, clocks: Callable[[], Clocks], delivery: Callable[[], Delivery], every: float = EVERY
    ) -> None:
        self._clocks, self._made, self._every = clocks, delivery, every
        self._delivery: Delivery | None = None
        self._stop = Event()
        self._thread: Thread | None = None
        self._forgot = -FORGET
        self._warned: tuple[Roster, str] | None = None

    def start(self) -> None:
        """Begins, in a thread of its own."""
        self._thread = Thread(target=self.run, name="casework", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends; what is being sent is waited for."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * self._every + 5)
        if self._delivery is not None:
            self._delivery.stop()
            self._delivery = None

    def run(self) -> None:
        """Works until it is stopped. The edge: what goes wrong is told and tried again."""
        while not self._stop.wait(self._every):
            try:
                self.step()
            except StoreFailed as error:
                log.error("the clocks of cases stand still: %s", error.detail)
            except TriageError as error:
                log.debug("no casework yet: %s", error.detail)
            except Exception as error:
                log.error("casework failed: %s", type(error).__name__)

    def step(self) -> None:
        """What is due now.

        Raises:
            StoreFailed: The store can't be used.
        """
        clocks = self._clocks()
        self._warn(clocks.book)
        if self._delivery is None:
            self._delivery = self._made()
        self._delivery.tend()
        clocks.tick()
        if monotonic() - self._forgot >= FORGET:
            self._forgot = monotonic()
            clocks.forget()

    def _warn(self, book: Casebook) -> None:
        """Says whom nobody reaches, whenever the roster or the policy is another."""
        roster, policy = book.roster(), book.policy()
        if self._warned != (roster, policy.digest):
            self._warned = roster, policy.digest
            for one in problems(roster, policy):
                log.warning("%s", one)
