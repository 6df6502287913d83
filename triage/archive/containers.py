"""Tar and zip files: their members as entries, and nothing is ever unpacked to disk."""

from __future__ import annotations

from collections.abc import Iterator

from triage.archive import tars, zips
from triage.archive.entries import Entry
from triage.archive.kinds import is_tar, is_zip
from triage.archive.sidecars import paired


def container(place: str) -> bool:
    """Whether the name is that of a tar or zip file."""
    return is_tar(place) or is_zip(place)


def members(place: str, max_bytes: int) -> Iterator[Entry]:
    """What a tar or zip file holds, with the text beside each recording."""
    reader = zips.parts if is_zip(place) else tars.parts
    return paired(reader(place, max_bytes), max_bytes)
