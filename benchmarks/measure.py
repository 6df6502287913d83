"""What is measured, on which recordings, how often."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import service
from benchmarks.protocol import Worker
from benchmarks.recordings import utterances, write
from benchmarks.timing import PAUSE, in_turn

OURS, AFTERNOON = "triage", "afternoon"
STAGES = ("decode", "segment", "encode", "transcribe", "events")
ONE_CORE = ("encode", "events")
COMPARED = ("whole", "many", "texts")
MANY = 16  # recordings at once
UTTERANCE = 16  # tokens, the two that frame it included

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything.

    Attributes:
        rounds: How often each task is timed, by the length of the recording in seconds.
        many_rounds: How often many recordings at once, or many texts, are timed.
        texts: How many they are.
        starts: How often the service is started.
        requests: Of each kind.
        clients: How many ask at once, one row for each.
        pause: Seconds between two runs.
    """

    rounds: Mapping[float, int] = field(default_factory=lambda: {5: 15, 30: 7, 600: 3})
    many_rounds: int = 5
    texts: int = 256
    starts: int = 3
    requests: int = 100
    clients: tuple[int, ...] = (1, 2, 4)
    pause: float = PAUSE


QUICK = Plan({5: 3, 30: 1}, many_rounds=1, starts=1, requests=20, clients=(1, 2))


@dataclass(frozen=True, slots=True)
class Timed:
    """One task of one pipeline.

    Attributes:
        pipeline: Whose.
        task: Which.
        amount: Seconds of the recording, or number of texts.
        cores: That it had.
        seconds: What each run took, in the order of the rounds.
    """

    pipeline: str
    task: str
    amount: float
    cores: int
    seconds: list[float] = field(repr=False)

    @property
    def rates(self) -> list[float]:
        """How many times faster than real time, or texts a second, of each run."""
        return [self.amount / one for one in self.seconds]


@dataclass(frozen=True, slots=True)
class Serving:
    """The service.

    Attributes:
        ready: Seconds until it is, of each start.
        megabytes: Resident when it is, in 10^6 bytes.
        most_megabytes: The most that ever was, after all requests.
        served: What was asked.
    """

    ready: list[float]
    megabytes: float
    most_megabytes: float
    served: list[service.Served]


def recordings(plan: Plan, folder: Path) -> dict[float, Path]:
    """A recording of each length, by its seconds."""
    return {seconds: write(folder, seconds) for seconds in plan.rounds}


def stages(
    worker: Worker, files: Mapping[float, Path], plan: Plan, cores: int, say: Say
) -> Iterator[Timed]:
    """Triage's stages, each alone, in turn."""
    for seconds, rounds in plan.rounds.items():
        say(f"stages, {seconds:g} s, {cores} cores")
        tasks = STAGES if cores > 1 else ONE_CORE
        runs = {task: partial(worker.time, task, file=str(files[seconds])) for task in tasks}
        for task, taken in in_turn(runs, rounds, plan.pause).items():
            yield Timed(OURS, task, seconds, cores, taken)


def side_by_side(
    ours: Worker,
    afternoon: Worker | None,
    files: Mapping[float, Path],
    plan: Plan,
    cores: int,
    say: Say,
) -> Iterator[Timed]:
    """The whole path, and texts alone, by both pipelines in turn; by ours if there is no other."""
    both = _Both(ours, afternoon, cores, plan.pause)
    for seconds, rounds in plan.rounds.items():
        say(f"whole path, {seconds:g} s")
        given = {"file": str(files[seconds])}
        tokens = {"tokens": ours.ask("tokens", **given)["result"]}
        yield from both.timed("whole", seconds, rounds, given, given | tokens)
        if seconds == min(files):
            say(f"whole path, {MANY} of {seconds:g} s")
            many = given | {"count": MANY}
            rounds = plan.many_rounds
            yield from both.timed("many", MANY * seconds, rounds, many, many | tokens)
    say(f"{plan.texts} texts")
    texts, lengths = {"texts": utterances(plan.texts)}, {"lengths": [UTTERANCE] * plan.texts}
    yield from both.timed("texts", plan.texts, plan.many_rounds, texts, lengths)


@dataclass(frozen=True, slots=True)
class _Both:
    """Both pipelines, on the same cores."""

    ours: Worker
    afternoon: Worker | None
    cores: int
    pause: float

    def timed(
        self,
        task: str,
        amount: float,
        rounds: int,
        ours: Mapping[str, Any],
        afternoon: Mapping[str, Any],
    ) -> Iterator[Timed]:
        """One task in turn, each with what it is given."""
        runs = {OURS: partial(self.ours.time, task, **ours)}
        if self.afternoon:
            runs[AFTERNOON] = partial(self.afternoon.time, task, **afternoon)
        for pipeline, taken in in_turn(runs, rounds, self.pause).items():
            yield Timed(pipeline, task, amount, self.cores, taken)


def serving(files: Mapping[float, Path], plan: Plan, say: Say) -> Serving:
    """The service: started some times, and asked when it is there the last time."""
    say("service, until it is ready")
    ready = [_ready_after() for _ in range(plan.starts - 1)]
    with _service() as one:
        megabytes = one.megabytes()
        served = list(_requests(one.url, files, plan, say))
        return Serving([*ready, one.ready_after], megabytes, one.megabytes("VmHWM"), served)


@contextmanager
def _service() -> Iterator[service.Running]:
    with (
        tempfile.TemporaryDirectory(prefix="triage-bench-") as state,
        service.running(Path(state)) as one,
    ):
        yield one


def _ready_after() -> float:
    with _service() as one:
        return one.ready_after


def _requests(
    url: str, files: Mapping[float, Path], plan: Plan, say: Say
) -> Iterator[service.Served]:
    shortest = min(files)
    for seconds, file in files.items():
        count = max(1, int(plan.requests * shortest / seconds))
        for clients in plan.clients if seconds == shortest else (1,):
            say(f"POST /score, {seconds:g} s, {clients} at once")
            name = f"/score, {seconds:g} s"
            yield service.ask(url, name, service.audio(file), clients=clients, count=count)
    many, say_text = utterances(service.LIST), "POST /score_text"
    for clients in plan.clients:
        say(f"{say_text}, {clients} at once")
        send = service.words(many[0])
        yield service.ask(
            url, "/score_text, 1 text", send, clients=clients, count=3 * plan.requests
        )
    say(f"{say_text}, {service.LIST} texts")
    yield service.ask(
        url,
        f"/score_text, {service.LIST} texts",
        service.words(many),
        clients=1,
        count=max(1, plan.requests // 10),
        each=service.LIST,
    )
