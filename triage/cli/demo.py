"""`triage demo`: the service from start to stop, on the samples that ship with the source.

What it writes (key, audit) goes to a folder of its own, which is gone at the end.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
from rich.console import Console

from triage.archive.read import read
from triage.cli.exits import Exit
from triage.cli.score import is_incomplete
from triage.cli.tables import Results, plain_console
from triage.errors import SetupError
from triage.records import Recording
from triage.safeguards.audit import verify
from triage.settings import PROJECT

SAMPLES = PROJECT / "data" / "samples" / "manifest.jsonl"
START_SECONDS = 120  # a slow disk, a cold cache, two models
STOP_SECONDS = 20
ANSWER_SECONDS = 120
POLL_SECONDS = 0.1
LOG_LINES = 20  # of the service, told when it doesn't start


def run() -> Exit:
    """Starts the service, scores the samples over HTTP, prints a table, stops the service.

    Returns:
        `Exit.INCOMPLETE` if any sample wasn't scored.

    Raises:
        SetupError: The samples aren't there, or the service doesn't start.
    """
    if not SAMPLES.is_file():
        raise SetupError("The samples ship with the source, not with the package. Run it there.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the service would live on
    samples = [entry for entry in read([SAMPLES]) if isinstance(entry, Recording)]
    console = plain_console()
    with tempfile.TemporaryDirectory(prefix="triage-demo-") as folder:
        began = monotonic()
        with service(Path(folder), console) as url:
            console.print(f"Service ready in {monotonic() - began:.1f} s on {url}")
            began = monotonic()
            answers = post(samples, url, console)
            took = monotonic() - began
        entries = verify(Path(folder) / "audit.jsonl").entries
    results = Results(console)
    for answer in answers:
        results.add(answer)
    results.print()
    failed = sum(map(is_incomplete, answers))
    console.print(
        f"{len(answers) - failed} of {len(answers)} scored in {took:.1f} s; {entries} entries in "
        "the audit log, its chain holds. Service stopped.",
    )
    return Exit.INCOMPLETE if failed else Exit.DONE


def post(samples: Sequence[Recording], url: str, console: Console) -> list[dict[str, Any]]:
    """Sends each sample to `POST /score`; an answer, or a problem in its place, for each."""
    answers = []
    with httpx.Client(base_url=url, timeout=ANSWER_SECONDS) as client, console.status("") as status:
        for number, sample in enumerate(samples, 1):
            status.update(f"Scoring {number} of {len(samples)} over HTTP")
            response = client.post("/score", **_form(sample))
            body = response.json()
            ok = response.status_code == httpx.codes.OK
            answers.append(body if ok else {"recording": sample.id, "error": body})
    return answers


def _form(sample: Recording) -> dict[str, Any]:
    fields = {"id": sample.id} | ({"transcript": sample.transcript} if sample.transcript else {})
    if not isinstance(sample.audio, Path):
        return {"json": fields}
    return {"data": fields, "files": {"audio": (sample.audio.name, sample.audio.read_bytes())}}


@contextmanager
def service(state: Path, console: Console) -> Iterator[str]:
    """The service as a process of its own, ready; stopped on the way out.

    Args:
        state: Folder for its key, its audit and its log.
        console: Where to say what is going on.

    Yields:
        Its URL.

    Raises:
        SetupError: It ended, or wasn't ready in time.
    """
    port = free_port()
    command = [sys.executable, "-m", "triage", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (state / "service.log").open("w+b") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TRIAGE_STATE": str(state)},
            start_new_session=True,  # Ctrl-C comes here first, and stops the service in order
        )
        try:
            with console.status("Starting the service and loading the models"):
                _wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, state / "service.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            with console.status("Stopping the service"):
                _stop(process)


def free_port() -> int:
    """A port of the loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = monotonic() + START_SECONDS
    while monotonic() < until:
        if process.poll() is not None:
            raise SetupError(f"The service ended with {process.returncode}:\n{_tail(log)}")
        try:
            if httpx.get(url, timeout=POLL_SECONDS * 10).is_success:
                return
        except httpx.TransportError:
            pass  # not listening yet
        sleep(POLL_SECONDS)
    raise SetupError(
        f"The service isn't ready after {START_SECONDS} s:\n{_tail(log)}", limit=START_SECONDS
    )


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the service to end, and makes it and all of its processes end if it doesn't."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
