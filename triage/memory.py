"""What is remembered of pseudonyms while recordings are decided: what is stored, and these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from triage.decisions import Decisions
from triage.policy.surroundings import ANY, History
from triage.records import Decision


class Memory:
    """What is remembered while some recordings are decided: the store, and these themselves.

    Args:
        decisions: The store; None knows of nothing before.
        history: What the policy remembers.
        now: When they are decided.
    """

    def __init__(self, decisions: Decisions | None, history: History, now: datetime) -> None:
        self._decisions, self._history, self._now = decisions, history, now
        self._counts: dict[str, dict[str, Counter[str]]] = {}
        self._cases: dict[tuple[str, str], str] = {}

    def counts(self, account: str) -> Mapping[str, Mapping[str, int]]:
        """How often an account was flagged before, by window and category.

        Raises:
            DecisionsFailed: The store can't be read.
        """
        if account not in self._counts:
            windows = self._history.windows
            known = self._decisions.history(account, windows, self._now) if self._decisions else {}
            self._counts[account] = {name: known.get(name, Counter()) for name in windows}
        return {name: dict(counts) for name, counts in self._counts[account].items()}

    def case(self, account: str, rule: str, fresh: str) -> str:
        """The case that is open for the same rule of the same account, or a fresh one.

        Raises:
            DecisionsFailed: The store can't be read.
        """
        within = self._history.cool_down
        if not account or not within:
            return fresh
        if (account, rule) not in self._cases:
            known = self._decisions and self._decisions.open_case(account, rule, within, self._now)
            self._cases[account, rule] = known or fresh
        return self._cases[account, rule]

    def add(self, account: str, decision: Decision) -> None:
        """Remembers a decision, if it is known whose recording it was."""
        if account and decision.flagged:
            for counts in self._counts[account].values():
                counts.update([*decision.flagged, ANY])
