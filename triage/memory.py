"""What is remembered of pseudonyms while recordings are decided: what is stored, and these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from triage.decisions import Decisions, Past
from triage.policy.surroundings import ANY, History
from triage.records import Decision


class Memory:
    """What is remembered while some recordings are decided: the store, and these themselves.

    Args:
        decisions: The store.
        history: What the policy remembers.
        past: What came before.
    """

    def __init__(self, decisions: Decisions, history: History, past: Past) -> None:
        self._decisions, self._history, self._past = decisions, history, past
        self._counts: dict[str, dict[str, Counter[str]]] = {}

    def counts(self, account: str) -> Mapping[str, Mapping[str, int]]:
        """How often an account was flagged before, by window and category.

        Raises:
            StoreFailed: The store can't be read.
        """
        if account not in self._counts:
            windows = self._history.windows
            self._counts[account] = self._decisions.history(account, windows, self._past)
        return {name: dict(counts) for name, counts in self._counts[account].items()}

    def add(self, account: str, decision: Decision) -> None:
        """Remembers a decision, if it is known whose recording it was."""
        if account and decision.flagged:
            for counts in self._counts[account].values():
                counts.update([*decision.flagged, ANY])
