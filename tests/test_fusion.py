"""The laws of the noisy-or: it only rises, its parts add up, and a segment is never the worse."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.fusion import CERTAIN, LEAST_CONTRIBUTION, Fusion, merged, surprise
from triage.records import Event, Evidence, Span

CATEGORIES = ("violence", "distress", "hate")
STRENGTHS = {
    "scream": {"distress": 0.9, "violence": 0.2},
    "gunshot": {"violence": 0.9},
    "siren": {"distress": 0.1},
}
FUSION = Fusion(CATEGORIES, STRENGTHS)
# At most as sure as it takes for 1 - score to keep its digits.
PROBABILITY = st.floats(0, 0.99)
READ = st.fixed_dictionaries(dict.fromkeys(CATEGORIES, PROBABILITY))
HEARD = st.dictionaries(st.sampled_from([*STRENGTHS, "speech"]), PROBABILITY)


def words(read: Mapping[str, float]) -> list[Evidence]:
    return [Evidence(name, "text", "words", surprise(score)) for name, score in read.items()]


def fused(read: Mapping[str, float], heard: Mapping[str, float]) -> dict[str, float]:
    return FUSION.scores(FUSION.evidence(words(read), heard, ()))


# The score ----------------------------------------------------------------------------------


@given(READ, HEARD)
def test_the_score_is_the_noisy_or(read: dict[str, float], heard: dict[str, float]) -> None:
    scores = fused(read, heard)
    assert tuple(scores) == CATEGORIES
    for category, score in scores.items():
        silent = 1 - read[category]
        for event, probability in heard.items():
            silent *= 1 - STRENGTHS.get(event, {}).get(category, 0) * probability
        assert score == pytest.approx(1 - silent, abs=1e-9)


@given(READ, HEARD)
def test_contributions_add_up(read: dict[str, float], heard: dict[str, float]) -> None:
    evidence = FUSION.evidence(words(read), heard, ())
    for category, score in FUSION.scores(evidence).items():
        told = math.fsum(one.contribution for one in evidence if one.category == category)
        assert -math.log1p(-score) == pytest.approx(told, rel=1e-6, abs=1e-9)


@given(READ, HEARD, st.sampled_from(CATEGORIES), PROBABILITY)
def test_more_in_the_words_is_never_less(
    read: dict[str, float], heard: dict[str, float], category: str, other: float
) -> None:
    low, high = sorted((read[category], other))
    before, after = fused(read | {category: low}, heard), fused(read | {category: high}, heard)
    assert before[category] <= after[category]
    assert {**before, category: 0} == {**after, category: 0}


@given(READ, HEARD, st.sampled_from(sorted(STRENGTHS)), PROBABILITY)
def test_more_in_the_sound_is_never_less(
    read: dict[str, float], heard: dict[str, float], event: str, probability: float
) -> None:
    low, high = sorted((heard.get(event, 0.0), probability))
    before, after = fused(read, heard | {event: low}), fused(read, heard | {event: high})
    for category in CATEGORIES:
        assert before[category] <= after[category] + 1e-12
        if category not in STRENGTHS[event]:
            assert before[category] == pytest.approx(after[category], abs=1e-12)


@given(READ, HEARD)
def test_no_input_takes_away_from_what_another_says(
    read: dict[str, float], heard: dict[str, float]
) -> None:
    both, text, sound = fused(read, heard), fused(read, {}), fused(dict.fromkeys(read, 0.0), heard)
    for category in CATEGORIES:
        assert both[category] >= max(text[category], sound[category]) - 1e-12
        assert text[category] == pytest.approx(read[category], abs=1e-12)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_stronger_sound_is_never_less(one: float, other: float) -> None:
    low, high = (
        Fusion(("distress",), {"scream": {"distress": strength}})
        for strength in sorted((one, other))
    )
    scores = [f.scores(f.evidence((), {"scream": 0.7}, ()))["distress"] for f in (low, high)]
    assert scores[0] <= scores[1]
    assert scores[1] == pytest.approx(0.7 * max(one, other))


def test_nothing_is_evidence_of_nothing() -> None:
    assert fused(dict.fromkeys(CATEGORIES, 0.0), {}) == dict.fromkeys(CATEGORIES, 0.0)
    assert FUSION.evidence((), {}, ()) == ()


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=9))
def test_a_score_is_a_probability_whatever_comes_in(certain: list[float]) -> None:
    evidence = [Evidence("hate", "text", "words", surprise(one)) for one in certain]
    score = FUSION.scores(evidence)["hate"]
    assert 0 <= score <= 1
    assert math.isfinite(sum(one.contribution for one in evidence))


@given(st.floats(0, CERTAIN))
def test_surprise_is_what_a_silent_cause_costs(probability: float) -> None:
    assert math.exp(-surprise(probability)) == pytest.approx(1 - probability, rel=1e-6)


# What is told -------------------------------------------------------------------------------


@given(READ, HEARD)
def test_the_largest_contribution_comes_first(
    read: dict[str, float], heard: dict[str, float]
) -> None:
    evidence = FUSION.evidence(words(read), heard, ())
    amounts = [one.contribution for one in evidence]
    assert amounts == sorted(amounts, reverse=True)
    told = {(one.name, one.category) for one in evidence}
    sounds = {(e, c) for e in heard for c in STRENGTHS.get(e, {})}
    assert told == {("words", c) for c in CATEGORIES} | sounds
    assert all((one.input == "text") == (one.name == "words") for one in evidence)


def test_a_sound_is_placed_where_it_was_surest() -> None:
    events = [
        Event("scream", 0, 1, 0.5),
        Event("gunshot", 2, 3, 0.99),
        Event("scream", 4, 6, 0.8),
    ]
    evidence = FUSION.evidence((), {"scream": 0.8, "siren": 0.1}, events)
    assert {(one.name, one.span) for one in evidence} == {
        ("scream", Span(4, 6)),
        ("siren", None),
    }


def test_what_was_not_heard_is_no_evidence() -> None:
    assert FUSION.evidence((), {"speech": 1.0}, [Event("scream", 0, 1, 0.9)]) == ()


@pytest.mark.parametrize(
    ("text", "audio", "violence", "hate"),
    [
        (True, True, ("text", "audio"), ("text",)),
        (True, False, ("text",), ("text",)),
        (False, True, ("audio",), ()),
        (False, False, (), ()),
    ],
)
def test_applied_names_what_can_have_moved_a_category(
    text: bool, audio: bool, violence: tuple[str, ...], hate: tuple[str, ...]
) -> None:
    applied = FUSION.applied(text=text, audio=audio)
    assert tuple(applied) == CATEGORIES
    assert (applied["violence"], applied["hate"]) == (violence, hate)


# Segments -----------------------------------------------------------------------------------


@st.composite
def placed(draw: st.DrawFn) -> list[Evidence]:
    """Evidence with and without a place, some of it too little to be shown."""
    found = []
    for _ in range(draw(st.integers(0, 8))):
        start, length = draw(st.integers(0, 30)), draw(st.integers(1, 6))
        span = draw(st.sampled_from([None, Span(start / 2, (start + length) / 2)]))
        amount = draw(st.sampled_from([0.0, 0.01, LEAST_CONTRIBUTION, 0.3, 2.0]))
        category = draw(st.sampled_from(CATEGORIES))
        found.append(Evidence(category, "audio", "scream", amount, span))
    return found


@given(placed())
def test_segments_lie_apart_in_order_of_time(evidence: list[Evidence]) -> None:
    segments = FUSION.segments(evidence)
    assert all(one.start < one.end for one in segments)
    assert all(one.end <= two.start for one, two in itertools.pairwise(segments))


@given(placed())
def test_each_piece_of_evidence_counts_in_one_segment(evidence: list[Evidence]) -> None:
    segments = FUSION.segments(evidence)
    shown = [one for one in evidence if one.span and one.contribution >= LEAST_CONTRIBUTION]
    homes = [
        [s for s in segments if s.start <= one.span.start and one.span.end <= s.end]
        for one in shown
        if one.span
    ]
    assert all(len(found) == 1 for found in homes)
    for segment in segments:
        inside = [one for one, (home,) in zip(shown, homes, strict=True) if home is segment]
        assert inside
        assert segment.category_scores == pytest.approx(FUSION.scores(inside))
        assert segment.start == min(one.span.start for one in inside if one.span)
        assert segment.end == max(one.span.end for one in inside if one.span)


@given(placed())
def test_a_segment_says_no_more_than_the_recording(evidence: list[Evidence]) -> None:
    whole = FUSION.scores(evidence)
    for segment in FUSION.segments(evidence):
        for category, score in segment.category_scores.items():
            assert score <= whole[category] + 1e-12


def test_a_word_that_took_no_time_has_its_score() -> None:
    """Whisper may end a word in the frame in which it starts."""
    (segment,) = FUSION.segments([Evidence("hate", "text", "words", 2.0, Span(3.0, 3.0))])
    assert segment.category_scores["hate"] == pytest.approx(-math.expm1(-2.0))


@pytest.mark.parametrize("stretch", [Span(1.0, 3.0), Span(3.0, 5.0)])
def test_a_moment_at_the_edge_of_a_stretch_counts_once(stretch: Span) -> None:
    evidence = [
        Evidence("hate", "text", "words", 2.0, Span(3.0, 3.0)),
        Evidence("distress", "audio", "scream", 1.0, stretch),
    ]
    for ordered in itertools.permutations(evidence):
        (segment,) = FUSION.segments(ordered)
        assert (segment.start, segment.end) == (stretch.start, stretch.end)
        assert segment.category_scores == pytest.approx(FUSION.scores(evidence))


SPANS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 5)).map(lambda s: Span(s[0], s[0] + s[1]))
)


@given(SPANS)
def test_merged_spans_cover_the_same_and_lie_apart(spans: list[Span]) -> None:
    found = merged(spans)
    assert all(one.end <= two.start for one, two in itertools.pairwise(found))
    for moment in (x / 2 for x in range(55)):
        before = any(span.start < moment < span.end for span in spans)
        after = any(span.start < moment < span.end for span in found)
        assert after or not before
    assert sum(s.end - s.start for s in found) == len(
        {second for span in spans for second in range(int(span.start), int(span.end))}
    )
    assert merged(reversed(spans)) == found


def test_spans_that_only_touch_stay_two() -> None:
    assert merged([Span(1, 2), Span(0, 1)]) == [Span(0, 1), Span(1, 2)]


@given(READ, HEARD)
def test_the_order_of_the_words_evidence_changes_nothing(
    read: dict[str, float], heard: dict[str, float]
) -> None:
    turned = FUSION.evidence(list(reversed(words(read))), heard, ())
    assert FUSION.scores(turned) == pytest.approx(fused(read, heard), abs=1e-12)
