"""Labelled texts as what an encoder is tuned on: who is held out, what a row weighs, batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triage.labels.rows import YES
from triage.records import Doubles, Floats
from triage.text import WINDOW
from triage.training.fit import Integers, balance

PROBE = 1.0  # scikit-learn's C of the first head, over unit vectors (docs/decisions/0004)
BUCKET = 50  # batches that are sorted by length together: little padding, still by chance

Tokens = list[NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows as they are tuned on.

    Attributes:
        tokens: Framed ids of each row's first window.
        yes, no: What a row weighs as an example of either label, shape (rows, names).
    """

    tokens: Tokens = field(repr=False)
    yes: Floats = field(repr=False)
    no: Floats = field(repr=False)


def kept_rows(
    spoken: Sequence[bool], labels: Floats, most: int | None, chance: np.random.Generator
) -> Integers:
    """The rows to use, rising: those with words, or so many of them, positives first."""
    rows: Integers = np.flatnonzero(spoken)
    if most is None or len(rows) <= most:
        return rows
    rows = chance.permutation(rows)
    positive: NDArray[np.bool_] = np.any(labels[rows] >= YES, axis=1)
    yes, no = rows[positive], rows[~positive]
    yes = yes[: max(most // 2, most - len(no))]
    return np.sort(np.concatenate([yes, no[: most - len(yes)]]))


def both(labels: Floats) -> NDArray[np.bool_]:
    """Which names have both labels, shape (names,)."""
    both: NDArray[np.bool_] = np.any(labels >= YES, axis=0) & np.any(labels < YES, axis=0)
    return both


def framed(source: Path, texts: Sequence[Sequence[str]]) -> Tokens:
    """Ids of each text's first window, framed as `TextEncoder` frames it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    before, after = map(tokenizer.token_to_id, ("[CLS]", "[SEP]"))
    coded = (
        tokenizer.encode(list(words), is_pretokenized=True, add_special_tokens=False)
        for words in texts
    )
    return [np.array([before, *one.ids[:WINDOW], after], np.int64) for one in coded]


def held_out(
    groups: Integers, labels: Floats, share: float, chance: np.random.Generator
) -> NDArray[np.bool_]:
    """Which rows are held out: whole groups, this share of those with either label of each name.

    Args:
        groups: Shape (rows,).
        labels: Shape (rows, names): 0..1, or NaN for unknown.
        share: Of the groups.
        chance: What decides.
    """
    codes, of = np.unique(groups, return_inverse=True)
    order = chance.permutation(len(codes))
    out: NDArray[np.bool_] = np.zeros(len(codes), bool)
    either = [np.unique(of[known]) for name in labels.T for known in (name >= YES, name < YES)]
    for found in (*sorted(either, key=len), np.arange(len(codes))):
        least = min(len(found) - 1, 1)  # one to judge by, if another is left to learn from
        missing = max(round(share * len(found)), least) - int(out[found].sum())
        free = order[np.isin(order, found) & ~out[order]]
        out[free[: max(missing, 0)]] = True
    rows: NDArray[np.bool_] = out[of]
    return rows


def example_weights(labels: Floats, sources: Integers, weights: Floats) -> tuple[Floats, Floats]:
    """What each row weighs as an example of yes and of no, by name: twice shape (rows, names).

    A share of votes is an example of each label with a share of the weight; unknown is neither.
    Over all rows, a name's weights add up to those of the rows that know it, and all names'
    together to the number of rows.
    """
    yes, no = np.zeros_like(labels, np.float64), np.zeros_like(labels, np.float64)
    for name, column in enumerate(labels.T.astype(np.float64)):
        known = np.flatnonzero(~np.isnan(column))
        if not len(known):
            continue
        label, weight = column[known], weights[known].astype(np.float64)
        balanced: Doubles = balance(
            np.repeat([1.0, 0.0], len(known)),
            np.tile(sources[known], 2),
            np.concatenate([weight * label, weight * (1 - label)]),
        )
        yes[known, name], no[known, name] = np.split(balanced, 2)
    scale = len(labels) / max(yes.sum() + no.sum(), 1e-300)
    return (yes * scale).astype(np.float32), (no * scale).astype(np.float32)


def batches(lengths: Integers, size: int, chance: np.random.Generator) -> list[Integers]:
    """All rows once, by chance, in batches of texts of about one length."""
    order = chance.permutation(len(lengths))
    wide = size * BUCKET
    buckets = [order[at : at + wide] for at in range(0, len(order), wide)]
    sorted_ = [one[np.argsort(lengths[one], kind="stable")] for one in buckets]
    cut = [one[at : at + size] for one in sorted_ for at in range(0, len(one), size)]
    return [cut[n] for n in chance.permutation(len(cut))]


def first_head(vectors: Floats, yes: Floats, no: Floats) -> tuple[Floats, Floats]:
    """Logistic regressions on the frozen vectors: weights (names, width) and biases (names,)."""
    from sklearn.linear_model import LogisticRegression

    heads = np.zeros((yes.shape[1], vectors.shape[1] + 1), np.float32)
    for name, (positive, negative) in enumerate(zip(yes.T, no.T, strict=True)):
        ones, zeros = np.flatnonzero(positive), np.flatnonzero(negative)
        if not (len(ones) and len(zeros)):
            continue
        weight = np.concatenate([positive[ones], negative[zeros]])
        model = LogisticRegression(C=PROBE, max_iter=300).fit(
            vectors[np.concatenate([ones, zeros])],
            np.repeat([1, 0], [len(ones), len(zeros)]),
            weight * (len(np.union1d(ones, zeros)) / weight.sum()),
        )
        heads[name] = np.append(model.coef_[0], model.intercept_)
    return heads[:, :-1], heads[:, -1]
