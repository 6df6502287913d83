"""Files that are there whole, or as they were before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

OWN = 0o600  # only its owner may read it


@contextmanager
def whole(file: Path, mode: int = OWN, *, lasting: bool = False) -> Iterator[BinaryIO]:
    """A stream to a file that is there when all of it is written, and as it was before until then.

    Args:
        file: Where. It is written beside its place, and moved there.
        mode: Who may do what with it.
        lasting: Whether it must outlast a power cut once this has ended.

    Raises:
        OSError: It can't be written.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            os.fchmod(stream.fileno(), mode)
            yield stream
            if lasting:
                stream.flush()
                os.fsync(stream.fileno())
        part.replace(file)
        if lasting:
            sync(file.parent)
    finally:
        with suppress(OSError):  # it is gone, or its folder never was one
            part.unlink()


def put(file: Path, content: bytes, mode: int = OWN, *, lasting: bool = False) -> None:
    """Writes a file as `whole` does.

    Raises:
        OSError: It can't be written.
    """
    with whole(file, mode, lasting=lasting) as stream:
        stream.write(content)


def sync(path: Path) -> None:
    """Makes a file or a folder outlast a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
