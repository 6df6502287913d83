"""Frames to sound features, and windowed probabilities to events with a start and an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from triage.encoder import FRAME_RATE
from triage.records import Doubles, Event, Floats, Span


def pool(frames: Floats, spans: Sequence[Span]) -> Floats:
    """Mean, standard deviation and maximum of the encoder's frames over each window.

    Args:
        frames: Shape (n, width), 50 a second.
        spans: Windows, in seconds from the first frame; each covers at least one frame.

    Returns:
        Shape (windows, 3 * width), float32.
    """
    out = np.empty((len(spans), 3 * frames.shape[1]), np.float32)
    for row, span in zip(out, spans, strict=True):
        first = min(int(span.start * FRAME_RATE), len(frames) - 1)
        window = frames[first : max(first + 1, round(span.end * FRAME_RATE))]
        row[:] = np.concatenate((window.mean(0), window.std(0), window.max(0)))
    return out


def merge(
    spans: Sequence[Span],
    probabilities: Doubles,
    names: Sequence[str],
    thresholds: Mapping[str, float],
) -> tuple[Event, ...]:
    """Runs of windows over an event's threshold as one event each.

    Windows overlap by half. Where a run begins behind a window that stayed under the threshold,
    the half they share speaks against the event as much as for it, so the start is put in the
    middle of that half; the end likewise.

    Args:
        spans: The windows, in order of time.
        probabilities: Shape (windows, names).
        names: The events.
        thresholds: By event; an event without one is never merged.

    Returns:
        In order of start; each with the highest probability of its run.
    """
    found: list[Event] = []
    for column, name in enumerate(names):
        if name not in thresholds:
            continue
        over = probabilities[:, column] >= thresholds[name]
        for loud, run in groupby(range(len(spans)), key=lambda row: bool(over[row])):
            rows = list(run)
            if loud:
                score = float(probabilities[rows, column].max())
                found.append(Event(name, *_edges(spans, rows[0], rows[-1]), score))
    return tuple(sorted(found, key=lambda event: (event.start, event.event)))


def _edges(spans: Sequence[Span], first: int, last: int) -> tuple[float, float]:
    start, end = spans[first].start, spans[last].end
    if first > 0:
        start += max(0.0, spans[first - 1].end - start) / 2
    if last + 1 < len(spans):
        end -= max(0.0, end - spans[last + 1].start) / 2
    return start, end
