"""What speaks against a challenger, from its comparison with the champion.

Nothing here is undecided: a finding blocks or it doesn't. A loss blocks when it lies beyond the
95 % interval, which is that of all critical categories at once (Bonferroni). Simulated on six
categories of 1,000 rows, two equally good models whose scores correlate by .7: with an interval
for each category 25 % of the challengers were refused where a category has 60 cases and 21 % where
it has 15, with this one 5 % and 7 % (150 challengers each). That risk of a wrong refusal is left,
for whoever promotes to override; and a loss may go unseen that only more cases would show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from triage.measure.comparison import Compared, Comparison, Side
from triage.measure.evaluate import ANY
from triage.measure.paired import Difference

LEAST_POSITIVES = 10  # with fewer nothing can be told of a category
WORSE_CALIBRATED = 0.005  # an ECE that is larger by less is not worth a refusal
MORE_ALARMS, FLOOD = 0.01, 0.05  # of the negatives: worth a warning; what drowns the cases found
SLOWER, LARGER = 1.5, 1.5  # times, worth a warning
CHANCE = 0.025  # that an equally good model is below its interval, in any critical category
LOSSES = ("recall at 1 % false alarms", "recall", "auprc")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that speaks against the challenger.

    Attributes:
        about: The category, or what else it is about.
        message: With its figures.
        blocks: Whether it is a reason to refuse.
    """

    about: str
    message: str
    blocks: bool

    def __str__(self) -> str:
        return f"{self.about}: {self.message}"


def findings(comparison: Comparison, critical: Sequence[str]) -> tuple[Finding, ...]:
    """All that speaks against promoting the challenger, what blocks first.

    Args:
        comparison: Of the two models.
        critical: The categories that the policy calls critical.
    """
    found = [
        *_missing(comparison, critical),
        *_unmeasured(comparison, critical),
        *_failed(comparison.challenger, comparison.rows),
        *_losses(comparison, critical),
        *_slices(comparison),
        *_names(comparison.champion, comparison.challenger),
        *_cost(comparison.champion, comparison.challenger),
    ]
    return tuple(sorted(found, key=lambda one: not one.blocks))


def _missing(comparison: Comparison, critical: Sequence[str]) -> Iterator[Finding]:
    for name in comparison.champion.alone:
        yield Finding(name, "the challenger doesn't score it.", name in critical)


def _unmeasured(comparison: Comparison, critical: Sequence[str]) -> Iterator[Finding]:
    categories = [one for one in comparison.compared if one.kind == "category"]
    counts = {one.name: one.positives for one in categories}
    thin = [name for name in critical if counts.get(name, 0) < LEAST_POSITIVES]
    if len(thin) == len(critical):
        yield Finding(
            "labels",
            f"no critical category has {LEAST_POSITIVES} positives among the {comparison.rows} "
            "rows, so nothing is known of what must not be missed.",
            blocks=True,
        )
    elif thin:
        told = ", ".join(f"{name} {counts.get(name, 0)}" for name in thin)
        yield Finding("labels", f"too few positives to tell a loss: {told}.", blocks=False)

    for one in categories:
        if one.name in critical and one.groups < LEAST_POSITIVES <= one.positives:
            message = f"its {one.positives} positives are of {one.groups} groups only: a loss that "
            yield Finding(one.name, message + "isn't told here may be there.", blocks=False)


def _failed(challenger: Side, rows: int) -> Iterator[Finding]:
    if challenger.failed:
        yield Finding(
            "scoring",
            f"the challenger couldn't score {challenger.failed:,} of {rows + challenger.failed:,} "
            "rows that the champion could.",
            blocks=True,
        )


def _losses(comparison: Comparison, critical: Sequence[str]) -> Iterator[Finding]:
    told = [one for one in comparison.compared if one.positives >= LEAST_POSITIVES]
    at_once = max(1, sum(one.name in critical for one in told))
    for one in told:
        is_critical = one.name in critical
        yield from _lost(one, is_critical, CHANCE / at_once if is_critical else CHANCE)


def _lost(one: Compared, critical: bool, chance: float) -> Iterator[Finding]:
    for measure in LOSSES:
        difference = one.differences.get(measure)
        if difference and difference.not_lower <= chance:
            yield Finding(one.name, f"{measure} falls {_told(difference)}.", critical)
    error = one.differences.get("calibration error")
    if error and error.not_higher <= chance and error.value >= WORSE_CALIBRATED:
        yield Finding(one.name, f"calibration error rises {_told(error)}.", critical)
    alarms = one.differences.get("false alarms")
    if alarms and alarms.not_higher <= chance and alarms.value >= MORE_ALARMS:
        message = f"false alarms at the policy's threshold rise {_told(alarms)}."
        yield Finding(one.name, message, alarms.value >= FLOOD)


def _slices(comparison: Comparison) -> Iterator[Finding]:
    for one in comparison.slices:
        if one.auprc.lower:
            of = "" if one.category == ANY else f" of {one.category}"
            message = f"AUPRC{of} falls {_told(one.auprc)}."
            yield Finding(f"{one.kind}, {one.slice}", message, blocks=False)


def _names(champion: Side, challenger: Side) -> Iterator[Finding]:
    before = {(one.kind, one.category): one.flips for one in champion.moved}
    for one in challenger.moved:
        if one.flips > before.get((one.kind, one.category), 0):
            yield Finding(
                one.category,
                f"in {one.flips:.0%} of the sentences another {one.kind} decides whether it is "
                f"flagged, {before.get((one.kind, one.category), 0):.0%} before.",
                blocks=False,
            )


def _cost(champion: Side, challenger: Side) -> Iterator[Finding]:
    pairs: Mapping[str, tuple[float | None, float | None]] = {
        "a text": (champion.latency.text, challenger.latency.text),
        "a recording": (champion.latency.audio, challenger.latency.audio),
    }
    for what, (before, after) in pairs.items():
        if before and after and after > SLOWER * before:
            yield Finding("latency", f"{what} takes {after:.1f} ms, {before:.1f} before.", False)
    if challenger.bytes > LARGER * champion.bytes:
        sizes = f"{challenger.bytes / 2**20:.0f} MB, {champion.bytes / 2**20:.0f} before"
        yield Finding("size", f"the model has {sizes}.", blocks=False)


def _told(one: Difference) -> str:
    return (
        f"from {one.champion:.3f} to {one.challenger:.3f} "
        f"(95 % interval of the difference {one.low:+.3f} to {one.high:+.3f})"
    )
