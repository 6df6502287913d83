"""`python -m benchmarks.escalations`: whether every escalation arrives, and how fast.

Ten thousand recordings are decided by two processes and told by two others, `triage escalate run`,
while all four are killed (SIGKILL) again and again and the receiver hangs, fails, asks for time and
cuts connections before and after it has accepted. Whoever decides sends a recording again until it
has an answer, as a caller would. In the end each recording has one case, and each message of it has
arrived, counted by its idempotency key. One recording in a hundred is a page (E4), for two queues.

Beside it stands what one would write in an afternoon: the process that decides posts to the
receiver itself, with three attempts. It is killed as often.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from time import monotonic, sleep, time

import numpy as np
import sqlalchemy as sa
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.receiver import BUSY, DROP, ERROR, HANG, OK, REFUSE, SECRET, Receiver, receiving
from triage.database.store import open_store
from triage.database.tables import CaseRow, NotificationRow
from triage.decisions import Decided
from triage.escalate.opening import casebook
from triage.policy.decide import decide
from triage.policy.model import Policy
from triage.records import Scores
from triage.settings import Settings
from triage.taxonomy import CATEGORIES, FLAGS

PROJECT = Path(__file__).resolve().parent.parent
COUNT = 10_000
PAUSES = (0.3, 2.0)  # s between two kills
PATIENCE = 900.0  # s until what hasn't arrived counts as lost
WAYS = ((ERROR, 0.03), (BUSY, 0.02), (HANG, 0.005), (DROP, 0.02), (REFUSE, 0.02))
ATTEMPTS = 3  # of the afternoon's way
PAGED = 100  # one recording in so many is a page
QUANTILES = (0.5, 0.95, 1.0)
AFTERNOON = "in an afternoon"
WIDTH = 150  # characters, where no terminal says


@dataclass(frozen=True, slots=True)
class Found:
    """What a run came to.

    Attributes:
        way: The database, or the afternoon's way.
        recordings: How many were decided and answered for.
        cases, messages: How many there are of them in the store.
        arrived: Messages that the receiver has, by their keys.
        told: Recordings of which it has one.
        calls: How often it was called for them.
        again: Messages that it accepted more than once.
        kills: How many processes were killed.
        seconds: From the first decision to the last arrival.
        to_page, to_tell: s from a decision to its first arrival, of pages and of the rest: median,
            95th percentile, most.
    """

    way: str
    recordings: int
    cases: int
    messages: int
    arrived: int
    told: int
    calls: int
    again: int
    kills: int
    seconds: float
    to_page: tuple[float, ...]
    to_tell: tuple[float, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is lost and nothing counted twice."""
        return self.recordings == self.cases == self.told and self.messages == self.arrived


@dataclass
class Deciding:
    """A process that decides a range of recordings, begun again where it was killed.

    Attributes:
        first, last: The range, half open.
        done: The first that isn't answered for.
    """

    command: list[str]
    environment: dict[str, str]
    first: int
    last: int
    done: int
    process: subprocess.Popen[str] | None = None
    _threads: list[Thread] = field(default_factory=list)

    def tend(self) -> None:
        if self.done >= self.last or (self.process and self.process.poll() is None):
            return
        for thread in self._threads:  # what the killed one has answered is known first
            thread.join()
        if self.done >= self.last:
            return
        self.process = subprocess.Popen(
            [*self.command, str(self.done), str(self.last)],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._threads = [Thread(target=self._read, args=(self.process,), daemon=True)]
        self._threads[0].start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            if line.endswith("\n") and line.strip().isdecimal():
                self.done = int(line) + 1


@dataclass
class Sending:
    """A process that tells, begun again where it was killed."""

    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def tend(self) -> None:
        if self.process is None or self.process.poll() is not None:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "triage", "escalate", "run"],
                env=self.environment,
                stderr=subprocess.DEVNULL,
            )


@contextmanager
def _sending(environment: dict[str, str], count: int) -> Iterator[list[Sending]]:
    senders = [Sending(environment) for _ in range(count)]
    try:
        yield senders
    finally:
        for one in senders:
            if one.process:
                one.process.terminate()
        for one in senders:
            if one.process:
                one.process.wait(60)


def produce(first: int, last: int) -> None:
    """Decides recordings and prints the number of each once it is kept, as an answer would be."""
    book = casebook(Settings())
    policy = book.policy()
    for number in range(first, last):
        one = decided(number, policy)
        with book.record([one], policy) as kept:
            book.audit.append("decision", {"id": one.id, "case": kept[0].decision.case}, one.at)
        print(number, flush=True)


def post(first: int, last: int) -> None:
    """The afternoon's way: decides, posts, and answers."""
    import httpx
    from standardwebhooks import Webhook
    from tenacity import retry, stop_after_attempt, wait_exponential_jitter

    url, policy = os.environ["RECEIVER"], casebook(Settings()).policy()

    @retry(stop=stop_after_attempt(ATTEMPTS), wait=wait_exponential_jitter(max=2), reraise=True)
    def send(id: str, content: str) -> None:
        at = datetime.now(UTC)
        signed = Webhook(SECRET).sign(id, at, content)
        headers = {"webhook-id": id, "webhook-timestamp": str(int(at.timestamp()))}
        httpx.post(
            url, content=content, headers=headers | {"webhook-signature": signed}, timeout=1.0
        ).raise_for_status()

    for number in range(first, last):
        one = decided(number, policy)
        data = {"case": one.id, "recording": one.recording, "raised_at": one.at.isoformat()}
        data["tier"] = one.decision.tier
        print(number, flush=True)  # the caller has its answer whatever becomes of the message
        with suppress(httpx.HTTPError):
            send(f"msg_{one.id}", json.dumps({"data": data}))


def decided(number: int, policy: Policy) -> Decided:
    """A recording in which violence is likely; of every hundredth, it is heard as well."""
    now, paged = datetime.now(UTC), number % PAGED == 0
    scores = Scores(
        model="bench",
        categories=dict.fromkeys(CATEGORIES, 0.01) | {"violence": 0.8},
        applied={"violence": ("text",)},
        seconds=5.0,
        event_scores=dict.fromkeys(policy.events, 0.01) | {"scream": 0.9 if paged else 0.01},
        flags=dict.fromkeys(FLAGS, False),
    )
    decision = decide(scores, policy, now)
    id = f"tri_{random.getrandbits(128):032x}"
    return Decided(id, now, "", f"rec_{number:06}", scores, decision, decision)


def measure(
    url: str, count: int, folder: Path, seed: int = 1, kills: bool = True, afternoon: bool = False
) -> Found:
    """One run.

    Args:
        url: The store.
        count: Recordings.
        folder: For policy, roster and audit.
        seed: Of all chance.
        kills: Whether processes are killed and the receiver misbehaves.
        afternoon: Whether it is the way that one would write in an afternoon.
    """
    chance = random.Random(seed)  # noqa: S311 - a trial
    environment = os.environ | {
        "TRIAGE_STORE": url,
        "TRIAGE_STATE": str(folder),
        "TRIAGE_POLICY": str(_policy(folder)),
        "HOOK_SECRET": SECRET,
        "PYTHONPATH": str(PROJECT),
    }
    with receiving(Receiver(behave=_behaviour(chance) if kills else _good, hang=2.0)) as receiver:
        environment["TRIAGE_ROSTER"] = str(_roster(folder, receiver.url))
        environment["RECEIVER"] = receiver.url
        ours = [sys.executable, "-m", "benchmarks.escalations"]
        ours.append("--post" if afternoon else "--produce")
        half = count // 2
        deciding = [
            Deciding(ours, environment, first, last, first)
            for first, last in ((0, half), (half, count))
        ]
        began = time()
        with _sending(environment, 0 if afternoon else 2) as senders:
            killed = _run(deciding, senders, receiver, count, chance if kills else None)
        return _found(url, deciding, receiver, killed, began, afternoon)


def _run(
    deciding: Sequence[Deciding],
    senders: Sequence[Sending],
    receiver: Receiver,
    count: int,
    chance: random.Random | None,
) -> int:
    """Until everything is decided and has arrived; how many processes were killed."""
    killed, end = 0, monotonic() + PATIENCE
    next_kill = monotonic() + (chance.uniform(*PAUSES) if chance else PATIENCE)
    while monotonic() < end:
        for one in deciding:
            one.tend()
        is_done = all(one.done >= one.last for one in deciding)
        left = [one for one in deciding if one.process and one.process.poll() is None]
        expected = count + -(-count // PAGED)
        if is_done and not left and (not senders or len(receiver.arrived) >= expected):
            return killed
        if chance and monotonic() >= next_kill:
            next_kill = monotonic() + chance.uniform(*PAUSES)
            victims = [one.process for one in left] + [one.process for one in senders]
            victim = chance.choice([one for one in victims if one is not None])
            with suppress(ProcessLookupError):
                victim.send_signal(signal.SIGKILL)
                killed += 1
        for sender in senders:
            sender.tend()
        sleep(0.02)
    return killed


def _found(
    url: str,
    deciding: Sequence[Deciding],
    receiver: Receiver,
    kills: int,
    began: float,
    afternoon: bool,
) -> Found:
    waits: dict[bool, list[float]] = {True: [], False: []}
    for id, body in receiver.bodies.items():
        raised = datetime.fromisoformat(body["data"]["raised_at"]).timestamp()
        waits[body["data"]["tier"] == "E4"].append(receiver.first[id] - raised)
    cases = messages = sum(one.done - one.first for one in deciding)
    if not afternoon:
        with open_store(url).connect() as connection:
            cases, messages = (
                connection.execute(sa.select(sa.func.count()).select_from(one)).scalar_one()
                for one in (CaseRow, NotificationRow)
            )
    recordings = {body["data"]["recording"] for body in receiver.bodies.values()}
    return Found(
        AFTERNOON if afternoon else url.partition(":")[0].partition("+")[0],
        sum(one.done - one.first for one in deciding),
        cases,
        messages,
        len(receiver.arrived),
        len(recordings),
        sum(receiver.calls.values()),
        sum(count > 1 for count in receiver.arrived.values()),
        kills,
        max(receiver.first.values(), default=began) - began,
        *(tuple(map(float, np.quantile(waits[paged] or [0.0], QUANTILES))) for paged in waits),
    )


def _behaviour(chance: random.Random) -> Callable[[str, int], str]:
    """Something goes wrong with one attempt in ten."""

    def behave(_id: str, _before: int) -> str:
        drawn = chance.random()
        for way, share in WAYS:
            drawn -= share
            if drawn < 0:
                return way
        return OK

    return behave


def _good(_id: str, _before: int) -> str:
    return OK


def _policy(folder: Path) -> Path:
    """The default policy, whose queues take so many."""
    told = Settings.model_fields["policy"].default.read_text()
    file = folder / "policy.yaml"
    file.write_text(told.replace("capacity: 40", "capacity: 1000000"))
    return file


def _roster(folder: Path, url: str) -> Path:
    roster = {
        "targets": {
            "hook": {
                "webhook": url,
                "secret": "env:HOOK_SECRET",
                "allow": ["127.0.0.1"],
                "per_minute": 1_000_000,
                "at_once": 8,
                "timeout": 1.0,
            }
        },
        "people": {"ann": {"targets": ["hook"]}},
        "lines": {"violence-specialists": ["ann"], "on-call": ["ann"]},
    }
    file = folder / "roster.yaml"
    file.write_text(yaml.safe_dump(roster))
    return file


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    for way, run in (("produce", produce), ("post", post)):
        if getattr(given, way):
            run(*getattr(given, way))
            return
    console, found = Console(width=None if sys.stdout.isatty() else WIDTH), list[Found]()
    plans = [(kills, afternoon) for kills in (False, True) for afternoon in (False, True)]
    with tempfile.TemporaryDirectory() as name:
        urls = [f"sqlite:///{name}/{{}}.db", *([given.postgres] if given.postgres else [])]
        for kills, afternoon in plans:
            for url in urls[:1] if afternoon else urls:
                folder = Path(name) / f"{len(found)}"
                folder.mkdir()
                # Posting by itself takes ten times as long under kills, and tells no more.
                count = given.count // 5 if afternoon else given.count
                console.print(f"run {len(found) + 1}: {count:,} recordings …")
                found.append(
                    measure(url.format(len(found)), count, folder, kills=kills, afternoon=afternoon)
                )
    _show(console, found)
    if not all(one.is_whole for one in found if one.way != AFTERNOON):
        raise SystemExit("something was lost, or counted twice")


def _show(console: Console, found: Sequence[Found]) -> None:
    rows: dict[str, Callable[[Found], str]] = {
        "processes killed": lambda one: f"{one.kills:,}",
        "recordings": lambda one: f"{one.recordings:,}",
        "cases": lambda one: f"{one.cases:,}",
        "messages": lambda one: f"{one.messages:,}",
        "arrived": lambda one: f"{one.arrived:,}",
        "recordings not told of": lambda one: f"{one.recordings - one.told:,}",
        "calls of the receiver": lambda one: f"{one.calls:,}",
        "accepted twice, by one id": lambda one: f"{one.again:,}",
        "s": lambda one: f"{one.seconds:.0f}",
        "recordings a second": lambda one: f"{one.told / max(one.seconds, 1e-9):.0f}",
        "s to a page: median, 95 %, most": lambda one: _spread(one.to_page),
        "s to the rest": lambda one: _spread(one.to_tell),
    }
    table = Table("", *(one.way for one in found))
    for name, told in rows.items():
        table.add_row(name, *map(told, found))
    console.print(table)


def _spread(seconds: Sequence[float]) -> str:
    return ", ".join(f"{one:.2g}" for one in seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.escalations", description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument(
        "--postgres", metavar="URL", help="of an empty database for each run: …/x{}"
    )
    for way in ("produce", "post"):
        parser.add_argument(f"--{way}", nargs=2, type=int, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
