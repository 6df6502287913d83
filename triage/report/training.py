"""The page that `triage train` writes beside a model's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from triage.manifest import Guarantee, Manifest
from triage.reliability import Bin
from triage.report import plots
from triage.report.page import Block, Facts, Note, Section, Table, render

NONE = "–"  # noqa: RUF001 - an empty cell
FIGURES = {
    "auprc": "AUPRC",
    "auroc": "AUC",
    "recall_at_1pct_fpr": "recall at 1 % false alarms",
    "ece": "calibration error",
}

Row = Mapping[str, Any]


def training_page(manifest: Manifest) -> str:
    """What a model was made from and how good it is, as HTML.

    Args:
        manifest: Of the model. Its figures' "reliability" are bins of `triage.reliability`.
    """
    return render(
        manifest.name,
        [
            Section("What it is", [_facts(manifest)]),
            *(Section(f"How good it is: {on}", _on(rows)) for on, rows in manifest.metrics.items()),
            Section("What is promised", _promises(manifest.guarantees)),
            Section("What went in", [_lineage(manifest)]),
            Section("Settings", [Facts([(k, _told(v)) for k, v in manifest.training.items()])]),
        ],
        subtitle=f"Digest {manifest.digest[:16]}, made {manifest.created}",
    )


def _facts(manifest: Manifest) -> Facts:
    parent = manifest.parent
    thin = manifest.training.get("too_few_labels", [])
    return Facts(
        [
            ("Made from", f"{parent.name} ({parent.digest[:16]})" if parent else "data alone"),
            ("Categories", ", ".join(manifest.categories)),
            ("Sounds", ", ".join(manifest.events)),
            ("Too few labels to fit", ", ".join(thin) or "none"),
            *((f"Encoder, {kind}", note.name) for kind, note in manifest.encoders.items()),
        ]
    )


def _on(rows: Sequence[Row]) -> list[Block]:
    columns = ["", ">positives", ">negatives", *(f">{told}" for told in FIGURES.values())]
    cells = [
        [
            row["name"],
            f"{row['positives']:,}",
            f"{row['negatives']:,}",
            *(_estimate(row[figure]) for figure in FIGURES),
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
    caption = (
        "What was promised beside what came true, bins of equally many rows, 95 % intervals. On "
        "the diagonal a probability means what it says."
    )
    plot = [plots.reliability(panels, caption)] if panels else []
    return [Note(note), Table(columns, cells), *plot]


def _promises(guarantees: Mapping[str, Guarantee]) -> list[Block]:
    if not guarantees:
        return []
    one = next(iter(guarantees.values()))
    note = (
        f"From its threshold on, words of a category are flagged so that at most {one.miss:.0%} of "
        f"the cases are missed, with {one.confidence:.0%} confidence, for cases like those that "
        f"were held out. It takes {one.needed} groups with a case to promise that."
    )
    rows = [[name, *_promise(each), str(each.cases)] for name, each in guarantees.items()]
    thin = frozenset(n for n, each in enumerate(guarantees.values()) if each.threshold is None)
    return [Note(note), Table(("", ">threshold", ">flags of the rest", ">cases"), rows, thin)]


def _promise(one: Guarantee) -> tuple[str, str]:
    if one.threshold is None:
        return f"{one.needed - one.cases} more cases are needed", NONE
    return f"{one.threshold:.4f}", NONE if one.flagged is None else f"{one.flagged:.1%}"


def _lineage(manifest: Manifest) -> Table:
    rows = [
        [note.kind, note.source, note.licence, f"{note.train:,}", f"{note.val:,}"]
        for note in manifest.lineage
    ]
    return Table(("kind", "source", "licence", ">train", ">val"), rows)


def _estimate(one: Mapping[str, float] | None) -> str:
    return NONE if one is None else f"{one['value']:.3f} ({one['low']:.2f} to {one['high']:.2f})"


def _told(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
