"""The champion beside the challenger, row by row.

Both score the same rows as in service, and everything that is told of them is told of the same
rows. Rows that either was fitted on are left out: who has seen the answers isn't measured.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import partial

from triage.artefact import seen
from triage.errors import LabelsRefused
from triage.labels.rows import Labelled, row_digest
from triage.measure.comparison import FORMAT, Compared, Comparison, Side
from triage.measure.counterfactual import moved
from triage.measure.evaluate import score_rows
from triage.measure.figures import compared, sliced, threshold_of
from triage.measure.latency import Latency, latency
from triage.measure.table import Gathered, Pair
from triage.pipeline import Triage
from triage.policy.model import Policy
from triage.records import Recording, Report

CHUNK = 2_000  # rows whose scores are held whole


def compare(
    champion: Triage,
    challenger: Triage,
    rows: Sequence[Labelled],
    *,
    prevalence: float,
    workers: int,
    repeats: int,
    report: Report,
) -> Comparison:
    """Scores rows with both models and measures both, and what lies between them.

    Args:
        champion, challenger: The models, with one policy.
        rows: With labels of categories, of events, or of both; no two of one id.
        prevalence: Share of recordings that are cases, over 0 and under 1.
        workers: Rows scored side by side.
        repeats: Bootstrap resamples behind each interval.
        report: Told of the progress.

    Raises:
        LabelsRefused: Not one row is left that neither was fitted on and both could score.
    """
    known = seen(champion.artefact.folder) | seen(challenger.artefact.folder)
    digests = {row.id: row_digest(row) for row in rows}
    fresh = [row for row in rows if digests[row.id] not in known]
    gathered, scored, failed = _scored(champion, challenger, fresh, workers, report)
    first, second = (sum(one.values()) for one in failed)
    if not scored:
        raise LabelsRefused(
            f"Of {len(rows)} rows {len(rows) - len(fresh)} were fitted on by one of the two models "
            "and none of the others could be scored by both. Compare on other rows."
        )
    figures = _figures(gathered, champion.policy, prevalence, repeats, report)
    parts, thin = sliced(gathered.table("labels"), gathered.slices())
    timed = latency((champion, challenger), scored, report)
    return Comparison(
        format=FORMAT,
        champion=_side(champion, challenger, timed[0], first),
        challenger=_side(challenger, champion, timed[1], second),
        policy=champion.policy.digest,
        data=hashlib.sha256(repr(sorted(digests[row.id] for row in fresh)).encode()).hexdigest(),
        rows=len(scored),
        left_out=len(rows) - len(fresh),
        failed=dict(sorted((failed[0] + failed[1]).items())),
        prevalence=prevalence,
        compared=figures,
        slices=parts,
        thin=thin,
    )


def _scored(
    champion: Triage, challenger: Triage, rows: Sequence[Labelled], workers: int, report: Report
) -> tuple[Gathered, list[Labelled], tuple[Counter[str], Counter[str]]]:
    """The figures of the rows that both could score, these rows, and why others couldn't be.

    What the champion can't score, by the slug of the error, isn't tried with the challenger: so
    no row is counted twice, and what the challenger can't score is its own fault.
    """
    theirs, mine = champion.artefact.manifest, challenger.artefact.manifest
    gathered = Gathered(
        [name for name in theirs.categories if name in mine.categories],
        [name for name in theirs.events if name in mine.events],
    )
    kept: list[Labelled] = []
    failed = Counter[str](), Counter[str]()
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        told = partial(_told, report, 2 * start, 2 * len(rows))
        one, refused = score_rows(champion, chunk, workers, told)
        told = partial(_told, report, 2 * start + len(chunk), 2 * len(rows))
        two, failing = score_rows(challenger, [each.row for each in one], workers, told)
        failed[0].update(refused)
        failed[1].update(failing)
        both = {each.row.id: each for each in two}
        pairs = [Pair(each, both[each.row.id]) for each in one if each.row.id in both]
        gathered.add(pairs)
        kept += [pair.champion.row for pair in pairs]
    return gathered, kept, failed


def _told(report: Report, before: int, total: int, stage: str, done: int, _: int) -> None:
    """Progress through a chunk as progress through all rows by both models."""
    report(stage, before + done, total)


def _figures(
    gathered: Gathered, policy: Policy, prevalence: float, repeats: int, report: Report
) -> tuple[Compared, ...]:
    categories, events = gathered.table("labels"), gathered.table("events")
    total = len(categories.names) + len(events.names)
    found = []
    for table, thresholds in ((categories, policy), (events, None)):
        for one in compared(table, thresholds, prevalence, repeats):
            found.append(one)
            report("measuring", len(found), total)
    report("measuring", total, total)  # names that no row labels are passed over
    return tuple(found)


def _side(mine: Triage, other: Triage, timed: Latency, failed: int) -> Side:
    manifest, others = mine.artefact.manifest, other.artefact.manifest
    scored = {*others.categories, *others.events}
    thresholds = {name: threshold_of(mine.policy, name) for name in manifest.categories}
    return Side(
        name=manifest.name,
        digest=manifest.digest,
        bytes=sum((mine.artefact.folder / name).stat().st_size for name in manifest.files),
        failed=failed,
        alone=tuple(n for n in (*manifest.categories, *manifest.events) if n not in scored),
        moved=moved(
            lambda text: mine.score(Recording("counterfactual", None, text)).categories, thresholds
        ),
        latency=timed,
    )
