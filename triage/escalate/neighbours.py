"""How messages are written: for a webhook of ours, for ROOST's Coop and Osprey, for people. Pure.

Sources: Coop's report API (github.com/roostorg/coop, docs/api/report.md) and Osprey's input event
(github.com/roostorg/osprey, docs/integration/data-flow.md), read in November 2026.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from triage.escalate.records import Message
from triage.escalate.roster import CoopFormat, OspreyFormat, Target

Body = Mapping[str, Any]


def body(message: Message, at: str, target: Target) -> bytes:
    """What is sent to a webhook; the same bytes at every attempt.

    Args:
        message: What is told.
        at: When it was made, as RFC 3339 has it.
        target: To whom.
    """
    if target.coop:
        found = coop(message, at, target.coop)
    elif target.osprey:
        found = osprey(message, at, target.osprey)
    else:
        found = {"type": message.kind, "timestamp": at, "data": message.payload}
    return json.dumps(found, separators=(",", ":"), sort_keys=True).encode()


def coop(message: Message, at: str, terms: CoopFormat) -> Body:
    """A report for Coop, of the case as an item.

    Its `csam` is left out: a score is no knowledge, and what it files is for people to decide.
    """
    told = message.payload
    scores: Mapping[str, float] = told["scores"].get("categories", {})
    reason: dict[str, Any] = {"reason": f"{told['tier']} by {told['rule']}: {told['reason']}"}
    worst = sorted(scores, key=lambda name: -scores[name])
    if known := [terms.policies[name] for name in worst if name in terms.policies]:
        reason["policyId"] = known[0]
    data = {name: value for name, value in told.items() if value is not None and name != "scores"}
    data["scores"] = json.dumps(told["scores"], sort_keys=True)  # item types have no nested fields
    return {
        "reporter": {"kind": "user", "typeId": terms.reporter_type, "id": terms.reporter},
        "reportedAt": at,
        "reportedForReason": reason,
        "reportedItem": {"id": message.case, "typeId": terms.item_type, "data": data},
    }


def osprey(message: Message, at: str, terms: OspreyFormat) -> Body:
    """An event for Osprey's rules."""
    number = int.from_bytes(hashlib.sha256(message.id.encode()).digest()[:8]) >> 1
    data = {"event_type": message.kind, **message.payload}
    inner = {"action_id": number, "action_name": terms.action_name, "data": data}
    return {"send_time": at, "data": inner}


def text(message: Message) -> tuple[str, str]:
    """Title and text for people, by mail, chat or pager."""
    told = message.payload
    title = f"{told['tier']} {message.kind.removeprefix('case.')}: {told['reason']}"
    lines = [
        f"Case {message.case}, severity {told['severity']}, by rule {told['rule']}.",
        f"Queue {told['queue']}." if told["queue"] else "",
        f"Somebody must look by {told['due_at']}{', which is past' if told['is_late'] else ''}."
        if "outcome" not in told
        else f"It ended as {told['outcome']}.",
        str(told["link"] or ""),
        f"Message {message.id}.",
    ]
    return title, "\n".join(line for line in lines if line)
