"""`triage model show`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triage.cli.exits import Exit
from triage.cli.tables import metrics, plain_console, plain_table, printable
from triage.errors import ArtefactRefused
from triage.manifest import Manifest, read_manifest
from triage.model_store import DIGITS
from triage.promotions import Change
from triage.registry import history, in_service, to_follow
from triage.settings import settings
from triage.weights import sha256

UNCHANGED = "as pinned"


def run(path: Path | None, *, json: bool) -> Exit:
    """Prints a model's manifest and whether its files are the ones that it vouches for.

    Returns:
        `Exit.SETUP` if one of them isn't.

    Raises:
        ArtefactRefused: There is no manifest, or it can't be read.
        AuditTampered: The log of promotions was changed.
    """
    folder = path or in_service(settings())
    manifest = read_manifest(folder)
    states = {name: _state(folder / name, pinned) for name, pinned in manifest.files.items()}
    if json:
        typer.echo(manifest.model_dump_json(indent=2))
    else:
        show(manifest, states, history(settings()), plain_console())
    return Exit.DONE if set(states.values()) == {UNCHANGED} else Exit.SETUP


def announce(manifest: Manifest) -> None:
    """Prints what `triage train` has made."""
    console = plain_console()
    console.print(f"{manifest.name} is trained and written.")
    _show_metrics(manifest, console)


def show(
    manifest: Manifest, states: dict[str, str], changes: Sequence[Change], console: Console
) -> None:
    """Prints a manifest for people, and how the model came into service, if it did."""
    console.print(manifest.name, style="bold")
    console.print(
        f"format {manifest.format}, made {manifest.created} by Triage {manifest.code}",
    )
    console.print(f"digest: {manifest.digest}")
    if manifest.parent is not None:
        console.print(f"parent: {manifest.parent.name} ({manifest.parent.digest[:DIGITS]})")
    console.print("in service" if _serves(manifest) else "not in service")
    for change in changes:
        if change.after.digest == manifest.digest:
            console.print(_came(change))
    console.print(f"categories: {', '.join(manifest.categories)}")
    console.print(f"events: {', '.join(manifest.events)}")
    console.print(_files(manifest, states))
    console.print(_encoders(manifest))
    _show_metrics(manifest, console)
    console.print(_lineage(manifest))
    for name, value in manifest.training.items():
        console.print(f"{name}: {value}", style="dim")


def _serves(manifest: Manifest) -> bool:
    serving = to_follow(settings())
    if serving is None:
        with suppress(ArtefactRefused):
            serving = read_manifest(settings().model).digest
    return manifest.digest == serving


def _came(change: Change) -> Text:
    """How a model came into service: when, by whom, why, and in spite of what."""
    how = "promoted" if change.kind == "promote" else "put back into service"
    told = f"{change.at:%Y-%m-%d %H:%M} UTC: {how} in place of {change.before} by {change.by}"
    if change.reason:
        told += f", because: {change.reason}"
    if change.override:
        told += f"; in spite of: {' '.join(change.findings)} Overridden because: {change.override}"
    return printable(told)


def _state(file: Path, pinned: str) -> str:
    if not file.is_file():
        return "missing"
    return UNCHANGED if sha256(file) == pinned else "changed"


def _files(manifest: Manifest, states: dict[str, str]) -> Table:
    table = plain_table("Files", "file", "SHA-256", "state")
    for name, digest in manifest.files.items():
        style = "" if states[name] == UNCHANGED else "bold red"
        table.add_row(name, digest[:16] + "…", states[name], style=style)
    return table


def _encoders(manifest: Manifest) -> Table:
    table = plain_table("Encoders", "for", "name", ">width", "licence")
    for kind, note in manifest.encoders.items():
        table.add_row(kind, note.name, str(note.width), note.licence)
    return table


def _show_metrics(manifest: Manifest, console: Console) -> None:
    for title, rows in manifest.metrics.items():
        console.print(metrics(title.capitalize(), rows, console.width))


def _lineage(manifest: Manifest) -> Table:
    table = plain_table("Made from", "kind", "source", "licence", ">train", ">val")
    for note in manifest.lineage:
        table.add_row(note.kind, note.source, note.licence, f"{note.train:,}", f"{note.val:,}")
    return table
