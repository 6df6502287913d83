"""`triage monitor`: how far the live scores have moved from those the model was measured on.

Drift doesn't make it fail. It has then done what it was asked to, and a scheduler that sees a
failure tries again or calls it broken; alerts go by the gauges or by the verdict in the JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from triage.cli.exits import Exit
from triage.cli.tables import plain_console, plain_table
from triage.drift import MUCH, SOME, Drift, Verdict, compare, worst
from triage.errors import ArtefactRefused, BadField, BadSetting
from triage.files import put
from triage.live import KEPT, Live, folder_of, read
from triage.manifest import Manifest, read_manifest
from triage.registry import in_service
from triage.settings import settings

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
STYLES = {
    Verdict.NONE: "",
    Verdict.SOME: "yellow",
    Verdict.MUCH: "bold red",
    Verdict.TOO_FEW: "dim",
}


@dataclass(frozen=True, slots=True)
class Monitored:
    """A model's live window beside its reference.

    Attributes:
        manifest: Of the model.
        live: The window.
        drift: By name, worst first.
        unseen: Names of the reference that no live row had.
    """

    manifest: Manifest
    live: Live
    drift: tuple[Drift, ...]
    unseen: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        return worst(self.drift)

    def as_json(self) -> dict[str, Any]:
        hours = [hour.isoformat() for hour in self.live.hours]
        return {
            "model": self.manifest.name,
            "digest": self.manifest.digest,
            "verdict": self.verdict,
            "first_hour": hours[0],
            "last_hour": hours[-1],
            "unreadable_files": self.live.unreadable,
            "drift": [asdict(one) for one in self.drift],
            "unseen": list(self.unseen),
        }


def run(since: str, *, html: Path | None, out: TextIO | None, prometheus: Path | None) -> Exit:
    """Compares the live window with the reference of the model in service, and tells the result.

    Args:
        since: How far back, as "90m", "24h" or "7d"; whole hours are taken.
        html, out, prometheus: Where else to tell it.

    Returns:
        `Exit.DONE`, whatever the verdict.

    Raises:
        BadField: `since` is no such time.
        ArtefactRefused: The model has no reference.
        BadSetting: Nothing was counted in that time, or a file can't be written.
    """
    found = monitored(datetime.now(UTC) - duration(since))
    if html is not None:
        from triage.report.drift import page

        _write(html, page(found.manifest, found.live, found.drift, found.unseen))
    if prometheus is not None:
        from prometheus_client import generate_latest

        from triage.http.metrics import LiveGauges

        _write(prometheus, generate_latest(LiveGauges(found.manifest.name, found.drift)))
    if out is not None:
        out.write(json.dumps(found.as_json(), indent=2) + "\n")
    if out is None or out.name != "<stdout>":
        show(found, plain_console())
    return Exit.DONE


def duration(told: str, option: str = "--since") -> timedelta:
    """A time as it is told on the command line: "90m", "24h" or "7d".

    Raises:
        BadField: It isn't one, or more than what is kept.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", told)
    length = int(match[1]) * UNITS[match[2]] if match else None
    if length is None or length > KEPT:
        raise BadField(
            f"{option} takes a number with m, h or d, as 90m, 24h or 7d, up to {KEPT.days}d.",
            limit=f"{KEPT.days}d",
        )
    return length


def monitored(since: datetime) -> Monitored:
    """The live window of the model in service beside its reference.

    Raises:
        ArtefactRefused: The model has no reference.
        BadSetting: Nothing was counted in that time.
    """
    manifest = read_manifest(in_service(settings()))
    if not manifest.reference:
        raise ArtefactRefused(
            f"{manifest.name} has no reference to compare live scores with, and so they aren't "
            "counted. Train it again with this version."
        )
    live = read(folder_of(manifest, settings().state), manifest.reference, since)
    if not live.hours:
        raise BadSetting(
            f"No pass of {manifest.name} has been counted since {since:%Y-%m-%d %H:00} UTC "
            f"({live.unreadable} files can't be read). Take a longer --since, or point "
            "TRIAGE_STATE to the state folder of the service."
        )
    drift = compare(manifest.reference, live.total)
    seen = {one.name for one in drift}
    return Monitored(
        manifest, live, drift, tuple(name for name in manifest.reference if name not in seen)
    )


def show(found: Monitored, console: Console) -> None:
    """Prints the verdict, then every name."""
    hours = list(found.live.hours)
    verdict = Text(found.verdict, STYLES[found.verdict])
    console.print(Text(f"{found.manifest.name}, drift: ") + verdict)
    console.print(f"from {hours[0]:%Y-%m-%d %H:00} to {hours[-1]:%Y-%m-%d %H:59} UTC", style="dim")
    console.print(_table(found.drift, console.width))
    if found.unseen:
        console.print(f"in no live row: {', '.join(found.unseen)}", style="dim")
    if found.live.unreadable:
        console.print(f"files left out as unreadable: {found.live.unreadable}", style="red")
    console.print(
        f"PSI: some over {SOME}, much over {MUCH}, but only where it is over what as many rows "
        "reach by chance.",
        style="dim",
    )


def _table(drift: Sequence[Drift], width: int) -> Table:
    table = plain_table("", "", ">rows", ">PSI", ">by chance", "drift", width=width)
    for one in drift:
        told = Text(one.verdict, STYLES[one.verdict])
        table.add_row(one.name, f"{one.rows:,}", f"{one.psi:.3f}", f"{one.chance:.3f}", told)
    return table


def _write(file: Path, content: bytes) -> None:
    """Writes a file whole, readable for whoever collects it.

    Raises:
        BadSetting: It can't be written.
    """
    try:
        put(file, content, 0o644)
    except OSError as error:
        raise BadSetting(f"{file.name} can't be written: {error.strerror}.") from None
