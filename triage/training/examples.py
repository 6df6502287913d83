"""Labelled texts as what an encoder is tuned on: who is held out, who is drawn, batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triage.labels.rows import YES
from triage.records import Floats
from triage.text import WINDOW
from triage.training.fit import Integers

PROBE = 1.0  # scikit-learn's C of the first head, over unit vectors (docs/decisions/0004)
CASES = 0.4  # of the rows that are drawn
FEWEST = 4  # pieces
BUCKET = 50  # batches that are sorted by length together: little padding, still by chance

Tokens = list[NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows as they are tuned on.

    Attributes:
        tokens: Framed ids of each row's first window.
        yes, no: What a row is worth as an example of either label, shape (rows, names).
    """

    tokens: Tokens = field(repr=False)
    yes: Floats = field(repr=False)
    no: Floats = field(repr=False)


def fewer(labels: Floats, most: int, chance: np.random.Generator) -> Integers:
    """At most so many rows, rising: half of them cases where there are enough."""
    rows: Integers = chance.permutation(len(labels))
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


def shares(labels: Floats) -> tuple[Floats, Floats]:
    """What each row is worth as an example of yes and of no, by name: twice shape (rows, names).

    A share of votes is an example of each label with a share of the weight; unknown is neither.
    """
    known = ~np.isnan(labels)
    yes = np.where(known, labels, 0).astype(np.float32)
    return yes, np.where(known, 1 - yes, 0).astype(np.float32)


class Draw:
    """Draws rows so that neither a large source nor a common name drowns the others.

    `CASES` of what is drawn are cases: first a name and a source, each pair by the square root of
    its cases, then one of these. The others are drawn by source, likewise. So no loss has to be
    weighed, where one rare case would pull like a thousand others.

    Args:
        labels: Shape (rows, names): 0..1, or NaN for unknown.
        sources: Of each row as numbers, shape (rows,).
        weights: How likely a row is drawn against others of its cell, shape (rows,).
    """

    def __init__(self, labels: Floats, sources: Integers, weights: Floats) -> None:
        cases: NDArray[np.bool_] = np.nan_to_num(labels) >= YES
        self._weights = weights.astype(np.float64)
        pairs = [
            np.flatnonzero(cases[:, name] & (sources == source) & (weights > 0))
            for name in range(labels.shape[1])
            for source in np.unique(sources)
        ]
        others = [
            np.flatnonzero(~cases.any(axis=1) & (sources == source) & (weights > 0))
            for source in np.unique(sources)
        ]
        self._cells = [[one for one in cells if len(one)] for cells in (pairs, others)]

    def __call__(self, count: int, chance: np.random.Generator) -> Integers:
        """That many rows, in an order of chance; a row may come more than once."""
        cases, others = self._cells
        of_cases = round(count * CASES) if others and cases else count * bool(cases)
        drawn = [
            self._from(cells, number, chance)
            for cells, number in ((cases, of_cases), (others, count - of_cases))
        ]
        return chance.permutation(np.concatenate(drawn))

    def _from(self, cells: Sequence[Integers], count: int, chance: np.random.Generator) -> Integers:
        if not cells:
            return np.empty(0, np.int64)
        masses = np.array([self._weights[cell].sum() for cell in cells])
        counts = chance.multinomial(count, np.sqrt(masses) / np.sqrt(masses).sum())
        parts = zip(cells, counts, masses, strict=True)
        return np.concatenate(
            [chance.choice(cell, n, p=self._weights[cell] / mass) for cell, n, mass in parts]
        )


def misheard(tokens: Integers, share: float, chance: np.random.Generator) -> Integers:
    """Framed ids without some of the pieces, as a recogniser drops words: this share of them.

    Texts of up to `FEWEST` pieces stay whole; of those, each may be what it is about.
    """
    if len(tokens) - 2 <= FEWEST:
        return tokens
    kept = chance.random(len(tokens)) >= share
    kept[[0, -1]] = True
    return tokens[kept]


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
