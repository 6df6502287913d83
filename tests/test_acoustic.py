"""Pooled frames against plain sums, and the laws of merged events."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from triage.acoustic import merge, pool
from triage.encoder import FRAME_RATE
from triage.records import Doubles, Event, Floats, Span
from triage.segment import windows

NAMES = ("scream", "speech", "siren")
THRESHOLDS = {"siren": 0.5, "scream": 0.25}


# Pooling ------------------------------------------------------------------------------------


def naive(frames: Floats, first: int, end: int) -> list[float]:
    columns = [[float(value) for value in column] for column in frames[first:end].T]
    means = [math.fsum(column) / len(column) for column in columns]
    deviations = [
        math.sqrt(math.fsum((value - mean) ** 2 for value in column) / len(column))
        for column, mean in zip(columns, means, strict=True)
    ]
    return [*means, *deviations, *(max(column) for column in columns)]


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 150), st.integers(1, 3)),
        elements=st.floats(-8, 8, width=16),
    ),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=4),
)
def test_pooling_is_mean_deviation_and_maximum(
    frames: Floats, halves: list[tuple[int, int]]
) -> None:
    """Spans in half seconds, 25 frames; those that pass the end are cut, none is left out."""
    found = pool(frames, [Span(start / 2, (start + length) / 2) for start, length in halves])
    assert found.shape == (len(halves), 3 * frames.shape[1])
    assert found.dtype == np.float32
    for row, (start, length) in zip(found, halves, strict=True):
        first = min(25 * start, len(frames) - 1)
        end = max(first + 1, min(25 * (start + length), len(frames)))
        assert row == pytest.approx(naive(frames, first, end), abs=1e-4)


def test_a_span_shorter_than_a_frame_is_one_frame() -> None:
    frames = np.arange(4, dtype=np.float32)[:, None]
    spans = [Span(0, 0.001), Span(0.04, 0.041), Span(0.08, 0.081), Span(0, 0)]
    assert pool(frames, spans).tolist() == [[0, 0, 0], [2, 0, 2], [3, 0, 3], [0, 0, 0]]


@given(st.integers(1, 26 * FRAME_RATE))
def test_the_windows_of_a_chunk_pool_every_frame(count: int) -> None:
    frames = np.eye(count, dtype=np.float32)
    highest = pool(frames, windows(count / FRAME_RATE))[:, 2 * count :]
    assert highest.max(axis=0).tolist() == [1.0] * count


# Merging ------------------------------------------------------------------------------------


@st.composite
def heard(draw: st.DrawFn) -> tuple[list[Span], Doubles, float]:
    """The windows of one to three chunks, probabilities of every event, and the length."""
    spans: list[Span] = []
    start = 0.0
    for seconds in draw(st.lists(st.floats(1, 9), min_size=1, max_size=3)):
        spans += [Span(start + span.start, start + span.end) for span in windows(seconds)]
        start += seconds
    probabilities = draw(
        hnp.arrays(np.float64, (len(spans), len(NAMES)), elements=st.sampled_from([0, 0.3, 0.5, 1]))
    )
    return spans, probabilities, start


@given(heard())
def test_events_lie_within_the_recording_in_order_of_time(
    of: tuple[list[Span], Doubles, float],
) -> None:
    spans, probabilities, seconds = of
    events = merge(spans, probabilities, NAMES, THRESHOLDS)
    assert [event.start for event in events] == sorted(event.start for event in events)
    for event in events:
        assert 0 <= event.start < event.end <= seconds + 1e-9


@given(heard())
def test_events_of_one_kind_lie_apart(of: tuple[list[Span], Doubles, float]) -> None:
    spans, probabilities, _ = of
    events = merge(spans, probabilities, NAMES, THRESHOLDS)
    for name in THRESHOLDS:
        same = [event for event in events if event.event == name]
        assert all(one.end <= two.start for one, two in itertools.pairwise(same))


@given(heard())
def test_there_is_one_event_for_each_run_and_it_holds_the_middle_of_its_windows(
    of: tuple[list[Span], Doubles, float],
) -> None:
    spans, probabilities, _ = of
    events = merge(spans, probabilities, NAMES, THRESHOLDS)
    for column, name in enumerate(NAMES):
        same = [event for event in events if event.event == name]
        over = probabilities[:, column] >= THRESHOLDS.get(name, np.inf)
        assert len(same) == np.count_nonzero(np.diff(over, prepend=False) & over)
        for span, loud, probability in zip(spans, over, probabilities[:, column], strict=True):
            middle = (span.start + span.end) / 2
            around = [event for event in same if event.start <= middle <= event.end]
            if loud:
                assert probability <= max(event.score for event in around)
        for event in same:
            assert event.score in probabilities[over, column]


@given(heard())
def test_the_same_windows_give_the_same_events(of: tuple[list[Span], Doubles, float]) -> None:
    spans, probabilities, _ = of
    found = merge(spans, probabilities, NAMES, THRESHOLDS)
    assert found == merge(spans, probabilities, NAMES, dict(reversed(THRESHOLDS.items())))
    order = [2, 0, 1]
    moved = merge(spans, probabilities[:, order], [NAMES[i] for i in order], THRESHOLDS)
    assert found == moved


@pytest.mark.parametrize(
    ("probabilities", "events"),
    [
        ([0, 0, 0, 0], []),
        ([0, 1, 0, 0], [(1.5, 2.5, 1)]),
        ([0.5, 0, 0, 0], [(0, 1.5, 0.5)]),
        ([0, 0, 0, 0.5], [(3.5, 5, 0.5)]),
        ([0, 0.6, 0.9, 0], [(1.5, 3.5, 0.9)]),
        ([0.6, 0, 0.7, 0], [(0, 1.5, 0.6), (2.5, 3.5, 0.7)]),
        ([1, 1, 1, 1], [(0, 5, 1)]),
        ([0.499, 0.499, 0.499, 0.499], []),
    ],
)
def test_edges_lie_in_the_middle_of_what_is_shared_with_a_quiet_window(
    probabilities: list[float], events: list[tuple[float, float, float]]
) -> None:
    found = merge(windows(5), np.array(probabilities)[:, None], ["siren"], {"siren": 0.5})
    assert found == tuple(Event("siren", *event) for event in events)


def test_windows_that_share_nothing_give_nothing_away() -> None:
    for gap in (0, 1):
        spans = [Span(start, start + 2) for start in (0, 2 + gap, 4 + 2 * gap)]
        (event,) = merge(spans, np.array([[0.0], [1.0], [0.0]]), ["siren"], {"siren": 0.5})
        assert (event.start, event.end) == (spans[1].start, spans[1].end)


def test_an_event_without_a_threshold_is_never_merged() -> None:
    assert merge(windows(3), np.ones((2, 1)), ["speech"], {"siren": 0.0}) == ()


def test_events_of_one_start_are_in_order_of_their_names() -> None:
    found = merge(windows(2), np.ones((1, 3)), NAMES, {"siren": 0.5, "scream": 0.5})
    assert [event.event for event in found] == ["scream", "siren"]
