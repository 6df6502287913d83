"""Trees of small files, and the same trees as tar and zip files."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from triage.archive.entries import Entry, PassedOver, Unreadable, fetch
from triage.archive.sources import entries, shards
from triage.records import Recording

MAX_BYTES = 1000
SECRET = "not to be repeated"

Tree = Mapping[str, bytes]


def noise(seed: int, size: int = 900) -> bytes:
    """What no compressor makes smaller."""
    return hashlib.shake_256(bytes([seed])).digest(size)


def tarred(tree: Tree) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return held.getvalue()


def zipped(tree: Tree) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree.items():
            archive.writestr(name, content)
    return held.getvalue()


PACKED: Mapping[str, Callable[[Tree], bytes]] = {
    "x.tar": tarred,
    "x.tar.gz": lambda tree: gzip.compress(tarred(tree)),
    "x.tar.bz2": lambda tree: bz2.compress(tarred(tree)),
    "x.tar.xz": lambda tree: lzma.compress(tarred(tree)),
    "x.zip": zipped,
}


def laid_out(folder: Path, tree: Tree) -> Path:
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def put(url: str, content: bytes) -> str:
    """A file in fsspec's memory."""
    import fsspec

    fsspec.filesystem("memory").pipe_file(url, content)
    return url


def given(source: str | Path, max_bytes: int = MAX_BYTES) -> list[Entry]:
    return [one for shard in shards(str(source)) for one in entries(shard, max_bytes)]


def recordings(found: list[Entry]) -> list[Recording]:
    got = [fetch(one, MAX_BYTES) for one in found]
    return [one for one in got if isinstance(one, Recording)]


def unreadable(found: list[Entry]) -> list[Unreadable]:
    return [one for one in found if isinstance(one, Unreadable)]


def passed_over(found: list[Entry]) -> list[str]:
    return sorted(one.kind for one in found if isinstance(one, PassedOver))


def content(recording: Recording) -> bytes | None:
    audio = recording.audio
    return audio.read_bytes() if isinstance(audio, Path) else audio
