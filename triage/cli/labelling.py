"""The commands of `triage labels` and their options; see `triage.cli.learning`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from triage.cli.learning import Json, Report, Rows, names

app = typer.Typer(no_args_is_help=True, help="Take in, check and give out labels.")

StoredRows = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        help="Labelled rows as for `labels check`; without any, those of the store.",
        show_default=False,
    ),
]
Asked = Annotated[
    str,
    typer.Option(
        help="Names that every annotator of a foreign Label Studio project was asked for, with "
        "commas: what they left unticked is then 0. Otherwise it is unknown."
    ),
]


class Format(StrEnum):
    """How labelled rows are written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    LABEL_STUDIO = "label-studio"


@app.command("check")
def labels_check(paths: Rows, asked: Asked = "", report: Report = None) -> None:
    """Read labelled rows and report bad rows, conflicts and leaks; change nothing."""
    from triage.cli.labels import check

    raise typer.Exit(check(paths, names(asked), report))


@app.command("import")
def labels_import(
    paths: Rows,
    asked: Asked = "",
    annotator: Annotated[
        str, typer.Option(help="Pseudonym for rows that don't say who labelled them.")
    ] = "",
    report: Report = None,
) -> None:
    """Take labelled rows into the store; a later label by the same annotator replaces theirs."""
    from triage.cli.labels import take_in

    raise typer.Exit(take_in(paths, names(asked), annotator, report))


@app.command("export")
def labels_export(
    out: Annotated[Path, typer.Argument(help="File to write.", show_default=False)],
    paths: StoredRows = None,
    format: Annotated[Format, typer.Option(help="How to write them.")] = Format.JSONL,
    predictions: Annotated[
        bool,
        typer.Option("--predictions", help="With the model's scores as pre-annotations."),
    ] = False,
) -> None:
    """Write labelled rows, or tasks for Label Studio with the project's labelling interface."""
    from triage.cli.labels import give_out

    raise typer.Exit(give_out(out, paths or [], format, predictions=predictions))


@app.command("quality")
def labels_quality(
    paths: StoredRows = None,
    most: Annotated[int, typer.Option(min=1, help="Likely errors to list.")] = 50,
    json: Json = None,
) -> None:
    """Rank likely label errors; annotators' agreement and their scores on golden items."""
    from triage.cli.quality import run

    raise typer.Exit(run(paths or [], most, json))
