"""Several works side by side in one thread, so that what they ask for is answered in batches.

A work is a generator: it yields what it asks for, is sent the answer, and returns its result. So
it reads as if it were alone, and nothing in it knows of the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Reply = TypeVar("Reply")
Result = TypeVar("Result")

Work = Generator[Ask, Reply, Result]


@dataclass(frozen=True, slots=True)
class Batches(Generic[Ask, Reply]):
    """How asks are answered.

    Attributes:
        answer: Answers several of one kind.
        kind: Only those of one kind are answered together.
        size: Those nearest in size are answered together.
        most: How many at once.
        begun: How many works may be under way; each may hold much memory.
    """

    answer: Callable[[Sequence[Ask]], Sequence[Reply]]
    kind: Callable[[Ask], int]
    size: Callable[[Ask], int]
    most: int = 8
    begun: int = 16


@dataclass(frozen=True, slots=True, eq=False)
class _Asking(Generic[Ask, Reply, Result]):
    """A work that waits for an answer."""

    place: int
    work: Work[Ask, Reply, Result]
    ask: Ask


def together(
    works: Iterable[Work[Ask, Reply, Result]], batches: Batches[Ask, Reply]
) -> list[Result | Exception]:
    """Runs works to their end.

    Args:
        works: Begun when it is their turn.
        batches: How what they ask for is answered. What `answer` raises for a batch is tried
            again one by one, and what it raises for one ask is raised in the work that asked.

    Returns:
        In their order what each returned, or what it raised.
    """
    coming = enumerate(works)
    asking: list[_Asking[Ask, Reply, Result]] = []
    done: dict[int, Result | Exception] = {}

    def resume(place: int, work: Work[Ask, Reply, Result], step: Callable[[], Ask]) -> None:
        try:
            asking.append(_Asking(place, work, step()))
        except StopIteration as end:
            done[place] = end.value
        except Exception as error:
            done[place] = error

    while True:
        while len(asking) < batches.begun and (new := next(coming, None)):
            place, work = new
            resume(place, work, partial(next, work))
        if not asking:
            return [done[place] for place in range(len(done))]
        batch = _next_batch(asking, batches)
        for one, step in zip(batch, _steps(batch, batches.answer), strict=True):
            asking.remove(one)
            resume(one.place, one.work, step)


def _next_batch(
    asking: Sequence[_Asking[Ask, Reply, Result]], batches: Batches[Ask, Reply]
) -> list[_Asking[Ask, Reply, Result]]:
    """The smallest of the kind that most are asking for."""
    kinds = defaultdict(list)
    for one in asking:
        kinds[batches.kind(one.ask)].append(one)
    most = max(kinds.values(), key=len)
    return sorted(most, key=lambda one: batches.size(one.ask))[: batches.most]


def _steps(
    batch: Sequence[_Asking[Ask, Reply, Result]],
    answer: Callable[[Sequence[Ask]], Sequence[Reply]],
) -> list[Callable[[], Ask]]:
    """How each goes on: with its answer, or with what went wrong when it was asked for alone."""
    try:
        replies = answer([one.ask for one in batch])
    except Exception as error:
        if len(batch) > 1:
            return [step for one in batch for step in _steps([one], answer)]
        return [partial(batch[0].work.throw, error)]
    return [partial(one.work.send, reply) for one, reply in zip(batch, replies, strict=True)]
