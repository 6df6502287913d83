"""Recordings in, answers out: scored here, side by side, and then the guarded way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from triage.errors import InputError
from triage.escalate.opening import open_casebook, written_down
from triage.escalate.roster_file import RosterInService
from triage.guard import Answer, Guard
from triage.live import Window, folder_of
from triage.pipeline import Triage, unscored
from triage.records import Recording, Scores
from triage.safeguards.audit import AuditLog
from triage.safeguards.pseudonym import Pseudonymiser, load_key
from triage.settings import Settings


@dataclass(frozen=True, slots=True)
class Processor(Guard):
    """The guarded way with the models at its beginning.

    Attributes:
        triage: Models and policy.
        workers: Recordings scored side by side.
    """

    triage: Triage
    workers: int = 1

    @classmethod
    def load(cls, settings: Settings) -> Processor:
        """Everything that the settings name.

        Raises:
            SetupError: What is missing or refused, and what to do.
        """
        triage, audit = Triage.load(settings), AuditLog(settings.state / "audit.jsonl")
        triage.policies.changed = partial(written_down, audit)
        rosters = RosterInService(settings.roster)
        triage.policies.current()  # a policy that can't decide is told of now
        manifest = triage.artefact.manifest
        return cls(
            triage,
            Pseudonymiser(load_key(settings)),
            audit,
            open_casebook(settings, triage.policies, rosters, audit),
            rosters,
            Window(folder_of(manifest, settings.state), manifest.reference),
            workers=settings.cores,
        )

    def process(
        self, recordings: Sequence[Recording], way: str, *, escalate: bool = True
    ) -> list[Answer]:
        """Takes recordings the guarded way; one that can't be scored doesn't stop the others.

        Args, Returns, Raises: As `settle`.
        """
        return self.settle(recordings, list(self._score(recordings)), way, escalate=escalate)

    def _score(self, recordings: Sequence[Recording]) -> Iterator[Scores | InputError]:
        if self.workers == 1 or len(recordings) == 1:
            yield from map(self._score_one, recordings)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(self._score_one, recordings)

    def _score_one(self, recording: Recording) -> Scores | InputError:
        """The edge of one recording: whatever stops its scoring ends in a refusal or a human look.

        A caller's mistake is told to the caller. Anything else is Triage's own, and since nothing
        was scored, the policy's fallback sends the recording to a person.
        """
        try:
            return self.triage.score(recording)
        except InputError as error:
            return error
        except Exception as error:
            return unscored(self.triage.artefact.manifest.name, error)
