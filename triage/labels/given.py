"""The labelled rows that a command works on: those of the files that it names, or the store's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triage.errors import LabelsRefused
from triage.labels.read import read_labels
from triage.labels.rows import Reading, Split
from triage.labels.store import Store


def given(
    paths: Sequence[Path], store: str, asked: Sequence[str] = (), unsplit: Split | None = None
) -> Reading:
    """Reads them.

    Args:
        paths: Files and folders; none for the rows of the store.
        store: Its URL.
        asked, unsplit: As in `read_labels`; a row of the store knows its split.

    Raises:
        LabelsRefused: A path can't be read from, or no row is good, or the store holds none.
    """
    if paths:
        return read_labels(paths, asked, unsplit)
    rows = list(Store(store).rows())
    if not rows:
        raise LabelsRefused("The store holds no rows. Name files, or take some in.")
    return Reading(rows, [])
