"""What a trained model says of itself: its files' digests, figures, promises and lineage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import triage
from triage.artefact import FILES, HEADS, SEEN, Artefact, heads_to_bytes, seen, seen_to_bytes
from triage.drift import reference_of
from triage.labels.rows import YES
from triage.manifest import FORMAT, EncoderNote, Guarantee, Histogram, Manifest, Parent, SourceNote
from triage.measurements import distance
from triage.metrics import recall_at_fpr
from triage.records import Doubles
from triage.taxonomy import EVIDENCE_EVENTS, MUSIC
from triage.training.addressed import Addressed
from triage.training.dataset import lineage
from triage.training.features import Ears
from triage.training.fit import CHUNK
from triage.training.gather import Gathered
from triage.training.guarantee import guarantee
from triage.training.heads import Part
from triage.training.plan import EVENT_FPR, SOUND_REGULARISATION, TEXT_REGULARISATION, Plan
from triage.weights import WHISPER_TINY_EN, sha256


@dataclass(frozen=True, slots=True)
class Made:
    """Everything that a training has made.

    Attributes:
        rows: What it was made from.
        taken: Ids of the rows that were fitted on.
        note: The text encoder.
        tuned: Digests of the rows that it was tuned on.
        ears: The speech encoder.
        text, sound: The heads.
        addressed: What tells whom words are spoken to; None if nothing does.
        strengths: Of the fusion.
        joined: The categories whose strengths were fitted.
        undecodable: Clips that couldn't be heard.
        anew: Whether the heads are not a base's, fitted further.
    """

    rows: Gathered
    taken: frozenset[str]
    note: EncoderNote
    tuned: frozenset[int]
    ears: Ears
    text: Part
    sound: Part
    addressed: Addressed | None
    strengths: Mapping[str, Mapping[str, float]]
    joined: tuple[str, ...]
    undecodable: int
    anew: bool


def describe(
    plan: Plan, made: Made, base: Artefact | None, critical: Sequence[str], draft: Path
) -> Manifest:
    """Writes the heads and the digests of the rows into the draft, and gives its manifest.

    Args:
        plan: What was to be trained.
        made: What was.
        base: The model that it started from.
        critical: The categories that get a guarantee.
        draft: Folder of the model, with its text encoder in it.
    """
    text, sound = made.text, made.sound
    before = seen(base.folder) if base and not made.anew else frozenset[int]()
    now = {made.rows.digests[id] for id in made.taken}
    (draft / SEEN).write_bytes(seen_to_bytes(before | now, made.tuned))
    told = made.addressed
    (draft / HEADS).write_bytes(
        heads_to_bytes(
            (text.head, text.scaling), (sound.head, sound.scaling), told.head if told else None
        )
    )
    return Manifest(
        format=FORMAT,
        name=plan.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        code=triage.__version__,
        files={name: sha256(draft / name) for name in sorted(FILES)},
        encoders={
            "speech": EncoderNote(
                name=WHISPER_TINY_EN.name,
                width=made.ears.encoder.width,
                licence=WHISPER_TINY_EN.licence,
                files=WHISPER_TINY_EN.files,
            ),
            "text": made.note,
        },
        categories=text.head.names,
        events=sound.head.names,
        event_thresholds=_thresholds(made, base),
        strengths={
            event: {c: s for c, s in row.items() if c in text.head.names}
            for event, row in made.strengths.items()
            if event in sound.head.names
        },
        lineage=_lineage(made, base),
        training=_training(plan, made),
        metrics={"text, val": text.figures, "sound, val": sound.figures}
        | ({"spoken to the device, val": told.figures} if told else {}),
        parent=Parent(name=base.manifest.name, digest=base.manifest.digest) if base else None,
        guarantees=_guarantees(plan, text, critical),
        reference=_reference(text, sound),
        positives={**text.positives, **sound.positives, **(told.positives if told else {})},
        accidental_below=told.below if told else None,
        media_from=_media_from(made, base),
    )


def _thresholds(made: Made, base: Artefact | None) -> dict[str, float]:
    """Where each evidence event starts to be reported, on clips that its head hadn't seen."""
    kept = base.manifest.event_thresholds if base else {}
    found = {name: kept[name] for name in made.sound.head.names if name in kept}
    for name in made.sound.fitted:
        if name in EVIDENCE_EVENTS:
            found[name] = _threshold(made, name)
    return found


def _media_from(made: Made, base: Artefact | None) -> float | None:
    """The same for music."""
    if MUSIC in made.sound.fitted:
        return _threshold(made, MUSIC)
    return base.manifest.media_from if base and MUSIC in made.sound.head.names else None


def _threshold(made: Made, event: str) -> float:
    """Where so few clips without the event are taken for one with it."""
    scores = made.sound.held_out[event]
    known = np.flatnonzero(~np.isnan(scores))
    labels = [made.rows.clips[item].events[event] >= YES for item in known]
    return min(float(recall_at_fpr(labels, scores[known], EVENT_FPR).threshold), 1.0)


def _guarantees(plan: Plan, text: Part, critical: Sequence[str]) -> dict[str, Guarantee]:
    return {
        name: guarantee(
            text.measured.labels[:, column],
            text.scores[:, column],
            text.measured.groups,
            plan.miss,
            plan.confidence,
        )
        for column, name in enumerate(text.head.names)
        if name in critical
    }


def _reference(text: Part, sound: Part) -> dict[str, Histogram]:
    """Scores of the held-out rows and how far they lie, for live ones to be compared with."""
    values: dict[str, Doubles] = {}
    for kind, measurement, one in (
        ("category", "text_distance", text),
        ("event", "sound_distance", sound),
    ):
        for column, name in enumerate(one.head.names):
            values[f"{kind} {name}"] = one.scores[:, column]
        values[f"measurement {measurement}"] = _distances(one)
    return reference_of(values)


def _distances(one: Part) -> Doubles:
    """Of each held-out item from what was fitted on, the mean of its rows, as in service."""
    held = one.measured
    far = np.empty(len(held.at))
    for start in range(0, len(far), CHUNK):
        some = slice(start, start + CHUNK)
        far[some] = distance(one.scaling.apply(held.vectors[held.at[some]]))
    count = np.bincount(held.item, minlength=len(held.groups))
    mean: Doubles = np.bincount(held.item, far, minlength=len(held.groups)) / count
    return mean


def _lineage(made: Made, base: Artefact | None) -> tuple[SourceNote, ...]:
    texts, clips = (
        [row for row in rows if row.split == "val" or row.id in made.taken]
        for rows in (made.rows.texts, made.rows.clips)
    )
    before = base.manifest.lineage if base and not made.anew else ()
    return lineage(texts, [row for row in clips if row.events], before)


def _training(plan: Plan, made: Made) -> dict[str, Any]:
    return {
        "seed": plan.seed,
        "heads": "anew" if made.anew else "from the base's",
        "fitted": [*made.text.fitted, *made.sound.fitted],
        "recalibrated": [*made.text.recalibrated, *made.sound.recalibrated],
        "text_encoder_tuned": bool(made.tuned),
        "text_regularisation": TEXT_REGULARISATION,
        "sound_regularisation": SOUND_REGULARISATION,
        "fusion_fitted": list(made.joined),
        "excluded_licences": list(plan.exclude_licences),
        "excluded_sources": list(plan.exclude_sources),
        "data": _digest(made.rows.digests.values()),
        "rows": len(made.rows.digests),
        "bad_rows": len(made.rows.problems),
        "conflicts": made.rows.conflicts,
        "leaking_rows_left_out": made.rows.dropped,
        "too_few_labels": [*made.text.too_few, *made.sound.too_few],
        "undecodable_clips": made.undecodable,
        "accidental": {"withheld": made.addressed.withheld, "wrongly": made.addressed.wrongly}
        if made.addressed
        else None,
    }


def _digest(rows: Iterable[int]) -> str:
    """Stands for all rows with their labels, in whatever files and order they came."""
    told = "\n".join(map(str, sorted(rows)))
    return hashlib.sha256(told.encode()).hexdigest()
