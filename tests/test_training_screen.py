"""Fitting a first look at texts: to the model, with a promise, measured without each source."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import MANIFEST

from triage.calibrate import AS_IT_IS
from triage.classifier import Head
from triage.errors import LabelsRefused
from triage.labels.rows import Labelled
from triage.manifest import SourceNote
from triage.screen import MOST_WORDS, NOTE, WEIGHTS, load_screen
from triage.text import spoken_words
from triage.training.screen import CARD, LEAST_FOUND, Taught, Wanted, card, fit, taught, write

WANTED = Wanted(floor=0.45, miss=0.05, confidence=0.95, seed=0)
EVERYDAY = spoken_words("Set the timer for ten minutes, and play some music in the kitchen now.")
TELLING = ("help", "knife", "bleeding")
HIDDEN = "whisper"  # only source "veiled" speaks like this


def a_row(n: int, text: str, source: str = "calls", split: Any = "train") -> Labelled:
    return Labelled(
        id=f"row-{n}",
        text=text,
        labels={"distress": 1.0},
        events={},
        source=source,
        licence="MIT",
        group=f"group-{n}",
        split=split,
    )


def a_model() -> Any:
    """Scores a vector of one number: .98 or .02 for the second category, never for the first."""
    head = Head(
        MANIFEST.categories,
        np.array([[0.0], [8.0]], np.float32),
        np.array([-9.0, -4.0], np.float32),
        (AS_IT_IS, AS_IT_IS),
    )
    return SimpleNamespace(text=head, manifest=MANIFEST)


def the_texts(count: int = 3000, seed: int = 0, veiled: int = 0) -> list[Labelled]:
    draw = random.Random(seed)  # noqa: S311
    rows = []
    for n in range(count):
        said = draw.choices(EVERYDAY, k=draw.randint(2, 9))
        source = "veiled" if n < veiled else "calls"
        if draw.random() < 0.3:
            said.insert(draw.randrange(len(said)), HIDDEN if n < veiled else draw.choice(TELLING))
        rows.append(a_row(n, " ".join(said), source, draw.choice(["train", "val"])))
    return rows


def of(rows: list[Labelled]) -> Taught:
    found = [bool({*TELLING, HIDDEN} & set(spoken_words(row.text or ""))) for row in rows]
    return taught(rows, np.array(found, np.float32)[:, None], a_model())


def quietly(*_: object) -> None:
    pass


def test_it_is_taught_by_the_model_and_labels_play_no_part() -> None:
    texts = of([a_row(0, "help me"), a_row(1, "play music")])
    assert texts.highest[0] > 0.9
    assert texts.highest[1] < 0.1


def test_long_texts_and_those_without_words_are_not_learnt_from() -> None:
    rows = [a_row(0, "a " * MOST_WORDS), a_row(1, "a " * (MOST_WORDS + 1)), a_row(2, "?!")]
    assert len(of(rows).sources) == 1


def test_it_finds_what_the_model_finds_and_keeps_its_promise() -> None:
    note, _ = fit(of(the_texts()), WANTED, a_model(), (), quietly)
    held = note.held_out
    assert held.found > 300
    assert held.missed / held.found <= WANTED.miss
    assert held.passed < 0.5  # of which .3 is found
    assert held.likely == held.found  # this model is never half sure
    assert all(score < 0.1 for score in note.typical.values())


def test_a_source_is_measured_by_a_screen_that_never_saw_it() -> None:
    note, _ = fit(of(the_texts(4000, veiled=1500)), WANTED, a_model(), (), quietly)
    seen, veiled = note.held_out, note.sources["veiled"]
    assert seen.missed / seen.found <= WANTED.miss
    assert veiled.missed / veiled.found > 0.5  # a word that it can't know
    assert veiled.texts == 1500
    assert note.sources["calls"].texts == 2500


def test_a_source_in_which_little_is_found_is_not_measured_by_itself() -> None:
    note, _ = fit(of(the_texts(3000, veiled=LEAST_FOUND)), WANTED, a_model(), (), quietly)
    assert note.sources == {}  # and without the other one there is nothing to fit on


def test_the_same_texts_give_the_same_screen() -> None:
    texts = of(the_texts(1000))
    (one, first), (other, second) = (fit(texts, WANTED, a_model(), (), quietly) for _ in range(2))
    assert first == second
    assert one.cut == other.cut


def test_too_little_to_promise_anything_is_refused() -> None:
    with pytest.raises(LabelsRefused, match="takes 59"):
        fit(of(the_texts(100)), WANTED, a_model(), (), quietly)


def test_texts_in_which_nothing_is_found_are_refused() -> None:
    rows = [a_row(n, "play music") for n in range(20)]
    with pytest.raises(LabelsRefused, match="nothing that the model finds"):
        fit(of(rows), WANTED, a_model(), (), quietly)


def test_what_is_written_looks_as_it_was_fitted(tmp_path: Path) -> None:
    note, weights = fit(of(the_texts()), WANTED, a_model(), (), quietly)
    write(tmp_path, note, weights, card(note, "triage-fake"))
    screen = load_screen(tmp_path, MANIFEST)
    assert screen.note == note
    rows = [replace(row, split="val") for row in the_texts(500, seed=1)]
    passed = [screen.passes(spoken_words(row.text or "")) for row in rows]
    found = of(rows).highest >= WANTED.floor
    assert (found & ~np.array(passed)).sum() / found.sum() <= 2 * WANTED.miss
    assert {one.name for one in tmp_path.iterdir()} == {NOTE, WEIGHTS, CARD}


def test_the_card_has_every_figure_and_licence() -> None:
    went_in = SourceNote(kind="text", source="calls", licence="CC0", train=1234, val=99)
    note, _ = fit(of(the_texts()), WANTED, a_model(), (went_in,), quietly)
    told = card(note, "triage-fake")
    assert "| calls | CC0 | 1,234 | 99 |" in told
    assert f"{note.held_out.found:,}" in told
    assert MANIFEST.digest[:16] in told
