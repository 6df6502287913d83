"""How long people wait for a look: a formula, and a run of events to hold it against.

Recordings come at random (Poisson) and one of c reviewers takes each in turn. For reviews of
random length (exponential) the wait is Erlang's (A. K. Erlang, 1917); for others it is taken to be
(1 + v) / 2 times that, v the squared coefficient of variation (A. M. Lee and P. A. Longton, 1959),
which is exact for one reviewer. Its tail is taken to fall exponentially, as Erlang's does.

The formula is for queues that never close. `simulated` knows closing times, and checks the formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from triage.policy.hours import Hours
from triage.policy.surroundings import Queue

if TYPE_CHECKING:
    from collections.abc import Generator

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday, on which runs begin
RUNS = 5
WARM_UP = 0.2  # of a run that isn't counted: it begins with nobody waiting
MOST_EVENTS = 20_000  # recordings of a run that checks a figure
FEW_EVENTS = 3_000  # of one that draws a curve


@dataclass(frozen=True, slots=True)
class Crew:
    """Who works a queue.

    Attributes:
        reviewers: How many look at once.
        hours: Mean length of a review, with all that keeps them from the next one.
        variation: Squared coefficient of variation of that length: 1 exponential, 0 constant.
        open: When they work; always if None.
    """

    reviewers: int
    hours: float
    variation: float = 1.0
    open: Hours | None = None

    @classmethod
    def of(cls, queue: Queue, minutes: float, capacity: int | None = None) -> Crew:
        """As many as it takes to do a queue's reviews a day in its hours, none idle for long.

        Args:
            queue: Whose hours and capacity are taken.
            minutes: That a review takes by itself.
            capacity: Reviews a day, in place of the queue's.
        """
        a_day = capacity or queue.capacity
        open_ = open_hours(queue.hours)
        reviewers = max(1, math.ceil(a_day * minutes / 60 / open_))
        return cls(reviewers, reviewers * open_ / a_day, open=queue.hours)


@dataclass(frozen=True, slots=True)
class Wait:
    """How long it takes until somebody looks.

    Attributes:
        mean: Hours; infinite where more comes than can be looked at.
        late: Share that waits longer than the deadline, 0..1.
        low, high: 95 % interval of the mean, of a run of events; the mean itself of the formula.
    """

    mean: float
    late: float
    low: float
    high: float


def open_hours(hours: Hours | None) -> float:
    """Hours of an average day in which a queue is worked."""
    return 24.0 * (hours.share if hours else 1.0)


def erlang_c(load: float, servers: int) -> float:
    """Probability that somebody who comes must wait.

    Args:
        load: Arrivals by mean service, under `servers`.
        servers: How many there are.
    """
    blocked = 1.0  # Erlang's B, by its recursion
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def formula(a_day: float, crew: Crew, deadline: float) -> Wait:
    """The wait in a queue that never closes.

    Args:
        a_day: Recordings a day.
        crew: Who looks; their closing times are left out of account.
        deadline: Hours.
    """
    arrivals = a_day / 24
    load = arrivals * crew.hours
    if load >= crew.reviewers:
        return Wait(math.inf, 1.0, math.inf, math.inf)
    waits = erlang_c(load, crew.reviewers)
    mean = waits * crew.hours / (crew.reviewers - load) * (1 + crew.variation) / 2
    late = waits * math.exp(-deadline * waits / mean) if mean > 0 else 0.0
    return Wait(mean, late, mean, mean)


def wait(a_day: float, crew: Crew, deadline: float) -> Wait:
    """The wait by the formula, or by a short run of events where the queue has closing times."""
    if crew.open is None:
        return formula(a_day, crew, deadline)
    return simulated(a_day, crew, deadline, events=FEW_EVENTS)


def simulated(
    a_day: float, crew: Crew, deadline: float, *, events: int = MOST_EVENTS, seed: int = 0
) -> Wait:
    """The wait by running the queue, event by event.

    Args:
        a_day, crew, deadline: As in `formula`; closing times are kept.
        events: Recordings of a run.
        seed: Of all chance.
    """
    if a_day == 0:
        return Wait(0.0, 0.0, 0.0, 0.0)
    if a_day * crew.hours >= crew.reviewers * open_hours(crew.open):
        return Wait(math.inf, 1.0, math.inf, math.inf)
    runs = [_run(a_day, crew, events, Random(seed + n)) for n in range(RUNS)]  # noqa: S311 - a trial
    means = np.array([run.mean() for run in runs])
    spread = 2.776 * means.std(ddof=1) / math.sqrt(RUNS)  # Student's t of 4 degrees
    mean, late = float(means.mean()), float(np.mean([(run > deadline).mean() for run in runs]))
    return Wait(mean, late, max(mean - spread, 0.0), mean + spread)


def _run(
    a_day: float, crew: Crew, events: int, chance: Random
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Waits of one run, in hours, after its warm-up."""
    import simpy

    world, waits = simpy.Environment(), list[float]()
    reviewers = simpy.Resource(world, crew.reviewers)

    def look() -> Generator[Any, Any, None]:
        came = world.now
        with reviewers.request() as turn:
            yield turn
            yield world.timeout(_closed_for(crew.open, world.now))
            waits.append(world.now - came)
            yield world.timeout(_length(crew, chance))

    def come() -> Generator[Any, Any, None]:
        for _ in range(events):
            yield world.timeout(chance.expovariate(a_day / 24))
            world.process(look())

    world.process(come())
    world.run()
    return np.array(waits[int(WARM_UP * len(waits)) :])


def _length(crew: Crew, chance: Random) -> float:
    if crew.variation == 0:
        return crew.hours
    return chance.gammavariate(1 / crew.variation, crew.variation * crew.hours)


def _closed_for(hours: Hours | None, now: float) -> float:
    """Hours from a time of a run until the queue is open."""
    if hours is None:
        return 0.0
    at = START + timedelta(hours=now)
    return (hours.opens(at) - at) / timedelta(hours=1)
