"""One copy in a fine-tuning: a head on the frozen encoder, then its layers, to its best epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triage.labels.rows import YES
from triage.metrics import average_precision
from triage.records import Floats, Report
from triage.training.checkpoint import Checkpoint, uninterrupted
from triage.training.examples import Draw, Examples, Tokens, batches, first_head, misheard
from triage.training.tuner import Tuner, pace

BLOCK = 2048  # rows of the first head that a run that is stopped loses at most


@dataclass(frozen=True, slots=True)
class Options:
    """How to tune.

    Attributes:
        copies: How many are tuned, each by chances of its own, and averaged.
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
        seed: Of all that is left to chance; each copy after the first has the next one.
        threads: Of torch; 0 for its own choice.
    """

    copies: int = 2
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
class Judge:
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


def tune(
    tuner: Tuner,
    rows: Examples,
    draw: Draw,
    judge: Judge,
    options: Options,
    checkpoint: Checkpoint,
    report: Report,
) -> dict[str, Any]:
    """Tunes from the last checkpoint, or from the start, to the best epoch's weights.

    Args:
        tuner: With the pretrained weights.
        rows: What it learns from.
        draw: Chooses among them.
        judge: Tells the best epoch.
        options: How to tune; `seed` is this copy's.
        checkpoint: Of this copy.
        report: Told of the progress.

    Returns:
        By name: "start", the pretrained weights; "best_weights" and "best_epoch", counted from 1.

    Raises:
        OSError: The disk is full, say; the last checkpoint still is.
    """
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
