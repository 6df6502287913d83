"""From labelled rows to a model on disk: features, heads, calibration, figures, manifest, card."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import triage
from triage.artefact import (
    ENCODER,
    FILES,
    FORMAT,
    HEADS,
    MANIFEST,
    NAME,
    TOKENIZER,
    EncoderNote,
    Manifest,
    heads_to_bytes,
    load,
)
from triage.audio import Limits
from triage.card import model_card
from triage.classifier import Head
from triage.encoder import SpeechEncoder
from triage.errors import BadSetting, LabelsRefused
from triage.labels.read import read_labels
from triage.labels.rows import Labelled, label_matrix
from triage.metrics import evaluate, recall_at_fpr
from triage.records import Report
from triage.settings import Settings
from triage.taxonomy import CATEGORIES, EVENTS, EVIDENCE_EVENTS
from triage.text import TextEncoder
from triage.training.dataset import (
    Measured,
    lineage,
    named,
    permitted,
    sound_rows,
    split,
    text_rows,
    trainable,
)
from triage.training.features import SoundFeatures, sound_features, text_features
from triage.training.fit import Rows, fit_head
from triage.weights import MINILM_L6, WHISPER_TINY_EN, resolve, sha256

# scikit-learn's C over vectors scaled to unit deviation; chosen by leaving sources out
# (docs/decisions/0004).
TEXT_REGULARISATION = 0.003
SOUND_REGULARISATION = 0.01
EVENT_FPR = 0.01  # of clips without the event, where an event starts to be reported
REPEATS = 500  # of the bootstrap

Figures = dict[str, Any]

# How often such a sound in a private home is a case of the category, by judgement, until
# recordings labelled with both exist (docs/decisions/0005).
STRENGTHS: Mapping[str, Mapping[str, float]] = {
    "scream": {"distress": 0.9, "violence": 0.2},
    "cry": {"distress": 0.7},
    "baby_cry": {"distress": 0.1},
    "shout": {"distress": 0.3, "harassment": 0.1},
    "gunshot": {"violence": 0.9},
    "explosion": {"violence": 0.4},
    "glass_break": {"violence": 0.3},
    "siren": {"medical_emergency": 0.1},
    "alarm": {"distress": 0.1},
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be trained from what.

    Attributes:
        text, audio: Labelled rows; both are needed for a model that hears and reads.
        out: Folder to write the model to. Replaced whole, at the very end.
        name: The model's name.
        base: A model whose text encoder is taken over; without one, the sentence encoder is
            exported anew, which needs the `[train]` extra.
        exclude_licences: Rows whose licence contains any of these, case ignored, stay out.
        seed: Of everything that is left to chance.
        cache: Folder for features; what is there is not computed again.
    """

    text: Path
    audio: Path
    out: Path
    name: str
    base: Path | None = None
    exclude_licences: tuple[str, ...] = ()
    seed: int = 0
    cache: Path = Path("var/features")


def train(plan: Plan, settings: Settings, report: Report) -> Manifest:
    """Trains a model and writes it to `plan.out`.

    Rows of split "train" are fitted on; rows of split "val" are only measured on.

    Args:
        plan: What is to be trained.
        settings: Where the encoders' weights are, limits and threads.
        report: Told of the progress: stage, done, of how many.

    Raises:
        BadSetting: The plan's name can't be a model's, or its folder holds something else.
        LabelsRefused: The rows can't be read or hold too little.
        WeightsNotFound: An encoder's weights are missing.
    """
    if not re.fullmatch(NAME, plan.name):
        raise BadSetting(f"A model's name must match {NAME}. Choose another with --name.")
    if plan.out.exists() and not (plan.out / MANIFEST).is_file():
        raise BadSetting("The folder to write to is there and holds no model. Choose another.")
    texts = permitted(read_labels([plan.text]).rows, plan.exclude_licences, "text")
    clips = permitted(read_labels([plan.audio]).rows, plan.exclude_licences, "audio")
    plan.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plan.out.parent, prefix=".training-") as folder:
        draft = Path(folder) / "model"
        draft.mkdir()
        text_note = _text_encoder(plan, settings, draft)
        encoder = TextEncoder(draft / "text", settings.cores)
        digest = text_note.files[ENCODER]
        vectors = text_features(texts, encoder, digest, plan.cache, report)
        rows = text_rows(texts, vectors)
        categories = trainable(texts, "labels", named(texts, "labels", CATEGORIES))
        text_head, text_metrics = _fitted(rows, texts, categories, report)

        speech = SpeechEncoder(resolve(WHISPER_TINY_EN, settings.whisper))
        sound = sound_features(
            clips,
            speech,
            WHISPER_TINY_EN.files["model.bin"],
            plan.cache,
            Limits(settings.max_bytes, settings.max_seconds, settings.max_channels),
            plan.seed,
            report,
        )
        rows = sound_rows(clips, sound)
        events = trainable(clips, "events", named(clips, "events", EVENTS))
        sound_head, sound_metrics, thresholds = _fitted_events(rows, clips, events, report)

        (draft / HEADS).write_bytes(heads_to_bytes(text_head, sound_head))
        manifest = Manifest(
            format=FORMAT,
            name=plan.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            code=triage.__version__,
            files={name: sha256(draft / name) for name in sorted(FILES)},
            encoders={
                "speech": EncoderNote(
                    name=WHISPER_TINY_EN.name,
                    width=speech.width,
                    licence=WHISPER_TINY_EN.licence,
                    files=WHISPER_TINY_EN.files,
                ),
                "text": text_note,
            },
            categories=categories,
            events=events,
            event_thresholds=thresholds,
            strengths={
                event: {c: s for c, s in row.items() if c in categories}
                for event, row in STRENGTHS.items()
                if event in events
            },
            lineage=(*lineage(texts, "text"), *lineage(clips, "audio")),
            training=_training(plan, texts, clips, sound, categories, events),
            metrics={"text, val": text_metrics, "sound, val": sound_metrics},
        )
        (draft / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
        (draft / "README.md").write_text(model_card(manifest))
        load(draft)  # what can't be loaded is not kept
        _put(draft, plan.out)
    return manifest


def _text_encoder(plan: Plan, settings: Settings, draft: Path) -> EncoderNote:
    if plan.base is not None:
        base = load(plan.base).manifest
        (draft / "text").mkdir()
        for name in (ENCODER, TOKENIZER):
            shutil.copyfile(plan.base / name, draft / name)
        return base.encoders["text"]
    from triage.training.export import export_text_encoder

    parity = export_text_encoder(resolve(MINILM_L6, settings.text_encoder), draft / "text")
    if parity["lowest"] < 0.95:
        raise LabelsRefused(f"The exported encoder differs from the float one: {parity}.")
    return EncoderNote(
        name=f"{MINILM_L6.name}, int8",
        width=TextEncoder(draft / "text").width,
        licence=MINILM_L6.licence,
        files={name: sha256(draft / name) for name in (ENCODER, TOKENIZER)},
    )


def _fitted(
    rows: Rows, labelled: Sequence[Labelled], names: Sequence[str], report: Report
) -> tuple[Head, list[Figures]]:
    part, measured = split(rows, labelled, "labels", names)
    head, _ = fit_head(part, names, TEXT_REGULARISATION, _told(report, "text heads"))
    return head, _figures(head, measured)


def _fitted_events(
    rows: Rows, labelled: Sequence[Labelled], names: Sequence[str], report: Report
) -> tuple[Head, list[Figures], dict[str, float]]:
    part, measured = split(rows, labelled, "events", names)
    head, held_out = fit_head(part, names, SOUND_REGULARISATION, _told(report, "sound heads"))
    truth = label_matrix(labelled, "events", names)
    thresholds = {}
    for column, name in enumerate(names):
        if name in EVIDENCE_EVENTS:
            known = ~np.isnan(held_out[name])
            labels = truth[: len(known), column][known]
            point = recall_at_fpr(labels, held_out[name][known], EVENT_FPR)
            thresholds[name] = min(float(point.threshold), 1.0)
    return head, _figures(head, measured), thresholds


def _figures(head: Head, measured: Measured) -> list[Figures]:
    scores = measured.scores(head)
    found = evaluate(measured.labels, scores, head.names, measured.groups, REPEATS)
    return [asdict(one) for one in found]


def _told(report: Report, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: report(stage, done, total)


def _training(
    plan: Plan,
    texts: Sequence[Labelled],
    clips: Sequence[Labelled],
    sound: SoundFeatures,
    categories: Sequence[str],
    events: Sequence[str],
) -> dict[str, Any]:
    return {
        "seed": plan.seed,
        "text_regularisation": TEXT_REGULARISATION,
        "sound_regularisation": SOUND_REGULARISATION,
        "excluded_licences": list(plan.exclude_licences),
        "data": {"text": sha256(plan.text), "audio": sha256(plan.audio)},
        "too_few_labels": [
            *(n for n in named(texts, "labels", CATEGORIES) if n not in categories),
            *(n for n in named(clips, "events", EVENTS) if n not in events),
        ],
        "undecodable_clips": len(sound.failed),
    }


def _put(draft: Path, out: Path) -> None:
    """Puts the finished model in its place by renaming; if that fails, the old one stands."""
    old = out.with_name(f".{out.name}.old-{os.getpid()}")
    if out.exists():
        out.rename(old)
    try:
        draft.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
