"""A receiver of webhooks on this machine that behaves as it is told to, and counts what arrives."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import time
from typing import Any

from standardwebhooks import Webhook

SECRET = f"whsec_{base64.b64encode(b'a secret of the tests, and long').decode()}"

OK, ERROR, BUSY, HANG, DROP, REFUSE = "ok", "500", "429", "hang", "drop", "refuse"

# What it does with a message: by its id, and how often that came before.
Behaviour = Callable[[str, int], str]


@dataclass
class Receiver:
    """What arrived.

    Attributes:
        behave: What it does next.
        arrived: How often each message was accepted, by its id. DROP accepts, and doesn't say so.
        calls: How often each came at all.
        bodies: Of those that were accepted.
        order: Their ids, in the order of their arrival.
        first: When each was accepted for the first time, s since 1970.
        hang: Seconds that HANG takes.
        retry_after: Seconds that BUSY asks for.
        wrong: Messages whose signature didn't hold.
    """

    behave: Behaviour = lambda _id, _before: OK
    arrived: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    first: dict[str, float] = field(default_factory=dict)
    hang: float = 3.0
    retry_after: int = 1
    wrong: int = 0
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, id: str, content: bytes, headers: dict[str, str]) -> str:
        with self._lock:
            what = self.behave(id, self.calls[id])
            self.calls[id] += 1
            try:
                Webhook(SECRET).verify(content, headers)
            except Exception:
                self.wrong += 1
                return ERROR
            if what in (OK, DROP):
                self.arrived[id] += 1
                self.bodies[id] = json.loads(content)
                self.order.append(id)
                self.first.setdefault(id, time())
        return what


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    """Starts it; its address is in `url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            what = receiver.take(self.headers["webhook-id"], content, dict(self.headers))
            if what == HANG:
                receiver.closing.wait(receiver.hang)
                what = REFUSE
            if what in (DROP, REFUSE):
                # A reset and no farewell: the connection is gone, as if a cable was cut.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                return
            self.send_response(200 if what == OK else int(what))
            if what == BUSY:
                self.send_header("Retry-After", str(receiver.retry_after))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        server.shutdown()
        server.server_close()
