"""The page of `triage compare`: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from triage.measure.comparison import Compared, Comparison, Curve, Side
from triage.measure.figures import LEAST_OF_EACH, LEAST_SLICE
from triage.measure.gate import Finding
from triage.measure.paired import Difference
from triage.report import plots
from triage.report.page import Block, Facts, Figure, Note, Section, Table, Verdict, render

NONE = "–"  # noqa: RUF001 - an empty cell
MEASURES = {
    "auprc": "AUPRC",
    "recall at 1 % false alarms": "recall at 1 % false alarms",
    "recall": "recall at the policy's threshold",
    "calibration error": "calibration error",
}
FORESTS = ("auprc", "recall at 1 % false alarms", "recall")
MOST_SLICES = 60


def comparison_page(
    comparison: Comparison, found: Sequence[Finding], critical: Sequence[str]
) -> str:
    """The page as HTML.

    Args:
        comparison: Of the two models.
        found: What speaks against the challenger.
        critical: The categories that the policy calls critical.
    """
    champion, challenger = comparison.champion, comparison.challenger
    measured = [one for one in comparison.compared if one.differences]
    return render(
        f"{challenger.name} against {champion.name}",
        [
            Section("Verdict", [*_verdict(found), _facts(comparison)]),
            Section("What differs", list(_forests(measured, critical))),
            Section("Figures", [_figures(measured, critical)] if measured else []),
            Section("Precision and recall", _curves(measured, champion, challenger)),
            Section("Reliability", _reliability(measured, champion, challenger)),
            Section("Parts of the rows", list(_slices(comparison))),
            Section("Names and groups", _moved(champion, challenger)),
            Section("Cost", [_cost(champion, challenger)]),
        ],
        subtitle=f"{challenger.digest[:16]} against {champion.digest[:16]}",
    )


def _verdict(found: Sequence[Finding]) -> Iterator[Verdict]:
    blocking = [str(one) for one in found if one.blocks]
    others = [str(one) for one in found if not one.blocks]
    if blocking:
        yield Verdict("bad", f"{len(blocking)} reasons to refuse it", blocking)
    if others:
        told = "Besides, mind" if blocking else "No reason to refuse it, but mind"
        yield Verdict("warn", told, others)
    if not found:
        yield Verdict("good", "Nothing speaks against it")


def _facts(one: Comparison) -> Facts:
    failed = ", ".join(f"{count:,} {slug}" for slug, count in one.failed.items())
    sides = one.champion, one.challenger
    return Facts(
        [
            ("Rows", f"{one.rows:,}"),
            ("Left out, fitted on by one of them", f"{one.left_out:,}"),
            ("Not scored", failed or "none"),
            *((f"Only {side.name} scores", ", ".join(side.alone)) for side in sides if side.alone),
            ("Policy", one.policy[:23]),
            ("Prevalence for the PPV", f"{one.prevalence:g}"),
        ]
    )


def _forests(measured: Sequence[Compared], critical: Sequence[str]) -> Iterator[Figure]:
    for measure in FORESTS:
        rows = [
            (_named(one, critical), difference.value, difference.low, difference.high)
            for one in measured
            if (difference := one.differences.get(measure))
        ]
        if rows:
            yield plots.differences(
                rows,
                f"{MEASURES[measure]}, challenger less champion",
                "Differences on the same rows, 95 % bootstrap intervals over groups. Orange is a "
                "loss, green a gain beyond the interval; * marks what the policy calls critical.",
            )


def _named(one: Compared, critical: Sequence[str]) -> str:
    star = "\u00a0*" if one.name in critical and one.kind == "category" else ""
    return f"{one.name}{star} ({one.positives})"


def _figures(measured: Sequence[Compared], critical: Sequence[str]) -> Table:
    columns = ["", ">positives", ">negatives", *(f">{told}" for told in MEASURES.values())]
    rows = [
        [
            _named(one, critical).rpartition(" (")[0],
            f"{one.positives:,}",
            f"{one.negatives:,}",
            *(_cell(one.differences.get(measure)) for measure in MEASURES),
            _pair(one.ppv),
            _pair(one.ppv_at_1pct_fpr),
        ]
        for one in measured
    ]
    return Table([*columns, ">PPV at the threshold", ">PPV at 1 % false alarms"], rows)


def _cell(difference: Difference | None) -> str:
    return (
        NONE if difference is None else f"{difference.champion:.3f} → {difference.challenger:.3f}"
    )


def _pair(both: tuple[float | None, float | None] | None) -> str:
    if both is None:
        return NONE
    return " → ".join(NONE if one is None else f"{one:.3f}" for one in both)


def _curves(measured: Sequence[Compared], champion: Side, challenger: Side) -> list[Block]:
    if not measured:
        return []
    panels = {
        one.name: {
            f"{which}: {side.name}": (curve.recall, curve.precision)
            for which, side, curve in _both(one, champion, challenger)
        }
        for one in measured
    }
    caption = "Precision is that of these rows, which are richer in cases than the field."
    return [plots.precision_recall(panels, caption)]


def _reliability(measured: Sequence[Compared], champion: Side, challenger: Side) -> list[Block]:
    if not measured:
        return []
    panels = {
        one.name: {
            f"{which}: {side.name}": curve.reliability
            for which, side, curve in _both(one, champion, challenger)
        }
        for one in measured
    }
    caption = "On the diagonal, what was promised came true. Bins of equally many rows."
    return [plots.reliability(panels, caption)]


def _both(one: Compared, champion: Side, challenger: Side) -> Iterator[tuple[str, Side, Curve]]:
    yield from zip(("champion", "challenger"), (champion, challenger), one.curves, strict=True)


def _slices(comparison: Comparison) -> Iterator[Block]:
    ranked = sorted(comparison.slices, key=lambda one: one.auprc.value)
    rows = [
        [
            one.kind,
            one.slice,
            one.category,
            f"{one.positives:,}",
            _cell(one.auprc),
            f"{one.auprc.low:+.3f} to {one.auprc.high:+.3f}",
        ]
        for one in ranked[:MOST_SLICES]
    ]
    if rows:
        yield Note(
            f"AUPRC on parts of {LEAST_SLICE} rows and more with {LEAST_OF_EACH} of either label, "
            f"the largest loss first; {len(ranked)} in all."
        )
        lost = frozenset(n for n, one in enumerate(ranked[:MOST_SLICES]) if one.auprc.lower)
        columns = ("of", "part", "category", ">positives", ">AUPRC", ">interval of the difference")
        yield Table(columns, rows, lost)
    if comparison.thin:
        thin = ", ".join(f"{part} ({rows:,})" for part, rows in comparison.thin.items())
        yield Note(f"Too small to measure, with their rows: {thin}.")


def _moved(champion: Side, challenger: Side) -> list[Block]:
    before = {(one.kind, one.category): one for one in champion.moved}
    rows = []
    for one in sorted(challenger.moved, key=lambda one: -one.largest):
        was = before.get((one.kind, one.category))
        rows.append(
            [
                one.category,
                one.kind,
                f"{was.largest:.3f} → {one.largest:.3f}" if was else f"{one.largest:.3f}",
                f"{one.largest_log_odds:.1f}",
                f"{was.flips:.0%} → {one.flips:.0%}" if was else f"{one.flips:.0%}",
                one.sentence.format(f"{one.lowest} / {one.highest}"),
            ]
        )
    note = (
        "The same sentences with other first names, or other groups, in them: how far that moves "
        "the probability, and in how many sentences it decides whether the policy flags it."
    )
    columns = ("category", "other", ">largest move", ">in log-odds", ">decides", "largest in")
    return [Note(note), Table(columns, rows)] if rows else []


def _cost(champion: Side, challenger: Side) -> Table:
    rows = [
        [side.name, f"{side.bytes / 2**20:.1f}", *(_ms(side, name) for name in _TIMES)]
        for side in (champion, challenger)
    ]
    columns = ("", ">MB", ">loading, ms", ">a text, ms", ">95 %", ">a recording, ms", ">95 %")
    return Table(columns, rows)


_TIMES = ("load", "text", "text_p95", "audio", "audio_p95")


def _ms(side: Side, name: str) -> str:
    taken: float | None = getattr(side.latency, name)
    return NONE if taken is None else f"{taken:.1f}"
