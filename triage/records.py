"""The frozen records that pass between stages.

Nothing here computes. Fields that hold a person's voice, words or identity are kept out of
`repr`, so that a record in a traceback or a log line says only what kind of thing it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # Hz; what Whisper and the voice detector were trained on

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
InputKind = Literal["audio", "text"]

# Told of the progress of long work: what is being done, how much of it is, of how much (0 if
# that isn't known).
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Recording:
    """What a caller hands in, before anything has been looked at.

    Attributes:
        id: The caller's own name for it; leaves the core only towards that caller.
        audio: An encoded file, whole in memory, or the path of one.
        transcript: The caller's transcript, if they have one.
        context: Whatever the caller's policy wants to know (locale, device kind, time). By
            `account` it says whose recording it is, so that a policy can count what came before;
            that is made a pseudonym of and kept nowhere else.
    """

    id: str = field(repr=False)
    audio: bytes | Path | None = field(default=None, repr=False)
    transcript: str | None = field(default=None, repr=False)
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Waveform:
    """Decoded sound: mono, 16 kHz.

    Attributes:
        samples: Shape (n,), float32, nominally in -1..1.
        native_hz: The rate it was stored in; nothing above half of it was ever there.
        channels: How many channels were mixed down.
        damaged: Whether part of it could not be read; `samples` are what could.
    """

    samples: Floats = field(repr=False)
    native_hz: int
    channels: int
    damaged: bool = False

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a recording, in seconds from its start."""

    start: float
    end: float

    def holds(self, other: Span) -> bool:
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: Span) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a transcript with its place in the sound."""

    text: str = field(repr=False)
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said, by the caller's account or by the transcriber's.

    Attributes:
        text: The words.
        words: With times, where the transcriber gave them; empty for a caller's transcript.
        source: Who wrote it.
        reliable: Whether all that was said is in it. A caller's transcript always counts as that;
            the transcriber leaves out what it was unsure of.
    """

    text: str = field(repr=False)
    words: tuple[Word, ...] = field(default=(), repr=False)
    source: Literal["caller", "transcriber"] = "caller"
    reliable: bool = True


@dataclass(frozen=True, slots=True)
class TextWindow:
    """The score of one window of a transcript.

    Attributes:
        first_word, last_word: The words it covers, as a half-open range into the words of the
            transcript split at white space.
        scores: Calibrated probability by category.
        carried: For each category over its floor, the words that carried the score: index of
            the word and its share of the log-odds, largest first.
    """

    first_word: int
    last_word: int
    scores: Mapping[str, float]
    carried: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """A sound heard between two times."""

    event: str
    start: float
    end: float
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that moved one category's score.

    Attributes:
        category: The category it speaks for.
        input: Whether it was heard or read.
        name: An event, or "words".
        span: Where, when the time is known.
        contribution: -ln(1 - q) of its calibrated probability q; contributions of one category
            add up to -ln(1 - score).
        words: The words that carried it; given out only together with the transcript.
    """

    category: str
    input: InputKind
    name: str
    contribution: float
    span: Span | None = None
    words: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch with evidence in it and what the evidence in it alone amounts to."""

    start: float
    end: float
    category_scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Scores:
    """All that the models say of one recording. Says nothing of what is to be done.

    Attributes:
        model: Name of the model and version.
        seconds: Length of the audio; None for a recording that was text only.
        categories: Calibrated probability for every category of the model.
        applied: Which inputs moved each category at all.
        event_scores: Highest windowed probability for every event; empty without audio.
        events: Evidence events over their thresholds, in order of time.
        flags: Only flags that this recording's inputs can support.
        failures: Stages that failed, by name, each with the kind of error. Not empty means
            that the scores are less than they should be, and a person has to look.
        measurements: What the recording is like (see `triage.measurements`); for drift only.
        screened: Whether only a first look was taken, which found nothing (see `triage.screen`);
            its scores are those of such texts on average.
    """

    model: str
    categories: Mapping[str, float]
    applied: Mapping[str, tuple[InputKind, ...]]
    seconds: float | None = None
    event_scores: Mapping[str, float] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    segments: tuple[Segment, ...] = ()
    flags: Mapping[str, bool] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    transcript: Transcript | None = field(default=None, repr=False)
    failures: Mapping[str, str] = field(default_factory=dict)
    measurements: Mapping[str, float] = field(default_factory=dict)
    screened: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says is to be done about one recording.

    Attributes:
        tier: "E0" (nothing) to "E4" (page now).
        rule: The id of the rule that decided.
        reason: In the policy's own words.
        actions: What is to happen, as "verb:object" ("queue:child-safety", "withhold").
        severity: 0 to 7, the highest among the flagged categories.
        category_flagged: Which categories are at or over the policy's threshold.
        category_severity: 0 to 7 for each category.
        due_at: When somebody must have looked, RFC 3339 in UTC; None where nobody must.
        policy, policy_digest: Which policy, exactly.
        mode: "live" decides; "shadow" is only recorded.
        case: What the escalation belongs to; another one's where it came shortly after it. Empty
            where nobody has to look.
    """

    tier: str
    rule: str
    reason: str
    actions: tuple[str, ...]
    severity: int
    category_flagged: Mapping[str, bool]
    category_severity: Mapping[str, int]
    due_at: str | None
    policy: str
    policy_digest: str
    mode: Literal["live", "shadow"] = "live"
    case: str = ""

    @property
    def flagged(self) -> tuple[str, ...]:
        """The categories that are."""
        return tuple(name for name, on in self.category_flagged.items() if on)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A recording that has gone the whole guarded way: scored, decided, written to the audit.

    Attributes:
        id: Triage's own id of this pass ("tri_…").
        recording: The caller's id, for the caller only.
        audit_hash: The hash of the audit entry that vouches for this outcome.
    """

    id: str
    recording: str = field(repr=False)
    scores: Scores
    decision: Decision
    audit_hash: str
