"""Timings of things that take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import sleep

PAUSE = 0.3  # s between runs: OpenMP's threads go on spinning for 0.2 s after their work


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


def in_turn(
    runs: Mapping[str, Callable[[], float]], repeats: int, pause: float
) -> dict[str, list[float]]:
    """Times several things A B A B, so that what else the machine does strikes all alike.

    Args:
        runs: By name; each runs once and gives the seconds that it took.
        repeats: How often each, after a run that is not counted.
        pause: Seconds between two runs.

    Returns:
        By name, `repeats` timings in the order of the rounds.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(1 + repeats):
        for name, run in runs.items():
            taken[name].append(run())
            sleep(pause)
    return {name: seconds[1:] for name, seconds in taken.items()}


def ratios(slow: Sequence[float], fast: Sequence[float]) -> Spread:
    """How many times as long the one took as the other, round by round."""
    return Spread.of([one / other for one, other in zip(slow, fast, strict=True)])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` (in 0..1) of the values don't exceed."""
    return sorted(values)[max(0, -(-round(share * 1000) * len(values) // 1000) - 1)]
