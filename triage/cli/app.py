"""The commands and their options. What they do is imported when one is run.

Nothing heavier than typer may be imported here: `triage --help` answers in under half a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import triage
from triage.cli import casework, labelling, learning, policies

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they could show local variables, and so what was said
    epilog="Exit codes: 0 all done; 1 not set up, the message says what is missing; 2 the command "
    "line is wrong; 3 some recordings or rows couldn't be scored, or not by every stage, or "
    "messages didn't arrive, or reach nobody; 4 the audit log or the store of decisions can't be "
    "written, or the log has been changed; 130 interrupted. Settings are read from TRIAGE_… in the "
    "environment.",
)
model_app = typer.Typer(no_args_is_help=True, help="Look at models.")
audit_app = typer.Typer(no_args_is_help=True, help="Look after the audit log.")
app.add_typer(model_app, name="model")
app.add_typer(audit_app, name="audit")
app.add_typer(labelling.app, name="labels")
app.add_typer(policies.app, name="policy")
casework.add(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"triage {triage.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Triage listens first: scores recordings by sound and words; a policy decides who looks."""


@app.command()
def score(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Audio files, folders of them, or .jsonl manifests with id, audio and/or text "
            "on each line.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(metavar="FILE", help="Transcripts, one a line; - reads standard input."),
    ] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object a recording, in input order.")
    ] = False,
    transcript: Annotated[
        bool, typer.Option("--transcript", help="Print what was said as well.")
    ] = False,
    decide_only: learning.DecideOnly = False,
) -> None:
    """Score recordings, decide by the policy, write to the audit log."""
    from triage.cli.score import run

    if not paths and text is None:
        raise typer.BadParameter("Name a file, a folder or a manifest, or give --text.")
    raise typer.Exit(
        run(paths or [], text, jsonl=jsonl, transcript=transcript, decide_only=decide_only)
    )


@app.command(
    epilog="Exit codes: 0 all scored; 1 not set up, or the run was refused: its folder, or what "
    "has changed; 2 the command line or the source is wrong; 3 some recordings couldn't be "
    "scored, or not by every stage, or the source changed while it was read; 4 its folder, the "
    "audit log or the store can't be written; 130 interrupted. After 4, 130 or a kill, the same "
    "command goes on."
)
def batch(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder, an archive (tar, tar.gz, zip), shards (as shards-{0000..0099}.tar), or "
            "a manifest (.jsonl, .csv, .parquet) with id, audio and/or text; a path or a URL "
            "(s3://, gs://, az://).",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the run and its results.")],
    decide_only: learning.DecideOnly = False,
    sound_only: Annotated[
        bool, typer.Option("--sound-only", help="Transcribe nothing: sounds, and given words.")
    ] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Write JSON lines as well.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many recordings.")
    ] = None,
    sample: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Only this share, drawn by id.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    where: Annotated[
        str, typer.Option(metavar="CEL", help="Only those for which this holds of id and context.")
    ] = "",
    engine: Annotated[str, typer.Option(help="cores (this machine) or ray (a cluster).")] = "cores",
    ray_address: Annotated[
        str, typer.Option(help="Of a Ray cluster; one is started here if empty.")
    ] = "",
    known: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Scores by content, to share between runs."),
    ] = None,
    screen: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Give texts a first look, and read only those whole in which it finds something "
            "(models/screen); what it misses is on its card.",
        ),
    ] = None,
    accept_changes: Annotated[
        bool,
        typer.Option("--accept-changes", help="Go on though model, policy or source have changed."),
    ] = False,
    by: Annotated[str, typer.Option(help="Who does it; the user's name if not given.")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    quiet: Annotated[
        bool, typer.Option("--quiet", help="A line from time to time in place of a bar.")
    ] = False,
) -> None:
    """Score an archive into a folder; given again after a stop, it goes on where it was."""
    from triage.batch.begin import Asked
    from triage.batch.plan import Picked
    from triage.cli.batch import run
    from triage.cli.user import user

    if engine not in ("cores", "ray"):
        raise typer.BadParameter("--engine is cores or ray.")
    if not sample:
        raise typer.BadParameter("--sample is a share over 0, of 1 at most.")
    asked = Asked(
        source,
        by or user(),
        reason,
        Picked(limit=limit, sample=sample, seed=seed, where=where),
        sound_only=sound_only,
        decide_only=decide_only,
        jsonl=jsonl,
        accept=accept_changes,
        known=known,
        screen=screen,
    )
    raise typer.Exit(run(asked, out, engine=engine, address=ray_address, quiet=quiet))


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 3000,
) -> None:
    """Serve over HTTP until stopped."""
    from triage.cli.serve import run

    raise typer.Exit(run(host, port))


@app.command()
def demo() -> None:
    """Start the service, score the shipped samples over HTTP, stop it."""
    from triage.cli.demo import run

    raise typer.Exit(run())


learning.add(app)


@model_app.command("show")
def model_show(
    path: Annotated[
        Path | None,
        typer.Argument(help="A model's folder; without one, the model that the settings name."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as it is.")] = False,
) -> None:
    """Show what a model is, how good it is, and what it was made from."""
    from triage.cli.model import run

    raise typer.Exit(run(path, json=json))


@model_app.command("screen")
def model_screen(
    data: learning.Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the screen.")],
    floor: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Score from which a text counts as found.")
    ] = 0.45,
    miss: Annotated[
        float, typer.Option(help="Share of what is found that may be missed, at most.")
    ] = 0.02,
    confidence: Annotated[float, typer.Option(help="Of that.")] = 0.95,
    exclude_licence: Annotated[
        str, typer.Option(help="Leave out rows whose licence holds one of these words, by commas.")
    ] = "",
    exclude_source: Annotated[
        str, typer.Option(help="Leave out rows of these sources, by commas.")
    ] = "",
    cache: learning.Cache = Path("var/features"),
    seed: Annotated[int, typer.Option(help="Of the fit.")] = 0,
) -> None:
    """Fit a first look at texts to what the model in service says of them."""
    from triage.cli.screen import run
    from triage.training.screen import Wanted

    if not (0 < miss < 1 and 0 < confidence < 1):
        raise typer.BadParameter("--miss and --confidence are shares over 0 and under 1.")
    wanted = Wanted(floor, miss, confidence, seed)
    licences, sources = learning.names(exclude_licence), learning.names(exclude_source)
    raise typer.Exit(run(data, out, cache, wanted, licences, sources))


@audit_app.command("verify")
def audit_verify(
    path: Annotated[
        Path | None,
        typer.Argument(help="An audit file; without one, that of the settings' state folder."),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(help="Hash of an entry that was the last one once; it must still be there."),
    ] = None,
) -> None:
    """Follow the audit log's chain from end to end."""
    from triage.safeguards.audit import verify
    from triage.settings import settings

    report = verify(path or settings().state / "audit.jsonl", head)
    typer.echo(f"{report.entries} entries, the chain holds. Head: {report.head}")
    if report.torn or report.unfinished:
        typer.echo(
            f"Torn writes noted: {report.torn}; unfinished bytes at the end: {report.unfinished}"
        )
