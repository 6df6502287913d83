"""Loading models beside the event loop: the first ones, and those that are promoted later on.

A promoted model is loaded beside the one that serves, and takes its place only when it is whole.
A request asks for the processor once and keeps it to its end, so none sees two models, and the
old one is gone when the last request that asked for it is. For that while both are in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from time import monotonic, sleep

from triage.errors import TriageError
from triage.http import metrics
from triage.http.problems import NotReady
from triage.manifest import Manifest
from triage.model_store import DIGITS
from triage.process import Processor

EVERY = 2.0  # s between two looks at what was promoted
AGAIN = 60.0  # s until what couldn't be loaded is tried again: a disk may be back by then

log = logging.getLogger(__name__)


class Loading:
    """A processor that is being loaded, is there, or couldn't be; and the ones after it.

    Args:
        load: Loads it; called in a thread of its own.
        to_follow: Digest of the model that should be there, or None if that isn't to be followed.
            Must not raise.
        every: Seconds between two calls of it.
        again: Seconds until a model that couldn't be loaded is tried again.
    """

    def __init__(
        self,
        load: Callable[[], Processor],
        to_follow: Callable[[], str | None] = lambda: None,
        *,
        every: float = EVERY,
        again: float = AGAIN,
    ) -> None:
        self._load = load
        self._to_follow = to_follow
        self._every, self._again = every, again
        self._lock = Lock()
        self._thread: Thread | None = None
        self._loaded: Future[Processor] = Future()

    def start(self) -> None:
        """Begins to load, the first time that it is called."""
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="loading", daemon=True)
                self._thread.start()

    def when_done(self, call: Callable[[], None]) -> None:
        """Calls back once the first processor is there or couldn't be loaded."""
        self._loaded.add_done_callback(lambda _: call())

    @property
    def ready(self) -> bool:
        """Whether the processor is there."""
        return self._loaded.done() and self.error is None

    @property
    def error(self) -> BaseException | None:
        """Why it couldn't be loaded, if that is so."""
        return self._loaded.exception() if self._loaded.done() else None

    def processor(self) -> Processor:
        """The processor.

        Raises:
            NotReady: It isn't there yet.
            SetupError: It couldn't be loaded: what is missing or refused, and what to do.
        """
        loaded = self._loaded
        if not loaded.done():
            raise NotReady("The models are still being loaded. Try again in a few seconds.")
        return loaded.result()

    def _run(self) -> None:
        """Loads the first processor, then follows what is promoted as long as the process lives."""
        self._fill(self._loaded)
        self._tell(None)
        failed, since = (None if self.ready else self._to_follow()), monotonic()
        while True:
            sleep(self._every)
            wanted, serving = self._to_follow(), self._manifest()
            if wanted is None or (serving is not None and serving.digest == wanted):
                metrics.BEHIND.set(0)
            elif wanted != failed or monotonic() - since >= self._again:
                failed, since = (None if self._replace() else wanted), monotonic()

    def _replace(self) -> bool:
        """Loads a processor beside the one that serves; only if that went well, it takes over."""
        before = self._manifest()
        fresh: Future[Processor] = Future()
        self._fill(fresh)
        failed = fresh.exception() is not None
        if not failed or before is None:
            self._loaded = fresh
            self._tell(before)
        else:
            log.error("%s goes on serving, and not the model that was promoted", before.name)
        metrics.RELOADS.labels("failed" if failed else "done").inc()
        metrics.BEHIND.set(failed)
        return not failed

    def _fill(self, place: Future[Processor]) -> None:
        """The edge of loading: what stops it is kept for whoever asks, and told in the log."""
        try:
            processor = self._load()
        except TriageError as error:
            log.error("the models can't be loaded: %s", error.detail)
            place.set_exception(error)
        except Exception as error:
            log.exception("the models can't be loaded")  # no caller's recording takes part in it
            place.set_exception(error)
        else:
            place.set_result(processor)

    def _manifest(self) -> Manifest | None:
        return self._loaded.result().triage.artefact.manifest if self.ready else None

    def _tell(self, before: Manifest | None) -> None:
        if before is not None:
            metrics.MODEL.labels(before.name, before.digest).set(0)
        if (now := self._manifest()) is not None:
            metrics.MODEL.labels(now.name, now.digest).set(1)
            log.info("model %s (%s) is in service", now.name, now.digest[:DIGITS])
