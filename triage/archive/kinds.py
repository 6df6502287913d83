"""What a name says about what is in a file."""

from __future__ import annotations

MANIFESTS = (".jsonl", ".csv", ".parquet")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ZIPS = (".zip",)


def is_manifest(place: str) -> bool:
    return _path(place).endswith(MANIFESTS)


def is_tar(place: str) -> bool:
    return _path(place).endswith(TARS)


def is_zip(place: str) -> bool:
    return _path(place).endswith(ZIPS)


def _path(place: str) -> str:
    """Without what a signed URL asks behind its path."""
    if place.startswith("https://"):
        place = place.partition("?")[0].partition("#")[0]
    return place.lower()


def suffix_of(place: str) -> str:
    """The last dot of a name and what follows, in small letters; empty if there is no dot."""
    name = _path(place).rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return dot + suffix if stem else ""
