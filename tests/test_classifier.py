"""The heads: linear, calibrated one by one, and honest about which words carried a score."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import ArrayLike

from triage.artefact import load
from triage.calibrate import Calibrator
from triage.classifier import CARRIED, CARRIED_FLOOR, Head, TextClassifier, highest
from triage.records import Floats, TextWindow
from triage.text import TextEncoder, TokenWindow

WIDTH = 4
NAMES = ("violence", "self_harm", "hate")
VALUES = st.floats(-8, 8, width=16)


def calibrator(slope: float = 1.0, offset: float = 0.0) -> Calibrator:
    ends = np.array([-1.0, 1.0])
    return Calibrator(ends, slope * ends + offset)


def head(rows: ArrayLike, bias: Floats | None = None, offset: float = 0.0) -> Head:
    weights = np.asarray(rows, np.float32)
    names = NAMES[: len(weights)]
    bias = np.zeros(len(names), np.float32) if bias is None else bias
    return Head(names, weights, bias, (calibrator(offset=offset),) * len(names))


def sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


@dataclass(frozen=True)
class FakeEncoder:
    """Gives windows that were prepared, for a text of any words."""

    prepared: Sequence[TokenWindow]

    def windows(self, texts: Sequence[Sequence[str]]) -> list[list[TokenWindow]]:
        return [list(self.prepared) if words else [] for words in texts]


def classifier(head: Head, *prepared: TokenWindow) -> TextClassifier:
    return TextClassifier(FakeEncoder(prepared), head)  # type: ignore[arg-type]


def window(values: Sequence[float], first: int = 0) -> TokenWindow:
    """A window of one token a word and a width of 2; the framing tokens are silent."""
    vectors = np.zeros((len(values) + 2, 2), np.float32)
    vectors[1:-1, 0] = values
    vectors[:, 1] = 1
    return TokenWindow(vectors, np.array([-1, *range(first, first + len(values)), -1]))


# The head -----------------------------------------------------------------------------------


@given(
    hnp.arrays(np.float32, (3, WIDTH), elements=VALUES),
    hnp.arrays(np.float32, (2, WIDTH), elements=VALUES),
    hnp.arrays(np.float32, 2, elements=VALUES),
)
def test_log_odds_are_weighted_sums(vectors: Floats, weights: Floats, bias: Floats) -> None:
    logits = head(weights, bias).logits(vectors)
    assert logits.shape == (3, 2)
    for row in range(3):
        for name in range(2):
            naive = math.fsum(vectors[row].astype(float) * weights[name].astype(float))
            assert logits[row, name] == pytest.approx(naive + float(bias[name]), abs=1e-3)


def test_each_name_has_its_own_calibration() -> None:
    given = Head(
        NAMES,
        np.zeros((3, WIDTH), np.float32),
        np.zeros(3, np.float32),
        (calibrator(1), calibrator(2), calibrator(1, -3)),
    )
    found = given.calibrated(np.array([[0.5, 0.5, 0.5], [-2, -2, -2]], np.float32))
    wanted = [[sigmoid(0.5), sigmoid(1), sigmoid(-2.5)], [sigmoid(-2), sigmoid(-4), sigmoid(-5)]]
    assert found == pytest.approx(np.array(wanted))


@given(hnp.arrays(np.float32, (6, 2), elements=st.floats(-100, 100, width=32)))
def test_a_higher_logit_is_never_less_probable(logits: Floats) -> None:
    found = head(np.zeros((2, WIDTH))).calibrated(np.sort(logits, axis=0))
    assert found.shape == (6, 2)
    assert (np.diff(found, axis=0) >= 0).all()
    assert (found > 0).all()
    assert (found < 1).all()


def test_as_many_calibrations_as_names() -> None:
    given = Head(NAMES, np.zeros((3, 2), np.float32), np.zeros(3, np.float32), (calibrator(),))
    with pytest.raises(ValueError, match="zip"):
        given.calibrated(np.zeros((1, 3), np.float32))


# Words --------------------------------------------------------------------------------------


def test_no_words_no_windows() -> None:
    assert classifier(head([[1, 0]]), window([1.0])).score([]) == ()


def test_each_window_is_scored_by_itself_with_its_words() -> None:
    windows = (window([3, -1, 0]), window([0, 0], first=2))
    one, two = classifier(head([[1, 0], [0, 2]]), *windows).score(["a", "b", "c", "d"])
    assert (one.first_word, one.last_word, two.first_word, two.last_word) == (0, 3, 2, 4)
    assert list(one.scores) == list(NAMES[:2])
    for scored, from_window in zip((one, two), windows, strict=True):
        assert scored.scores["violence"] == pytest.approx(sigmoid(from_window.pooled[0]), abs=1e-6)
        assert scored.scores["self_harm"] == pytest.approx(
            sigmoid(2 * from_window.pooled[1]), abs=1e-6
        )


@given(st.lists(VALUES, min_size=1, max_size=12))
@example([1.0, 0.0, -1.0])
def test_what_carried_a_score_is_its_largest_positive_shares(values: list[float]) -> None:
    given = window(values, first=5)
    weights = np.array([[1, 0], [-1, 0]], np.float32)
    (scored,) = classifier(head(weights), given).score(["w"] * 20)
    for name, row in zip(NAMES[:2], weights, strict=True):
        shares = given.shares(row)
        positive = sorted((share for share in shares.values() if share > 0), reverse=True)
        assert [share for _, share in scored.carried[name]] == positive[:CARRIED]
        assert all(shares[word] == share for word, share in scored.carried[name])


@pytest.mark.parametrize(("above", "asked"), [(1e-4, True), (-1e-4, False)])
def test_only_what_is_likely_enough_is_explained(above: float, asked: bool) -> None:
    offset = float(np.log(CARRIED_FLOOR / (1 - CARRIED_FLOOR))) + above
    (scored,) = classifier(head([[0, 0]], offset=offset), window([1.0])).score(["a"])
    assert ("violence" in scored.carried) == asked


@pytest.mark.models
def test_real_windows_cover_the_text(text_encoder: TextEncoder) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(1, text_encoder.width)).astype(np.float32)
    words = [f"word{number}" for number in range(150)]
    scored = TextClassifier(text_encoder, head(weights)).score(words)
    assert scored[0].first_word == 0
    assert scored[-1].last_word == len(words)
    for one, two in itertools.pairwise(scored):
        assert one.first_word < two.first_word < one.last_word < two.last_word
    for one in scored:
        inside = range(one.first_word, one.last_word)
        assert all(word in inside for word, _ in one.carried.get("violence", ()))


@pytest.mark.models
def test_every_letter_there_is_can_be_scored(text_encoder: TextEncoder, model: Path) -> None:
    """A letter that the tokenizer drops would be a window without words."""
    artefact = load(model)
    real = TextClassifier(text_encoder, artefact.text)
    for letter in "a\u00e4\u03c9\u0436\u05d0\u0634\u4e2d\ud55c\u0e01\u0905\U0001d49c7":
        (scored,) = real.score([letter])
        assert (scored.first_word, scored.last_word) == (0, 1)
        assert set(scored.scores) == set(artefact.manifest.categories)


# The highest --------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_the_highest_of_any_window(rows: list[tuple[float, float]]) -> None:
    windows = [TextWindow(0, 1, {"violence": one, "hate": two}) for one, two in rows]
    found = highest(windows, ("hate", "violence"))
    assert list(found.items()) == [
        ("hate", max(two for _, two in rows)),
        ("violence", max(one for one, _ in rows)),
    ]


def test_without_windows_nothing_is_highest() -> None:
    assert highest([], NAMES) == {}
