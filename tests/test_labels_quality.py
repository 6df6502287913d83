"""What labels are worth: against published figures, by laws, and with errors planted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.labels.quality import (
    OVERALL,
    agreement,
    golden_scores,
    krippendorff_alpha,
    likely_errors,
)
from triage.labels.rows import Labelled

# Krippendorff 2011, sections A (binary, two observers) and C (nominal, four, some missing).
SECTION_A = ("0100000010", "1110010000")
SECTION_C = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


def row(id: str, annotator: str | None, labels: Mapping[str, float], **fields: object) -> Labelled:
    given = {"split": "train", "events": {}, "text": "words"} | fields
    return Labelled(id, "s", "l", "g", labels=labels, annotator=annotator, **given)  # type: ignore[arg-type]


def alpha_of(observers: tuple[str, ...]) -> float:
    items = ["".join(votes).replace(".", "") for votes in zip(*observers, strict=True)]
    items = [votes for votes in items if len(votes) > 1]
    values = sorted({*"".join(items)})
    counts = np.array([[votes.count(value) for value in values] for votes in items], np.float64)
    return float(krippendorff_alpha(counts, np.ones(len(counts))))


# Agreement ----------------------------------------------------------------------------------


def test_alpha_is_what_krippendorff_worked_out() -> None:
    assert alpha_of(SECTION_A) == pytest.approx(0.095, abs=5e-4)
    assert alpha_of(SECTION_C) == pytest.approx(0.743, abs=5e-4)


def voted(observers: tuple[str, ...]) -> list[Labelled]:
    return [
        row(str(item), f"observer {n}", {"hate": float(vote)})
        for n, votes in enumerate(observers)
        for item, vote in enumerate(votes)
        if vote != "."
    ]


def test_agreement_counts_what_may_be_compared() -> None:
    others = [
        row("alone", "a", {"hate": 1, "sexual": 1}),
        row("0", None, {"hate": 1}),
        row("0", "z", {"hate": 1}, golden=True),
    ]
    hate, sexual = agreement([*voted(SECTION_A), *others])
    assert (hate.name, hate.items, hate.votes) == ("label.hate", 10, 20)
    assert hate.alpha is not None
    assert hate.alpha.value == pytest.approx(0.095, abs=5e-4)
    assert hate.alpha.low < hate.alpha.value < hate.alpha.high <= 1
    assert (sexual.name, sexual.items, sexual.votes, sexual.alpha) == ("label.sexual", 0, 0, None)


def test_events_are_answers_of_their_own() -> None:
    rows = [row(str(n), by, {"cry": 1}, events={"cry": n % 2}) for n in range(4) for by in "ab"]
    found = {one.name: one.alpha for one in agreement(rows)}
    assert found["label.cry"] is None, "one value only: nothing to be told from chance"
    assert found["event.cry"] is not None
    assert found["event.cry"].value == 1


def test_no_votes_no_agreement() -> None:
    assert agreement([]) == []


def test_the_interval_narrows_with_more_items() -> None:
    few, many = agreement(voted(SECTION_A)), agreement(voted(tuple(one * 40 for one in SECTION_A)))
    widths = [found[0].alpha.high - found[0].alpha.low for found in (few, many)]  # type: ignore[union-attr]
    assert widths[1] < widths[0] / 3


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda n: sum(n) > 1),
                min_size=1, max_size=20))  # fmt: skip
def test_alpha_by_its_definition(kinds: list[tuple[int, int]]) -> None:
    """One less the observed over the expected disagreement, over all pairs of votes."""
    counts = np.array(kinds, np.float64)
    often = np.arange(1, len(kinds) + 1, dtype=np.float64)
    units = [votes for votes, times in zip(kinds, often, strict=True) for _ in range(int(times))]
    no, yes = np.sum(units, axis=0)
    observed = sum(2 * n * y / (n + y - 1) for n, y in units) / (no + yes)
    expected = 2 * no * yes / ((no + yes) * (no + yes - 1))
    alpha = krippendorff_alpha(counts, often)
    if expected == 0:
        assert np.isnan(alpha)
    else:
        assert alpha == pytest.approx(1 - observed / expected)
        many = krippendorff_alpha(counts, np.stack([often, often * 2]))
        assert many[0] == pytest.approx(float(alpha))


# Golden items -------------------------------------------------------------------------------


def test_golden_scores_by_annotator_and_answer() -> None:
    rows = [
        row("1", "expert", {"hate": 1, "violence": 0}, golden=True),
        row("2", None, {"hate": 0}, golden=True, events={"scream": 1}),
        row("1", "a", {"hate": 1, "violence": 1, "sexual": 1}),
        row("2", "a", {"hate": 0.2}, events={"scream": 0.5}),
        row("1", "b", {"violence": 0}),
        row("3", "b", {"violence": 0}),
        row("2", "c", {"distress": 1}),
        row("1", None, {"hate": 0}),
    ]
    found = [(s.annotator, s.name, s.items, s.share.value) for s in golden_scores(rows)]
    assert found == [
        ("a", OVERALL, 2, 0.5),
        ("a", "event.scream", 1, 1.0),
        ("a", "label.hate", 2, 1.0),
        ("a", "label.violence", 1, 0.0),
        ("b", OVERALL, 1, 1.0),
        ("b", "label.violence", 1, 1.0),
    ]


# Likely errors ------------------------------------------------------------------------------


def test_the_likeliest_come_first_and_unknown_is_no_error() -> None:
    nan = np.nan
    labels = np.array([[1, 0], [0, nan], [nan, 1], [0.6, 0], [1, 1]], np.float32)
    scores = np.array([[0.1, 0.1], [0.7, 0.9], [0.9, 0.05], [0.2, nan], [0.9, 0.9]], np.float32)
    found = likely_errors(("hate", "violence"), labels, scores, "abcde", 4)
    assert [(one.id, one.name) for one in found] == [
        ("c", "violence"), ("a", "hate"), ("d", "hate"), ("b", "hate"),
    ]  # fmt: skip
    assert [one.given for one in found] == pytest.approx([1, 1, 0.6, 0])
    assert [one.probability for one in found] == pytest.approx([0.05, 0.1, 0.2, 0.7])
    assert [one.quality for one in found] == pytest.approx([0.05, 0.1, 0.2, 0.3])
    assert len(likely_errors(("hate", "violence"), labels, scores, "abcde", 99)) == 7


def test_equals_keep_the_order_of_the_rows() -> None:
    scores = np.random.default_rng(0).choice([0.25, 0.5], (2000, 2)).astype(np.float32)
    ids = [str(number) for number in range(2000)]
    found = likely_errors("xy", np.ones((2000, 2), np.float32), scores, ids, 4000)
    order = sorted(np.ndindex(2000, 2), key=lambda at: scores[at])
    assert [(one.id, one.name) for one in found] == [(ids[n], "xy"[k]) for n, k in order]


def test_no_labels_no_errors() -> None:
    empty = np.empty((0, 1), np.float32)
    assert likely_errors("x", empty, empty, [], 5) == []
    unknown = np.full((3, 1), np.nan, np.float32)
    assert likely_errors("x", unknown, np.full((3, 1), 0.5, np.float32), "abc", 5) == []


def test_planted_errors_are_found() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((2000, 3)) < 0.2).astype(np.float32)
    scores = np.where(truth == 1, 0.8, 0.05) + rng.normal(0, 0.05, truth.shape)
    flipped = rng.random(truth.shape) < 0.05
    labels = np.abs(truth - flipped)
    ids = [str(number) for number in range(len(truth))]
    found = likely_errors("xyz", labels, scores.clip(0, 1).astype(np.float32), ids, flipped.sum())
    hits = sum(flipped[int(one.id), "xyz".index(one.name)] for one in found)
    assert hits > 0.95 * flipped.sum()
