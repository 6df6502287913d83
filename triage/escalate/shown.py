"""How a case is shown as JSON, over HTTP and by the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triage.escalate.records import Case, Moved
from triage.escalate.telling import moment


def shown(case: Case, now: float) -> dict[str, Any]:
    """A case as its callers see it: pseudonyms and scores, no words.

    Args:
        case: It.
        now: s since 1970.
    """
    waiting = case.acknowledged_at is None and case.resolved_at is None
    return {
        "id": case.id,
        "state": str(case.state),
        "owner": case.owner or None,
        "tier": case.tier,
        "severity": case.severity,
        "rule": case.rule,
        "reason": case.reason,
        "queues": list(case.queues),
        "scores": {kind: dict(scores) for kind, scores in case.scores.items()},
        "account": case.account or None,
        "recording": case.recording or None,
        "recordings": case.recordings,
        "raised_by": case.raised_by or None,
        "raised_at": moment(case.at),
        "due_at": moment(case.due_at),
        "is_late": case.missed_at is not None or (waiting and now > case.due_at),
        "acknowledged_at": _moment(case.acknowledged_at),
        "snoozed_until": _moment(case.snoozed_until),
        "resolved_at": _moment(case.resolved_at),
        "model": case.model or None,
        "policy": case.policy,
    }


def history(moves: Sequence[Moved]) -> list[dict[str, Any]]:
    """Everything that was done with a case."""
    return [
        {
            "at": moment(one.at),
            "actor": one.actor,
            "move": one.move,
            "before": one.before or None,
            "after": one.after,
            "to": one.to or None,
            "reason": one.reason or None,
        }
        for one in moves
    ]


def _moment(at: float | None) -> str | None:
    return None if at is None else moment(at)
