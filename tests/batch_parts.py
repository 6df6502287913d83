"""Plans, lines of the journal, and scores of every shape, for tests of runs over archives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from triage.batch.plan import Part, Picked, Plan
from triage.batch.rows import About, Row
from triage.errors import DamagedAudio, NothingToScore, TooLarge
from triage.guard import Answer, Refusal
from triage.policy.parts import TIERS
from triage.records import (
    Decision,
    Event,
    Evidence,
    Outcome,
    Scores,
    Segment,
    Span,
    Transcript,
)
from triage.taxonomy import FLAGS

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
CATEGORIES, EVENTS = ("violence", "distress"), ("scream", "speech")
ABOUT = About("triage-fake", "d" * 64)
SAID = "set a timer for ten minutes"


def a_plan(**more: Any) -> Plan:
    given: dict[str, Any] = {
        "run": "0123456789abcdef",
        "began": NOON,
        "by": "ann",
        "reason": "a test",
        "source": "archive.tar",
        "survey": "a" * 64,
        "recordings": 3,
        "model": "triage-fake 1",
        "policy": "d" * 64,
        "key": "bat_key",
        "limits": {"max_seconds": 60.0},
        "picked": Picked(),
        "sound_only": False,
        "escalate": True,
        "jsonl": False,
    }
    return Plan(**given | more)


def a_part(number: int = 0, first: int = 0, rows: int = 2, **more: Any) -> Part:
    given: dict[str, Any] = {
        "refused": 0,
        "failed": 0,
        "looks": 0,
        "passed_over": {},
        "seconds": 1.5,
        "took": 0.25,
        "stages": {"read": 0.125},
        "known": 0,
        "ids": "1" * 64,
        "results": "",
        "witness": "",
        "megabytes": 10.0,
    }
    return Part(part=number, first=first, rows=rows, **given | more)


# Answers ------------------------------------------------------------------------------------

probabilities = st.floats(0, 1)
seconds = st.floats(0, 100)
inputs = st.lists(st.sampled_from(["audio", "text"]), unique=True, max_size=2).map(tuple)
spans = st.builds(Span, seconds, seconds)


def scores(words: st.SearchStrategy[tuple[str, ...]] | None = None) -> st.SearchStrategy[Scores]:
    """Scores of a model of two categories and two events, or what there is when it broke."""
    of_categories = st.fixed_dictionaries(dict.fromkeys(CATEGORIES, probabilities))
    evidence = st.builds(
        Evidence,
        st.sampled_from(CATEGORIES),
        st.sampled_from(["audio", "text"]),
        st.sampled_from(["words", *EVENTS]),
        st.floats(0, 9),
        st.none() | spans,
        st.just(()) if words is None else words,
    )
    whole = st.builds(
        Scores,
        model=st.just(ABOUT.model),
        categories=of_categories,
        applied=st.fixed_dictionaries(dict.fromkeys(CATEGORIES, inputs)),
        seconds=st.none() | seconds,
        event_scores=st.just({}) | st.fixed_dictionaries(dict.fromkeys(EVENTS, probabilities)),
        events=st.lists(
            st.builds(Event, st.sampled_from(EVENTS), seconds, seconds, probabilities), max_size=2
        ).map(tuple),
        segments=st.lists(st.builds(Segment, seconds, seconds, of_categories), max_size=2).map(
            tuple
        ),
        flags=st.dictionaries(st.sampled_from(FLAGS), st.booleans()),
        evidence=st.lists(evidence, max_size=2).map(tuple),
        transcript=st.none()
        if words is None
        else words.map(lambda said: Transcript(" ".join(said))),
        failures=st.dictionaries(st.sampled_from(["text", "speech"]), st.just("RuntimeError")),
        measurements=st.dictionaries(st.sampled_from(["level", "noise"]), seconds),
        screened=st.booleans(),
    )
    broken = Scores(ABOUT.model, {}, {}, flags={"stage_failed": True}, failures={"score": "Died"})
    return whole | st.just(broken)


decisions = st.builds(
    Decision,
    tier=st.sampled_from(TIERS),
    rule=st.sampled_from(["any-violence", "nothing"]),
    reason=st.just("because"),
    actions=st.lists(
        st.sampled_from(["withhold", "queue:urgent", "log"]), unique=True, max_size=3
    ).map(tuple),
    severity=st.integers(0, 7),
    category_flagged=st.fixed_dictionaries(dict.fromkeys(CATEGORIES, st.booleans())),
    category_severity=st.fixed_dictionaries(dict.fromkeys(CATEGORIES, st.integers(0, 7))),
    due_at=st.none() | st.just("2026-05-04T13:00:00Z"),
    policy=st.just("default"),
    policy_digest=st.just(ABOUT.policy),
    case=st.sampled_from(["", "cas_1"]),
)
errors = st.sampled_from(
    [NothingToScore("0 bytes."), TooLarge("Over 1.", limit=1), DamagedAudio("It ends.")]
)
ids = st.sampled_from([f"clip-{number}" for number in range(6)])
times = st.none() | st.builds(
    lambda minutes: NOON + timedelta(minutes=minutes), st.integers(-500, 500)
)


def answers(
    scored: st.SearchStrategy[Scores] | None = None, id: st.SearchStrategy[str] = ids
) -> st.SearchStrategy[Answer]:
    outcome = st.builds(
        Outcome,
        st.just("tri_1"),
        id,
        scores() if scored is None else scored,
        decisions,
        st.just("0" * 64),
    )
    return outcome | st.builds(Refusal, st.just("tri_1"), id, errors, st.just("0" * 64))


def rows_of(answered: st.SearchStrategy[Answer]) -> st.SearchStrategy[Row]:
    content = st.just("") | st.just("c" * 32)
    return st.builds(Row, st.integers(0, 2**40), content, times, answered)


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
