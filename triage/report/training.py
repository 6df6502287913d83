"""The page that `triage train` writes beside a model's card."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from triage.manifest import Guarantee, Manifest
from triage.reliability import Bin
from triage.report import plots
from triage.report.page import Block, Facts, Note, Section, Table, Verdict, render

NONE = "–"  # noqa: RUF001 - an empty cell
FIGURES = {  # each with the decimals that its interval is worth
    "auprc": ("AUPRC", 2),
    "auroc": ("AUC", 2),
    "recall_at_1pct_fpr": ("recall at 1 % false alarms", 2),
    "ece": ("calibration error", 3),
}

LEFT_OUT = {  # settings that count what was
    "bad_rows": "Rows that couldn't be used",
    "conflicts": "Recordings whose labels contradicted each other",
    "undecodable_clips": "Clips that can't be decoded",
}
FEW = 10  # positives; figures on fewer tell little

Row = Mapping[str, Any]


def training_page(manifest: Manifest) -> str:
    """What a model was made from and how good it is, as HTML.

    Args:
        manifest: Of the model. Its figures' "reliability" are bins of `triage.reliability`.
    """
    return render(
        manifest.name,
        [
            Section("What it is", [_minded(manifest), _facts(manifest)]),
            *(Section(f"How good it is: {on}", _on(rows)) for on, rows in manifest.metrics.items()),
            Section("What is promised", _promises(manifest.guarantees)),
            Section("What went in", [_lineage(manifest)]),
            Section("Settings", [Facts([(k, _told(v)) for k, v in manifest.training.items()])]),
        ],
        subtitle=f"Digest {manifest.digest[:16]}, made {manifest.created}",
    )


def _minded(manifest: Manifest) -> Verdict:
    points = list(_weak(manifest))
    if not points:
        return Verdict("good", "Nothing stands out; look at the figures")
    return Verdict("warn", "To be minded", points)


def _weak(manifest: Manifest) -> Iterator[str]:
    """What labels were too few for, and what was left out."""
    if thin := manifest.training.get("too_few_labels"):
        yield f"Too few labels to be fitted: {_told(thin)}."
    if open := [name for name, one in manifest.guarantees.items() if one.threshold is None]:
        yield f"Too few cases for a promise: {', '.join(open)}."
    for on, rows in manifest.metrics.items():
        if few := [row["name"] for row in rows if row["positives"] < FEW]:
            yield f"Measured on fewer than {FEW} positives ({on}): {', '.join(few)}."
    for setting, told in LEFT_OUT.items():
        if count := manifest.training.get(setting):
            yield f"{told}: {count:,}."


def _facts(manifest: Manifest) -> Facts:
    parent = manifest.parent
    return Facts(
        [
            ("Made from", f"{parent.name} ({parent.digest[:16]})" if parent else "data alone"),
            ("Categories", ", ".join(manifest.categories)),
            ("Sounds", ", ".join(manifest.events)),
            *((f"Encoder, {kind}", note.name) for kind, note in manifest.encoders.items()),
        ]
    )


def _on(rows: Sequence[Row]) -> list[Block]:
    columns = ["", ">positives", ">negatives", *(f">{told}" for told, _ in FIGURES.values())]
    cells = [
        [
            row["name"],
            f"{row['positives']:,}",
            f"{row['negatives']:,}",
            *(_estimate(row[figure], decimals) for figure, (_, decimals) in FIGURES.items()),
        ]
        for row in rows
    ]
    note = (
        "Rows that were neither fitted nor calibrated on, with 95 % bootstrap intervals over "
        "groups. They come from the same sources as the others: expect less from a new one."
    )
    panels = {
        row["name"]: {"model": [Bin(**one) for one in row["reliability"]]}
        for row in rows
        if row.get("reliability") and row["positives"]
    }
    caption = "What was promised beside what came true, in bins of equally many rows."
    plot = [plots.reliability(panels, caption)] if panels else []
    return [Note(note), Table(columns, cells), *plot]


def _promises(guarantees: Mapping[str, Guarantee]) -> list[Block]:
    if not guarantees:
        return []
    one = next(iter(guarantees.values()))
    note = (
        "From its threshold on, words of a category are flagged so that at most "
        f"{_percent(one.miss, 0)} of the cases are missed, with {_percent(one.confidence, 0)} "
        "confidence, for cases like those that were held out. It takes "
        f"{one.needed} groups with a case to promise that."
    )
    rows = [[name, *_promise(each), str(each.cases)] for name, each in guarantees.items()]
    thin = frozenset(n for n, each in enumerate(guarantees.values()) if each.threshold is None)
    return [Note(note), Table(("", ">threshold", ">flags of the rest", ">cases"), rows, thin)]


def _promise(one: Guarantee) -> tuple[str, str]:
    if one.threshold is None:
        return f"{one.needed - one.cases} more cases are needed", NONE
    lower = math.floor(one.threshold * 1e6) / 1e6  # what is promised holds for it as shown
    return f"{lower:.6f}", NONE if one.flagged is None else _percent(one.flagged, 1)


def _lineage(manifest: Manifest) -> Table:
    rows = [
        [note.kind, note.source, note.licence, f"{note.train:,}", f"{note.val:,}"]
        for note in manifest.lineage
    ]
    return Table(("kind", "source", "licence", ">train", ">val"), rows)


def _estimate(one: Mapping[str, float] | None, decimals: int) -> str:
    if one is None:
        return NONE
    low, high = (f"{one[end]:.{decimals}f}" for end in ("low", "high"))
    return f"{one['value']:.3f} ({low} to {high})"


def _percent(share: float, decimals: int) -> str:
    return f"{100 * share:.{decimals}f} %"


def _told(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
