"""The champion beside the challenger, row by row.

Both score the same rows as in service, and everything that is told of them is told of the same
rows. Rows that either was fitted on are left out: who has seen the answers isn't measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from triage.artefact import seen
from triage.errors import LabelsRefused
from triage.labels.rows import Kind, Labelled, row_digest
from triage.measure.comparison import FORMAT, Compared, Comparison, Side
from triage.measure.counterfactual import moved
from triage.measure.evaluate import ANY, score_rows
from triage.measure.figures import Pair, compared, names_of, sliced, threshold_of
from triage.measure.latency import Latency, latency
from triage.pipeline import Triage
from triage.records import Recording, Report


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
        rows: With labels of categories, of events, or of both.
        prevalence: Share of recordings that are cases, over 0 and under 1.
        workers: Rows scored side by side.
        repeats: Bootstrap resamples behind each interval.
        report: Told of the progress.

    Raises:
        LabelsRefused: Not one row is left that neither was fitted on and both could score.
    """
    known = seen(champion.artefact.folder) | seen(challenger.artefact.folder)
    fresh = [row for row in rows if row_digest(row) not in known]
    pairs, failed = _scored(champion, challenger, fresh, workers, report)
    if not pairs:
        raise LabelsRefused(
            f"Of {len(rows)} rows {len(rows) - len(fresh)} were fitted on by one of the two models "
            "and none of the others could be scored by both. Compare on other rows."
        )
    policy = champion.policy
    names = names_of(pairs, "labels"), names_of(pairs, "events")
    figures: list[Compared] = []
    both: tuple[Kind, Kind] = "labels", "events"
    for kind, those in zip(both, names, strict=True):
        for one in compared(pairs, kind, those, policy, prevalence, repeats):
            figures.append(one)
            report("measuring", len(figures), len(names[0]) + len(names[1]))
    parts = tuple(sliced(pairs, (*names[0], ANY)))
    timed = latency((champion, challenger), [pair.champion.row for pair in pairs], report)
    return Comparison(
        format=FORMAT,
        champion=_side(champion, challenger, timed[0]),
        challenger=_side(challenger, champion, timed[1]),
        policy=policy.digest,
        data=hashlib.sha256(repr(sorted(map(row_digest, fresh))).encode()).hexdigest(),
        rows=len(pairs),
        left_out=len(rows) - len(fresh),
        failed=failed,
        prevalence=prevalence,
        compared=tuple(figures),
        slices=parts,
    )


def _scored(
    champion: Triage, challenger: Triage, rows: Sequence[Labelled], workers: int, report: Report
) -> tuple[list[Pair], dict[str, int]]:
    """The rows that both could score, and how many couldn't be, by why."""
    found = []
    failed: dict[str, int] = {}
    for triage, which in ((champion, "champion"), (challenger, "challenger")):
        scored, refused = score_rows(triage, rows, workers, _as(report, f"scoring, {which}"))
        found.append({one.row.id: one for one in scored})
        failed |= {slug: max(count, failed.get(slug, 0)) for slug, count in refused.items()}
    both = [row.id for row in rows if row.id in found[0] and row.id in found[1]]
    return [Pair(found[0][id], found[1][id]) for id in both], failed


def _as(report: Report, stage: str) -> Report:
    return lambda _, done, total: report(stage, done, total)


def _side(mine: Triage, other: Triage, timed: Latency) -> Side:
    manifest, others = mine.artefact.manifest, other.artefact.manifest
    scored = {*others.categories, *others.events}
    thresholds = {name: threshold_of(mine.policy, name) for name in manifest.categories}
    return Side(
        name=manifest.name,
        digest=manifest.digest,
        bytes=sum((mine.artefact.folder / name).stat().st_size for name in manifest.files),
        alone=tuple(n for n in (*manifest.categories, *manifest.events) if n not in scored),
        moved=moved(
            lambda text: mine.score(Recording("counterfactual", None, text)).categories, thresholds
        ),
        latency=timed,
    )
