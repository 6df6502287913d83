"""`triage policy backtest`: stored scores, decided by a new policy beside the old one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from triage.cli.exits import Exit
from triage.cli.replayed import Replayed
from triage.cli.tables import NONE, TIER_STYLES, plain_console, plain_table
from triage.measure.backtest import Backtest, backtest
from triage.measure.stored import Unusable
from triage.policy.loading import as_written
from triage.policy.parts import TIERS
from triage.settings import settings

MOST_TOLD = 5  # unusable lines


def run(
    new: Path,
    old: Path | None,
    scores: Sequence[Path],
    html: Path | None,
    *,
    since: str,
    jsonl: bool,
) -> Exit:
    """Tells what would change.

    Args:
        new, old: Policy files; without an old one, that of the settings.
        scores: Files of answers; without any, what the store of decisions holds.
        html: Where to write the page.
        since: How far back the store is read, as "30d".
        jsonl: Whether to print JSON rather than tables.

    Returns:
        `Exit.INCOMPLETE` if some lines held no scores.

    Raises:
        PolicyRefused: One of them isn't a policy.
        BadField: There are no scores.
    """
    before, after = as_written(old or settings().policy), as_written(new)
    replayed = Replayed(scores, since)
    found, unusable = backtest(before, after, replayed), replayed.unusable
    if not found.decided:
        raise replayed.nothing()
    if jsonl:
        typer.echo(json.dumps(_json(found, len(unusable))))  # never wrapped to a width
    else:
        _tell(found, unusable)
    if html:
        from triage.report.backtest import page
        from triage.report.page import write_page

        write_page(page(found, len(unusable)).decode(), html)
    return Exit.INCOMPLETE if unusable else Exit.DONE


def _tell(found: Backtest, unusable: Sequence[Unusable]) -> None:
    from triage.report.backtest import summary

    console = plain_console()
    for sentence in summary(found):
        console.print(sentence)
    console.print("\nRecordings by tier: rows old, columns new", style="bold")
    table = plain_table("", "old")
    for tier in TIERS:
        table.add_column(tier, justify="right")
    for old in TIERS:
        counts = [found.tiers[old, new] for new in TIERS]
        cells = (f"{count:,}" if count else NONE for count in counts)
        table.add_row(Text(old, TIER_STYLES[old]), *cells)
    console.print(table)
    days = found.days  # what a queue takes is a day's, so what is asked of it is too if it's known
    title = "Looks a day by queue" if days else "Looks by queue, of days that aren't known"
    console.print(f"\n{title}", style="bold")
    queues = plain_table("", "queue", ">old", ">new", ">takes a day")
    for name, queue in {**found.old.queues, **found.new.queues}.items():
        asked = [
            f"{counts[name] / days:,.1f}" if days else f"{counts[name]:,}"
            for counts in found.queues
        ]
        if name not in found.new.queues:
            asked[1] = NONE
        queues.add_row(name, *asked, f"{queue.capacity:,}")
    console.print(queues)
    for one in unusable[:MOST_TOLD]:
        console.print(f"{one.file}, line {one.line} holds no scores: {one.why}.")
    if len(unusable) > MOST_TOLD:
        console.print(f"{len(unusable) - MOST_TOLD:,} more lines hold no scores.")


def _json(found: Backtest, unusable: int) -> dict[str, Any]:
    return {
        "old": found.old.digest,
        "new": found.new.digest,
        "decided": found.decided,
        "unusable": unusable,
        "days": found.days,
        "tiers": [[old, new, count] for (old, new), count in sorted(found.tiers.items())],
        "queues": {
            name: [counts[name] for counts in found.queues]
            for name in dict.fromkeys([*found.old.queues, *found.new.queues])
        },
        "hours": [[counts[hour] for counts in found.hours] for hour in range(24)],
        "rules": {
            name: [counts[name] for counts in found.rules]
            for name in sorted({*found.rules[0], *found.rules[1]})
        },
        "changes": dict(found.changes),
        "examples": found.examples,
    }
