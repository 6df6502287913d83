"""The commands from labels to a model in service and their options, in the order of their use.

Like those of `triage.cli.app`: what they do is imported when one is run.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Rows = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH",
        help="Labelled rows: .jsonl, .csv, .parquet (also .gz), a Label Studio export (.json), or "
        "folders of them.",
        show_default=False,
    ),
]
Data = Annotated[
    list[Path],
    typer.Option(help="Labelled rows, or a folder of them; may be repeated.", show_default=False),
]
Report = Annotated[
    Path | None, typer.Option(help="Write every problem there, one JSON object a line.")
]
Cache = Annotated[Path, typer.Option(help="Folder that keeps computed features.")]
By = Annotated[str, typer.Option(help="Who does it; the user of this machine if not given.")]
DecideOnly = Annotated[bool, typer.Option("--decide-only", help="Raise no case and tell nobody.")]
Html = Annotated[Path | None, typer.Option(help="Write a page with plots there.")]
Json = Annotated[
    typer.FileTextWrite | None,
    typer.Option(metavar="FILE", help="Write the figures there as JSON; - prints them only."),
]


class Split(StrEnum):
    """Which rows to measure on."""

    VAL = "val"
    TRAIN = "train"
    ALL = "all"


class Leaks(StrEnum):
    """What to do about rows of split val that training rows give away."""

    REFUSE = "refuse"
    DROP = "drop"


def add(app: typer.Typer) -> None:
    """Adds the commands to the application."""
    for command in (train, evaluate, compare, promote, rollback, suggest, monitor):
        app.command()(command)


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for the model; one that is there is replaced.")],
    name: Annotated[str, typer.Option(help="Name of the model, with its version.")],
    base: Annotated[
        Path | None,
        typer.Option(
            help="Model to start from: its text encoder is kept, and so is what the data says "
            "nothing of. Without one the encoder is exported anew, which needs the train extra."
        ),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Keep only the base's text encoder, not its heads.")
    ] = False,
    categories: Annotated[
        str, typer.Option(help="Train only these categories, with commas; all that are labelled.")
    ] = "",
    exclude_licence: Annotated[
        list[str] | None,
        typer.Option(help="Leave out rows whose licence contains this; with commas, or repeated."),
    ] = None,
    exclude_source: Annotated[
        list[str] | None,
        typer.Option(help="Leave out rows of this source; with commas, or repeated."),
    ] = None,
    finetune: Annotated[
        bool, typer.Option("--finetune", help="Fine-tune the text encoder; needs the train extra.")
    ] = False,
    leaks: Annotated[
        Leaks, typer.Option(help="What to do about val rows that training rows give away.")
    ] = Leaks.REFUSE,
    miss: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Guarantee: share of cases missed at most.")
    ] = 0.05,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="Guarantee: with this confidence.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of all that is left to chance.")] = 0,
    cache: Cache = Path("var/features"),
    report: Report = None,
) -> None:
    """Train a model on labelled texts and recordings; a run that was stopped goes on."""
    from triage.cli.train import run
    from triage.training.plan import Plan

    plan = Plan(
        data=tuple(data),
        out=out,
        name=name,
        base=base,
        anew=anew,
        categories=names(categories),
        exclude_licences=tuple(word for one in exclude_licence or () for word in names(one)),
        exclude_sources=tuple(word for one in exclude_source or () for word in names(one)),
        finetune=finetune,
        drop_leaks=leaks is Leaks.DROP,
        miss=miss,
        confidence=confidence,
        seed=seed,
        cache=cache,
    )
    raise typer.Exit(run(plan, report))


def evaluate(
    paths: Rows,
    split: Annotated[Split, typer.Option(help="Which rows.")] = Split.VAL,
    json: Json = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Draw this many rows at random; 0 takes all.")
    ] = 0,
    repeats: Annotated[
        int, typer.Option(min=1, help="Resamples behind each 95 % interval.")
    ] = 1000,
    leave_source_out: Annotated[
        bool,
        typer.Option(
            "--leave-source-out",
            help="Fit the heads anew without a source and measure them on it, each in turn.",
        ),
    ] = False,
    folds: Annotated[
        int, typer.Option(min=0, help="Deal the sources into so many fits; 0 for one at a time.")
    ] = 0,
    cache: Cache = Path("var/features"),
) -> None:
    """Measure the model on labelled rows; nothing is decided."""
    if leave_source_out:
        from triage.cli.sources import run as leave_out

        raise typer.Exit(leave_out(paths, json, folds=folds, repeats=repeats, cache=cache))
    from triage.cli.evaluate import run

    raise typer.Exit(run(paths, split, json, limit=limit, repeats=repeats))


def compare(
    challenger: Annotated[Path, typer.Argument(help="Folder of the model that may be promoted.")],
    data: Data,
    champion: Annotated[
        Path | None, typer.Option(help="Folder of the other; without it, the model in service.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Which rows.")] = Split.VAL,
    prevalence: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="Share of recordings that are cases, for PPV.")
    ] = 0.001,
    repeats: Annotated[
        int, typer.Option(min=1, help="Resamples behind each 95 % interval.")
    ] = 1000,
    html: Html = None,
    json: Json = None,
) -> None:
    """Measure two models on the same rows, row by row beside each other."""
    from triage.cli.compare import run

    raise typer.Exit(
        run(challenger, data, champion, split, prevalence, repeats, html=html, out=json)
    )


def promote(
    challenger: Annotated[Path, typer.Argument(help="Folder of the model to put into service.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Labelled rows to compare on; without them, the last `triage compare` of the two "
            "models is taken.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the promotion.")] = "",
    override: Annotated[
        str, typer.Option(help="Promote in spite of what speaks against it, for this reason.")
    ] = "",
    by: By = "",
) -> None:
    """Put a model into service, unless it is worse where it matters."""
    from triage.cli.promote import promote

    raise typer.Exit(promote(challenger, data or [], reason, override, by))


def rollback(
    reason: Annotated[str, typer.Option(help="Why; kept with the promotions.")] = "",
    by: By = "",
) -> None:
    """Put the model back into service that was there before the last promotion."""
    from triage.cli.promote import rollback

    raise typer.Exit(rollback(reason, by))


def suggest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH", help="Recordings, as for `triage score`.", show_default=False
        ),
    ],
    budget: Annotated[int, typer.Option(min=1, help="How many to pick at most.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the picks there, one JSON object a line, and count them as drawn; "
            "without it, only show what would be."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    decide_only: DecideOnly = False,
) -> None:
    """Pick the recordings that are worth labelling next, within the sampling cap."""
    from triage.cli.suggest import run

    raise typer.Exit(run(paths, budget, out, seed, decide_only=decide_only))


def monitor(
    since: Annotated[str, typer.Option(help="How far back to look: 90m, 24h, 7d.")] = "24h",
    html: Html = None,
    json: Json = None,
    prometheus: Annotated[
        Path | None, typer.Option(help="Write gauges there for a node exporter's text collector.")
    ] = None,
) -> None:
    """Compare live scores with those the model was measured on."""
    from triage.cli.monitor import run

    raise typer.Exit(run(since, html=html, out=json, prometheus=prometheus))


def names(told: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in told.split(",") if name.strip())
