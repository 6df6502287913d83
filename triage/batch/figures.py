"""What a run comes to, counted from what it wrote, a part at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triage.batch.journal import Journal, name
from triage.batch.plan import Part
from triage.policy.parts import LOOKED_AT
from triage.records import Doubles

if TYPE_CHECKING:
    import pyarrow as pa

BINS = 50  # of a score's distribution, over 0..1
EDGES = np.arange(BINS + 1) / BINS  # not by steps of 1 / 50, whose sums miss scores like .7
COLUMNS = [
    "recording", "recorded_at", "error", "seconds", "screened", "tier", "rule", "actions",
    "categories", "category_scores", "event_scores", "failures",
]  # fmt: skip
WITHHOLD = "withhold"


@dataclass(slots=True)
class Found:
    """Counts over a run's results.

    Attributes:
        rows: Recordings.
        seconds: Of sound in them.
        tiers, rules, actions: How often.
        categories: How often flagged.
        errors: Refused, by code.
        failures: Stages that failed, by stage and kind of error.
        withheld: Kept from the annotation sample.
        screened: Given a first look and no more.
        scores: By category and event, how many of each bin of the score.
        busiest: By the hour in which they were recorded: all, and those to be looked at.
        timed: How many say when they were recorded.
        twice: Ids that more than one recording has.
    """

    rows: int = 0
    seconds: float = 0.0
    tiers: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    withheld: int = 0
    screened: int = 0
    scores: dict[str, Doubles] = field(default_factory=dict)
    busiest: tuple[Counter[datetime], Counter[datetime]] = field(
        default_factory=lambda: (Counter(), Counter())
    )
    timed: int = 0
    twice: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a run was, over all of its sittings.

    Attributes:
        took: Seconds, without those between two sittings.
        stages: Seconds of all processes, by stage.
        known: Recordings whose scores were known already.
        over_time: After each part: recordings, seconds it took, megabytes.
        passed_over: What the source holds besides recordings.
    """

    took: float
    stages: Counter[str]
    known: int
    over_time: Sequence[tuple[int, float, float]]
    passed_over: Counter[str]


def pace_of(journal: Journal) -> Pace:
    """How fast a run was."""
    stages, passed_over = Counter[str](), Counter[str]()
    for part in journal.parts:
        stages.update(part.stages)
        passed_over.update(part.passed_over)
    if journal.end is not None:
        passed_over.update(journal.end.passed_over)
    return Pace(
        sum(part.took for part in journal.parts),
        stages,
        sum(part.known for part in journal.parts),
        [(part.end, part.took, part.megabytes) for part in journal.parts],
        passed_over,
    )


def found_in(journal: Journal) -> Found:
    """Counts a run's results; holds one part at a time, and eight bytes for each id."""
    found = Found()
    ids = []
    for table in _tables(journal.folder, journal.parts):
        ids.append(_add(found, table))
    if ids:
        _, counts = np.unique(np.concatenate(ids), return_counts=True)
        found.twice = int((counts > 1).sum())
    return found


def digest_of(parts: Sequence[Part]) -> str:
    """One digest of all results, for the audit."""
    digest = sha256()
    for part in parts:
        digest.update(bytes.fromhex(part.results))
    return digest.hexdigest()


def _tables(folder: Path, parts: Sequence[Part]) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    for part in parts:
        yield pq.read_table(folder / "results" / f"{name(part.part)}.parquet", columns=COLUMNS)


def _add(found: Found, table: pa.Table) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Counts one part in.

    Returns:
        A hash of each id: two that are alike by chance are one in 10 million among a million.
    """
    import pyarrow.compute as pc

    found.rows += table.num_rows
    found.seconds += pc.sum(table["seconds"]).as_py() or 0.0
    found.tiers.update(_counts(table["tier"]))
    found.rules.update(_counts(table["rule"]))
    found.errors.update(_counts(table["error"]))
    found.actions.update(_counts(pc.list_flatten(table["actions"])))
    found.categories.update(_counts(pc.list_flatten(table["categories"])))
    found.failures.update(
        (one["stage"], one["error"]) for one in pc.list_flatten(table["failures"]).to_pylist()
    )
    found.withheld = found.actions[WITHHOLD]
    found.screened += pc.sum(table["screened"]).as_py() or 0
    for column in ("category_scores", "event_scores"):
        for number, score in enumerate(table.schema.field(column).type):
            values = pc.struct_field(table[column], number).drop_null().to_numpy()
            counts, _ = np.histogram(values, EDGES)
            found.scores[score.name] = found.scores.get(score.name, np.zeros(BINS)) + counts
    looked_at = pc.is_in(table["tier"], value_set=_strings(LOOKED_AT))
    for which, times in enumerate(
        (table["recorded_at"], table["recorded_at"].filter(looked_at.combine_chunks()))
    ):
        for time in times.drop_null().to_pylist():
            found.busiest[which][time.replace(minute=0, second=0, microsecond=0)] += 1
            found.timed += not which
    return np.array([_hash(id) for id in table["recording"].to_pylist()], dtype=np.uint64)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = column.drop_null().value_counts().to_pylist()
    return {one["values"]: one["counts"] for one in counted}


def _strings(values: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, pa.string())


def _hash(id: str) -> int:
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest(), "big")
