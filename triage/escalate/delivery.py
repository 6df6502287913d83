"""Delivery: takes messages out of the outbox and sends them, each target by threads of its own.

A target that hangs or refuses holds up nobody else's messages. It is sent no more in a minute than
it takes, and left alone for a while after failures in a row; neither counts as an attempt.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from time import monotonic, time

from pybreaker import CircuitBreaker, CircuitBreakerError, CircuitMemoryStorage
from pyrate_limiter import Duration, Limiter, Rate

from triage.errors import StoreFailed
from triage.escalate.outbox import OneSender, Outbox, Taken
from triage.escalate.roster import Roster, Target
from triage.escalate.sending import Result, Sender, sender

FAILURES = 5  # in a row, until a target is left alone
ALONE = 10.0  # s that it is, until one message tries again
IDLE = 0.25  # s between two looks for what is due
AGAIN = 1.0  # s until a store that couldn't be used is tried again

log = logging.getLogger(__name__)


class Failed(Exception):
    """An attempt that failed, for the breaker to count."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.code)
        self.result = result


class _Steady(CircuitMemoryStorage):
    """A breaker's memory whose time is not turned by turning the clock.

    The library takes the time of the day, so after an hour back a target would be left alone for
    an hour.
    """

    def __init__(self) -> None:
        super().__init__("closed")
        self._opened = monotonic()

    @property
    def opened_at(self) -> datetime | None:
        return datetime.now(UTC) - timedelta(seconds=monotonic() - self._opened)

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:
        self._opened = monotonic()


class Gate:
    """What stands before a target: its rate, and its breaker.

    Args:
        target: Its terms.
        alone: Seconds that it is left alone after failures in a row.
    """

    def __init__(self, target: Target, alone: float = ALONE) -> None:
        # By the monotonic clock, which is the library's own choice.
        self._limiter = Limiter(Rate(target.per_minute, Duration.MINUTE))
        self._breaker = CircuitBreaker(
            fail_max=FAILURES,
            reset_timeout=alone,
            state_storage=_Steady(),
            throw_new_error_on_trip=False,
        )

    def has_room(self) -> bool:
        """Whether the target takes another message in this minute; counts it if so."""
        return bool(self._limiter.try_acquire("target", blocking=False))

    @property
    def is_open(self) -> bool:
        """Whether the target has failed and is left alone, or tried by one message."""
        return self._breaker.current_state != "closed"

    def through(self, send: Callable[[], Result]) -> Result | None:
        """Makes an attempt, if the target isn't left alone now; None if it is.

        While all is well attempts go side by side; the library would hold each until the one
        before has ended, so it is only told of what came of them.
        """
        if self.is_open:
            with suppress(CircuitBreakerError):
                return self._counted(send)
            return None
        result = send()
        with suppress(CircuitBreakerError):  # others have opened it meanwhile
            self._counted(lambda: result)
        return result

    def _counted(self, send: Callable[[], Result]) -> Result:
        try:
            found: Result = self._breaker.call(_raising, send)
        except Failed as error:
            return error.result
        return found


def _raising(send: Callable[[], Result]) -> Result:
    result = send()
    if not result.is_sent:
        raise Failed(result)
    return result


@dataclass(frozen=True, slots=True)
class _Lane:
    """A target with its threads."""

    target: Target
    stop: Event
    threads: tuple[Thread, ...]


class Delivery:
    """Sends what is in the outbox until it is stopped.

    Args:
        outbox: What there is to send.
        roster: Where to, now.
        now: The clock, s since 1970.
        senders: Makes the way to a target.
        idle: Seconds between two looks for what is due.
        alone: Seconds that a target is left alone after failures in a row.
    """

    def __init__(
        self,
        outbox: Outbox,
        roster: Callable[[], Roster],
        now: Callable[[], float] = time,
        senders: Callable[[Target], Sender] = sender,
        idle: float = IDLE,
        alone: float = ALONE,
    ) -> None:
        self._outbox, self._roster, self._now = outbox, roster, now
        self._senders, self._idle, self._alone = senders, idle, alone
        self._place = OneSender(outbox.opened)
        self._lanes: dict[str, _Lane] = {}

    def tend(self) -> bool:
        """Starts and ends threads as the roster wants them; to be called again and again.

        Returns:
            Whether this process is one that sends.
        """
        if not self._place.taken():
            return False
        wanted: Mapping[str, Target] = self._roster().targets
        for name, lane in list(self._lanes.items()):
            if wanted.get(name) != lane.target:
                lane.stop.set()
                del self._lanes[name]
        for name, target in wanted.items():
            if name not in self._lanes:
                self._lanes[name] = self._lane(name, target)
        return True

    def stop(self, patience: float = 15.0) -> None:
        """Ends all threads; what they are sending is waited for."""
        for lane in self._lanes.values():
            lane.stop.set()
        end = monotonic() + patience
        for lane in self._lanes.values():
            for thread in lane.threads:
                thread.join(max(end - monotonic(), 0.0))
        self._lanes = {}
        self._place.left()

    def _lane(self, name: str, target: Target) -> _Lane:
        stop, gate, way = Event(), Gate(target, self._alone), self._senders(target)
        threads = tuple(
            Thread(target=self._run, args=(name, gate, way, stop), name=f"to-{name}", daemon=True)
            for _ in range(target.at_once)
        )
        for thread in threads:
            thread.start()
        return _Lane(target, stop, threads)

    def _run(self, name: str, gate: Gate, way: Sender, stop: Event) -> None:
        """The edge of a thread: whatever goes wrong is told and tried again, for ever."""
        down = False
        while not stop.is_set():
            try:
                worked = self._step(name, gate, way, stop)
            except StoreFailed as error:
                if not down:  # once: it may take hours
                    log.error("nothing can be sent to %s: %s", name, error.detail)
                down = True
                stop.wait(AGAIN)
            except Exception as error:
                log.error("sending to %s failed: %s", name, type(error).__name__)
                stop.wait(AGAIN)
            else:
                down = False
                if not worked:
                    stop.wait(self._idle)

    def _step(self, name: str, gate: Gate, way: Sender, stop: Event) -> bool:
        """Sends one message, if one is due and may be; whether it did."""
        if not self._outbox.is_waiting(name) or not gate.has_room():
            return False
        with self._outbox.next(name) as taken:
            if taken is None:
                return False
            result = gate.through(lambda: way.send(taken.message, taken.at, self._now()))
            if result is None:
                return False
            if not result.is_sent:
                log.warning("message %s to %s: %s", taken.message.id, name, result.code)
            self._marked(taken, result, stop)
            return True

    def _marked(self, taken: Taken, result: Result, stop: Event) -> None:
        """Writes down what came of an attempt, as often as it takes: it must not be sent twice."""
        try:
            taken.mark(result)
        except StoreFailed:
            while not stop.wait(AGAIN):
                try:
                    self._outbox.settle(taken, result)
                except StoreFailed:
                    continue
                return
