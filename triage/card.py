"""The model card: what a sceptic asks of a model, from its manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from triage.manifest import Guarantee, Manifest, SourceNote

# "CC-BY-NC-4.0", "Non-commercial", "unknown", and none at all.
_BARRED = re.compile(r"(?<![a-z])nc(?![a-z])|non.?commercial|unknown|^\s*$", re.IGNORECASE)

THIN = 30  # cases, under which an interval says little
WEAK = 0.7  # recall at 1 % false alarms that is worth a warning


def model_card(manifest: Manifest) -> str:
    """The card as Markdown."""
    return "\n".join(
        [
            f"# {manifest.name}",
            "",
            "Scores voice-assistant recordings by their sound and their words. A score says what "
            "a recording may hold, not what is to be done; a policy decides that, and people.",
            "",
            f"Made {manifest.created} by Triage {manifest.code}, format {manifest.format}, digest "
            f"`{manifest.digest[:16]}`. {_parent(manifest)}",
            "",
            "## Encoders",
            *_table(
                ("", "name", "width", "licence"),
                [(k, e.name, e.width, e.licence) for k, e in manifest.encoders.items()],
            ),
            "",
            "## How good it is",
            "Rows of split `val`, never fitted or calibrated on, 95 % bootstrap intervals over "
            "groups. They come from the same sources as the training rows: expect less on a "
            "source that it has never seen. ECE is the expected calibration error. With fewer than "
            "thirty positives an interval promises too much: in simulation it held the truth 85 % "
            "of the time, and with two it means nothing.",
            *(line for name, rows in manifest.metrics.items() for line in _figures(name, rows)),
            "",
            "",
            *_private(manifest),
            "## What is promised",
            *_promises(manifest.guarantees),
            "",
            "Too few labels to train on, so not scored: "
            + (", ".join(manifest.training.get("too_few_labels", [])) or "none")
            + ".",
            "",
            "## What it was trained on",
            *_table(
                ("kind", "source", "licence", "train", "val"),
                [(s.kind, s.source, s.licence, s.train, s.val) for s in manifest.lineage],
            ),
            "",
            _commercial(manifest.lineage),
            "",
            "## What it is bad at",
            *_weak(manifest.metrics),
            "- Spoken lines of people in danger: what it learnt from is written, be it by posters "
            "or for this project; no recording of a real emergency is among it.",
            "- Screams from microphones and rooms unlike those it was trained on.",
            "- A film in the room: only its music tells a loudspeaker from a person.",
            "- Languages other than English.",
            "- Long recordings give more windows and so more chances of a false alarm; the "
            "calibration is that of clips of about four seconds.",
            "",
            "## Where it must not be used",
            "To act without a person's look; to judge a speaker; as the only ear for a line that "
            "people call in an emergency.",
            "",
        ]
    )


def _parent(manifest: Manifest) -> str:
    if manifest.parent is None:
        return "Made from nothing but data."
    digest = manifest.parent.digest[:16]
    return f"Made from {manifest.parent.name} (`{digest}`) and the data below."


def _weak(metrics: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What the figures themselves say against it."""
    rows = [row for one in metrics.values() for row in one]
    thin = [f"{row['name']} ({row['positives']})" for row in rows if row["positives"] < THIN]
    weak = [
        f"{row['name']} ({row['recall_at_1pct_fpr']['value']:.2f})"
        for row in rows
        if row["positives"] >= THIN and row["recall_at_1pct_fpr"]["value"] < WEAK
    ]
    told = (
        (weak, f"Finds fewer than {WEAK:.0%} at 1 % false alarms of"),
        (thin, f"Hardly measured, on fewer than {THIN} cases"),
    )
    return [f"- {words}: {', '.join(names)}." for names, words in told if names]


def _private(manifest: Manifest) -> list[str]:
    """How well it keeps private what was not meant for the device."""
    found = manifest.training.get("accidental")
    if not found or None in found.values():
        return []
    return [
        f"Words are flagged `likely_accidental` where their probability of being spoken to the "
        f"device is under {manifest.accidental_below:.3f}: of rows of split `val`, "
        f"{found['withheld']:.1%} of what people said among themselves, and wrongly "
        f"{found['wrongly']:.1%} of what they said to the device. It hears no tone of voice.",
        "",
    ]


def _promises(guarantees: Mapping[str, Guarantee]) -> list[str]:
    if not guarantees:
        return ["Nothing about misses."]
    one = next(iter(guarantees.values()))
    return [
        f"Flagging words from the threshold on misses at most {one.miss:.0%} of the cases, with "
        f"{one.confidence:.0%} confidence (Bates et al. 2021): of cases like those of split `val`, "
        "and of no others. It takes "
        f"{one.needed} groups with a case to promise that.",
        *_table(
            ("", "threshold", "flags of the rest", "cases"),
            [(name, *_promise(each), each.cases) for name, each in guarantees.items()],
        ),
    ]


def _promise(one: Guarantee) -> tuple[str, str]:
    if one.threshold is None:
        return f"too few cases, {one.needed - one.cases} more are needed", ""
    return f"{one.threshold:.4f}", "" if one.flagged is None else f"{one.flagged:.1%}"


def _figures(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = ("auprc", "auroc", "recall_at_1pct_fpr", "ece")
    return [
        "",
        f"### {name}",
        *_table(
            ("", "positives", "negatives", "AUPRC", "AUC", "recall at 1 % false alarms", "ECE"),
            [
                (r["name"], r["positives"], r["negatives"], *(_interval(r[c]) for c in columns))
                for r in rows
            ],
        ),
    ]


def _interval(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "–"  # noqa: RUF001
    return f"{estimate['value']:.3f} ({estimate['low']:.3f}–{estimate['high']:.3f})"  # noqa: RUF001


def _commercial(lineage: Iterable[SourceNote]) -> str:
    barred = sorted({note.source for note in lineage if _BARRED.search(note.licence)})
    if not barred:
        return "No source bars commercial use or leaves its licence unstated."
    return (
        "These sources bar commercial use or state no licence, so this build is not for commercial "
        f"use without counsel: {', '.join(barred)}."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    return [
        "",
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
    ]
