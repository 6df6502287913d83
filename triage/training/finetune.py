"""Fine-tuning of the sentence encoder: probe first, tune the upper layers, average with the start.

A head is fitted on the frozen encoder before anything is tuned, so that the first steps don't
bend the vectors towards a head of chance: A. Kumar et al., "Fine-tuning can distort pretrained
features and underperform out-of-distribution" (ICLR 2022). Afterwards the weights are averaged
with the pretrained ones, as far as held-out groups say is best: M. Wortsman et al., "Robust
fine-tuning of zero-shot models" (CVPR 2022). That may be not at all, and then the pretrained
encoder is the result (docs/decisions/0007).

Needs the `[train]` extra (torch, transformers).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triage.errors import LabelsRefused
from triage.labels.rows import YES
from triage.metrics import average_precision
from triage.records import Floats, Report
from triage.training.checkpoint import Checkpoint, run_key, uninterrupted
from triage.training.examples import (
    Draw,
    Examples,
    Tokens,
    batches,
    both,
    fewer,
    first_head,
    framed,
    held_out,
    misheard,
    shares,
)
from triage.training.export import need_extra
from triage.training.fit import Integers
from triage.training.tuner import Tuner, averaged, pace, repeatable
from triage.weights import sha256

FILES = ("config.json", "model.safetensors", "tokenizer.json")
BLOCK = 2048  # rows of the first head that a run that is stopped loses at most
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the tuned weights in the average


@dataclass(frozen=True, slots=True)
class Options:
    """How to tune.

    Attributes:
        epochs: How often rows are drawn, at most.
        rows: Drawn in an epoch, or as many as there are if that is fewer; see `Draw`.
        batch: Rows of a step.
        learning_rate: The encoder's highest; it rises in a line and falls in a line to 0.
        frozen_layers: Layers that stay as they are, from the lowest; so do the embeddings.
        warm_up: Share of the steps in which the rate rises.
        patience: Epochs without a better figure on the held-out groups before it ends.
        misheard: Share of a text's pieces that are dropped, anew each time it is drawn.
        held_out: Share of the groups that is held out.
        judged: Rows of those at most that it is chosen by.
        checkpoint_every: Steps between two checkpoints; there is one after each epoch too.
        seed: Of all that is left to chance.
        threads: Of torch; 0 for its own choice.
    """

    epochs: int = 4
    rows: int = 20_000
    batch: int = 32
    learning_rate: float = 1.5e-4
    frozen_layers: int = 0
    warm_up: float = 0.06
    patience: int = 2
    misheard: float = 0.1
    held_out: float = 0.1
    judged: int = 4_000
    checkpoint_every: int = 200
    seed: int = 0
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a fine-tuning gave.

    Attributes:
        share: Of the tuned weights in the average; 0 if it is the pretrained encoder.
        by_share: Mean over names of the AUPRC on the held-out groups, by share.
        epoch: The best epoch, counted from 1; what was averaged.
        tuned_on: The rows that it was, rising.
        held_out: How many it was chosen by.
    """

    share: float
    by_share: Mapping[float, float]
    epoch: int
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
    key = run_key(_parts(source, texts, labels, sources, groups, weights, options))
    rest = Examples(framed(source, [texts[row] for row in fitted]), *shares(labels[fitted]))
    draw = Draw(labels[fitted], sources[fitted], weights[fitted])
    with repeatable(options.seed, options.threads):
        tuner = Tuner(source, labels.shape[1], options.frozen_layers)
        heard = framed(source, [texts[row] for row in measured])
        judge = _Judge(heard, labels[measured][:, names], names)
        state = _tune(tuner, rest, draw, judge, options, Checkpoint(work, key), report)
        by_share = {}
        for share in SHARES:
            tuner.set_weights(averaged(state["start"], state["best_weights"], share))
            by_share[share] = judge(tuner)
        share = max(by_share, key=by_share.__getitem__)  # of equals the one nearest the start
        tuner.set_weights(averaged(state["start"], state["best_weights"], share))
        _write(tuner if share else None, source, out)
    return Tuned(share, by_share, state["best_epoch"], fitted, len(measured))


@dataclass(frozen=True, slots=True)
class _Judge:
    """The mean over names of the AUPRC on the held-out rows."""

    tokens: Tokens = field(repr=False)
    labels: Floats = field(repr=False)
    names: NDArray[np.bool_] = field(repr=False)

    def __call__(self, tuner: Tuner) -> float:
        scores = tuner.logits(self.tokens)[:, self.names]
        columns = zip(self.labels.T, scores.T, strict=True)
        known = [(label, score, ~np.isnan(label)) for label, score in columns]
        return float(
            np.mean([average_precision(label[at] >= YES, score[at]) for label, score, at in known])
        )


def _tune(
    tuner: Tuner,
    rows: Examples,
    draw: Draw,
    judge: _Judge,
    options: Options,
    checkpoint: Checkpoint,
    report: Report,
) -> dict[str, Any]:
    """Tunes from the last checkpoint, or from the start, to the best epoch's weights."""
    state = checkpoint.load() or _started(tuner, rows, draw, options, checkpoint, report)
    tuner.set_state(state["tuner"])
    lengths = np.array([len(ids) for ids in rows.tokens])
    count = min(options.rows, len(lengths))
    steps = -(-count // options.batch)
    with checkpoint.saved_on_interrupt(lambda: state | {"tuner": tuner.state()}):
        for epoch in range(state["epoch"], options.epochs):
            if epoch - state["best_epoch"] >= options.patience:
                break
            chance = np.random.default_rng((options.seed, epoch))
            drawn = draw(count, chance)
            order = batches(lengths[drawn], options.batch, chance)
            for step in range(state["step"], steps):
                some = drawn[order[step]]
                chance = np.random.default_rng((options.seed, epoch, step))
                tokens = [misheard(rows.tokens[n], options.misheard, chance) for n in some]
                at = pace(epoch * steps + step, options.epochs * steps, options.warm_up)
                with uninterrupted():
                    tuner.step(tokens, rows.yes[some], rows.no[some], at * options.learning_rate)
                    state["step"] = step + 1
                done = epoch * count + min((step + 1) * options.batch, count)
                report("fine-tuning", done, options.epochs * count)
                if (step + 1) % options.checkpoint_every == 0 and step + 1 < steps:
                    checkpoint.save(state | {"tuner": tuner.state()})
            score = judge(tuner)
            if score > state["best"]:
                state |= {"best": score, "best_epoch": epoch + 1, "best_weights": tuner.weights()}
            state |= {"tuner": tuner.state(), "epoch": epoch + 1, "step": 0}
            checkpoint.save(state)
    return state


def _started(
    tuner: Tuner,
    rows: Examples,
    draw: Draw,
    options: Options,
    checkpoint: Checkpoint,
    report: Report,
) -> dict[str, Any]:
    """The state before the first step: the pretrained encoder with a head fitted on it."""
    drawn = np.arange(len(rows.tokens))
    if len(drawn) > options.rows:
        drawn = np.unique(draw(options.rows, np.random.default_rng(options.seed)))
    blocks = []
    for start in range(0, len(drawn), BLOCK):
        some = [rows.tokens[n] for n in drawn[start : start + BLOCK]]
        blocks.append(checkpoint.made_once(str(start), lambda: tuner.vectors(some)))  # noqa: B023
        report("first head", start + len(some), len(drawn))
    tuner.set_head(*first_head(np.concatenate(blocks), rows.yes[drawn], rows.no[drawn]))
    state = {
        "start": tuner.weights(),
        "tuner": tuner.state(),
        "epoch": 0,
        "step": 0,
        "best": -1.0,
        "best_epoch": 0,
        "best_weights": tuner.weights(),
    }
    checkpoint.save(state)
    checkpoint.forget()
    return state


def _parts(
    source: Path,
    texts: Sequence[Sequence[str]],
    labels: Floats,
    sources: Integers,
    groups: Integers,
    weights: Floats,
    options: Options,
) -> Iterator[bytes]:
    """All that a run depends on."""
    import torch

    yield from (sha256(source / name).encode() for name in FILES)
    yield f"{torch.__version__} {options}".encode()
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
