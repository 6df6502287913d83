"""The same recordings three ways: a batch, a shell loop over HTTP, the afternoon's pipeline."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from benchmarks import machine
from benchmarks.batch_runs import Place, run
from benchmarks.protocol import Worker
from benchmarks.service import running

BATCH, LOOP, AFTERNOON = "triage batch", "curl in a loop", "afternoon"

# As somebody would write it who has the service and an archive; says how many weren't answered.
CURL = """
failed=0
while IFS=$'\\t' read -r id file; do
    curl --silent --fail --output /dev/null --form "audio=@$file" --form "id=$id" "$1/score" ||
        failed=$((failed + 1))
done < "$2"
echo "$failed"
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One way, once.

    Attributes:
        whole: Seconds, the loading of models included.
        working: Without that.
    """

    whole: float
    working: float


def by_batch(manifest: Path, place: Place, start: float) -> Way:
    """By `triage batch`, whose start takes so many seconds."""
    ran = run(manifest, place)
    if ran.refused or ran.failed:
        raise RuntimeError(f"{ran.refused + ran.failed} of {ran.rows} were not scored")
    return Way(ran.seconds, ran.after(start))


def by_loop(manifest: Path, place: Place) -> Way:
    """By a request for each, one after another, of a service that is started for it."""
    place.state.mkdir(parents=True, mode=0o700)
    files = place.folder / "files.tsv"
    files.write_text("".join(f"{id}\t{file}\n" for id, file in listed(manifest)))
    with running(place.state) as service:
        began = perf_counter()
        done = subprocess.run(
            ["bash", "-c", CURL, "loop", service.url, str(files)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        working = perf_counter() - began
    if int(done.stdout):
        raise RuntimeError(f"{int(done.stdout)} were not answered")
    return Way(service.ready_after + working, working)


def by_afternoon(python: Path, manifest: Path, tokens: Sequence[int]) -> Way:
    """By the afternoon's pipeline, which writes so many tokens for each."""
    began, working = perf_counter(), 0.0
    with Worker(python, "benchmarks.afternoon", machine.cores(), quiet=True) as worker:
        for (_, file), count in zip(listed(manifest), tokens, strict=True):
            working += worker.time("whole", file=file, tokens=count)
    return Way(perf_counter() - began, working)


def written(manifest: Path) -> list[int]:
    """How many tokens Triage's transcriber writes for each."""
    with Worker(sys.executable, "benchmarks.ours", machine.cores()) as worker:
        return [worker.ask("tokens", file=file)["result"] for _, file in listed(manifest)]


def listed(manifest: Path) -> list[tuple[str, str]]:
    """Ids and files."""
    rows = map(json.loads, manifest.read_text().splitlines())
    return [(row["id"], row["audio"]) for row in rows]


def in_rounds(ways: dict[str, Callable[[int], Way]], rounds: int) -> dict[str, list[Way]]:
    """Each way in turn, so that what else the machine does strikes all alike.

    Args:
        ways: By name; each is told which round it is.
        rounds: How many.
    """
    found: dict[str, list[Way]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            found[name].append(way(number))
    return found
