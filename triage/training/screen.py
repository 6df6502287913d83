"""Fitting a first look at texts (`triage.screen`) to what a model says of them.

The model is the teacher: a text counts as found if it gives any category the floor or more, and
labels play no part. The cut is the highest that keeps the promised share of misses on rows held out
(see `triage.training.guarantee`); what it misses of sources never seen is measured by leaving each
out of fit and cut in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from triage.artefact import Artefact
from triage.errors import LabelsRefused
from triage.files import put
from triage.labels.rows import Labelled
from triage.manifest import SourceNote
from triage.records import Doubles, Floats, Report
from triage.screen import FORMAT, MOST_WORDS, NOTE, WEIGHTS, WIDTH, Missed, Note, features, norm
from triage.text import spoken_words
from triage.training.dataset import codes
from triage.training.guarantee import guarantee

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LIKELY = 0.7  # a score at which most policies send somebody soon
REGULARISATION = 10.0  # C of the logistic regression; 1 and 100 let a little more pass
LEAST_FOUND = 100  # of a source, or the share that is missed of it says little
CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a screen.

    Attributes:
        floor: Score from which a text counts as found.
        miss, confidence: What is promised of texts held out.
        seed: Of the fit.
    """

    floor: float
    miss: float
    confidence: float
    seed: int


@dataclass(frozen=True, slots=True)
class Taught:
    """Texts, and what the model says of them.

    Attributes:
        places: Hashed words, shape (n, WIDTH), scaled.
        scores: The model's, shape (n, categories).
        val: Whether each is of split "val", shape (n,).
        sources, groups: Of each, counted from 0, shape (n,).
        names: Of the sources.
    """

    places: csr_matrix = field(repr=False)
    scores: Doubles = field(repr=False)
    val: NDArray[np.bool_] = field(repr=False)
    sources: NDArray[np.int64] = field(repr=False)
    groups: NDArray[np.int64] = field(repr=False)
    names: Sequence[str]

    @property
    def highest(self) -> Doubles:
        """The highest score of each text, shape (n,)."""
        top: Doubles = self.scores.max(axis=1)
        return top


def taught(rows: Sequence[Labelled], vectors: Floats, model: Artefact) -> Taught:
    """Has the model score the texts that a screen would look at.

    Args:
        rows: Labelled texts; those of more than `MOST_WORDS` words, or none, are left out.
        vectors: Of each, shape (rows, width); see `triage.training.features.text_features`.
        model: The teacher.
    """
    words = [spoken_words(row.text or "") for row in rows]
    kept = [n for n, said in enumerate(words) if 0 < len(said) <= MOST_WORDS]
    sources = [rows[n].source for n in kept]
    return Taught(
        _matrix([words[n] for n in kept]),
        model.text.calibrated(model.text.logits(vectors[kept])),
        np.array([rows[n].split == "val" for n in kept]),
        codes(sources),
        codes(rows[n].group for n in kept),
        list(dict.fromkeys(sources)),
    )


def fit(
    texts: Taught, wanted: Wanted, model: Artefact, lineage: Sequence[SourceNote], report: Report
) -> tuple[Note, bytes]:
    """Fits a screen and measures it.

    Returns:
        What it says of itself, and its weights as the content of their file.

    Raises:
        LabelsRefused: Too little is found in the texts that are held out to promise anything.
    """
    from safetensors.numpy import save

    counts = np.bincount(texts.sources[texts.highest >= wanted.floor], minlength=len(texts.names))
    asked = [n for n, count in enumerate(counts) if count >= LEAST_FOUND]
    every = np.ones(len(texts.sources), bool)
    report("fitting", 0, len(asked) + 1)
    theta, cut = _fitted(texts, every, wanted)
    left_out = {}
    for done, source in enumerate(asked, 1):
        report("fitting without each source", done, len(asked) + 1)
        own = texts.sources == source
        with suppress(LabelsRefused):  # most of the texts are this source's
            without, its_cut = _fitted(texts, ~own, wanted)
            left_out[texts.names[source]] = _missed(texts, own, without, its_cut, wanted)
    report("fitting", len(asked) + 1, len(asked) + 1)
    passed_over = texts.val & (_logits(texts, theta) < cut)
    weights = save({"weights": theta[:-1].astype(np.float32), "bias": theta[-1:]})
    note = Note(
        format=FORMAT,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=model.manifest.digest,
        weights=sha256(weights).hexdigest(),
        floor=wanted.floor,
        cut=cut,
        miss=wanted.miss,
        confidence=wanted.confidence,
        typical=dict(
            zip(model.text.names, texts.scores[passed_over].mean(axis=0).tolist(), strict=True)
        ),
        lineage=tuple(lineage),
        seed=wanted.seed,
        held_out=_missed(texts, texts.val, theta, cut, wanted),
        sources=left_out,
    )
    return note, weights


def write(folder: Path, note: Note, weights: bytes, card: str) -> None:
    """Writes a screen; the note, which vouches for the weights, last.

    Raises:
        OSError: It can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        (WEIGHTS, weights),
        (CARD, card.encode()),
        (NOTE, note.model_dump_json(indent=1).encode() + b"\n"),
    ):
        put(folder / name, content, 0o644)


def _matrix(texts: Sequence[Sequence[str]]) -> csr_matrix:
    from scipy.sparse import csr_matrix

    places = [features(words) for words in texts]
    starts = np.cumsum([0, *map(len, places)])
    data = np.concatenate([np.full(len(one), 1 / norm(one), np.float32) for one in places])
    return csr_matrix((data, np.concatenate(places), starts), shape=(len(places), WIDTH))


def _fitted(texts: Taught, which: NDArray[np.bool_], wanted: Wanted) -> tuple[Doubles, float]:
    """Weights and bias, shape (WIDTH + 1,), and the cut."""
    from sklearn.linear_model import LogisticRegression

    found = texts.highest >= wanted.floor
    fitted = which & ~texts.val
    if len(set(found[fitted])) < 2:
        raise LabelsRefused("The texts to fit on hold nothing that the model finds, or all do.")
    model = LogisticRegression(C=REGULARISATION, solver="liblinear", random_state=wanted.seed).fit(
        texts.places[fitted], found[fitted]
    )
    theta: Doubles = np.append(model.coef_[0], model.intercept_)
    held = which & texts.val
    promise = guarantee(
        found[held].astype(float),
        _logits(texts, theta)[held],
        texts.groups[held],
        wanted.miss,
        wanted.confidence,
    )
    if promise.threshold is None:
        raise LabelsRefused(
            f"The model finds something in {promise.cases} groups of split val, and it takes "
            f"{promise.needed} to promise that no more than {wanted.miss:.1%} are missed. Give "
            "more texts, or promise less with --miss.",
            limit=promise.needed,
        )
    return theta, promise.threshold


def _logits(texts: Taught, theta: Doubles) -> Doubles:
    found: Doubles = texts.places @ theta[:-1] + theta[-1]
    return found


def _missed(
    texts: Taught, which: NDArray[np.bool_], theta: Doubles, cut: float, wanted: Wanted
) -> Missed:
    passed = _logits(texts, theta)[which] >= cut
    found, likely = (texts.highest[which] >= level for level in (wanted.floor, LIKELY))
    return Missed(
        texts=int(which.sum()),
        passed=float(passed.mean()),
        found=int(found.sum()),
        missed=int((found & ~passed).sum()),
        likely=int(likely.sum()),
        likely_missed=int((likely & ~passed).sum()),
    )


def card(note: Note, model: str) -> str:
    """What a person reads of a screen."""
    held = note.held_out
    rows = [("split val of all of them", held), *sorted(note.sources.items())]
    table = "\n".join(
        f"| {name} | {one.texts:,} | {one.passed:.1%} | {one.found:,} | {one.missed:,} "
        f"({one.missed / max(one.found, 1):.2%}) | {one.likely:,} | {one.likely_missed:,} |"
        for name, one in rows
    )
    went_in = "\n".join(
        f"| {one.source} | {one.licence} | {one.train:,} | {one.val:,} |" for one in note.lineage
    )
    return f"""# A first look at texts, before {model}

A linear model over hashed words, fitted to what {model} (digest
`{note.model[:16]}`) says of the texts below. With `triage batch --screen`, what it
doesn't let pass isn't read by the sentence encoder: it gets the mean scores of such texts,
`screened` in the results, and is kept out of the annotation sample (`withhold`).

Found is what the model gives any category {note.floor:g} or more. Of what is found in texts
like those of split `val`, no more than {note.miss:.1%} is missed, with {note.confidence:.0%}
confidence, a group counted once. Of other texts nothing is promised: the rows by source are of
screens that were fitted without that source.

| texts | | read whole | found | of them missed | at {LIKELY:g} or more | of them missed |
| --- | --- | --- | --- | --- | --- | --- |
{table}

## What it was fitted on

| source | licence | train | val |
| --- | --- | --- | --- |
{went_in}
"""
