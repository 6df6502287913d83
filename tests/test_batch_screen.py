"""A run whose texts are given a first look: what is read whole, and what is never screened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from begun_runs import Desk, look_once
from misbehaving import LIMIT, scored, worker
from safetensors.numpy import save
from test_screen import a_note, a_screen

from triage.batch.journal import PLAN
from triage.errors import ArtefactRefused, BatchRefused, TooLarge
from triage.manifest import read_manifest
from triage.records import Recording, Scores
from triage.screen import WIDTH
from triage.taxonomy import CATEGORIES
from triage.training.screen import write
from triage.weights import sha256

ORDINARY, TELLING = "play some music", "help me"


def is_screened(one: Any) -> bool:
    return isinstance(one.scores, Scores) and one.scores.screened


# In a worker --------------------------------------------------------------------------------


def test_only_texts_are_screened_and_only_those_in_which_nothing_is_found() -> None:
    entries = [
        Recording("a", None, ORDINARY),
        Recording("b", None, TELLING),
        Recording("c", b"sound"),
        Recording("d", b"sound", ORDINARY),
    ]
    at_work, model = worker(screen=a_screen("help"))
    found = at_work.score(entries).scored
    assert [one.id for one in found if is_screened(one)] == ["a"]
    assert [one.id for one in model.heard] == ["b", "c", "d"]


def test_without_a_screen_all_are_read_whole() -> None:
    assert not is_screened(scored([Recording("a", None, ORDINARY)])[0])


@pytest.mark.parametrize("text", [" " * LIMIT + "a", "a" + " " * LIMIT])
def test_what_is_too_long_is_refused_and_not_screened(text: str) -> None:
    (one,) = scored([Recording("a", None, text)], screen=a_screen())
    assert isinstance(one.scores, TooLarge) or not is_screened(one)


@pytest.mark.parametrize("text", ["", " ", "?!"])
def test_what_has_no_words_is_not_screened(text: str) -> None:
    assert not is_screened(scored([Recording("a", None, text)], screen=a_screen())[0])


def test_what_was_read_whole_before_is_screened_all_the_same(tmp_path: Path) -> None:
    file, entry = tmp_path / "scores.db", Recording("a", None, ORDINARY)
    scored([entry], known=file)
    (again,) = scored([entry], known=file, screen=a_screen())
    assert is_screened(again)  # or a run that is begun anew would give other rows
    assert not again.known


def test_what_was_only_screened_is_read_whole_by_who_asks_for_that(tmp_path: Path) -> None:
    file, entry = tmp_path / "scores.db", Recording("a", None, ORDINARY)
    scored([entry], known=file, screen=a_screen())
    (whole,) = scored([entry], known=file)
    assert not is_screened(whole)
    assert not whole.known


# When a run begins --------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    look_once(monkeypatch)
    return Desk(tmp_path, model)


@pytest.fixture
def screen(tmp_path: Path, model: Path) -> Path:
    """A screen of the model in service."""
    return made(tmp_path / "screen", model)


def made(folder: Path, before: Path, **more: Any) -> Path:
    """A screen that lets nothing pass, before a model."""
    content = save({"weights": np.zeros(WIDTH, np.float32), "bias": np.zeros(1)})
    (folder.parent / "weights").write_bytes(content)
    told = {
        "model": read_manifest(before).digest,
        "weights": sha256(folder.parent / "weights"),
        "typical": dict.fromkeys(CATEGORIES, 0.01),
    }
    write(folder, a_note(**told | more), content, "a card")
    return folder


@pytest.mark.models
def test_a_run_is_of_its_screen_and_the_audit_has_it(desk: Desk, screen: Path) -> None:
    opened = desk.open(screen=screen)
    assert opened.task.screen is not None
    assert opened.plan.screen == opened.task.screen.note.weights
    assert desk.audited()[-1]["screen"] == opened.plan.screen
    with pytest.raises(BatchRefused, match="--screen"):
        desk.open()


@pytest.mark.models
def test_a_policy_that_asks_for_less_than_the_screen_looks_for_is_refused(
    desk: Desk, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(BatchRefused, match=r"score less than 0\.51"):
        desk.open(screen=made(tmp_path / "high", model, floor=0.51))
    assert not desk.run.joinpath(PLAN).exists()
    desk.open(screen=made(tmp_path / "fine", model, floor=0.5))  # as the policy asks


@pytest.mark.models
def test_a_screen_of_another_model_is_refused(desk: Desk, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactRefused, match="made for the model"):
        desk.open(screen=made(tmp_path / "other", model, model="0" * 64))
