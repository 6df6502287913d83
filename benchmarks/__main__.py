"""`python -m benchmarks`: measures, prints the tables, keeps the figures."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.measure import QUICK, Plan, Say, recordings, serving, side_by_side, stages
from benchmarks.protocol import PROJECT, Worker
from benchmarks.report import Figures, show

RESULTS = PROJECT / "benchmarks" / "results.json"
AFTERNOON = PROJECT / ".venv-afternoon" / "bin" / "python"
WIDTH = 110  # characters, where no terminal says
QUIET = 0.1  # share of the cores that others may take before the figures are worth little


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    with console.status("") as status:
        figures = measure(QUICK if given.quick else Plan(), given.afternoon, status.update)
    show(figures, console)
    if not given.quick:
        figures.save(given.json)
        console.print(f"Every run's seconds are in {given.json.name}.")
    if max(figures.busy) > QUIET:
        console.print(
            f"[bold]Others took {100 * max(figures.busy):.0f} % of the cores: the figures are too "
            "low, and the ratios not to be trusted. Measure again when nothing else runs."
        )
    if not given.afternoon.is_file():
        console.print("The afternoon's pipeline was left out. `make bench` installs what it needs.")


def measure(plan: Plan, afternoon: Path, say: Say) -> Figures:
    """Measures all.

    Args:
        plan: How much.
        afternoon: An interpreter with torch and transformers. If there is none, ours alone is
            measured.
        say: Told what is being done.
    """
    cores = machine.cores()
    say("how busy the machine is")
    before = machine.busy()
    with tempfile.TemporaryDirectory(prefix="triage-bench-") as folder:
        files = recordings(plan, Path(folder))
        with Worker(sys.executable, "benchmarks.ours", cores[:1]) as ours:
            timed = list(stages(ours, files, plan, 1, say))
        with Worker(sys.executable, "benchmarks.ours", cores) as ours, ExitStack() as stack:
            timed += stages(ours, files, plan, len(cores), say)
            other = None
            if afternoon.is_file():
                other = stack.enter_context(Worker(afternoon, "benchmarks.afternoon", cores))
            timed += side_by_side(ours, other, files, plan, len(cores), say)
        served = serving(files, plan, say)
    return Figures(machine.described(), (before, machine.busy()), timed, served)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute; keeps no figures")
    parser.add_argument(
        "--afternoon",
        type=Path,
        default=AFTERNOON,
        metavar="PYTHON",
        help="interpreter with torch and transformers (default: that of .venv-afternoon)",
    )
    parser.add_argument(
        "--json", type=Path, default=RESULTS, metavar="FILE", help="where the figures are kept"
    )
    return parser


if __name__ == "__main__":
    main()
