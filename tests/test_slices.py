"""Which parts of the rows a row belongs to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from triage.labels.rows import Labelled
from triage.measure.evaluate import Scored
from triage.measure.slices import BOUNDS, slices

ROW = Labelled("row", "diary", "MIT", "group", "val", {}, {})


def of(text: str | None = None, **known: Any) -> dict[str, list[str]]:
    """The slices of a row by kind."""
    scored = Scored(replace(ROW, text=text), "m", {}, {}, {}, {})._replace(**known)
    found: dict[str, list[str]] = {}
    for kind, part in slices(scored):
        found.setdefault(kind, []).append(part)
    return found


def test_every_row_is_of_its_source() -> None:
    assert of() == {"source": ["diary"]}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("stop", "under 4 words"),
        ("turn the lights off", "4 to 9 words"),
        ("a " * 9, "9 to 19 words"),
        ("a " * 60, "49 words and more"),
    ],
)
def test_texts_by_their_words(text: str, part: str) -> None:
    assert of(text)["words"] == [part]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("My neighbour is Muslim.", "a group is named"),
        ("the old WOMEN sang", "a group is named"),
        ("musliming about", "no group is named"),
        ("set a timer", "no group is named"),
    ],
)
def test_texts_by_whether_they_name_somebodys_identity(text: str, part: str) -> None:
    assert of(text)["identity"] == [part]


def test_recordings_by_how_they_sound() -> None:
    found = of(
        measurements={"seconds": 5.0, "loudness": -45.0, "level_range": 3.0},
        flags={
            "noisy": True,
            "speech_absent": False,
            "transcript_unreliable": True,
            "silent": True,
        },
    )
    assert found == {
        "source": ["diary"],
        "seconds": ["5 to 15 s"],
        "loudness": ["under -40 dBFS"],
        "recording": ["noise", "speech", "transcript unreliable"],
    }


@pytest.mark.parametrize("name", BOUNDS)
def test_every_value_has_one_place_and_neighbours_share_an_edge(name: str) -> None:
    _, bounds = BOUNDS[name]
    values = [bounds[0] - 1, *bounds, bounds[-1] + 1]
    parts = [of(measurements={name: value})[name][0] for value in values]
    assert len(set(parts)) == len(bounds) + 1
    assert parts[-1] == parts[-2]  # the last bound begins the last part
