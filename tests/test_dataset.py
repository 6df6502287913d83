"""Labelled rows as arrays: what is kept, what is enough, what is fitted on and what measured on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.calibrate import Calibrator
from triage.classifier import Head
from triage.errors import LabelsRefused
from triage.labels.rows import Kind, Labelled
from triage.manifest import SourceNote
from triage.training.dataset import (
    Measured,
    lineage,
    named,
    sound_rows,
    split,
    text_rows,
    trainable,
)
from triage.training.features import SoundFeatures
from triage.training.fit import FOLDS, LEAST_POSITIVES, Rows

PLAIN = Labelled("row", "source", "MIT", "group", "train", {}, {}, text="red")


def labelled(count: int, **changed: Any) -> list[Labelled]:
    """Rows with ids and groups of their own."""
    return [replace(PLAIN, id=f"row{n}", group=f"group{n}", **changed) for n in range(count)]


def sound(clip: list[int], variant: list[int], whole: list[bool]) -> SoundFeatures:
    """One number a row, which says which row it is."""
    vectors = np.arange(len(clip), dtype=np.float32)[:, None]
    return SoundFeatures(vectors, np.array(clip), np.array(variant), np.array(whole))


# Which names --------------------------------------------------------------------------------


def test_names_in_the_order_of_the_taxonomy_then_of_the_alphabet() -> None:
    rows = [
        replace(PLAIN, labels={"zebra": 1, "distress": 0, "directed": 1}),
        replace(PLAIN, labels={"violence": 0, "apple": 0}),
    ]
    assert named(rows, "labels") == ("violence", "distress", "apple", "zebra")
    assert named(rows, "events") == ()


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
    assert "x has 0 positives in 0 groups and 0 negatives in 0 groups" in caught.value.detail
    assert trainable([replace(row, split="train") for row in rows], "labels", ("x",)) == ("x",)


def divided(
    rows: Rows, labelled: list[Labelled], kind: Kind, names: tuple[str, ...]
) -> tuple[Rows, Measured]:
    """All training rows to fit on, and the same names to measure."""
    return split(rows, labelled, kind, names, names, np.ones(len(labelled), bool))


# Arrays -------------------------------------------------------------------------------------


def test_a_text_is_one_row() -> None:
    texts = labelled(3)
    rows = text_rows(texts, np.eye(3, dtype=np.float32))
    assert rows.item.tolist() == [0, 1, 2]
    assert rows.groups.tolist() == [0, 1, 2]
    assert rows.weights.tolist() == [1, 1, 1]
    assert rows.served.all()


def test_a_text_that_the_encoder_was_tuned_on_is_served_and_not_fresh() -> None:
    tuned = np.array([True, False, True])
    rows = text_rows(labelled(3), np.eye(3, dtype=np.float32), tuned)
    assert rows.fresh.tolist() == [False, True, False]
    assert rows.served.all()


def test_a_clip_weighs_one_however_many_rows_it_has() -> None:
    features = sound([0, 0, 0, 2], [0, 0, 1, 0], [True, False, False, False])
    rows = sound_rows(labelled(3), features)
    assert rows.weights == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])
    assert rows.groups.tolist() == [0, 0, 0, 2]


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
    names = ("siren", "dog")
    part, measured = divided(sound_rows(clips, features), clips, "events", names)
    assert part.vectors[part.at, 0].tolist() == [0, 1, 5]
    assert part.item.tolist() == [0, 0, 3]
    assert part.labels[:, 0].tolist() == [0, 0, 1]
    assert np.isnan(part.labels[:, 1]).all()
    assert measured.vectors[measured.at, 0].tolist() == [3, 6]
    assert measured.item.tolist() == [0, 1]
    assert measured.groups.tolist() == [2, 4]
    assert measured.labels[0, 0] == 0
    assert np.isnan(measured.labels[1]).all()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_a_group_is_on_the_side_that_its_rows_are_on(drawn: list[tuple[int, bool]]) -> None:
    texts = [
        replace(PLAIN, id=str(n), group=f"{group}{train}", split="train" if train else "val")
        for n, (group, train) in enumerate(drawn)
    ]
    rows = text_rows(texts, np.arange(len(texts), dtype=np.float32)[:, None])
    part, measured = divided(rows, texts, "labels", ("x",))
    assert len(part.item) + len(measured.item) == len(texts)
    assert not set(part.groups.tolist()) & set(measured.groups.tolist())


def test_an_item_scores_as_its_highest_row() -> None:
    line = Calibrator(np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))
    head = Head(("x", "y"), np.eye(2, dtype=np.float32), np.zeros(2, np.float32), (line, line))
    vectors = np.array([[1, -1], [-2, 3], [-4, 0]], np.float32)
    measured = Measured(
        vectors[::-1],
        np.array([2, 1, 0]),
        np.array([0, 0, 1]),
        np.array([3, 5]),
        np.zeros((2, 2)),
        np.array([0, 1]),
    )
    expected = 1 / (1 + np.exp(-np.array([[1.0, 3.0], [-4.0, 0.0]])))
    assert measured.scores(head) == pytest.approx(expected)


def test_only_what_is_new_is_fitted_on_and_every_name_is_measured() -> None:
    texts = [
        replace(row, labels={"x": n % 2, "y": 1}, split="train" if n < 4 else "val")
        for n, row in enumerate(labelled(6))
    ]
    rows = text_rows(texts, np.eye(6, dtype=np.float32))
    new = np.array([False, True, True, False, True, True])
    part, measured = split(rows, texts, "labels", ("x",), ("y", "x"), new)
    assert part.item.tolist() == [1, 2]
    assert part.labels.tolist() == [[1], [0]]
    assert measured.labels.tolist() == [[1, 0], [1, 1]]


def test_a_share_of_votes_is_fitted_as_it_is_and_measured_as_yes_or_no() -> None:
    texts = [
        replace(row, labels={"x": share}, split=side)
        for row, (share, side) in zip(
            labelled(4), [(0.25, "train"), (0.25, "val"), (0.5, "val"), (0.75, "val")], strict=True
        )
    ]
    part, measured = divided(text_rows(texts, np.eye(4, dtype=np.float32)), texts, "labels", ("x",))
    assert part.labels.tolist() == [[0.25]]
    assert measured.labels.tolist() == [[0], [1], [1]]


def test_a_text_in_which_nothing_was_heard_is_no_row() -> None:
    vectors = np.array([[1.0], [np.nan], [3.0]], np.float32)
    rows = text_rows(labelled(3), vectors)
    assert rows.item.tolist() == [0, 2]
    assert rows.vectors[rows.at, 0].tolist() == [1, 3]


# Lineage ------------------------------------------------------------------------------------


def test_lineage_counts_each_source_under_each_licence_and_what_was_before() -> None:
    rows = [
        PLAIN,
        replace(PLAIN, split="val"),
        PLAIN,
        replace(PLAIN, licence="CC0"),
        replace(PLAIN, source="another", split="val"),
    ]
    before = [
        SourceNote(kind="text", source="source", licence="MIT", train=5, val=1),
        SourceNote(kind="text", source="old", licence="MIT", train=7, val=0),
    ]
    notes = [(n.kind, n.source, n.licence, n.train, n.val) for n in lineage(rows, rows[:1], before)]
    assert notes == [
        ("text", "another", "MIT", 0, 1),
        ("text", "old", "MIT", 7, 0),
        ("text", "source", "CC0", 1, 0),
        ("text", "source", "MIT", 7, 2),
        ("audio", "source", "MIT", 1, 0),
    ]
