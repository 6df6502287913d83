"""The service as BentoML knows it: `bentoml serve triage.service:TriageService`."""

from __future__ import annotations

import logging

import bentoml
from bentoml._internal.utils.analytics.usage_stats import do_not_track
from starlette.types import Receive, Scope, Send

from triage.escalate.run import casework
from triage.http.app import build_app
from triage.http.loading import Loading
from triage.process import Processor
from triage.registry import to_follow
from triage.settings import settings

LONGEST_REQUEST = 1800  # s; four hours of audio take half of that on two cores

loading = Loading(lambda: Processor.load(settings()), lambda: to_follow(settings()))
escalating = casework(
    lambda: loading.processor().book, settings().decision_days, settings().case_days
)
_app = build_app(loading.processor, settings())

# `bentoml serve` asks whether it may report its use before it loads this, and remembers the answer.
do_not_track.cache_clear()

logging.getLogger("uvicorn.access").disabled = True  # it would hold paths and queries as they came


async def _mounted(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes every path but BentoML's probes, so that what isn't there is told in our way too.

    Of a Starlette application BentoML would mount the known paths only.
    """
    await _app(scope, receive, send)


# BentoML's own counting and logging go by the path as it came, which may hold an id.
@bentoml.service(
    name="triage",
    workers=1,
    http={"host": "127.0.0.1", "port": 3000},
    traffic={"timeout": LONGEST_REQUEST},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(_mounted, name="triage")
class TriageService:
    """Scores voice-assistant recordings by their sound and their words."""

    def __init__(self) -> None:
        loading.start()
        if settings().escalate:
            escalating.start()

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def stop(self) -> None:
        """Waits for what is being sent, so that it needn't be sent again."""
        escalating.stop()

    async def __is_ready__(self) -> bool:
        return loading.ready
