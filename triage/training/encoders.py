"""The text encoder of a model in training: a base's, the pretrained one, or one tuned here."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from triage import artefact
from triage.artefact import ENCODER, TOKENIZER, Artefact
from triage.errors import LabelsRefused
from triage.labels.rows import Labelled, label_matrix
from triage.manifest import EncoderNote
from triage.records import Report
from triage.settings import Settings
from triage.text import TextEncoder, spoken_words
from triage.training.dataset import codes, named, trainable
from triage.training.gather import Gathered
from triage.training.plan import Plan
from triage.weights import MINILM_L6, resolve, sha256

# Mean cosine of the int8 encoder's vectors with the float one's; the pretrained one has .990. Not
# the lowest: of enough texts one is always far off (.957 of 256), and moves no figure.
LEAST_PARITY = 0.97
COMPARED = 256  # texts at most that tell it


def text_encoder(
    plan: Plan,
    settings: Settings,
    rows: Gathered,
    base: Artefact | None,
    draft: Path,
    report: Report,
) -> tuple[EncoderNote, frozenset[int]]:
    """Puts the text encoder into the draft of a model.

    Returns:
        What it is, and the digests of the rows that it was tuned on.

    Raises:
        LabelsRefused: The int8 encoder differs too much from the float one.
        WeightsNotFound: The pretrained weights are missing.
        BadSetting: The `[train]` extra is missing.
    """
    if base and not plan.finetune:
        (draft / "text").mkdir()
        for name in (ENCODER, TOKENIZER):
            shutil.copyfile(base.folder / name, draft / name)
        return base.manifest.encoders["text"], artefact.tuned(base.folder)
    from triage.training.export import export_text_encoder

    source, name = resolve(MINILM_L6, settings.text_encoder), MINILM_L6.name
    tuned = frozenset[int]()
    if plan.finetune:
        source, name, on = _tuned(plan, settings, source, rows.texts, draft.parent, report)
        tuned = frozenset(rows.digests[row.id] for row in on)
    written = [row.text for row in rows.texts if row.text is not None]
    spoken = [spoken_words(text) for text in written[:: -(-len(written) // COMPARED) or 1]]
    parity = export_text_encoder(source, draft / "text", spoken)
    if parity.mean < LEAST_PARITY:
        raise LabelsRefused(
            f"The int8 encoder's vectors have a mean cosine of {parity.mean:.3f} with the "
            f"float one's, {LEAST_PARITY} is the least. Tune it less."
        )
    note = EncoderNote(
        name=f"{name}, int8",
        width=TextEncoder(draft / "text").width,
        licence=MINILM_L6.licence,
        files={file: sha256(draft / file) for file in (ENCODER, TOKENIZER)},
    )
    return note, tuned


def _tuned(
    plan: Plan,
    settings: Settings,
    source: Path,
    texts: Sequence[Labelled],
    folder: Path,
    report: Report,
) -> tuple[Path, str, list[Labelled]]:
    """The folder of the encoder that fine-tuning gave, its name, and what it was tuned on."""
    from triage.training.copies import Options
    from triage.training.finetune import finetune

    rows = [row for row in texts if row.split == "train" and row.text is not None]
    names = trainable(rows, "labels", named(rows, "labels"))
    tuned = finetune(
        source,
        [spoken_words(row.text or "") for row in rows],
        label_matrix(rows, "labels", names),
        codes(row.source for row in rows),
        codes(row.group for row in rows),
        np.ones(len(rows), np.float32),
        folder / "tuned",
        Options(seed=plan.seed, threads=settings.cores),
        plan.cache / "tuning",
        report,
    )
    if tuned.pretrained:
        return folder / "tuned", MINILM_L6.name, []
    name = f"{MINILM_L6.name}, {tuned.share:.0%} tuned"
    return folder / "tuned", name, [rows[n] for n in tuned.tuned_on]
