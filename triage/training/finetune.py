"""Fine-tuning of the sentence encoder: probe first, tune copies, average them, and with the start.

A head is fitted on the frozen encoder before anything is tuned, so that the first steps don't
bend the vectors towards a head of chance: A. Kumar et al., "Fine-tuning can distort pretrained
features and underperform out-of-distribution" (ICLR 2022). Copies that saw other rows in another
order are averaged, which is one encoder to serve and errs less than each of them: M. Wortsman et
al., "Model soups" (ICML 2022). Afterwards the weights are averaged with the pretrained ones, as far
as held-out groups say is best: M. Wortsman et al., "Robust fine-tuning of zero-shot models" (CVPR
2022). That may be not at all, and then the pretrained encoder is the result (docs/decisions/0007).

Needs the `[train]` extra (torch, transformers).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from triage.errors import LabelsRefused
from triage.records import Floats, Report
from triage.training.checkpoint import Checkpoint, run_key
from triage.training.copies import Judge, Options, tune
from triage.training.examples import (
    Draw,
    Examples,
    both,
    fewer,
    framed,
    held_out,
    shares,
)
from triage.training.export import need_extra
from triage.training.fit import Integers
from triage.training.tuner import Tuner, averaged, mean, repeatable
from triage.weights import sha256

FILES = ("config.json", "model.safetensors", "tokenizer.json")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the tuned weights in the average


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a fine-tuning gave.

    Attributes:
        share: Of the tuned weights in the average; 0 if it is the pretrained encoder.
        by_share: Mean over names of the AUPRC on the held-out groups, by share.
        epochs: The best epoch of each copy, counted from 1; what was averaged.
        tuned_on: The rows that it was, rising.
        held_out: How many it was chosen by.
    """

    share: float
    by_share: Mapping[float, float]
    epochs: tuple[int, ...]
    tuned_on: Integers = field(repr=False, compare=False)
    held_out: int

    @property
    def pretrained(self) -> bool:
        """Whether tuning was no gain, and the encoder is the one it started from."""
        return self.share == 0


def finetune(
    source: Path,
    texts: Sequence[Sequence[str]],
    labels: Floats,
    sources: Integers,
    groups: Integers,
    weights: Floats,
    out: Path,
    options: Options,
    work: Path,
    report: Report,
) -> Tuned:
    """Tunes an encoder and writes it to a folder that `export_text_encoder` reads.

    The loss is the cross-entropy over known labels only, of rows that are drawn so that sources
    and names come alike. On the same machine, rows, options and seed give the same bytes, whether
    or not it was interrupted.

    Args:
        source: Folder of a BERT-shaped encoder: config.json, model.safetensors, tokenizer.json.
        texts: Each row's `spoken_words`; rows of no words take no part.
        labels: Shape (rows, names): 0..1, or NaN for unknown.
        sources, groups: Of each row as numbers, shape (rows,).
        weights: How likely each row is drawn against others of its kind, shape (rows,).
        out: Folder to write to; replaced whole, at the very end.
        options: How to tune.
        work: Folder for checkpoints.
        report: Told of the progress.

    Raises:
        BadSetting: The `[train]` extra is missing, or no layer is left to learn.
        LabelsRefused: No name has both labels among the rows held out and among the others.
        OSError: The disk is full, say; the last checkpoint still is.
    """
    need_extra("torch", "transformers")
    chance = np.random.default_rng(options.seed)
    kept = np.flatnonzero([bool(words) for words in texts])
    held = held_out(groups[kept], labels[kept], options.held_out, chance)
    fitted, measured = kept[~held], kept[held]
    measured = measured[fewer(labels[measured], options.judged, chance)]
    names = both(labels[fitted]) & both(labels[measured])
    if not names.any():
        raise LabelsRefused(
            f"Of {labels.shape[1]} names none has both labels in the groups that are held out to "
            "choose by and in the others. Label more groups, or train without fine-tuning."
        )
    parts = list(_parts(source, texts, labels, sources, groups, weights))
    rest = Examples(framed(source, [texts[row] for row in fitted]), *shares(labels[fitted]))
    draw = Draw(labels[fitted], sources[fitted], weights[fitted])
    heard = framed(source, [texts[row] for row in measured])
    judge = Judge(heard, labels[measured][:, names], names)
    states = []
    for copy in range(options.copies):
        own = replace(options, copies=1, seed=options.seed + copy)
        checkpoint = Checkpoint(work, run_key([*parts, f"{options.seed} {own}".encode()]))
        told = _nth(copy, report) if options.copies > 1 else report
        with repeatable(own.seed, own.threads):
            tuner = Tuner(source, labels.shape[1], own.frozen_layers)
            states.append(tune(tuner, rest, draw, judge, own, checkpoint, told))
    start, best = states[0]["start"], mean([state["best_weights"] for state in states])
    with repeatable(options.seed, options.threads):
        by_share = {}
        for share in SHARES:
            tuner.set_weights(averaged(start, best, share))
            by_share[share] = judge(tuner)
        share = max(by_share, key=by_share.__getitem__)  # of equals the one nearest the start
        tuner.set_weights(averaged(start, best, share))
        _write(tuner if share else None, source, out)
    epochs = tuple(state["best_epoch"] for state in states)
    return Tuned(share, by_share, epochs, fitted, len(measured))


def _nth(copy: int, report: Report) -> Report:
    """Reports a copy's stages under its number."""
    return lambda stage, done, total: report(f"{stage}, copy {copy + 1}", done, total)


def _parts(
    source: Path,
    texts: Sequence[Sequence[str]],
    labels: Floats,
    sources: Integers,
    groups: Integers,
    weights: Floats,
) -> Iterator[bytes]:
    """All that a run depends on, but for its options."""
    import torch

    yield from (sha256(source / name).encode() for name in FILES)
    yield torch.__version__.encode()
    for array in (labels, sources, groups, weights):
        yield str(array.shape).encode()
        yield array.tobytes()
    yield from (" ".join(words).encode() for words in texts)


def _write(tuner: Tuner | None, source: Path, out: Path) -> None:
    """The encoder's folder, whole or not at all; without a tuner it is the source's."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".tuned-") as folder:
        draft = Path(folder) / "encoder"
        draft.mkdir()
        for name in FILES:
            shutil.copyfile(source / name, draft / name)
        if tuner:
            tuner.save(draft / "model.safetensors")
        shutil.rmtree(out, ignore_errors=True)
        os.replace(draft, out)
