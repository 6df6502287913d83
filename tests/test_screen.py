"""The first look at texts: what it lets pass, what it says of the rest, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import MANIFEST, PROJECT
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from triage.answer import as_json
from triage.artefact import load
from triage.errors import ArtefactRefused
from triage.labels.read import read_labels
from triage.manifest import Manifest, SourceNote
from triage.policy.decide import SCREENED, decide
from triage.policy.loading import load_policy
from triage.process import Processor
from triage.records import Recording, Scores
from triage.screen import (
    FORMAT,
    MOST_WORDS,
    NOTE,
    STEM,
    WEIGHTS,
    WIDTH,
    Missed,
    Note,
    Screen,
    features,
    load_screen,
)
from triage.settings import Settings
from triage.taxonomy import CATEGORIES
from triage.text import TextEncoder, spoken_words
from triage.training.screen import write
from triage.weights import sha256

MISSED = Missed(texts=10, passed=0.5, found=4, missed=1, likely=2, likely_missed=0)
words = st.lists(st.text("abcdefgh'", min_size=1, max_size=9), max_size=20)


def a_note(**more: Any) -> Note:
    told: dict[str, Any] = {
        "format": FORMAT,
        "created": "2026-01-01T00:00:00+00:00",
        "model": MANIFEST.digest,
        "weights": "0" * 64,
        "floor": 0.45,
        "cut": 0.0,
        "miss": 0.02,
        "confidence": 0.95,
        "typical": {"violence": 0.01, "distress": 0.02},
        "lineage": (SourceNote(kind="text", source="s", licence="MIT", train=9, val=1),),
        "seed": 0,
        "held_out": MISSED,
        "sources": {"s": MISSED},
    }
    return Note(**told | more)


def a_screen(*found: str, bias: float = -1.0, **more: Any) -> Screen:
    """One that lets pass what holds one of these words."""
    weights = np.zeros(WIDTH, np.float32)
    for word in found:
        weights[features([word])] = 100.0
    return Screen(a_note(**more), MANIFEST.name, weights, bias)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """A screen on disk."""

    def make(bias: float = -1.0, held: np.ndarray[Any, Any] | None = None, **more: Any) -> Path:
        tensors = np.zeros(WIDTH, np.float32) if held is None else held
        content = save({"weights": tensors, "bias": np.array([bias])})
        folder = tmp_path / "screen"
        write(folder, a_note(), content, "a card")
        note = a_note(**{"weights": sha256(folder / WEIGHTS)} | more)
        (folder / NOTE).write_text(note.model_dump_json())
        return folder

    return make


# Looking ------------------------------------------------------------------------------------


@given(words)
def test_features_are_places_among_the_weights_each_once(said: list[str]) -> None:
    places = features(said)
    assert len(set(places.tolist())) == len(places) <= 3 * len(said)
    assert all(0 <= place < WIDTH for place in places)
    assert np.array_equal(places, features(said))


@given(words, words)
def test_more_words_have_all_the_features_of_fewer(some: list[str], more: list[str]) -> None:
    assert set(features(some).tolist()) <= set(features(some + more).tolist())


def test_the_order_of_words_counts() -> None:
    assert set(features(["kill", "me"]).tolist()) != set(features(["me", "kill"]).tolist())


def test_a_longer_word_is_known_by_its_stem_too() -> None:
    one, other = (set(features([word]).tolist()) for word in ("threatens", "threatened"))
    assert len(one & other) == 1
    assert len("threatens") > STEM


@pytest.mark.parametrize("said", ["help", "will somebody help me", "Help!"])
def test_what_it_finds_something_in_is_read_whole(said: str) -> None:
    assert a_screen("help").passes(spoken_words(said))


def test_what_it_finds_nothing_in_is_not() -> None:
    assert not a_screen("help").passes(spoken_words("set a timer for ten minutes"))


def test_one_weighty_word_among_many_is_found() -> None:
    assert a_screen("help").passes([*map(str, range(MOST_WORDS - 1)), "help"])


def test_long_texts_are_read_whole_whatever_is_in_them() -> None:
    assert not a_screen().passes(["a"] * MOST_WORDS)
    assert a_screen().passes(["a"] * (MOST_WORDS + 1))


def test_the_cut_itself_passes() -> None:
    assert a_screen(bias=0.5, cut=0.5).passes(["a"])
    assert not a_screen(bias=0.49, cut=0.5).passes(["a"])


# What is said of the rest -------------------------------------------------------------------


def test_what_was_screened_says_so_and_is_out_of_the_annotation_sample() -> None:
    typical = dict.fromkeys(CATEGORIES, 0.01)
    scores = a_screen(typical=typical).screened()
    assert scores.screened
    assert scores.flags == {}
    assert scores.categories == typical
    said = decide(scores, load_policy(Settings().policy), datetime.now(UTC))
    assert (said.tier, said.rule, said.actions) == ("E0", SCREENED, ("withhold",))


def test_the_worst_that_it_passes_over_is_just_under_its_floor() -> None:
    assert all(0.449 < one < 0.45 for one in a_screen().worst().categories.values())


def test_an_answer_says_so_and_drift_does_not_count_it(fake_processor: Processor) -> None:
    counted: list[Scores] = []
    live: Any = SimpleNamespace(add=counted.extend)
    guard = replace(fake_processor, live=live)
    whole = replace(a_screen().screened(), screened=False)
    answers = guard.settle(
        [Recording("a"), Recording("b")], [a_screen().screened(), whole], "batch"
    )
    told = [as_json(one)["results"][0].get("screened", False) for one in answers]
    assert told == [True, False]
    assert counted == [whole]


@pytest.mark.models
def test_the_one_that_ships_finds_what_the_model_finds_in_lines_that_it_never_saw(
    model: Path, text_encoder: TextEncoder
) -> None:
    artefact = load(model)
    screen = load_screen(model.parent / "screen", artefact.manifest)
    rows = read_labels([PROJECT / "data/authored/unseen.jsonl.gz"], unsplit="val").rows
    said = [spoken_words(row.text or "") for row in rows[::8]]
    scores = artefact.text.calibrated(artefact.text.logits(text_encoder.pooled(said)))
    found = scores.max(axis=1) >= screen.note.floor
    missed = [not screen.passes(words) for words, one in zip(said, found, strict=True) if one]
    assert len(missed) > 50
    assert sum(missed) <= 0.05 * len(missed)
    assert not screen.passes(spoken_words("set a timer for ten minutes"))
    assert screen.note.sources  # measured without each of them in turn
    assert all(one.licence for one in screen.note.lineage)


# Files --------------------------------------------------------------------------------------


def test_it_comes_back_as_it_was_written(written: Callable[..., Path]) -> None:
    weights = np.arange(WIDTH, dtype=np.float32)
    screen = load_screen(written(0.25, weights), MANIFEST)
    assert (screen.bias, screen.model) == (0.25, MANIFEST.name)
    assert np.array_equal(screen.weights, weights)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"format": FORMAT + 1}, "format"),
        ({"weights": "0" * 64}, "vouches"),
        ({"model": "0" * 64}, "another|made for the model"),
        ({"typical": {"violence": 0.1}}, "made for the model"),
    ],
)
def test_a_screen_that_does_not_fit_is_refused(
    written: Callable[..., Path], wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(ArtefactRefused, match=told):
        load_screen(written(**wrong), MANIFEST)


@pytest.mark.parametrize(
    "weights",
    [
        np.zeros(WIDTH - 1, np.float32),
        np.zeros(WIDTH),
        np.full(WIDTH, np.nan, np.float32),
    ],
)
def test_weights_that_are_none_are_refused(
    written: Callable[..., Path], weights: np.ndarray[Any, Any]
) -> None:
    with pytest.raises(ArtefactRefused, match="weights"):
        load_screen(written(held=weights), MANIFEST)


@pytest.mark.parametrize("spoilt", [NOTE, WEIGHTS])
@pytest.mark.parametrize("how", ["gone", "empty", "other"])
def test_a_folder_that_is_no_screen_is_refused(
    written: Callable[..., Path], spoilt: str, how: str
) -> None:
    folder = written()
    if how == "gone":
        (folder / spoilt).unlink()
    else:
        (folder / spoilt).write_bytes(b"" if how == "empty" else b"{}")
    with pytest.raises(ArtefactRefused):
        load_screen(folder, MANIFEST)


def test_another_model_of_the_same_name_is_another(written: Callable[..., Path]) -> None:
    other = Manifest.model_validate(MANIFEST.model_dump() | {"code": "1"})
    with pytest.raises(ArtefactRefused, match="made for the model"):
        load_screen(written(), other)
