"""Labelled rows as records: an unknown label is no 0, and what must not be shown isn't."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from triage.labels.rows import Labelled, Problem, label_matrix, row_digest

NAMES = ("violence", "hate", "distress")
ANY_LABELS = st.dictionaries(st.sampled_from([*NAMES, "other"]), st.sampled_from([0, 1, 0.25]))


def row(labels: dict[str, float], events: dict[str, float], **more: Any) -> Labelled:
    return Labelled("1", "s", "MIT", "g", "val", labels, events, **more)


@given(st.lists(st.tuples(ANY_LABELS, ANY_LABELS), max_size=5))
def test_what_was_not_asked_is_unknown_and_not_0(
    given: list[tuple[dict[str, float], dict[str, float]]],
) -> None:
    rows = [row(labels, events) for labels, events in given]
    for kind in ("labels", "events"):
        matrix = label_matrix(rows, kind, NAMES)
        assert matrix.shape == (len(rows), len(NAMES))
        assert matrix.dtype == np.float32
        for one, values in zip(rows, matrix.tolist(), strict=True):
            asked: dict[str, Any] = getattr(one, kind)
            for name, value in zip(NAMES, values, strict=True):
                assert asked[name] == value if name in asked else math.isnan(value)


def test_words_and_file_are_not_shown() -> None:
    shown = repr(row({}, {}, text="canary", audio=Path("canary.wav")))
    assert "canary" not in shown


@given(ANY_LABELS, ANY_LABELS)
def test_a_digest_stands_for_id_words_and_labels_in_any_order(
    labels: dict[str, float], events: dict[str, float]
) -> None:
    digest = row_digest(row(labels, events, text="x"))
    turned = {name: labels[name] for name in reversed(labels)}
    assert row_digest(row(turned, events, text="x", weight=2.0, annotator="a")) == digest
    assert 0 <= digest < 2**64
    assert row_digest(row(labels, events, text="y")) != digest
    assert row_digest(row({**labels, "more": 1}, events, text="x")) != digest


def test_a_problem_says_where_and_what() -> None:
    assert str(Problem("a.csv", 3, "split", "is wrong")) == "a.csv, row 3, field split: is wrong"
