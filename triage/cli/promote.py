"""`triage promote` and `triage rollback`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from triage import registry
from triage.cli.compare import compared
from triage.cli.exits import Exit
from triage.cli.tables import plain_console
from triage.cli.user import user
from triage.errors import ArtefactRefused
from triage.manifest import Manifest
from triage.measure.comparison import Comparison, stored
from triage.measure.gate import Finding, findings
from triage.pipeline import Triage
from triage.policy.against import check
from triage.policy.model import Policy
from triage.promotions import Change, Model
from triage.settings import settings


def promote(challenger: Path, data: list[Path], reason: str, override: str, by: str) -> Exit:
    """Puts a model into service, unless what is known of it forbids that.

    Raises:
        SetupError: It can't be loaded as the service would, or is worse where it matters and
            nothing overrides that. The champion stays.
    """
    own, console = settings(), plain_console()
    # All that the service will load, so that what it would refuse is refused here.
    triage = Triage.load(own.model_copy(update={"model": challenger}))
    manifest, before = triage.artefact.manifest, registry.champion(own)
    for note in check(triage.policy, manifest.categories, manifest.events):
        console.print(note, style="yellow")
    against: Sequence[Finding] = ()
    comparison = None
    if manifest.digest != before.digest:
        comparison = _compared(challenger, manifest, before, data)
        against = _findings(comparison, manifest, before, triage.policy)
        _show(against, console, refused=not override)
    change = registry.promote(
        triage.artefact,
        own,
        against=before.digest,
        by=by or user(),
        reason=reason,
        override=override,
        findings=[str(one) for one in against if one.blocks],
        comparison="" if comparison is None else comparison.digest,
    )
    if change is None:
        console.print(f"{before} is in service already. Nothing was changed.")
    else:
        _announce(change, console)
    return Exit.DONE


def rollback(reason: str, by: str) -> Exit:
    """Puts the model back into service that was there before the last promotion.

    Raises:
        SetupError: There is none, or it is damaged. The champion stays.
    """
    change = registry.rollback(settings(), by=by or user(), reason=reason)
    _announce(change, plain_console())
    return Exit.DONE


def _compared(
    challenger: Path, manifest: Manifest, before: Model, data: Sequence[Path]
) -> Comparison | None:
    """On the data, or the last comparison of exactly these two models, if there is one."""
    if data:
        return compared(challenger, before.folder, data)
    with suppress(ArtefactRefused):
        return stored(settings().state, before.digest, manifest.digest)
    return None


def _findings(
    comparison: Comparison | None, manifest: Manifest, before: Model, policy: Policy
) -> Sequence[Finding]:
    if comparison is None:
        why = "there is none of these two models that can be read"
    elif comparison.policy != policy.digest:
        why = "it was made under another policy"
    elif (comparison.champion.digest, comparison.challenger.digest) != (
        before.digest,
        manifest.digest,
    ):
        why = "it is of other models; one of the folders was changed"
    else:
        return findings(comparison, policy.critical)
    told = (
        f"{why}. Give --data with labelled rows, or run `triage compare` of {manifest.name} with "
        f"--champion {before.folder} first."
    )
    return [Finding("comparison", told, blocks=True)]


def _show(against: Sequence[Finding], console: Console, *, refused: bool) -> None:
    """Prints what speaks against it; a refusal will tell itself why."""
    for finding in against:
        if not (finding.blocks and refused):
            console.print(str(finding), style="red" if finding.blocks else "yellow")
    if not against:
        console.print("Nothing speaks against it.")


def _announce(change: Change, console: Console) -> None:
    console.print(f"{change.after} is in service in place of {change.before}.", style="bold")
    if registry.pinned(settings()):
        console.print("But TRIAGE_MODEL is set here: what runs with it keeps that model.")
    else:
        console.print(
            "A running service takes it over within seconds, unless TRIAGE_MODEL is set for it.",
            style="dim",
        )
