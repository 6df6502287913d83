"""Files, and lines at their ends, that are there whole or as they were before."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from typing import BinaryIO

OWN = 0o600  # only its owner may read it
FORSAKEN = 60.0  # s for which a file that is being written is never left alone


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
    _clear(file)
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


def put(file: Path, content: bytes | memoryview, mode: int = OWN, *, lasting: bool = False) -> None:
    """Writes a file as `whole` does.

    Raises:
        OSError: It can't be written.
    """
    with whole(file, mode, lasting=lasting) as stream:
        stream.write(content)


def append(file: int, data: bytes, size: int) -> None:
    """Appends all of the data through to the disk or, if that can't be, none of it.

    Args:
        file: Opened to append.
        data: What is to be appended.
        size: How long the file is.

    Raises:
        OSError: It can't be written.
    """
    try:
        left = memoryview(data)
        while left:  # once, unless the disk is full: then the second time tells so
            left = left[os.write(file, left) :]
        os.fsync(file)
    except OSError:
        # What can't be taken back either is half a line, which whoever reads it has to expect.
        with suppress(OSError):
            os.ftruncate(file, size)
            os.fsync(file)
        raise


def sync(path: Path) -> None:
    """Makes a file or a folder outlast a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _clear(file: Path) -> None:
    """Takes away what processes left that were killed while they wrote this file."""
    for left in file.parent.glob(f".{glob.escape(file.name)}.*.part"):
        from psutil import pid_exists

        process = left.suffixes[-2].removeprefix(".")
        if process.isdecimal() and not pid_exists(int(process)):
            with suppress(OSError):  # another one has done so meanwhile
                # In a container beside this one there are other processes.
                if time() - left.stat().st_mtime > FORSAKEN:
                    left.unlink()
