"""What the service counts, for Prometheus. Labels are names of ours, never a caller's.

BentoML counts requests by their path, and a path can be anything, somebody's name too. So its
own counting is off, and this stands in its place.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from triage.errors import TriageError
from triage.process import Answer, Refusal

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


def exposition() -> bytes:
    """All of it in Prometheus' text format; of every worker, where `bentoml serve` runs several."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
