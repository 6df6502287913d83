"""How far a fine-tuning has come, on disk, so that a run that was killed goes on."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any


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
        """What was saved last; None if nothing was."""
        import torch

        if not self._file.is_file():
            return None
        state: dict[str, Any] = torch.load(self._file, map_location="cpu", weights_only=True)
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
        part = self._file.with_suffix(".part")
        try:
            part.write_bytes(whole.getbuffer())
            part.replace(self._file)
        finally:
            part.unlink(missing_ok=True)


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
