"""Leaving sources out: what is measured on a source was never fitted on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from triage.errors import LabelsRefused
from triage.labels.rows import Labelled
from triage.measure.evaluate import ANY
from triage.measure.sources import Task, Unseen, leave_sources_out
from triage.records import Floats
from triage.training.dataset import text_rows

WIDTH = 6
EACH = 60  # rows of a source


def rows(source: str, *, split: str = "train", **labels: Sequence[int]) -> list[Labelled]:
    return [
        Labelled(
            f"{source}-{n}", source, "CC0-1.0", f"{source}-{n}", split,  # type: ignore[arg-type]
            {name: values[n] for name, values in labels.items()}, {}, text="a",
        )
        for n in range(EACH)
    ]  # fmt: skip


def half(chance: np.random.Generator) -> list[int]:
    return [int(x) for x in chance.permutation([0, 1] * (EACH // 2))]


def vectors(labelled: Sequence[Labelled], chance: np.random.Generator) -> Floats:
    """The first value tells the category in "a" and "b", the second in "c", which they deny."""
    out = chance.normal(size=(len(labelled), WIDTH)).astype(np.float32)
    for row, line in zip(out, labelled, strict=True):
        case = line.labels["distress"]
        if line.source == "c":
            row[1] += 6 * case
        else:
            row[:2] += 6 * case, -3 * case
    return out


def measured(labelled: list[Labelled], x: Floats, folds: int = 0) -> dict[str, Unseen]:
    task = Task("labels", text_rows(labelled, x), labelled, 1.0, {"distress": 0.5})
    return {one.source: one for one in leave_sources_out(task, folds, 20, lambda *_: None)}


@pytest.fixture
def three() -> tuple[list[Labelled], Floats]:
    chance = np.random.default_rng(0)
    labelled = [
        row
        for source in "abc"
        for split in ("train",)
        for row in rows(source, split=split, distress=half(chance))
    ]
    return labelled, vectors(labelled, chance)


def test_what_only_one_source_knows_doesnt_help_it(three: tuple[list[Labelled], Floats]) -> None:
    found = measured(*three)
    auc = {name: one.figures[0].auroc.value for name, one in found.items() if one.figures[0].auroc}
    assert min(auc["a"], auc["b"]) > 0.95
    assert auc["c"] < 0.5  # it would be 1 if its own rows had been fitted on


def test_each_source_is_left_out_once(three: tuple[list[Labelled], Floats]) -> None:
    found = measured(*three)
    assert {name: one.left_out for name, one in found.items()} == {n: (n,) for n in "abc"}
    assert {one.rows for one in found.values()} == {EACH}


def test_folds_leave_several_out_at_once(three: tuple[list[Labelled], Floats]) -> None:
    found = measured(*three, folds=2)
    assert found["a"].left_out == found["c"].left_out == ("a", "c")
    assert found["b"].left_out == ("b",)


def test_false_alarms_are_of_the_rows_held_out_elsewhere_too() -> None:
    chance = np.random.default_rng(1)
    labelled = [
        *rows("a", distress=half(chance)),
        *rows("b", distress=half(chance)),
        *rows("b2", split="val", distress=[0] * EACH),
        *rows("only", distress=[1] * EACH),
    ]
    found = measured(labelled, vectors(labelled, chance))
    (figure,) = found["only"].figures
    assert (figure.positives, figure.negatives) == (EACH, EACH)  # of "b2", for it has none
    assert found["only"].within == ()  # nothing to tell them from among its own
    assert found["only"].flagged == pytest.approx(1, abs=0.2)
    assert found["only"].falsely is None
    assert found["b2"].flagged is None
    assert found["b2"].falsely == pytest.approx(0, abs=0.2)


def test_within_a_source_any_category_counts(three: tuple[list[Labelled], Floats]) -> None:
    assert [one.name for one in measured(*three)["a"].within] == ["distress", ANY]


def test_one_source_leaves_nothing_to_fit_on(three: tuple[list[Labelled], Floats]) -> None:
    labelled = [row for row in three[0] if row.source == "a"]
    with pytest.raises(LabelsRefused, match="one source"):
        measured(labelled, three[1][:EACH])


def test_too_little_left_to_fit_on_is_skipped() -> None:
    chance = np.random.default_rng(2)
    labelled = [*rows("a", distress=half(chance)), *rows("b", distress=[0] * EACH)]
    found = measured(labelled, vectors(labelled, chance))
    assert set(found) == {"b"}  # without "a" there is no case
