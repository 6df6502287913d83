"""Cases that somebody raises by hand: "I heard something". Pure."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from triage.errors import BadField, Forbidden
from triage.escalate.raising import fresh
from triage.escalate.records import Case
from triage.escalate.roster import Roster
from triage.policy.conditions import nearest
from triage.policy.model import Policy
from triage.policy.parts import LOOKED_AT, Tier

BY_HAND = "by-hand"  # the rule of a case that somebody raised
HEARD = "Somebody heard something."


@dataclass(frozen=True, slots=True)
class Raised:
    """What somebody raises by hand.

    Attributes:
        actor: Who.
        queue: Before whom.
        tier: How soon somebody must look.
        categories: What they heard.
        recording, account: Pseudonyms; empty if not known.
    """

    actor: str
    queue: str
    tier: Tier
    categories: tuple[str, ...]
    recording: str = ""
    account: str = ""


def checked(wanted: Raised, policy: Policy, roster: Roster) -> None:
    """Refuses what can't be raised.

    Raises:
        BadField: The policy has no such queue or category, or nobody looks in that tier.
        Forbidden: The actor is nobody of the roster.
    """
    if wanted.actor not in roster.people:
        raise Forbidden(f"{wanted.actor} is nobody of the roster, so they can raise nothing.")
    if wanted.queue not in policy.queues:
        known = nearest(wanted.queue, policy.queues)
        raise BadField(f"The policy has no queue {wanted.queue}{known}.", limit=[*policy.queues])
    if wanted.tier not in LOOKED_AT:
        raise BadField(f"Nobody looks in tier {wanted.tier}.", limit=list(LOOKED_AT))
    for name in wanted.categories:
        if name not in policy.categories:
            known = nearest(name, policy.categories)
            raise BadField(f"The policy has no category {name}{known}.", limit=[*policy.categories])
    if not wanted.categories:
        raise BadField("Say what was heard: those who are spared it must not get it.")


def by_hand(wanted: Raised, policy: Policy, now: float) -> Case:
    """The case, before it is put before its queue."""
    return fresh(
        f"case_{uuid4().hex}",
        policy,
        now,
        tier=wanted.tier,
        severity=max(policy.categories[name].severity for name in wanted.categories),
        scores={"categories": dict.fromkeys(wanted.categories, 1.0), "events": {}},
        rule=BY_HAND,
        reason=HEARD,
        account=wanted.account,
        recording=wanted.recording,
        raised_by=wanted.actor,
    )
