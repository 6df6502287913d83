"""What the service counts, for Prometheus. Labels are names of ours, never a caller's.

BentoML counts requests by their path, and a path can be anything, somebody's name too. So its
own counting is off, and this stands in its place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from triage.drift import Drift, compare
from triage.errors import StoreFailed, TriageError
from triage.escalate.figures import figures
from triage.guard import Answer, Refusal
from triage.http.case_metrics import CaseGauges
from triage.live import read
from triage.process import Processor

CONTENT_TYPE = CONTENT_TYPE_LATEST

# s; from one short text to a recording of hours.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)

RECORDINGS = Counter(
    "triage_recordings", "Recordings decided, by endpoint and tier.", ("way", "tier")
)
REFUSALS = Counter("triage_refusals", "Recordings and requests refused, by problem.", ("slug",))
STAGE_FAILURES = Counter("triage_stage_failures", "Stages that failed.", ("stage",))
AUDIO_SECONDS = Counter("triage_audio_seconds", "Seconds of audio scored.")
SCORING = Histogram(
    "triage_scoring_seconds", "Scoring, deciding and auditing.", ("way",), buckets=_SECONDS
)
REQUESTS = Counter("triage_http_requests", "Requests answered.", ("route", "status"))
LATENCY = Histogram(
    "triage_http_request_seconds",
    "From a request's head to its answer's end.",
    ("route",),
    buckets=_SECONDS,
)
IN_HAND = Gauge(
    "triage_http_requests_in_hand", "Requests in progress.", multiprocess_mode="livesum"
)
MODEL = Gauge(
    "triage_model_info",
    "1 for the model in service, 0 for one that was.",
    ("name", "digest"),
    multiprocess_mode="livemax",
)
RELOADS = Counter("triage_model_reloads", "Promoted models loaded, by result.", ("result",))
BEHIND = Gauge(
    "triage_model_behind",
    "1 while the promoted model can't be loaded and the one before it serves.",
    multiprocess_mode="livemax",
)
POLICY_REFUSED = Gauge(
    "triage_policy_refused",
    "1 while the policy's file can't be taken and another policy decides.",
    multiprocess_mode="livemax",
)

DRIFT_WINDOW = timedelta(hours=24)
_DRIFT: tuple[tuple[str, str, Callable[[Drift], float]], ...] = (
    ("psi", "Population stability index against the model's reference.", lambda one: one.psi),
    ("psi_by_chance", "What that index reaches without drift.", lambda one: one.chance),
    ("rows", "Live rows behind the index.", lambda one: one.rows),
)


@dataclass(frozen=True)
class LiveGauges(Collector):
    """Drift as Prometheus sees it: made anew each time, so no series of an old model stays behind.

    Attributes:
        model: The model's name.
        found: Of `triage.drift.compare`.
        failures: Writes of live counts that failed; None for one who doesn't write any.
    """

    model: str
    found: Sequence[Drift]
    failures: int | None = None

    def collect(self) -> Iterator[Metric]:
        """The gauges; a name without any live row has none."""
        for name, told, value in _DRIFT:
            gauge = GaugeMetricFamily(f"triage_drift_{name}", told, labels=("model", "name"))
            for one in self.found:
                gauge.add_metric((self.model, one.name), value(one))
            yield gauge
        if self.failures is not None:
            told = "Writes of live counts to the state folder that failed."
            yield CounterMetricFamily("triage_live_write_failures", told, self.failures)


def count_answers(way: str, answers: Sequence[Answer], seconds: float) -> None:
    """Counts what came the guarded way.

    Args:
        way: The endpoint.
        answers: As given out.
        seconds: How long they took together.
    """
    SCORING.labels(way).observe(seconds)
    for answer in answers:
        if isinstance(answer, Refusal):
            count_refusal(answer.error)
            continue
        RECORDINGS.labels(way, answer.decision.tier).inc()
        AUDIO_SECONDS.inc(answer.scores.seconds or 0.0)
        for stage in answer.scores.failures:
            STAGE_FAILURES.labels(stage).inc()


def count_refusal(error: TriageError) -> None:
    """Counts what was refused: a recording, or a request before any recording was seen in it."""
    REFUSALS.labels(error.slug).inc()


def count_request(route: str, status: int, seconds: float) -> None:
    """Counts one request by the pattern of its route, not by its path."""
    REQUESTS.labels(route, str(status)).inc()
    LATENCY.labels(route).observe(seconds)


def exposition(processor: Callable[[], Processor]) -> bytes:
    """All of it in Prometheus' text format; of every worker, where `bentoml serve` runs several.

    Args:
        processor: What answers now, whose drift is to be in it; may raise why it isn't there.
    """
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry) + _drift(processor) + _cases(processor)


def _drift(processor: Callable[[], Processor]) -> bytes:
    """From the files of all workers, so that each of them tells the same, after a restart too."""
    try:
        found = processor()
    except TriageError:
        return b""  # the models are still being loaded, or can't be
    window = found.live
    live = read(window.folder, window.reference, datetime.now(UTC) - DRIFT_WINDOW)
    drift = compare(window.reference, live.total)
    return generate_latest(LiveGauges(found.triage.artefact.manifest.name, drift, window.failures))


def _cases(processor: Callable[[], Processor]) -> bytes:
    try:
        found = processor()
    except TriageError:
        return b""  # the models are still being loaded, or can't be
    try:
        counted = figures(found.book.opened, found.book.now())
    except StoreFailed:
        counted = None
    return generate_latest(CaseGauges(counted, found.rosters.problem))
