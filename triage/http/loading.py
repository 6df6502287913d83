"""Loading the models beside the event loop, which can say meanwhile that they aren't there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread

from triage.errors import TriageError
from triage.http.problems import NotReady
from triage.process import Processor

log = logging.getLogger(__name__)


class Loading:
    """A processor that is being loaded, is there, or couldn't be.

    Args:
        load: Loads it; called once, in a thread of its own.
    """

    def __init__(self, load: Callable[[], Processor]) -> None:
        self._load = load
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
        """Calls back once the processor is there or couldn't be loaded."""
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
        if not self._loaded.done():
            raise NotReady("The models are still being loaded. Try again in a few seconds.")
        return self._loaded.result()

    def _run(self) -> None:
        """The edge of loading: what stops it is kept for whoever asks, and told once in the log."""
        try:
            processor = self._load()
        except TriageError as error:
            log.error("the models can't be loaded: %s", error.detail)
            self._loaded.set_exception(error)
        except Exception as error:
            log.exception("the models can't be loaded")  # no caller's recording was there yet
            self._loaded.set_exception(error)
        else:
            self._loaded.set_result(processor)
