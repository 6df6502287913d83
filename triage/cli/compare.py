"""`triage compare`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from triage.cli.evaluate import chosen
from triage.cli.exits import Exit
from triage.cli.progress import progress
from triage.cli.tables import NARROW, NONE, plain_console, plain_table
from triage.labels.given import given
from triage.labels.resolve import resolve
from triage.measure.compare import compare
from triage.measure.comparison import Compared, Comparison, store
from triage.measure.gate import Finding, findings
from triage.measure.paired import Difference
from triage.pipeline import Triage
from triage.policy.loading import load_policy
from triage.registry import in_service
from triage.settings import settings

PREVALENCE, REPEATS = 0.001, 1000
MOST_WARNINGS = 10
SHOWN = {
    "auprc": "AUPRC",
    "recall at 1 % false alarms": "recall at 1 % FP",
    "recall": "recall",
    "false alarms": "false alarms",
    "calibration error": "cal. error",
}


def run(
    challenger: Path,
    data: Sequence[Path],
    champion: Path | None,
    split: str,
    prevalence: float,
    repeats: int,
    *,
    html: Path | None,
    out: TextIO | None,
) -> Exit:
    """Compares two models, keeps the comparison for `triage promote`, and prints it.

    Returns:
        `Exit.INCOMPLETE` if any row couldn't be used or scored; whichever model is better.
    """
    own = settings()
    comparison, problems = _compared(
        challenger, champion or in_service(own), data, split, prevalence, repeats
    )
    critical = load_policy(own.policy).critical
    found = findings(comparison, critical)
    if html is not None:
        from triage.report.comparison import comparison_page
        from triage.report.page import write_page

        write_page(comparison_page(comparison, found, critical), html)
    if out is not None:
        out.write(comparison.model_dump_json(indent=2) + "\n")
    if out is None or out.name != "<stdout>":
        show(comparison, found, plain_console())
    return Exit.INCOMPLETE if comparison.failed or problems else Exit.DONE


def compared(challenger: Path, champion: Path, data: Sequence[Path]) -> Comparison:
    """What `triage compare` finds with its own defaults, kept for later as well."""
    return _compared(challenger, champion, data, "val", PREVALENCE, REPEATS)[0]


def _compared(
    challenger: Path,
    champion: Path,
    data: Sequence[Path],
    split: str,
    prevalence: float,
    repeats: int,
) -> tuple[Comparison, int]:
    """The comparison, and how many rows couldn't be used."""
    own = settings()
    with progress() as report:
        report("reading the rows", 0, 0)
        reading = given(data, own.labels_url, unsplit="val")
        rows = chosen(resolve(reading.rows).rows, split, 0)
        report("reading the rows", len(rows), len(rows))
        one, two = (
            Triage.load(own.model_copy(update={"model": folder}))
            for folder in (champion, challenger)
        )
        comparison = compare(
            one,
            two,
            rows,
            prevalence=prevalence,
            workers=own.cores,
            repeats=repeats,
            report=report,
        )
    store(comparison, own.state)
    return comparison, len(reading.problems)


def show(comparison: Comparison, found: Sequence[Finding], console: Console) -> None:
    """Prints the figures side by side, and what speaks against the challenger."""
    champion, challenger = comparison.champion, comparison.challenger
    console.print(
        f"{challenger.name} ({challenger.digest[:12]}) against {champion.name} "
        f"({champion.digest[:12]}) on {comparison.rows:,} rows; {comparison.left_out:,} left out "
        "that one of them was fitted on."
    )
    for slug, count in comparison.failed.items():
        console.print(f"  {count:,} not scored: {slug}", style="red")
    console.print(_table(comparison, console.width))
    console.print("* beyond the 95 % interval of the difference", style="dim")
    for told in _aside(comparison):
        console.print(told)
    blocking = [one for one in found if one.blocks]
    others = [one for one in found if not one.blocks]
    for one in blocking:
        console.print(f"against it: {one}", style="red")
    for one in others[:MOST_WARNINGS]:
        console.print(f"mind: {one}", style="yellow")
    if len(others) > MOST_WARNINGS:
        console.print(f"and {len(others) - MOST_WARNINGS} more; --html has all of them")
    told = f"{len(blocking)} reasons to refuse it" if blocking else "no reason to refuse it"
    console.print(f"{told}.", style="bold")


def _table(comparison: Comparison, width: int) -> Table:
    names = ("", ">pos.", *(f">{name}" for name in (*SHOWN.values(), "PPV")))
    title = f"Champion → challenger; PPV if {comparison.prevalence:.2g} of recordings are cases"
    table = plain_table(title, *names, width=width)
    between = " " if width >= NARROW else "\n"
    for one in comparison.compared:
        cells = (_cell(one, measure, between) for measure in SHOWN)
        ppv = NONE if one.ppv is None else f"{between}→ ".join(map(_share, one.ppv))
        table.add_row(one.name, f"{one.positives:,}", *cells, ppv)
    return table


def _aside(comparison: Comparison) -> Iterator[str]:
    """What isn't a category's: cost, what only one of them scores, and what couldn't be told."""
    one, two = comparison.champion, comparison.challenger
    yield f"Size: {one.bytes / 2**20:.1f} → {two.bytes / 2**20:.1f} MB"
    for what, before, after in (
        ("loading", one.latency.load, two.latency.load),
        ("a text", one.latency.text, two.latency.text),
        ("a recording", one.latency.audio, two.latency.audio),
    ):
        if before is not None and after is not None:
            yield f"Time for {what}: {before:.1f} → {after:.1f} ms"
    for side in (one, two):
        if side.alone:
            yield f"Only {side.name} scores {', '.join(side.alone)}."
    measured = len({(part.kind, part.slice) for part in comparison.slices})
    yield f"Parts of the rows: {measured} measured, {len(comparison.thin)} too small for that."


def _cell(one: Compared, measure: str, between: str) -> str:
    difference: Difference | None = one.differences.get(measure)
    if difference is None:
        return NONE
    sure = "*" if difference.lower or difference.higher else ""
    return f"{difference.champion:.3f}{between}→ {difference.challenger:.3f}{sure}"


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
