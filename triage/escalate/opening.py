"""Opening the casebook that the settings name, with or without models beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from triage.database.store import open_store
from triage.escalate.casebook import Casebook
from triage.escalate.roster_file import RosterInService
from triage.policy.diff import diff
from triage.policy.following import PolicyInService
from triage.policy.model import Policy
from triage.safeguards.audit import AuditLog
from triage.settings import Settings


def open_casebook(
    settings: Settings, policies: PolicyInService, rosters: RosterInService, audit: AuditLog
) -> Casebook:
    """The casebook, for a process that decides.

    Raises:
        BadSetting: The store can't be opened, or is of another version.
    """
    return Casebook(open_store(settings.store_url), policies.current, rosters.current, audit)


def casebook(settings: Settings) -> Casebook:
    """The casebook, for a process that only works on cases. It follows policy and roster as well.

    Raises:
        SetupError: The store, the policy or the roster can't be used.
    """
    audit = AuditLog(settings.state / "audit.jsonl")
    policies = PolicyInService(settings.policy, settings.policy_keys, settings.state)
    policies.changed = partial(written_down, audit)
    return open_casebook(settings, policies, RosterInService(settings.roster), audit)


def written_down(audit: AuditLog, old: Policy, new: Policy, signed_by: str) -> None:
    """Puts a change of policy into the audit, with what changes for whom."""
    body = {
        "name": new.name,
        "version": new.version,
        "owner": new.owner,
        "before": old.digest,
        "after": new.digest,
        "signed_by": signed_by,
        "changes": [f"{one.whom}: {one.what}" for one in diff(old, new)],
    }
    audit.append("policy", body, datetime.now(UTC))
