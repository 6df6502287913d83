"""Which of an archive's recordings a run takes; the same ones whenever it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from triage.archive.entries import Distant, Entry, PassedOver, Unreadable
from triage.batch.plan import Picked
from triage.errors import BadField

if TYPE_CHECKING:
    from cel_expr_python import cel

NOT_PICKED = "not-picked"
UNANSWERED = "where-unanswered"  # --where can't be said of it: a name that its context hasn't


class Picking:
    """Picks by what is asked for.

    Args:
        picked: What is.

    Raises:
        BadField: The condition isn't one.
    """

    def __init__(self, picked: Picked) -> None:
        self._picked = picked
        self._seed = f"{picked.seed}\0".encode()
        self._where = _compiled(picked.where) if picked.where else None

    def __call__(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries that are picked, up to the limit; each that isn't is passed over.

        What can't be read isn't asked about: it is an error that somebody has to see.
        """
        left = self._picked.limit
        for entry in entries:
            if left == 0:
                return
            if not isinstance(entry, PassedOver):
                reason = self._against(entry)
                if reason:
                    yield PassedOver(reason)
                    continue
                left = None if left is None else left - 1
            yield entry

    def _against(self, entry: Entry) -> str:
        if isinstance(entry, Unreadable | PassedOver):
            return ""
        recording = entry.recording if isinstance(entry, Distant) else entry
        if self._where is not None:
            said = self._where.answer(
                {
                    "id": recording.id,
                    "context": dict(recording.context),
                    "text_present": bool((recording.transcript or "").strip()),
                    "sound_present": isinstance(entry, Distant) or recording.audio is not None,
                }
            )
            if not said:
                return UNANSWERED if said is None else NOT_PICKED
        return "" if self._drawn(recording.id) else NOT_PICKED

    def _drawn(self, id: str) -> bool:
        """Whether chance takes it: by its id, so that it doesn't matter what stands around it."""
        if self._picked.sample == 1:
            return True
        digest = hashlib.sha256(self._seed + id.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") < self._picked.sample * 2**64


class _Where:
    def __init__(self, environment: cel.Env, program: cel.Expression) -> None:
        self._environment, self._program = environment, program

    def answer(self, values: dict[str, object]) -> bool | None:
        """Whether it holds; None where that can't be said."""
        try:
            said = self._program.eval(data=values).plain_value()
        except RuntimeError:  # the library has no error of its own
            return None
        return said if isinstance(said, bool) else None


def _compiled(text: str) -> _Where:
    from cel_expr_python import cel

    environment = cel.NewEnv(
        variables={
            "id": cel.Type.STRING,
            "context": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
            "text_present": cel.Type.BOOL,
            "sound_present": cel.Type.BOOL,
        }
    )
    told = (
        "--where isn't a condition that is true or false. It is CEL over id, context (as in "
        "context.locale == 'en-GB'), text_present and sound_present."
    )
    try:
        program = environment.compile(text)
    except RuntimeError:
        raise BadField(told) from None
    if program.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise BadField(told)
    return _Where(environment, program)
