"""Heads of one kind: fitted where there are labels enough, kept from a base where there aren't."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from triage.classifier import Scaling
from triage.errors import LabelsRefused
from triage.labels.rows import Labelled
from triage.training.dataset import text_rows
from triage.training.fit import Rows
from triage.training.heads import Base, Part, part

WIDTH, C = 4, 1.0
ROW = Labelled("", "s", "MIT", "", "train", {}, {}, text="x")


def rows(names: tuple[str, ...] = ("x",), count: int = 80, seed: int = 0) -> list[Labelled]:
    """Every other a case of every name; the last quarter to measure on."""
    return [
        replace(
            ROW,
            id=f"{seed}-{n}",
            group=f"{seed}-{n}",
            labels=dict.fromkeys(names, n % 2),
            split="val" if n >= 3 * count // 4 else "train",
        )
        for n in range(count)
    ]


def features(labelled: list[Labelled], seed: int = 0) -> Rows:
    """Vectors whose first value tells whether the number is odd, but not well."""
    vectors = np.random.default_rng(seed).normal(size=(len(labelled), WIDTH)).astype(np.float32)
    vectors[:, 0] += 2 * (np.arange(len(labelled)) % 2)
    return text_rows(labelled, vectors)


def made(labelled: list[Labelled], base: Base | None = None, new: np.ndarray | None = None) -> Part:
    taken = np.ones(len(labelled), bool) if new is None else new
    return part(features(labelled), labelled, "labels", C, lambda *_: None, base, taken)


def based(names: tuple[str, ...] = ("x", "y"), positives: int = 1000) -> Base:
    first = made(rows(names, seed=7))
    return Base(first.head, first.scaling, 0.01, dict.fromkeys(names, positives))


def test_heads_without_a_base() -> None:
    found = made([*rows(), *[replace(ROW, id="z", group="z", labels={"z": 1})]])
    assert (found.head.names, found.fitted, found.too_few) == (("x",), ("x",), ("z",))
    assert found.recalibrated == ("x",)
    assert found.positives == {"x": 30}
    (figures,) = found.figures
    assert (figures["positives"], figures["negatives"]) == (10, 10)
    assert figures["auroc"]["value"] > 0.8
    assert sum(one["count"] for one in figures["reliability"]) == 20


def test_what_the_base_knows_more_of_is_moved_and_the_rest_kept() -> None:
    base = based()
    found = made(rows(), base)
    assert found.head.names == ("x", "y")
    assert found.fitted == ("x",)
    assert found.recalibrated == ()  # thirty of either label don't better a base's calibration
    before, after = base.head.only(("x",)), found.head.only(("x",))
    assert not np.array_equal(before.weights, after.weights)
    assert np.array_equal(base.head.only(("y",)).weights, found.head.only(("y",)).weights)
    assert found.positives == {"x": 1030, "y": 1000}
    assert isinstance(found.scaling, Scaling)
    assert found.scaling is base.scaling


def test_what_the_base_has_seen_fewer_cases_of_is_fitted_anew() -> None:
    thin = made(rows(), based(positives=30))
    assert thin.recalibrated == ("x",)
    assert thin.positives == {"x": 60, "y": 30}
    other = made(rows(), based(positives=31))
    assert other.recalibrated == ()


def test_with_too_few_labels_the_base_is_kept_and_measured() -> None:
    base, few = based(), rows(count=12)
    found = made(few, base)
    assert found.fitted == ()
    assert "x has" in found.refused
    assert np.array_equal(found.head.weights, base.head.weights)
    assert [one["positives"] for one in found.figures] == [2, 0]
    with pytest.raises(LabelsRefused, match="x has"):
        made(few)


def test_only_new_rows_are_fitted_on() -> None:
    labelled = rows()
    new = np.arange(len(labelled)) % 3 > 0
    found = made(labelled, based(), new)
    assert found.positives["x"] == 1000 + sum(n % 2 for n in range(60) if n % 3)
    assert np.isnan(found.held_out["x"][np.arange(60) % 3 == 0]).all()


def test_probabilities_are_out_of_fold_where_it_was_fitted_on() -> None:
    labelled = rows()
    data = features(labelled)
    found = made(labelled)
    items = np.array([3, 70, 10])
    told = found.probabilities(data, items)[:, 0]
    by_head = found.head.calibrated(found.head.logits(data.vectors[items]))[:, 0]
    assert told[[0, 2]] == pytest.approx(found.held_out["x"][[3, 10]])
    assert told[1] == pytest.approx(by_head[1])
    assert told[0] != pytest.approx(by_head[0])


def test_a_text_that_the_encoder_was_tuned_on_has_a_probability_like_any_other() -> None:
    labelled = rows(count=200)
    data = features(labelled)
    seen = replace(data, fresh=data.item >= 60)
    found = part(seen, labelled, "labels", C, lambda *_: None, None, np.ones(200, bool))
    told = found.probabilities(seen, np.array([3, 4]))[:, 0]
    by_head = found.head.calibrated(found.head.logits(data.vectors[[3, 4]]))[:, 0]
    assert told == pytest.approx(by_head)
    assert (told > 0).all()


def test_an_item_without_rows_has_no_probability() -> None:
    labelled = rows()
    data = features(labelled)
    found = made(labelled)
    gone = data.only(data.item != 70)
    assert found.probabilities(gone, np.array([70, 71]))[0].tolist() == [0]
    assert found.probabilities(data, np.empty(0, np.int64)).shape == (0, 1)


def test_items_without_rows_are_no_labels() -> None:
    labelled = rows()
    data = features(labelled)
    kept = data.only(~((data.item < 60) & (data.item % 2 == 1) & (data.item > 17)))
    with pytest.raises(LabelsRefused, match="x has 9 positives"):
        part(kept, labelled, "labels", C, lambda *_: None, None, np.ones(80, bool))
