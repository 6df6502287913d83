"""Whom words are spoken to: fitted from a label of its own, cut where few commands fall under."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from triage.labels.rows import Labelled, Split
from triage.records import Floats
from triage.taxonomy import ADDRESSED, CATEGORIES
from triage.training.addressed import WRONGLY, Addressed, addressed
from triage.training.dataset import named, text_rows

EACH = 400
WIDTH = 4


def rows(label: str = ADDRESSED, split: Split = "train") -> list[Labelled]:
    """Commands and talk, one after the other."""
    return [
        Labelled(f"{split}{n}", "s", "MIT", f"{split}{n}", split, {label: n % 2}, {}, text="a")
        for n in range(EACH)
    ]


def vectors(labelled: Sequence[Labelled]) -> Floats:
    """Commands lie two deviations from talk."""
    chance = np.random.default_rng(0)
    out = chance.normal(size=(len(labelled), WIDTH)).astype(np.float32)
    out[:, 0] += [2 * row.labels.get(ADDRESSED, 0) for row in labelled]
    return out


def fitted(labelled: list[Labelled]) -> Addressed | None:
    x = vectors(labelled)
    new = np.ones(len(labelled), bool)
    return addressed(text_rows(labelled, x), labelled, lambda *_: None, None, new)


@pytest.fixture(scope="module")
def found() -> Addressed:
    out = fitted([*rows(), *rows(split="val")])
    assert out is not None
    return out


def test_few_commands_are_taken_for_an_accident(found: Addressed) -> None:
    assert found.wrongly is not None
    assert found.wrongly == pytest.approx(WRONGLY, abs=0.02)


def test_much_of_the_talk_is(found: Addressed) -> None:
    assert found.withheld is not None
    assert 0.3 < found.withheld < 0.7  # two deviations apart; .52 for a cut at 2.5 %


def test_it_is_measured_on_rows_that_it_was_not_fitted_on(found: Addressed) -> None:
    (figure,) = found.figures
    assert (figure["name"], figure["positives"]) == (ADDRESSED, EACH // 2)


def test_how_many_it_was_fitted_on_is_told_for_who_starts_from_it(found: Addressed) -> None:
    assert found.positives == {ADDRESSED: EACH // 2}


def test_it_is_no_category() -> None:
    assert ADDRESSED not in CATEGORIES
    assert named(rows(), "labels") == ()


def test_rows_that_dont_say_it_cant_teach_it() -> None:
    assert fitted(rows("hate")) is None


def test_without_rows_to_measure_on_nothing_is_told() -> None:
    out = fitted(rows())
    assert out is not None
    assert out.withheld is None
    assert out.wrongly is None
