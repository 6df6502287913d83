"""The service as callers meet it: how soon it is there, how quick, how much, how large."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import httpx

from benchmarks.timing import percentile
from triage.cli.demo import free_port

PATIENCE = 120.0  # s
POLL = 0.02  # s
LIST = 100  # texts in one request

Send = Callable[[httpx.Client], httpx.Response]


@dataclass(frozen=True, slots=True)
class Running:
    """A service that is ready.

    Attributes:
        url: Where.
        pid: Its process.
        ready_after: Seconds from its start to its first yes.
    """

    url: str
    pid: int
    ready_after: float

    def megabytes(self, field: str = "VmRSS") -> float:
        """Resident memory now, or at its most (`VmHWM`), in 10^6 bytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith(field + ":"))
        return int(line.split()[1]) * 1024 / 1e6


@dataclass(frozen=True, slots=True)
class Served:
    """One kind of request, asked for many times.

    Attributes:
        request: What was asked.
        clients: How many asked at once, each waiting for its answer before it asks again.
        requests: How many were counted.
        p50, p95: Seconds to the answer.
        per_second: Recordings or texts answered in a second, by all clients together.
    """

    request: str
    clients: int
    requests: int
    p50: float
    p95: float
    per_second: float


@contextmanager
def running(state: Path) -> Iterator[Running]:
    """Starts `triage serve`, and stops it on the way out.

    Args:
        state: Folder for its key, its audit and its log.

    Raises:
        RuntimeError: It ended or isn't ready in time.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    began = perf_counter()
    with (state / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "triage", "serve", "--port", str(port)],
            stdout=log,
            stderr=log,
            env=os.environ | {"TRIAGE_STATE": str(state)},
        )
    try:
        _wait(url, process, state / "service.log")
        yield Running(url, process.pid, perf_counter() - began)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def ask(url: str, request: str, send: Send, *, clients: int, count: int, each: int = 1) -> Served:
    """Asks the same many times.

    Args:
        url: Of the service.
        request: What the request is, for the table.
        send: Sends it once.
        clients: How many ask at once.
        count: How many requests in all, after one from each client that isn't counted.
        each: How many texts or recordings one request holds.

    Raises:
        httpx.HTTPStatusError: An answer was a refusal.
    """

    def timed(_: int) -> float:
        began = perf_counter()
        send(client).raise_for_status()
        return perf_counter() - began

    with (
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
        ThreadPoolExecutor(clients) as pool,
    ):
        list(pool.map(timed, range(clients)))
        began = perf_counter()
        taken = list(pool.map(timed, range(count)))
        seconds = perf_counter() - began
    return Served(
        request,
        clients,
        count,
        percentile(taken, 0.5),
        percentile(taken, 0.95),
        count * each / seconds,
    )


def audio(file: Path) -> Send:
    """A recording in a form, as curl sends it."""
    content = file.read_bytes()

    def send(client: httpx.Client) -> httpx.Response:
        return client.post("/score", files={"audio": ("recording", content)}, data={"id": "bench"})

    return send


def words(texts: str | Sequence[str]) -> Send:
    """A text, or a list of them, as JSON."""
    body: dict[str, Any] = {"text": texts if isinstance(texts, str) else list(texts)}

    def send(client: httpx.Client) -> httpx.Response:
        return client.post("/score_text", json=body)

    return send


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = perf_counter() + PATIENCE
    while perf_counter() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with {process.returncode}:\n{log.read_text()}")
        try:
            if httpx.get(url + "/readyz", timeout=PATIENCE).is_success:
                return
        except httpx.TransportError:
            pass  # not listening yet
        sleep(POLL)
    raise RuntimeError(f"the service isn't ready after {PATIENCE:g} s")
