"""How far a fine-tuning has come, on disk, so that a run that was killed goes on."""

from __future__ import annotations

import hashlib
import io
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np

from triage.errors import ArtefactRefused
from triage.files import put
from triage.records import Floats


class Checkpoint:
    """One file that is there whole or not at all.

    Args:
        folder: Where it is; made if it isn't there. Deleting it costs time and no more.
        key: Of the run, see `run_key`; another run has another file.
    """

    def __init__(self, folder: Path, key: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{key}.pt"

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None if nothing was.

        Raises:
            ArtefactRefused: The file is damaged.
        """
        import torch

        if not self._file.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(self._file, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError):
            raise ArtefactRefused(
                f"The checkpoint {self._file.name} is damaged. Delete it; tuning then starts anew."
            ) from None
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Puts tensors and plain numbers in place of what was saved before.

        Raises:
            OSError: The disk is full, say. What was saved before still is.
        """
        import torch

        # By way of the memory: torch tells of a full disk with a RuntimeError.
        whole = io.BytesIO()
        torch.save(state, whole)
        put(self._file, whole.getbuffer())

    @contextmanager
    def saved_on_interrupt(self, state: Callable[[], dict[str, Any]]) -> Iterator[None]:
        """Saves how far it has come when Ctrl-C ends the block."""
        try:
            yield
        except KeyboardInterrupt:
            self.save(state())
            raise

    def made_once(self, name: str, make: Callable[[], Floats]) -> Floats:
        """An array from an earlier run, or made now and kept until `forget`.

        Raises:
            OSError: The disk is full, say, or the file is damaged.
        """
        file = self._file.with_suffix(f".{name}.npy")
        if not file.is_file():
            whole = io.BytesIO()
            np.save(whole, make(), allow_pickle=False)
            put(file, whole.getbuffer())
        array: Floats = np.load(file, allow_pickle=False)
        return array

    def forget(self) -> None:
        """Deletes what was made once."""
        for file in self._file.parent.glob(f"{self._file.stem}.*.npy"):
            file.unlink()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Puts Ctrl-C off to the end of the block, so that it never strikes in the middle of a step."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread is ever interrupted
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        signal.raise_signal(signal.SIGINT)


def run_key(parts: Iterable[bytes]) -> str:
    """32 hexadecimal digits that stand for all that a run depends on.

    Args:
        parts: In their order; where one ends counts too.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()[:32]
