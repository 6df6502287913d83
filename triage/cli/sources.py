"""`triage evaluate --leave-source-out`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console

from triage import artefact
from triage.artefact import ENCODER
from triage.cli.exits import Exit
from triage.cli.progress import progress
from triage.cli.tables import NONE, plain_console, plain_table
from triage.labels.rows import Kind
from triage.measure.sources import Task, Unseen, leave_sources_out
from triage.metrics import Metric
from triage.policy.loading import load_policy
from triage.registry import in_service
from triage.settings import settings
from triage.text import TextEncoder
from triage.training.featured import ears, featured, opened
from triage.training.gather import gather
from triage.training.plan import SOUND_REGULARISATION, TEXT_REGULARISATION

TITLES: dict[Kind, str] = {"labels": "Categories", "events": "Events"}


def run(
    paths: Sequence[Path], out: TextIO | None, *, folds: int, repeats: int, cache: Path
) -> Exit:
    """Fits heads without each source, prints how they do on it, and writes the figures to `out`.

    The encoders are those of the model in service.

    Returns:
        `Exit.INCOMPLETE` if any row couldn't be used.
    """
    own = settings()
    with progress() as report, opened(cache) as kept:
        model = artefact.load(in_service(own))
        strengths = model.manifest.strengths
        rows = gather(paths, own.labels_url, (), (), (), strengths, report, drop_leaks=True)
        digest = model.manifest.encoders["text"].files[ENCODER]
        encoder = TextEncoder(model.folder / "text", own.cores)
        found = featured(rows, encoder, digest, ears(own, 0), kept, report)
        thresholds = {n: one.threshold for n, one in load_policy(own.policy).categories.items()}
        tasks = (
            Task("labels", found.words, rows.texts, TEXT_REGULARISATION, thresholds),
            Task(
                "events", found.sounds, rows.clips, SOUND_REGULARISATION,
                model.manifest.event_thresholds,
            ),
        )  # fmt: skip
        unseen = [
            one
            for task in tasks
            if task.labelled
            for one in leave_sources_out(task, folds, repeats, report)
        ]
    if out is not None:
        out.write(json.dumps([one.as_json() for one in unseen], indent=2) + "\n")
    if out is None or out.name != "<stdout>":
        show(unseen, tuned=bool(model.manifest.training.get("text_encoder_tuned")))
    return Exit.INCOMPLETE if rows.problems or found.failed else Exit.DONE


def show(unseen: Sequence[Unseen], *, tuned: bool) -> None:
    """Prints each source's figures and their means."""
    console = plain_console()
    for kind, title in TITLES.items():
        of = [one for one in unseen if one.kind == kind]
        if of:
            _figures(of, title, console)
            _flagged(of, console)
    console.print("Heads fitted without the source. 95 % intervals are in the JSON.", style="dim")
    if tuned:
        console.print(
            "The text encoder was tuned on some of these sources; their figures flatter it.",
            style="yellow",
        )


def _figures(unseen: Sequence[Unseen], title: str, console: Console) -> None:
    columns = ("source", "", ">cases", ">AUC", ">recall", ">cal. err.", ">AUPRC")
    table = plain_table(
        f"{title}: recall at 1 % false alarms; AUPRC among the source's own rows",
        *columns,
        width=console.width,
    )
    every: list[tuple[Metric, Metric | None]] = []
    for one in unseen:
        within = {figure.name: figure for figure in one.within}
        for figure in one.figures:
            alone = within.pop(figure.name, None)
            every.append((figure, alone))
            table.add_row(one.source, figure.name, str(figure.positives), *_cells(figure, alone))
        for name, alone in within.items():
            table.add_row(one.source, name, str(alone.positives), NONE, NONE, NONE, _value(alone))
    if every:
        means = (
            _mean([one for one, _ in every], "auroc"),
            _mean([one for one, _ in every], "recall_at_1pct_fpr"),
            _mean([one for one, _ in every], "ece"),
            _mean([one for _, one in every if one], "auprc"),
        )
        table.add_row("mean", f"{len(every)} pairs", "", *means, style="bold")
    console.print(table)


def _flagged(unseen: Sequence[Unseen], console: Console) -> None:
    table = plain_table("", "source", ">rows", ">cases flagged", ">others flagged")
    for one in unseen:
        cells = (NONE if x is None else f"{x:.1%}" for x in (one.flagged, one.falsely))
        table.add_row(one.source, f"{one.rows:,}", *cells)
    console.print(table)


def _cells(figure: Metric, within: Metric | None) -> tuple[str, ...]:
    named = (figure.auroc, figure.recall_at_1pct_fpr, figure.ece)
    return (*(NONE if one is None else f"{one.value:.3f}" for one in named), _value(within))


def _value(within: Metric | None) -> str:
    return NONE if within is None or within.auprc is None else f"{within.auprc.value:.3f}"


def _mean(figures: Sequence[Metric], measure: str) -> str:
    values = [one.value for figure in figures if (one := getattr(figure, measure)) is not None]
    return f"{sum(values) / len(values):.3f}" if values else NONE
