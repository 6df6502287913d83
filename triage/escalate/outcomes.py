"""How cases ended, and the labels for retraining that follow from it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from triage.database.store import failing
from triage.database.tables import CaseRow, DecisionRow, OutcomeRow
from triage.escalate.moves import labels
from triage.escalate.records import Case, Ending, State
from triage.escalate.rows import all_cases, cases_of
from triage.labels.rows import Labelled

SOURCE = "outcomes"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a case ended, at last.

    Attributes:
        case: Which.
        ending: How.
        heard: What was heard; None if nobody said.
        actor: Who said so.
    """

    case: Case
    ending: Ending
    heard: tuple[str, ...] | None
    actor: str


@dataclass(slots=True)
class Labelling:
    """Recordings with what their cases' endings say of them.

    Attributes:
        ended: By the recording's pseudonym.
        pseudonym: Of a caller's id.
        left_out: Recordings that got no labels, by the reason.
    """

    ended: dict[str, Ended]
    pseudonym: Callable[[str], str]
    left_out: Counter[str] = field(default_factory=Counter)

    def rows(self, recordings: Iterable[Labelled]) -> Iterator[Labelled]:
        """The recordings that have labels, with them; read as they are asked for.

        Of a case with several recordings it isn't known in which of them something was heard, so
        only a false alarm, in which nothing was, labels them.
        """
        for one in recordings:
            ended = self.ended.get(self.pseudonym(one.id))
            if ended is None:
                self.left_out["no case of theirs has ended"] += 1
            elif ended.case.recordings > 1 and ended.ending is not Ending.FALSE_ALARM:
                self.left_out["one of several of their case"] += 1
            elif found := labels(ended.case, ended.ending, ended.heard):
                given = {name: float(value) for name, value in found.items()}
                yield replace(
                    one,
                    labels=given,
                    annotator=ended.actor,
                    source=SOURCE if one.source == "unknown" else one.source,
                )
            else:
                self.left_out["nobody said what was heard"] += 1


def ended(opened: sa.Engine) -> dict[str, Ended]:
    """How the cases of recordings ended, by the recordings' pseudonyms.

    Raises:
        StoreFailed: The store can't be read.
    """
    o = OutcomeRow
    with failing("can't be read"), opened.connect() as connection:
        resolved = all_cases().where(CaseRow.state == State.RESOLVED)
        cases = {case.id: case for case in cases_of(connection, resolved)}
        query = sa.select(o.case, o.outcome, o.heard, o.actor).order_by(o.at)
        endings = {
            id: Ended(cases[id], Ending(outcome), _names(heard), actor)
            for id, outcome, heard, actor in connection.execute(query)
            if id in cases
        }
        decided = sa.select(DecisionRow.recording, DecisionRow.case).where(DecisionRow.case != "")
        of = {recording: id for recording, id in connection.execute(decided) if id in endings}
    of |= {case.recording: id for id, case in cases.items() if case.recording and id in endings}
    return {recording: endings[id] for recording, id in of.items()}


def _names(told: str) -> tuple[str, ...] | None:
    found = json.loads(told)
    return None if found is None else tuple(found)
