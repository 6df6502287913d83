"""Casework for Prometheus: what waits, how long people take, what wasn't delivered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from triage.escalate.figures import BOUNDS, Delivered, Figures, Spans


@dataclass(frozen=True)
class CaseGauges(Collector):
    """Casework as Prometheus sees it, from the store.

    Attributes:
        found: What was counted; None if the store can't be read.
        roster_problem: Why the roster's file isn't what is in service; empty if it is.
    """

    found: Figures | None
    roster_problem: str = ""

    def collect(self) -> Iterator[Metric]:
        """The gauges; of the store's only that it is down, if it is."""
        told = "1 while the store of cases can be read."
        yield GaugeMetricFamily("triage_store_up", told, self.found is not None)
        told = "1 while the roster's file can't be taken and the one before is in service."
        yield GaugeMetricFamily("triage_roster_refused", told, bool(self.roster_problem))
        if self.found is not None:
            yield from _cases(self.found)
            yield from _delivered(self.found.delivered)


def _cases(found: Figures) -> Iterator[Metric]:
    by = ("tier", "queue")
    cases = GaugeMetricFamily("triage_cases_open", "Cases that aren't resolved.", labels=by)
    waiting = GaugeMetricFamily(
        "triage_cases_waiting", "Cases that nobody has acknowledged.", labels=by
    )
    late = GaugeMetricFamily("triage_cases_late", "Of those, past their deadline now.", labels=by)
    oldest = GaugeMetricFamily(
        "triage_cases_oldest_seconds", "Age of the first that waits.", labels=by
    )
    for one in found.open:
        key = (one.tier, one.queue)
        cases.add_metric(key, one.cases)
        waiting.add_metric(key, one.waiting)
        late.add_metric(key, one.late)
        oldest.add_metric(key, one.oldest)
    yield from (cases, waiting, late, oldest)
    missed = CounterMetricFamily(
        "triage_deadlines_missed", "Deadlines passed unacknowledged.", labels=("tier",)
    )
    for tier, count in found.missed.items():
        missed.add_metric((tier,), count)
    yield missed
    yield _histogram("acknowledge", found.acknowledged)
    yield _histogram("resolve", found.resolved)


def _delivered(found: Sequence[Delivered]) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "triage_messages", "Messages by target and state.", labels=("target", "state")
    )
    failures = CounterMetricFamily(
        "triage_delivery_failures", "Attempts that failed.", labels=("target",)
    )
    oldest = GaugeMetricFamily(
        "triage_messages_oldest_seconds", "Age of the first that waits.", labels=("target",)
    )
    for one in found:
        for state in ("waiting", "sent", "dead"):
            states.add_metric((one.target, state), getattr(one, state))
        failures.add_metric((one.target,), one.failures)
        oldest.add_metric((one.target,), one.oldest)
    yield from (states, failures, oldest)


def _histogram(what: str, found: Sequence[Spans]) -> HistogramMetricFamily:
    told = f"From a case's clock's begin to {what}, of cases that are kept."
    family = HistogramMetricFamily(f"triage_time_to_{what}_seconds", told, labels=("tier",))
    for one in found:
        bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
        buckets = list(zip(bounds, map(float, one.counts), strict=True))
        family.add_metric((one.tier,), buckets, one.total)
    return family
