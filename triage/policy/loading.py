"""From a policy's file to a policy in service: read, parsed, in effect, passing its own tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from triage.errors import PolicyRefused
from triage.policy.decide import decide
from triage.policy.document import MAX_BYTES
from triage.policy.model import Policy, parse_policy
from triage.policy.surroundings import Example, Given
from triage.records import Decision, Scores

_NOON = datetime(2000, 1, 1, 12, tzinfo=UTC)  # no rule asks for the time


@dataclass(frozen=True, slots=True)
class Failed:
    """A test of a policy that came out otherwise.

    Attributes:
        test: Its name.
        wanted, got: What was expected, and what was decided instead.
    """

    test: str
    wanted: str
    got: str

    def __str__(self) -> str:
        return f"{self.test}: expected {self.wanted}, got {self.got}"


def load_policy(path: Path, today: date | None = None) -> Policy:
    """A policy that may decide.

    Args:
        path: Its file.
        today: The day on which it is to be in effect, in UTC; today if not given.

    Raises:
        PolicyRefused: The file can't be read, isn't a policy, fails one of its own tests, or isn't
            in effect; says where and why.
    """
    return approved(as_written(path), today)


def as_written(path: Path) -> Policy:
    """A policy as its file has it; whether it may decide, `approved` says.

    Raises:
        PolicyRefused: The file can't be read, or isn't a policy.
    """
    return parse_policy(read_policy(path))


def approved(policy: Policy, today: date | None = None) -> Policy:
    """A policy that passes its own tests and is in effect.

    Raises:
        PolicyRefused: It doesn't, or isn't.
    """
    if failed := tested(policy):
        told = "; ".join(str(one) for one in failed[:5])
        raise PolicyRefused(f"{len(failed)} of the policy's own tests failed. {told}.")
    day = today or datetime.now(UTC).date()
    if not policy.effective.holds(day):
        since, until = policy.effective.since, policy.effective.until
        raise PolicyRefused(
            f"The policy {policy.name} {policy.version} isn't in effect on {day}, only from "
            f"{since or 'ever'} until {until or 'ever'}. Change `effective`, or load another one."
        )
    return policy


def read_policy(path: Path) -> bytes:
    """The bytes of a policy file, of one that is too long only so many that it shows.

    Raises:
        PolicyRefused: The file can't be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyRefused(
            f"The policy file can't be read: {error.strerror}. Set TRIAGE_POLICY to one that can."
        ) from None


def tested(policy: Policy) -> list[Failed]:
    """The policy's own tests that fail."""
    found = ((example, _decided(policy, example.given)) for example in policy.tests)
    return [
        Failed(example.name, _wanted(example), _got(example, decision))
        for example, decision in found
        if _wanted(example) != _got(example, decision)
    ]


def _decided(policy: Policy, given: Given) -> Decision:
    zero = dict.fromkeys(policy.categories, 0.0), dict.fromkeys(policy.events, 0.0)
    scores = Scores(
        model="test",
        categories={**zero[0], **given.scores},
        applied=dict.fromkeys(policy.categories, given.inputs),
        seconds=10.0 if given.sound else None,
        event_scores={**zero[1], **given.event_scores} if given.sound else {},
        flags=given.flags,
    )
    return decide(scores, policy, _NOON, context=given.context, history=given.history)


def _wanted(example: Example) -> str:
    expect = example.expect
    return _told(expect.tier, expect.rule, expect.actions)


def _got(example: Example, decision: Decision) -> str:
    """The decision, as far as the test speaks of it."""
    rule = None if example.expect.rule is None else decision.rule
    return _told(decision.tier, rule, None if example.expect.actions is None else decision.actions)


def _told(tier: str, rule: str | None, actions: tuple[str, ...] | None) -> str:
    by = f" by {rule}" if rule else ""
    return f"{tier}{by}" + ("" if actions is None else f" with {', '.join(actions) or 'no action'}")
