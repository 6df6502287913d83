"""Labelled rows as arrays: what is kept, what is enough, what is fitted on and what measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.calibrate import Calibrator
from triage.classifier import Head
from triage.errors import LabelsRefused
from triage.labels.rows import Labelled
from triage.training.dataset import (
    Measured,
    lineage,
    named,
    permitted,
    sound_rows,
    split,
    text_rows,
    trainable,
)
from triage.training.features import SoundFeatures
from triage.training.fit import FOLDS, LEAST_POSITIVES

PLAIN = Labelled("row", "source", "MIT", "group", "train", {}, {}, text="red")


def labelled(count: int, **changed: Any) -> list[Labelled]:
    """Rows with ids and groups of their own."""
    return [replace(PLAIN, id=f"row{n}", group=f"group{n}", **changed) for n in range(count)]


def sound(clip: list[int], variant: list[int], whole: list[bool]) -> SoundFeatures:
    """One number a row, which says which row it is."""
    vectors = np.arange(len(clip), dtype=np.float32)[:, None]
    return SoundFeatures(vectors, np.array(clip), np.array(variant), np.array(whole))


# What may be trained on ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("excluded", "kept"),
    [
        ((), ["MIT", "CC-BY-NC-4.0", "unknown"]),
        (("NC",), ["MIT", "unknown"]),
        (("nc", "UNKNOWN"), ["MIT"]),
    ],
)
def test_excluded_licences_stay_out(excluded: tuple[str, ...], kept: list[str]) -> None:
    rows = [replace(PLAIN, licence=licence) for licence in ("MIT", "CC-BY-NC-4.0", "unknown")]
    assert [row.licence for row in permitted(rows, excluded, "text")] == kept


def test_only_rows_of_the_kind_that_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.touch()
    rows = [PLAIN, replace(PLAIN, text=None, audio=file), replace(PLAIN, text="", audio=file)]
    assert permitted(rows, (), "text") == [rows[0], rows[2]]
    assert permitted(rows, (), "audio") == rows[1:]


def test_missing_audio_is_refused_and_counted(tmp_path: Path) -> None:
    there, gone = tmp_path / "there.wav", tmp_path / "alice-kitchen.wav"
    there.touch()
    files = [there, gone, gone]
    rows = [replace(PLAIN, id=f"r{n}", text=None, audio=file) for n, file in enumerate(files)]
    with pytest.raises(LabelsRefused, match="2 of 3 audio files are missing, row r1's") as caught:
        permitted(rows, (), "audio")
    assert "alice" not in caught.value.detail


def test_missing_audio_of_an_excluded_licence_does_not_matter(tmp_path: Path) -> None:
    gone = replace(PLAIN, licence="NC", text=None, audio=tmp_path / "gone.wav")
    with pytest.raises(LabelsRefused, match="No audio row to train on"):
        permitted([gone], ("NC",), "audio")


def test_rows_to_measure_on_are_not_enough() -> None:
    with pytest.raises(LabelsRefused, match=r"No text row .* \['NC'\]"):
        permitted([replace(PLAIN, split="val"), replace(PLAIN, licence="NC")], ("NC",), "text")


# Which names --------------------------------------------------------------------------------


def test_names_in_the_order_of_the_taxonomy_then_of_the_alphabet() -> None:
    rows = [
        replace(PLAIN, labels={"zebra": 1, "distress": 0, "directed": 1}),
        replace(PLAIN, labels={"violence": 0, "apple": 0}),
    ]
    names = named(rows, "labels", ("violence", "sexual", "distress"))
    assert names == ("violence", "distress", "apple", "zebra")
    assert named(rows, "events", ("scream",)) == ()


@pytest.mark.parametrize(
    ("items", "groups", "enough"),
    [
        (LEAST_POSITIVES, LEAST_POSITIVES, True),
        (LEAST_POSITIVES, FOLDS, True),
        (LEAST_POSITIVES - 1, LEAST_POSITIVES - 1, False),
        (LEAST_POSITIVES * 5, FOLDS - 1, False),
    ],
)
@pytest.mark.parametrize("label", [0, 1])
def test_a_name_needs_items_of_both_labels_in_enough_groups(
    label: int, items: int, groups: int, enough: bool
) -> None:
    some = [
        replace(PLAIN, id=f"some{n}", group=f"some{n % groups}", labels={"x": label})
        for n in range(items)
    ]
    many = labelled(100, labels={"x": 1 - label, "y": 1})
    rows = [*some, *many, *labelled(100, labels={"y": 0}), *labelled(9, labels={"z": 1})]
    assert trainable(rows, "labels", ("z", "y", "x")) == (("y", "x") if enough else ("y",))


def test_rows_to_measure_on_make_no_name_trainable() -> None:
    rows = [
        replace(row, id=f"{row.id}.{label}", group=f"{row.group}.{label}", labels={"x": label})
        for label in (0, 1)
        for row in labelled(LEAST_POSITIVES, split="val")
    ]
    with pytest.raises(LabelsRefused, match=f"No name in labels has {LEAST_POSITIVES}") as caught:
        trainable(rows, "labels", ("x",))
    assert caught.value.limit == LEAST_POSITIVES
    assert trainable([replace(row, split="train") for row in rows], "labels", ("x",)) == ("x",)


# Arrays -------------------------------------------------------------------------------------


def test_a_text_is_one_row() -> None:
    texts = labelled(3)
    rows = text_rows(texts, np.eye(3, dtype=np.float32))
    assert rows.item.tolist() == [0, 1, 2]
    assert rows.groups.tolist() == ["group0", "group1", "group2"]
    assert rows.weights.tolist() == [1, 1, 1]
    assert rows.served.all()


def test_a_clip_weighs_one_however_many_rows_it_has() -> None:
    features = sound([0, 0, 0, 2], [0, 0, 1, 0], [True, False, False, False])
    rows = sound_rows(labelled(3), features)
    assert rows.weights == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])
    assert rows.groups.tolist() == ["group0"] * 3 + ["group2"]


def test_only_windows_of_the_clip_as_it_is_are_served() -> None:
    features = sound([0, 0, 0, 0], [0, 0, 1, 1], [True, False, True, False])
    assert sound_rows(labelled(1), features).served.tolist() == [False, True, False, False]


def test_a_split_keeps_each_row_with_its_labels() -> None:
    """Clips 0 and 3 train; clip 1 could not be decoded; clips 2 and 4 are measured on."""
    clips = [
        replace(row, split=split_of, events={"siren": n % 2} if n != 4 else {})
        for n, (row, split_of) in enumerate(
            zip(labelled(5), ["train", "val", "val", "train", "val"], strict=True)
        )
    ]
    features = sound(
        [0, 0, 2, 2, 2, 3, 4],
        [0, 1, 0, 0, 1, 0, 0],
        [False, False, True, False, False, False, False],
    )
    part, measured = split(sound_rows(clips, features), clips, "events", ("siren", "dog"))
    assert part.vectors[:, 0].tolist() == [0, 1, 5]
    assert part.item.tolist() == [0, 0, 3]
    assert part.labels[:, 0].tolist() == [0, 0, 1]
    assert np.isnan(part.labels[:, 1]).all()
    assert measured.vectors[:, 0].tolist() == [3, 6]
    assert measured.item.tolist() == [0, 1]
    assert measured.groups.tolist() == ["group2", "group4"]
    assert measured.labels[0, 0] == 0
    assert np.isnan(measured.labels[1]).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_a_group_is_on_the_side_that_its_rows_are_on(drawn: list[tuple[int, bool]]) -> None:
    texts = [
        replace(PLAIN, id=str(n), group=f"{group}{train}", split="train" if train else "val")
        for n, (group, train) in enumerate(drawn)
    ]
    rows = text_rows(texts, np.arange(len(texts), dtype=np.float32)[:, None])
    part, measured = split(rows, texts, "labels", ("x",))
    assert len(part.item) + len(measured.item) == len(texts)
    assert not set(part.groups) & set(measured.groups)


def test_an_item_scores_as_its_highest_row() -> None:
    line = Calibrator(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))
    head = Head(("x", "y"), np.eye(2, dtype=np.float32), np.zeros(2, np.float32), (line, line))
    vectors = np.array([[1, -1], [-2, 3], [-4, 0]], np.float32)
    measured = Measured(
        vectors, np.array([0, 0, 1]), np.zeros((2, 2), np.float32), np.array(["a", "b"])
    )
    expected = 1 / (1 + np.exp(-np.array([[1.0, 3.0], [-4.0, 0.0]])))
    assert measured.scores(head) == pytest.approx(expected)


# Lineage ------------------------------------------------------------------------------------


def test_lineage_counts_each_source_under_each_licence() -> None:
    rows = [
        PLAIN,
        replace(PLAIN, split="val"),
        PLAIN,
        replace(PLAIN, licence="CC0"),
        replace(PLAIN, source="another", split="val"),
    ]
    notes = [(n.kind, n.source, n.licence, n.train, n.val) for n in lineage(rows, "text")]
    assert notes == [
        ("text", "another", "MIT", 0, 1),
        ("text", "source", "CC0", 1, 0),
        ("text", "source", "MIT", 2, 1),
    ]
