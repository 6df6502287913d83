"""What the service says of the model and the policy that it decides with."""

from __future__ import annotations

from typing import Any

from triage.manifest import Manifest
from triage.policy.model import Policy


def about_model(manifest: Manifest) -> dict[str, Any]:
    """A model's manifest and its digest, without those of files that a caller doesn't have."""
    told = manifest.model_dump(
        mode="json", exclude={"files": True, "encoders": {"__all__": {"files"}}}
    )
    return {"digest": manifest.digest, **told}


def about_policy(policy: Policy) -> dict[str, Any]:
    """A policy as it decides: levels as their numbers, actions as their names; not who is in it."""
    queues = {"__all__": {"members"}}
    told = policy.model_dump(
        mode="json", exclude={"rules": True, "fallbacks": True, "tests": True, "queues": queues}
    )
    rules = [
        rule.model_dump(mode="json", exclude_none=True) | {"actions": list(map(str, rule.actions))}
        for rule in policy.rules
    ]
    fallbacks = {
        name: one.model_dump(mode="json") | {"actions": list(map(str, one.actions))}
        for name, one in policy.fallbacks.each()
    }
    return told | {"rules": rules, "fallbacks": fallbacks}
