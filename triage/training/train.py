"""From labelled rows to a model on disk: encoders, features, heads, fusion, manifest, card."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triage import artefact
from triage.artefact import ENCODER, Artefact
from triage.card import model_card
from triage.errors import LabelsRefused
from triage.labels.rows import Labelled, Problem, label_matrix
from triage.manifest import MANIFEST, Manifest
from triage.policy.loading import load_policy
from triage.records import Report
from triage.settings import Settings
from triage.taxonomy import EVIDENCE_EVENTS
from triage.text import TextEncoder
from triage.training.addressed import addressed
from triage.training.describe import Made, describe
from triage.training.encoders import text_encoder
from triage.training.featured import Featured, ears, featured, opened
from triage.training.gather import Gathered, gather, permitted
from triage.training.heads import Base, Part, part
from triage.training.joint import Strengths, fit_strengths
from triage.training.plan import (
    SOUND_REGULARISATION,
    SOUND_UPDATE,
    STRENGTHS,
    TEXT_REGULARISATION,
    TEXT_UPDATE,
    Plan,
)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training gave.

    Attributes:
        manifest: Of the model that was written.
        problems: Rows that couldn't be used.
    """

    manifest: Manifest
    problems: tuple[Problem, ...] = field(repr=False)


def train(plan: Plan, settings: Settings, report: Report) -> Trained:
    """Trains a model and writes it to `plan.out`.

    Rows of split "train" are fitted on; rows of split "val" are only measured on.

    Args:
        plan: What is to be trained.
        settings: Where the encoders' weights are, limits, threads, and the policy, whose critical
            categories get a guarantee.
        report: Told of the progress: stage, done, of how many.

    Raises:
        LabelsRefused: The rows can't be read, leak, or hold too little.
        ArtefactRefused: The base doesn't load.
        WeightsNotFound: An encoder's weights are missing.
        OSError: The disk is full, say. What was there before still is.
    """
    base = artefact.load(plan.base) if plan.base else None
    documented = base.manifest.strengths if base else STRENGTHS
    rows = gather(
        plan.data,
        settings.labels_url,
        plan.exclude_licences,
        plan.exclude_sources,
        plan.categories,
        documented,
        report,
        drop_leaks=plan.drop_leaks,
    )
    anew, new = _new_rows(rows, plan, base)
    with _draft(plan.out) as draft, opened(plan.cache) as cache:
        note, tuned = text_encoder(plan, settings, rows, base, draft, report)
        encoder = TextEncoder(draft / "text", settings.cores)
        hearing = ears(settings, plan.seed)
        found = featured(rows, encoder, note.files[ENCODER], hearing, cache, report, tuned)

        text = part(
            found.words,
            rows.texts,
            "labels",
            TEXT_REGULARISATION,
            _told(report, "text heads"),
            None
            if anew or plan.finetune or base is None
            else Base(base.text, base.text_scaling, TEXT_UPDATE, base.manifest.positives),
            _taken(rows.texts, new),
        )
        sound = part(
            found.sounds,
            rows.clips,
            "events",
            SOUND_REGULARISATION,
            _told(report, "sound heads"),
            None
            if anew or base is None
            else Base(base.sound, base.sound_scaling, SOUND_UPDATE, base.manifest.positives),
            _taken(rows.clips, new),
        )
        told = addressed(
            found.words,
            rows.texts,
            _told(report, "whom words are spoken to"),
            None if anew or plan.finetune else base,
            _taken(rows.texts, new),
        )
        if not (text.fitted or sound.fitted):
            raise LabelsRefused(f"{text.refused} {sound.refused}".strip())
        strengths, joined = _joined(rows, found, text, sound, documented)
        made = Made(
            rows=rows,
            taken=new,
            note=note,
            tuned=tuned,
            ears=hearing,
            text=text,
            sound=sound,
            addressed=told,
            strengths=strengths,
            joined=joined,
            undecodable=found.failed,
            anew=anew,
        )
        critical = load_policy(settings.policy).critical
        manifest = describe(plan, made, base, critical, draft)
        (draft / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
        (draft / "README.md").write_text(model_card(manifest))
        artefact.load(draft)  # what can't be loaded is not kept
        _put(draft, plan.out)
    return Trained(manifest, rows.problems)


def _new_rows(rows: Gathered, plan: Plan, base: Artefact | None) -> tuple[bool, frozenset[str]]:
    """Whether to fit anew, and the ids of the rows to fit on; see `Plan.anew`."""
    digests = {
        row.id: rows.digests[row.id] for row in (*rows.texts, *rows.clips) if row.split == "train"
    }
    if base is None or plan.anew or _barred(base, plan):
        return True, frozenset(digests)
    seen = artefact.seen(base.folder)
    if seen and seen <= set(digests.values()):
        return True, frozenset(digests)
    new = frozenset(id for id, digest in digests.items() if digest not in seen)
    if not new:
        raise LabelsRefused(
            f"The base was fitted on all of these {len(digests)} rows already. Label more."
        )
    return False, new


def _barred(base: Artefact, plan: Plan) -> bool:
    """Whether a base was made from something that is to be left out.

    Raises:
        LabelsRefused: It was, and its text encoder too, which can't be made anew here.
    """
    barred = any(
        not permitted(note.licence, plan.exclude_licences) or note.source in plan.exclude_sources
        for note in base.manifest.lineage
    )
    if barred and base.manifest.training.get("text_encoder_tuned"):
        left_out = [*plan.exclude_licences, *plan.exclude_sources]
        raise LabelsRefused(
            f"The base's text encoder was tuned on rows that {left_out} leave out. Train without "
            "--base, or name another one."
        )
    return barred


def _taken(labelled: Sequence[Labelled], new: frozenset[str]) -> NDArray[np.bool_]:
    return np.array([row.id in new for row in labelled], bool)


def _joined(
    rows: Gathered,
    found: Featured,
    text: Part,
    sound: Part,
    documented: Strengths,
) -> tuple[dict[str, dict[str, float]], tuple[str, ...]]:
    """The fusion's strengths, fitted where recordings are labelled with categories."""
    place = {row.id: n for n, row in enumerate(rows.texts)}
    both = [(n, row) for n, row in enumerate(rows.clips) if row.labels and row.split == "train"]
    said = text.probabilities(found.words, np.array([place[row.id] for _, row in both], np.int64))
    heard = sound.probabilities(found.sounds, np.array([n for n, _ in both], np.int64))
    labels = label_matrix([row for _, row in both], "labels", text.head.names)
    columns = [n for n, event in enumerate(sound.head.names) if event in EVIDENCE_EVENTS]
    return fit_strengths(
        said,
        heard[:, columns],
        labels.astype(np.float64),
        text.head.names,
        [sound.head.names[n] for n in columns],
        documented,
    )


def _told(report: Report, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: report(stage, done, total)


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A folder beside the model's that is gone afterwards, whatever happens."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".training-") as folder:
        draft = Path(folder) / "model"
        draft.mkdir()
        yield draft


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
