"""Serving in one process: BentoML's application under uvicorn, without its arbiter.

`bentoml serve triage.service:TriageService` does the same with an arbiter that restarts workers,
a second process and two more open ports. For one worker all of that is cost.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module
from time import perf_counter

from triage.errors import BadSetting, TriageError

SERVICE = "triage.service"  # by name, as BentoML takes it: it is the room above this one
FAREWELL = 30  # s that requests at work have to end when the service is stopped

log = logging.getLogger(__name__)


def serve(host: str, port: int) -> int:
    """Serves until SIGINT or SIGTERM.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.

    Returns:
        0 when stopped.

    Raises:
        BadSetting: The port can't be listened on.
        SetupError: Models, policy or key are missing or refused.
    """
    began = perf_counter()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), _listening(host, port) as listener:
        _run(listener, began)
    log.info("stopped")
    return 0


def _run(listener: socket.socket, began: float) -> None:
    import uvicorn

    host, port = listener.getsockname()[:2]
    log.info("loading the models")
    service = import_module(SERVICE)
    server = uvicorn.Server(
        uvicorn.Config(
            service.TriageService.to_asgi(),
            log_config=None,
            access_log=False,  # it would hold paths and queries as they came
            server_header=False,
            timeout_graceful_shutdown=FAREWELL,
        )
    )

    def loaded() -> None:
        server.should_exit = not service.loading.ready
        if service.loading.ready:
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            log.info("ready on %s after %.1f s; Ctrl-C stops it", url, perf_counter() - began)

    service.loading.when_done(loaded)
    server.run(sockets=[listener])
    if isinstance(service.loading.error, TriageError):
        raise service.loading.error


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise BadSetting(
            f"Port {port} of that address can't be listened on: {error.strerror}. Choose another "
            "with --port, or stop what listens there."
        ) from None
    # Connections inherit it; asyncio sets it only on sockets that it made. Without it, every
    # answer after a connection's first waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
