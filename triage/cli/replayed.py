"""Scores that a command is to decide anew: those of files, or else of the store of decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from triage.cli.monitor import duration
from triage.database.store import open_store
from triage.decisions import Decisions
from triage.errors import BadField
from triage.measure.stored import Stored, Unusable, read_stored
from triage.settings import settings


class Replayed:
    """What is read, and how much of it holds no scores.

    Args:
        paths: Files of answers, as `triage score --jsonl` prints them; without any, the store's.
        since: How far back the store is read, as "30d".

    Attributes:
        unusable: The lines that hold none, so far.
    """

    def __init__(self, paths: Sequence[Path], since: str) -> None:
        self._paths, self._since = paths, since
        self.unusable: list[Unusable] = []

    def __iter__(self) -> Iterator[Stored]:
        if not self._paths:
            yield from self._kept()
            return
        for one in read_stored(self._paths):
            if isinstance(one, Stored):
                yield one
            else:
                self.unusable.append(one)

    def nothing(self) -> BadField:
        """What to say where there was nothing to decide."""
        return BadField(
            f"There are no scores to decide anew, and {len(self.unusable)} lines that hold none. "
            "Name files that `triage score --jsonl` printed, or keep decisions for a while."
        )

    def _kept(self) -> Iterator[Stored]:
        """What the store holds; a pseudonym's history isn't counted anew."""
        store = Decisions(open_store(settings().store_url))
        for one in store.kept(datetime.now(UTC) - duration(self._since)):
            yield Stored(one.id, one.scores, one.at)
