"""Tables for people: what was found in each recording, and how good a model is.

Ids and transcripts come from callers, so they are shown as text and nothing else: no markup, no
control characters that a terminal would obey.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROW = 100  # columns; below it, the interval goes under its figure
MOST_EVIDENCE = 2  # pieces shown for a recording
LEAST_SHOWN = 0.1  # contribution of a piece worth showing: a probability of about 0.1
MOST_ERRORS = 10  # kinds listed under the table
NONE = "–"  # noqa: RUF001 - an empty cell
TIER_STYLES = {"E0": "dim", "E1": "", "E2": "yellow", "E3": "bold red", "E4": "bold white on red"}
FIGURES = {
    "auprc": "AUPRC",
    "auroc": "AUC",
    "recall_at_1pct_fpr": "recall at 1 % FP",
    "ece": "cal. error",
}


def plain_table(title: str, *columns: str) -> Table:
    """A table without frame; a column whose name begins with ">" is for numbers."""
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for column in columns:
        name = column.removeprefix(">")
        table.add_column(
            name,
            justify="right" if name != column else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    return table


# Recordings ---------------------------------------------------------------------------------


class Results:
    """The table of what was found, filled answer by answer.

    Args:
        console: Where it will be printed.
        transcript: Whether what was said is printed under it, where the answers hold it.
    """

    def __init__(self, console: Console, *, transcript: bool = False) -> None:
        self._console = console
        self._widest_id = max(12, console.width - 76)
        self._table = plain_table(
            "", "recording", ">length", "category", ">score", "evidence", ">sev", "tier", "action"
        )
        self._transcripts = plain_table("Transcripts", "recording", "words") if transcript else None
        if self._transcripts:
            self._transcripts.columns[1].no_wrap = False
        self._errors: Counter[str] = Counter()

    def add(self, answer: Mapping[str, Any]) -> None:
        """Adds one recording's answer, in the shape of `triage.answer.as_json`."""
        id = shortened(answer["recording"], self._widest_id)
        if "error" in answer:
            problem = answer["error"]
            slug = problem["type"].rpartition(":")[2]
            self._errors[f"{slug}: {problem['detail']}"] += 1
            self._table.add_row(id, NONE, NONE, NONE, Text(slug, "red"), NONE, NONE, NONE)
            return
        result = answer["results"][0]
        self._table.add_row(id, *_cells(result))
        if self._transcripts and "transcript" in result:
            self._transcripts.add_row(id, printable(result["transcript"]["text"]))

    def print(self) -> None:
        """Prints the table, then the transcripts, then what went wrong."""
        self._console.print(self._table)
        if self._transcripts and self._transcripts.row_count:
            self._console.print(self._transcripts)
        for told, count in self._errors.most_common(MOST_ERRORS):
            self._console.print(Text(f"{count} not scored, {told}", "red"))
        if (left := len(self._errors) - MOST_ERRORS) > 0:
            self._console.print(f"and {left} kinds of error more; --jsonl tells all", style="red")


def _cells(result: Mapping[str, Any]) -> tuple[str | Text, ...]:
    decision = result["decision"]
    style = TIER_STYLES.get(decision["tier"], "")
    scores = result["category_scores"]
    top = max(scores, key=scores.__getitem__, default=None)
    return (
        length(result.get("seconds")),
        NONE if top is None else Text(top, style if result["categories"].get(top) else "dim"),
        NONE if top is None else f"{scores[top]:.2f}",
        _evidence(result, top),
        str(decision["severity"]),
        Text(decision["tier"], style),
        Text("\n".join(decision["actions"]) or NONE),
    )


def _evidence(result: Mapping[str, Any], top: str | None) -> Text:
    """What failed, then what speaks for the top category, then what speaks for others."""
    failed = [Text(f"{stage} failed", "bold red") for stage in result.get("failures", {})]
    told = sorted(result["explanation"], key=lambda one: one["category"] != top)
    found = [one["evidence"] for one in told if one["contribution"] >= LEAST_SHOWN]
    lines = failed + [Text(one) for one in list(dict.fromkeys(found))[:MOST_EVIDENCE]]
    lines = lines or [Text(flag, "dim") for flag, on in result["flags"].items() if on]
    return Text("\n").join(lines or [Text(NONE)])


def length(seconds: float | None) -> str:
    """For people: 3.2 s; 10:05 from a minute on; 1:00:05 from an hour on; text without sound."""
    if seconds is None:
        return "text"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def printable(text: str) -> Text:
    """A caller's text without what a terminal would obey."""
    return Text("".join(c if c.isprintable() else "�" for c in text))


def shortened(text: str, most: int) -> Text:
    """A caller's text in at most so many characters; its end is kept, for paths differ there."""
    plain = printable(text)
    return plain if len(plain) <= most else Text("…") + plain[-(most - 1) :]


# Figures ------------------------------------------------------------------------------------


def metrics(title: str, rows: Sequence[Mapping[str, Any]], width: int) -> Table:
    """The table of figures with their intervals.

    Args:
        title: What the rows are.
        rows: Each a `triage.metrics.Metric` as a mapping.
        width: Of the terminal, in columns.
    """
    table = plain_table(title, "", ">pos.", ">neg.", *(f">{name}" for name in FIGURES.values()))
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['positives']:,}",
            f"{row['negatives']:,}",
            *(_estimate(row[figure], " " if width >= NARROW else "\n") for figure in FIGURES),
        )
    return table


def _estimate(estimate: Mapping[str, float] | None, between: str) -> Text:
    if estimate is None:
        return Text(NONE)
    interval = f"{estimate['low']:.2f}–{estimate['high']:.2f}"  # noqa: RUF001
    return Text(f"{estimate['value']:.3f}{between}").append(interval, "dim")
