"""What the command line reads: paths in their order, each recording with its audio at hand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from triage.archive.entries import Entry, PassedOver, Row, fetch
from triage.archive.sources import entries, local
from triage.errors import NothingToScore

MAX_BYTES = 512 * 2**20  # as the settings have it by default


def read(paths: Sequence[Path], max_bytes: int = MAX_BYTES) -> Iterator[Row]:
    """Reads the recordings that the paths name, in their order, without opening audio files.

    A folder is read with all that is below it, in the order of the alphabet, hidden names left
    out. Of its files, those whose suffix is that of audio are taken, with the text beside them,
    and tar and zip files; folders below it that can't be opened come last. A file named by itself
    is taken for audio whatever its suffix, unless it is a manifest, tar or zip file. An audio
    file's id is its path as the caller gave it, or as found below the folder that they gave.

    Args:
        max_bytes: Of one recording's audio that stands in a tar or zip file, or in a store.

    Raises:
        NothingToScore: A path can't be read at all; said before anything is.
    """
    _check(paths)
    return _rows(paths, max_bytes)


def count_rows(paths: Sequence[Path], max_bytes: int = MAX_BYTES) -> int:
    """How many rows `read` gives, without fetching any audio."""
    _check(paths)
    return sum(1 for one in _entries(paths, max_bytes) if not isinstance(one, PassedOver))


def _check(paths: Sequence[Path]) -> None:
    for position, path in enumerate(paths, 1):
        if not os.access(path, os.R_OK):
            raise NothingToScore(
                f"Path number {position} doesn't exist or can't be read. Correct it."
            )


def _rows(paths: Sequence[Path], max_bytes: int) -> Iterator[Row]:
    for entry in _entries(paths, max_bytes):
        if not isinstance(entry, PassedOver):
            yield fetch(entry, max_bytes)


def _entries(paths: Sequence[Path], max_bytes: int) -> Iterator[Entry]:
    return chain.from_iterable(entries(local(str(path)), max_bytes) for path in paths)
