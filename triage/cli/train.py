"""`triage train`."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from triage.cli.exits import Exit
from triage.cli.progress import progress
from triage.cli.tables import metrics, plain_console, plain_table
from triage.labels.write import write_problems
from triage.manifest import Manifest
from triage.report.page import write_page
from triage.report.training import training_page
from triage.settings import settings
from triage.training.plan import Plan
from triage.training.train import train

PAGE = "report.html"  # beside the model's card
MOST_PROBLEMS = 5


def run(plan: Plan, problems: Path | None) -> Exit:
    """Trains, prints what came of it, and writes the page beside the model.

    Args:
        plan: What is to be trained.
        problems: Where to write every row that couldn't be used.

    Returns:
        `Exit.INCOMPLETE` if there was such a row; the model is trained on the others.
    """
    with progress() as report:
        trained = train(plan, settings(), report)
    write_page(training_page(trained.manifest), plan.out / PAGE)
    console = plain_console()
    show(trained.manifest, console)
    console.print(f"The whole of it: {plan.out / PAGE}")
    for one in trained.problems[:MOST_PROBLEMS]:
        console.print(f"  not used: {one}", style="red")
    if trained.problems:
        console.print(f"{len(trained.problems):,} problems in the labelled rows.", style="red")
    if problems is not None:
        write_problems(trained.problems, problems)
    return Exit.INCOMPLETE if trained.problems else Exit.DONE


def show(manifest: Manifest, console: Console) -> None:
    """Prints what was trained, how good it is, and what is promised."""
    told = manifest.training
    console.print(f"{manifest.name} is trained and written. Digest {manifest.digest[:16]}.")
    console.print(f"Heads fitted {told['heads']}: {', '.join(told['fitted'])}.")
    if told["too_few_labels"]:
        console.print(
            f"Too few labels to fit: {', '.join(told['too_few_labels'])}.", style="yellow"
        )
    for title, rows in manifest.metrics.items():
        console.print(metrics(title.capitalize(), rows, console.width))
    if manifest.guarantees:
        console.print(_guarantees(manifest))


def _guarantees(manifest: Manifest) -> Table:
    one = next(iter(manifest.guarantees.values()))
    title = f"Misses at most {one.miss:.0%} with {one.confidence:.0%} confidence"
    table = plain_table(title, "", ">threshold", ">flags of the rest", ">cases", "~")
    for name, promise in manifest.guarantees.items():
        if promise.threshold is None:
            lacking = promise.needed - promise.cases
            table.add_row(name, "–", "–", str(promise.cases), f"{lacking} more cases are needed")  # noqa: RUF001
        else:
            flagged = "–" if promise.flagged is None else f"{promise.flagged:.1%}"  # noqa: RUF001
            table.add_row(name, f"{promise.threshold:.4f}", flagged, str(promise.cases), "")
    return table
