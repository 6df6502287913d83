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

NARROW = 100  # columns of a terminal; below it, what belongs together goes under each other
ROOMY = 120  # from here on, two spaces between columns
BESIDE_ID = 84  # columns that a recording's row takes beside its id, when nothing is wrapped
SHORTEST_ID = 12
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


def plain_console() -> Console:
    """Standard output, for text as it is: no markup in it, and no colours of rich's own choice."""
    return Console(markup=False, highlight=False)


def plain_table(title: str, *columns: str, width: int = ROOMY) -> Table:
    """A table without frame.

    Args:
        title: Above it; may be empty.
        columns: Their names; one that begins with ">" is for numbers, one with "~" may wrap.
        width: Of the terminal, in columns.
    """
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1 if width >= ROOMY else 0, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for column in columns:
        table.add_column(
            column.lstrip(">~"),
            justify="right" if column.startswith(">") else "left",
            no_wrap=not column.startswith("~"),
            overflow="fold" if column.startswith("~") else "ellipsis",
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
        width = console.width
        self._stacked = width < NARROW
        self._longest_id = max(SHORTEST_ID, width - BESIDE_ID)
        scored = ("category",) if self._stacked else ("category", ">score")
        names = ("recording", ">length", *scored, "~evidence, s", ">sev", "tier", "~action")
        self._table = plain_table("", *names, width=width)
        self._transcripts = (
            plain_table("Transcripts", "recording", "~words") if transcript else None
        )
        self._errors: Counter[str] = Counter()

    def add(self, answer: Mapping[str, Any]) -> None:
        """Adds one recording's answer, in the shape of `triage.answer.as_json`."""
        id = shortened(answer["recording"], self._longest_id)
        if "error" in answer:
            problem = answer["error"]
            slug = problem["type"].rpartition(":")[2]
            self._errors[f"({slug}): {problem['detail']}"] += 1
            scored = (NONE,) if self._stacked else (NONE, NONE)
            told = Text(slug.replace("-", " "), "red")  # so that it may wrap
            self._table.add_row(id, NONE, *scored, told, NONE, NONE, NONE)
            return
        result = answer["results"][0]
        self._table.add_row(id, *_cells(result, self._stacked))
        if self._transcripts and "transcript" in result:
            self._transcripts.add_row(id, printable(result["transcript"]["text"]))

    def print(self) -> None:
        """Prints the table, then the transcripts, then what went wrong."""
        self._console.print(self._table)
        if self._transcripts and self._transcripts.row_count:
            self._console.print(self._transcripts)
        for told, count in self._errors.most_common(MOST_ERRORS):
            self._console.print(Text(f"{count} not scored {told}", "red"))
        if (left := len(self._errors) - MOST_ERRORS) > 0:
            self._console.print(f"and {left} kinds of error more; --jsonl tells all", style="red")


def _cells(result: Mapping[str, Any], stacked: bool) -> list[str | Text]:
    decision = result["decision"]
    style = TIER_STYLES.get(decision["tier"], "")
    actions = [action.replace(":", ": ") for action in decision["actions"]]  # so that they may wrap
    return [
        length(result.get("seconds")),
        *_top(result, style, stacked),
        _evidence(result),
        str(decision["severity"]),
        Text(decision["tier"], style),
        "\n".join(actions) or NONE,
    ]


def _top(result: Mapping[str, Any], style: str, stacked: bool) -> list[Text]:
    """The category with the highest score, and the score; plain if it isn't flagged."""
    top = _highest(result)
    if top is None:
        return [Text(NONE)] * (1 if stacked else 2)
    name = Text(top, style if result["categories"].get(top) else "dim")
    score = Text(f"{result['category_scores'][top]:.2f}")
    return [Text("\n").join([name, score])] if stacked else [name, score]


def _highest(result: Mapping[str, Any]) -> str | None:
    scores: Mapping[str, float] = result["category_scores"]
    return max(scores, key=scores.__getitem__, default=None)


def _evidence(result: Mapping[str, Any]) -> Text:
    """What failed, then what speaks for the highest category; the flags where nothing does."""
    failed = [Text(f"{stage} failed", "bold red") for stage in result.get("failures", {})]
    top = _highest(result)
    found = [
        Text(one["evidence"].removesuffix(" s"))
        for one in result["explanation"]
        if one["category"] == top and one["contribution"] >= LEAST_SHOWN
    ]
    lines = failed + found[:MOST_EVIDENCE]
    lines = lines or [Text(flag, "dim") for flag, on in result["flags"].items() if on]
    return Text("\n").join(lines or [Text(NONE)])


def length(seconds: float | None) -> str:
    """For people: 3.2 s; 10:05 from a minute on; 1:00:05 from an hour on; text without sound."""
    if seconds is None:
        return "text"
    if round(seconds, 1) < 60:
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
    names = ("", ">pos.", ">neg.", *(f">{name}" for name in FIGURES.values()))
    table = plain_table(title, *names, width=width)
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
