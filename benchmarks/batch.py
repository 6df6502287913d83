"""`python -m benchmarks.batch`: whether archives are scored exactly once, how fast, in how much.

    python -m benchmarks.batch [PART …] --data ../shared/data --out var/bench-batch
    python -m benchmarks.batch report --out var/bench-batch --pictures docs/pictures

Each part keeps its figures in a file of its own and isn't measured again while that is there,
unless `--anew` is given. Everything runs as somebody would run it: processes of the real command,
with a key that all of them have and a state folder for each. Figures hold counts and seconds alone.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import archives, machine
from benchmarks.batch_beside import (
    AFTERNOON,
    BATCH,
    LOOP,
    by_afternoon,
    by_batch,
    by_loop,
    in_rounds,
    written,
)
from benchmarks.batch_report import REPORT, is_as_once, report, stage_rows
from benchmarks.batch_runs import Place, Ran, kept, results, run, unlike
from benchmarks.protocol import PROJECT

MIXED, COMMANDS, TEXTS, BESIDE = 5_000, 1_000, 10_000, 200  # recordings of each part
SIZES = (1_000, 10_000, 100_000)  # of what memory is measured over, no two texts alike
KILLS, SEED = 10, 7
WITHIN = 0.9  # of the unbroken run's time, in which they are
STARTS = 2  # of which the shorter counts: the first may find nothing in the page cache
ROUNDS = 2  # of the three ways
PYTHON = PROJECT / ".venv-afternoon" / "bin" / "python"

FOLLOWS = {"once": ("killed", "ray", "stages")}  # what is compared with it, and so measured anew

Flags = tuple[str, ...]
COMMAND_SOURCES = ("clinc150", "slurp", "snips")
SOUNDS: Mapping[str, Flags] = {"transcribed": (), "--sound-only": ("--sound-only",)}
# More ways to run over the texts: name and flags.
EXTRA: Sequence[tuple[str, Flags]] = (("--screen", ("--screen", "models/screen")),)


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured with.

    Attributes:
        data: Labelled data that archives are made from.
        out: Folder of the figures and of the runs.
        scale: What all counts are multiplied with.
        afternoon: Interpreter with torch and transformers.
    """

    data: Path
    out: Path
    scale: float = 1.0
    afternoon: Path = PYTHON

    def count(self, whole: int) -> int:
        return max(1, round(whole * self.scale))

    def figures(self, part: str) -> dict[str, Any] | None:
        """What a part came to at this scale; None if it wasn't measured."""
        try:
            kept: dict[str, Any] = json.loads((self.out / f"{part}.json").read_text())
        except FileNotFoundError:
            return None
        return kept if kept["scale"] == self.scale else None

    def measured(self, part: str) -> dict[str, Any]:
        """What a part came to, which is measured if it wasn't."""
        found = self.figures(part)
        if found is None:
            found = self.measure(part)
        result: dict[str, Any] = found["found"]
        return result

    def measure(self, part: str) -> dict[str, Any]:
        """Measures a part and keeps its figures."""
        print(f"{part} …", flush=True)
        before = machine.busy()
        for one in FOLLOWS.get(part, ()):
            (self.out / f"{one}.json").unlink(missing_ok=True)
        found = PARTS[part](self)
        about = {"part": part, "scale": self.scale, "machine": machine.described()}
        figures = about | {"busy": [before, machine.busy()], "found": found}
        file = self.out / f"{part}.json"
        beside = file.with_suffix(".tmp")
        beside.write_text(json.dumps(figures, indent=1) + "\n")
        beside.replace(file)
        return figures

    def at(self, name: str) -> Place:
        """Where a run is."""
        return Place(self.out / "runs" / name)

    def place(self, name: str) -> Place:
        """A place with nothing in it."""
        self.gone(name)
        return self.at(name)

    def gone(self, name: str) -> None:
        """Takes a run away."""
        if self.at(name).folder.exists():
            shutil.rmtree(self.at(name).folder)

    @contextmanager
    def archive(self, name: str, make: Callable[[Path, Path, int], object], count: int) -> Any:
        """A manifest, always under the same path; it holds words, and is gone at the end."""
        file = self.out / f"{name}.jsonl"
        try:
            make(self.data, file, count)
            yield file
        finally:
            file.unlink(missing_ok=True)

    def ran(self, source: Path, name: str, *flags: str) -> Ran:
        """A run that leaves nothing."""
        ran = run(source, self.place(name), *flags)
        self.gone(name)
        return ran

    def start(self, source: Path, *flags: str) -> float:
        """Seconds that a run of one recording takes: nearly all of them to start and end."""
        runs = (self.ran(source, "start", "--limit", "1", *flags) for _ in range(STARTS))
        return min(ran.seconds for ran in runs)

    def mixed(self) -> Any:
        return self.archive("mixed", archives.mixed, self.count(MIXED))


# Exactly once -------------------------------------------------------------------------------


def once(bench: Bench) -> dict[str, Any]:
    """A mixed archive, unbroken; its results stay, for others to be compared with."""
    place = bench.place("once")
    with bench.mixed() as source:
        ran = run(source, place)
    return {"ran": asdict(ran), "kept": asdict(kept(place))}


def killed(bench: Bench) -> dict[str, Any]:
    """The same with kills at times drawn over the run, each followed by the same command."""
    seconds = bench.measured("once")["ran"]["seconds"]
    draw = random.Random(SEED)  # noqa: S311
    return _like_once(
        bench, "killed", kills=[draw.uniform(0, WITHIN * seconds) for _ in range(KILLS)]
    )


def ray(bench: Bench) -> dict[str, Any]:
    """The same on Ray, on this machine."""
    return _like_once(bench, "ray", "--engine", "ray")


def _like_once(bench: Bench, name: str, *flags: str, kills: Sequence[float] = ()) -> dict[str, Any]:
    if bench.figures("once") is None or not bench.at("once").out.exists():
        bench.measure("once")
    place = bench.place(name)
    with bench.mixed() as source:
        ran = run(source, place, *flags, kills=kills)
    found = {
        "ran": asdict(ran),
        "kept": asdict(kept(place)),
        "unlike": unlike(results(bench.at("once").out), results(place.out)),
    }
    if is_as_once(bench.measured("once"), found):
        bench.gone(name)
    return found


def stages(bench: Bench) -> dict[str, Any]:
    """What the unbroken run spent on each stage."""
    return {"stages": stage_rows(Ran.of(bench.measured("once")["ran"]))}


# How fast -----------------------------------------------------------------------------------


def commands(bench: Bench) -> dict[str, Any]:
    """Spoken commands, with and without transcription."""
    count = bench.count(COMMANDS)
    with bench.archive("commands", archives.commands, count) as source:
        return dict(_variants(bench, source, SOUNDS))


def texts(bench: Bench) -> dict[str, Any]:
    """Texts of which no two are alike, from all sources and from those of commands."""
    found = {}
    for name, sources in {"all sources": (), "commands": COMMAND_SOURCES}.items():
        different = partial(archives.said, alike=False, sources=sources)
        ways = {name: ()} | {f"{name}, {way}": flags for way, flags in EXTRA}
        with bench.archive("texts", different, bench.count(TEXTS)) as source:
            found |= dict(_variants(bench, source, ways))
    return found


def _variants(
    bench: Bench, source: Path, variants: Mapping[str, Flags]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, flags in variants.items():
        start = bench.start(source, *flags)
        yield name, {"start": start, "ran": asdict(bench.ran(source, "variant", *flags))}


def memory(bench: Bench) -> dict[str, Any]:
    """Memory and time over archives of texts, each ten times as large as the one before."""
    different = partial(archives.said, alike=False)
    with bench.archive("texts", different, 1) as source:
        start = bench.start(source)
    sizes = []
    for size in SIZES:
        with bench.archive("texts", different, bench.count(size)) as source:
            sizes.append(asdict(bench.ran(source, "memory")))
    return {"start": start, "sizes": sizes}


def beside(bench: Bench) -> dict[str, Any]:
    """The same commands by a batch, by a loop over HTTP, and by the afternoon's pipeline."""
    with bench.archive("commands", archives.commands, bench.count(BESIDE)) as source:
        start = bench.start(source)
        ways = {
            BATCH: lambda _: by_batch(source, bench.place("batch"), start),
            LOOP: lambda _: by_loop(source, bench.place("loop")),
        }
        if bench.afternoon.is_file():
            tokens = written(source)
            ways[AFTERNOON] = lambda _: by_afternoon(bench.afternoon, source, tokens)
        else:
            print(
                "The afternoon's pipeline is left out: make .venv-afternoon/installed", flush=True
            )
        found = in_rounds(ways, ROUNDS)
    for name in ("batch", "loop"):
        bench.gone(name)
    return {
        "recordings": bench.count(BESIDE),
        "ways": {name: [asdict(one) for one in rounds] for name, rounds in found.items()},
    }


PARTS: Mapping[str, Callable[[Bench], dict[str, Any]]] = {
    "once": once,
    "killed": killed,
    "ray": ray,
    "stages": stages,
    "commands": commands,
    "texts": texts,
    "memory": memory,
    "beside": beside,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _parser()
    given = parser.parse_args(arguments)
    strange = sorted(set(given.parts) - {*PARTS, REPORT})
    if strange:
        parser.error(f"no such part: {', '.join(strange)}")
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    bench = Bench(given.data.resolve(), out, given.scale, given.afternoon.absolute())
    for part in given.parts or PARTS:
        if part != REPORT and (given.anew or bench.figures(part) is None):
            bench.measure(part)
    if not given.parts or REPORT in given.parts:
        files = {part: out / f"{part}.json" for part in PARTS}
        figures = {
            part: json.loads(file.read_text()) for part, file in files.items() if file.exists()
        }
        print(report(figures, given.pictures))
    _check(bench)


def _check(bench: Bench) -> None:
    """Fails if a run isn't as the unbroken one."""
    whole = bench.figures("once")
    for part in ("killed", "ray"):
        other = bench.figures(part)
        if whole and other and not is_as_once(whole["found"], other["found"]):
            raise SystemExit(f"{part} isn't as the unbroken run")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}, {REPORT}")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("var/bench-batch"), metavar="DIR")
    parser.add_argument("--scale", type=float, default=1.0, help="of all counts; 0.02 for a try")
    parser.add_argument("--anew", action="store_true", help="measure what was measured already")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="where the report draws plots")
    parser.add_argument("--afternoon", type=Path, default=PYTHON, metavar="PYTHON")
    return parser


if __name__ == "__main__":
    main()
