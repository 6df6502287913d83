"""Where the runs of `scored_runs` are made, as fixtures for whoever imports them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from scored_runs import ROWS, ByRule, Place

from triage.batch import run


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "ROWS", ROWS)
        patch.setattr(os, "fsync", lambda _: None)  # nobody cuts the power here
        yield


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store without a row: a copy is made in no time."""
    place = Place(tmp_path_factory.mktemp("empty"))
    place.store().dispose()
    return place.folder


@pytest.fixture(scope="module")
def only(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("only"))


@pytest.fixture
def place(only: Place, empty: Path) -> Place:
    """Where nothing was done yet."""
    only.as_in(empty)
    return replace(only, told=[], engine=ByRule())


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("unbroken"))
    place.go_on()
    return place
