"""`triage policy explain`: why each recording was decided as it was, and what was missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from triage.cli.exits import Exit
from triage.cli.replayed import Replayed
from triage.cli.tables import NONE, plain_console, plain_table
from triage.policy.conditions import Value
from triage.policy.explain import Explanation, explain
from triage.policy.loading import as_written
from triage.settings import settings


def run(scores: Sequence[Path], policy: Path | None, ids: Sequence[str], *, since: str) -> Exit:
    """Explains stored decisions.

    Args:
        scores: Files of answers, as `triage score --jsonl` prints them; else the store's.
        policy: Its file; that of the settings if None.
        ids: Triage's own ids of those to explain; all if there are none.
        since: How far back the store is read.

    Returns:
        `Exit.INCOMPLETE` if some lines held no scores.

    Raises:
        PolicyRefused: It isn't a policy.
        BadField: There are none of these recordings.
    """
    known = as_written(policy or settings().policy)
    replayed, found = Replayed(scores, since), 0
    table = plain_table("", "id", "tier", "rule", "~because", "~nearest higher")
    for one in replayed:
        if not ids or one.id in ids:
            found += 1
            told = explain(
                one.scores,
                known,
                one.time,
                context=one.context,
                history=one.history,
            )
            decision = told.decision
            table.add_row(one.id, decision.tier, decision.rule, _because(told), _nearest(told))
    if not found:
        raise replayed.nothing()
    plain_console().print(table)
    return Exit.INCOMPLETE if replayed.unusable else Exit.DONE


def _because(told: Explanation) -> str:
    values = told.met.get(told.decision.rule, {})
    return _spelled(values) or told.decision.reason


def _nearest(told: Explanation) -> str:
    near = told.nearest
    if near is None:
        return NONE
    missing = ", ".join(f"{name} +{least:.3g}" for name, least in near.missing.items())
    return f"{near.tier} by {near.rule}: {missing}"


def _spelled(values: Mapping[str, Value]) -> str:
    """What a rule asked of, without lists of events."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
        if not isinstance(value, list)
    )
