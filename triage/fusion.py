"""Words and sounds to one score a category, with what each contributed.

A noisy-or (Pearl 1988, section 4.3.2): each piece of evidence is a cause that would raise the
category by itself with probability q, and the category stays silent only when every cause fails:

    score = 1 - Π (1 - q)

so evidence only ever adds, no single piece is needed, and -ln(1 - q) of the pieces add up to
-ln(1 - score): that is the contribution which the answer shows. For words q is the calibrated
probability. For a sound it is the event's calibrated probability times a strength: how often
such a sound in a private home is a case of the category. The strengths are the model's data, set
by judgement until recordings labelled with both exist (docs/decisions/0005).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from triage.records import Event, Evidence, InputKind, Segment, Span

CERTAIN = 1 - 1e-6  # so that a contribution stays a finite number
LEAST_CONTRIBUTION = 0.02  # smaller ones are left out of the explanation, not out of the score


@dataclass(frozen=True, slots=True)
class Fusion:
    """The documented combination.

    Attributes:
        categories: Every category of the model.
        strengths: By event and category, in 0..1.
    """

    categories: tuple[str, ...]
    strengths: Mapping[str, Mapping[str, float]]

    def evidence(
        self, text: Iterable[Evidence], heard: Mapping[str, float], events: Sequence[Event]
    ) -> tuple[Evidence, ...]:
        """All evidence, largest contribution first.

        Args:
            text: The words' evidence, one for a category.
            heard: Highest calibrated probability by event.
            events: Where they were heard, for the explanation.
        """
        sounds = [
            Evidence(
                category, "audio", event, surprise(strength * heard[event]), _where(event, events)
            )
            for event, by_category in self.strengths.items()
            if event in heard
            for category, strength in by_category.items()
        ]
        return tuple(sorted([*text, *sounds], key=lambda one: -one.contribution))

    def scores(self, evidence: Iterable[Evidence]) -> dict[str, float]:
        """Probability by category, 0 where there is no evidence at all."""
        total = dict.fromkeys(self.categories, 0.0)
        for one in evidence:
            total[one.category] += one.contribution
        return {category: -math.expm1(-amount) for category, amount in total.items()}

    def applied(self, *, text: bool, audio: bool) -> dict[str, tuple[InputKind, ...]]:
        """Which inputs can have moved each category, given which of them were scored."""
        sounding = {category for row in self.strengths.values() for category in row}
        return {
            category: (
                *(("text",) if text else ()),
                *(("audio",) if audio and category in sounding else ()),
            )
            for category in self.categories
        }

    def segments(self, evidence: Sequence[Evidence]) -> tuple[Segment, ...]:
        """The stretches that hold evidence, each scored by the evidence that lies in it."""
        placed = [
            (one.span, one)
            for one in evidence
            if one.span is not None and one.contribution >= LEAST_CONTRIBUTION
        ]
        return tuple(
            Segment(
                stretch.start,
                stretch.end,
                self.scores(one for span, one in placed if stretch.holds(span)),
            )
            for stretch in merged(span for span, _ in placed)
        )


def surprise(probability: float) -> float:
    """-ln(1 - q), in nats."""
    return -math.log1p(-min(max(probability, 0.0), CERTAIN))


def merged(spans: Iterable[Span]) -> list[Span]:
    """Overlapping spans as one, in order of time."""
    out: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        if out and (span.start < out[-1].end or out[-1].holds(span)):
            out[-1] = Span(out[-1].start, max(out[-1].end, span.end))
        else:
            out.append(span)
    return out


def _where(event: str, events: Sequence[Event]) -> Span | None:
    same = [one for one in events if one.event == event]
    if not same:
        return None
    best = max(same, key=lambda one: one.score)
    return Span(best.start, best.end)
