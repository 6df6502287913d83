"""`triage model screen`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triage import artefact
from triage.artefact import ENCODER
from triage.cli.exits import Exit
from triage.cli.progress import progress
from triage.cli.tables import plain_console
from triage.registry import in_service
from triage.settings import settings
from triage.text import TextEncoder
from triage.training.dataset import lineage
from triage.training.featured import opened
from triage.training.features import text_features
from triage.training.gather import gather
from triage.training.screen import Wanted, card, fit, taught, write


def run(
    data: Sequence[Path],
    out: Path,
    cache: Path,
    wanted: Wanted,
    licences: Sequence[str],
    sources: Sequence[str],
) -> Exit:
    """Fits a screen for the model that the settings name, and prints its card.

    Returns:
        `Exit.INCOMPLETE` if there was a row that couldn't be used.

    Raises:
        LabelsRefused: The rows can't be read, or hold too little to promise anything.
        ArtefactRefused: The model doesn't load.
        OSError: The disk is full, say.
    """
    own = settings()
    with progress() as report, opened(cache) as kept:
        model = artefact.load(in_service(own))
        rows = gather(
            data,
            own.labels_url,
            licences,
            sources,
            (),
            model.manifest.strengths,
            report,
            drop_leaks=True,
        )
        texts = [row for row in rows.texts if row.text is not None]
        digest = model.manifest.files[ENCODER]
        encoder = TextEncoder(model.folder / "text", own.cores)
        vectors = text_features(texts, encoder, digest, kept, report)
        note, weights = fit(
            taught(texts, vectors, model), wanted, model, lineage(texts, [], ()), report
        )
        told = card(note, model.manifest.name)
        write(out, note, weights, told)
    plain_console().print(told, markup=False)
    return Exit.INCOMPLETE if rows.problems else Exit.DONE
