"""What may be done with a case, by whom, and what it is afterwards. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from triage.errors import BadField, Forbidden, MoveRefused
from triage.escalate.records import CLOCK, SENDER, Case, Ending, Move, Order, State
from triage.escalate.roster import Person, Roster
from triage.policy.model import Policy
from triage.policy.parts import Tier

HOLD = 3600  # s at least that somebody may have a case and do nothing with it
MAX_REASON = 500  # characters

# From which states a move goes, and to which.
WAYS: Mapping[Move, Mapping[State, State]] = {
    Move.ACKNOWLEDGE: {State.OPEN: State.ACKNOWLEDGED},
    Move.CLAIM: {
        State.OPEN: State.CLAIMED,
        State.ACKNOWLEDGED: State.CLAIMED,
        State.SNOOZED: State.CLAIMED,
    },
    Move.HAND_OVER: {State.CLAIMED: State.CLAIMED, State.ACKNOWLEDGED: State.CLAIMED},
    Move.RELEASE: {
        State.ACKNOWLEDGED: State.OPEN,
        State.CLAIMED: State.OPEN,
        State.SNOOZED: State.OPEN,
    },
    Move.SNOOZE: {State.CLAIMED: State.SNOOZED},
    Move.RESOLVE: {State.CLAIMED: State.RESOLVED},
    Move.REOPEN: {State.RESOLVED: State.OPEN},
    Move.WAKE: {State.SNOOZED: State.CLAIMED},
    Move.RETURN: {State.CLAIMED: State.OPEN, State.ACKNOWLEDGED: State.OPEN},
    Move.MISS: {State.OPEN: State.OPEN},
}
_OWNERS = {Move.HAND_OVER, Move.RELEASE, Move.SNOOZE, Move.RESOLVE}
_CLOCKS = {Move.WAKE, Move.RETURN, Move.MISS}
_REASONED = {Move.SNOOZE, Move.REOPEN}


def may_see(case: Case, actor: str, roster: Roster, policy: Policy) -> bool:
    """Whether a case is for somebody: asked of each case, not of its queue.

    It is for those who are in the line of one of its queues and aren't spared any of its
    categories, for whoever has it or raised it, and for leads.
    """
    person = roster.people.get(actor)
    if person is None:
        return False
    if person.lead or actor in (case.owner, case.raised_by):
        return True
    lines = (policy.queues[one].members for one in case.queues if one in policy.queues)
    return not spared(case, person) and any(actor in roster.line(members) for members in lines)


def spared(case: Case, person: Person) -> bool:
    """Whether somebody has opted out of what may be heard in a case."""
    return not set(person.opt_out).isdisjoint(case.categories)


def moved(case: Case, order: Order, now: float, roster: Roster, policy: Policy) -> Case:
    """The case as it is after a move; the same one if that is already done.

    Args:
        case: As it is.
        order: What is wanted.
        now: s since 1970.
        roster: Who everybody is.
        policy: Its deadlines.

    Raises:
        BadField: The order lacks something, or says something that can't be.
        Forbidden: It isn't for the actor, or for whom it is handed to.
        MoveRefused: The case isn't in a state that it goes from.
    """
    _complete(order)
    if order.move in _CLOCKS and order.actor != CLOCK:
        raise BadField(f"{order.move} is what the clock does. {_known_moves()}")
    if not _is_trusted(order.actor) and not _may_move(case, order, roster, policy):
        raise Forbidden(f"Case {case.id} is not for {order.actor} to {order.move}.")
    if _is_done(case, order):
        return case
    after = WAYS[order.move].get(case.state)
    if after is None:
        goes = " or ".join(WAYS[order.move])
        raise MoveRefused(
            f"Case {case.id} is {case.state}, and {order.move} goes from {goes} only.",
            limit=list(WAYS[order.move]),
        )
    if order.move in _OWNERS and not _has(case, order.actor, roster):
        raise MoveRefused(
            f"Case {case.id} is {_whose(case)}, and {order.move} is for whoever has it. "
            "Claim it, or have it handed over."
        )
    if order.move is Move.CLAIM and case.state is State.SNOOZED and case.owner != order.actor:
        raise MoveRefused(f"Case {case.id} is {_whose(case)} and snoozed. Have it handed over.")
    moved_ = replace(case, state=after, moved_at=now, snoozed_until=None)
    return _filled(moved_, case, order, now, policy)


def hold(tier: str, policy: Policy) -> float:
    """Seconds that somebody may have a case without a move, before others are told of it again."""
    return float(max(deadline(tier, policy), HOLD))


def deadline(tier: str, policy: Policy) -> int:
    """Seconds from the decision to the look; none is the longest that there is."""
    terms = policy.tiers[_tier(tier)]
    return terms.deadline or max(one.deadline or 0 for one in policy.tiers.values())


def due(tier: str, now: float, policy: Policy) -> float:
    """When somebody must have looked at what is raised now."""
    found = policy.tiers[_tier(tier)].due(datetime.fromtimestamp(now, UTC))
    return now + deadline(tier, policy) if found is None else found.timestamp()


def labels(case: Case, ending: Ending, heard: tuple[str, ...] | None) -> dict[str, int]:
    """What an ending says of a case's categories: 1, 0, and nothing where it says nothing.

    A false alarm says that nothing flagged was there. Otherwise what was heard is there, and what
    was flagged and not heard isn't; where nobody says what was heard, nothing is known.
    """
    if ending is Ending.FALSE_ALARM:
        heard = ()
    if heard is None or ending is Ending.UNCLEAR:
        return {}
    return {name: int(name in heard) for name in sorted({*case.categories, *heard})}


def _filled(moved_: Case, case: Case, order: Order, now: float, policy: Policy) -> Case:
    match order.move:
        case Move.ACKNOWLEDGE | Move.CLAIM:
            first = case.acknowledged_at
            return replace(
                moved_, owner=order.actor, acknowledged_at=now if first is None else first
            )
        case Move.HAND_OVER:
            return replace(moved_, owner=order.to)
        case Move.RELEASE | Move.RETURN:
            return replace(moved_, owner="")
        case Move.SNOOZE:
            return replace(moved_, snoozed_until=_until(case, order, now, policy))
        case Move.RESOLVE:
            return replace(moved_, resolved_at=now)
        case Move.REOPEN:
            return replace(
                moved_,
                owner="",
                clock_at=now,
                due_at=due(case.tier, now, policy),
                missed_at=None,
                acknowledged_at=None,
                resolved_at=None,
            )
        case Move.MISS:
            return replace(moved_, missed_at=now, moved_at=case.moved_at)
        case _:
            return moved_


def _complete(order: Order) -> None:
    if order.move not in WAYS:
        raise BadField(f"{order.move} is no move of a case that is there. {_known_moves()}")
    if order.move in _REASONED and not order.reason.strip():
        raise BadField(f"{order.move} needs a reason.")
    if len(order.reason) > MAX_REASON:
        told = f"The reason has {len(order.reason)} characters. Say it in {MAX_REASON}."
        raise BadField(told, limit=MAX_REASON)
    if (order.move is Move.HAND_OVER) != bool(order.to):
        raise BadField("To hand a case over, say to whom; other moves go to nobody.")
    if (order.move is Move.SNOOZE) != (order.until is not None):
        raise BadField("To snooze a case, say until when; other moves have no end.")
    if (order.move is Move.RESOLVE) != (order.ending is not None):
        raise BadField(f"To resolve a case, say how it ended: {', '.join(Ending)}.")
    if order.heard and order.ending is Ending.FALSE_ALARM:
        raise BadField("In a false alarm nothing was heard. Take another ending, or name nothing.")
    if order.heard and order.move is not Move.RESOLVE:
        raise BadField("What was heard is said when a case is resolved.")


def _may_move(case: Case, order: Order, roster: Roster, policy: Policy) -> bool:
    if not may_see(case, order.actor, roster, policy):
        return False
    if order.move is Move.HAND_OVER:
        if not may_see(case, order.to, roster, policy):
            raise Forbidden(f"Case {case.id} is not for {order.to}, so it can't be handed there.")
        return True
    # Who raised it sees it, and that is all: somebody else looks.
    as_raiser = replace(case, raised_by="")
    return may_see(as_raiser, order.actor, roster, policy) or order.move is Move.REOPEN


def _is_trusted(actor: str) -> bool:
    """Whether it is no person: the clock, or a sender whose signature was verified."""
    return actor == CLOCK or actor.startswith(SENDER)


def _is_done(case: Case, order: Order) -> bool:
    """Whether this very move is what brought the case where it is: a repeated call is no error."""
    if order.move is Move.ACKNOWLEDGE:
        return case.owner == order.actor and case.state in (State.ACKNOWLEDGED, State.CLAIMED)
    if order.move is Move.CLAIM:
        return case.owner == order.actor and case.state is State.CLAIMED
    return order.move is Move.HAND_OVER and case.owner == order.to and case.state is State.CLAIMED


def _has(case: Case, actor: str, roster: Roster) -> bool:
    return actor in (case.owner, CLOCK) or (actor in roster.people and roster.people[actor].lead)


def _whose(case: Case) -> str:
    return f"{case.owner}'s" if case.owner else "nobody's"


def _until(case: Case, order: Order, now: float, policy: Policy) -> float:
    most = deadline(case.tier, policy)
    if order.until is None or not now < order.until <= now + most:
        raise BadField(
            f"A case of {case.tier} is snoozed for {most} s at most, and not into the past.",
            limit=most,
        )
    return order.until


def _known_moves() -> str:
    return f"Known are {', '.join(one for one in WAYS if one not in _CLOCKS)}."


def _tier(tier: str) -> Tier:
    return tier  # type: ignore[return-value]  # a row holds what a policy said
