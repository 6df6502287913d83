"""A policy held against the model whose scores it decides on."""

from __future__ import annotations

from collections.abc import Collection

from triage.policy.conditions import nearest
from triage.policy.model import Policy


def check(policy: Policy, categories: Collection[str], events: Collection[str]) -> list[str]:
    """What a policy and a model don't know of each other, one sentence each.

    None of it stops a decision: what hangs on a score that the model doesn't give goes to a
    person, and so does what the policy doesn't know.

    Args:
        categories, events: The names that the model scores.
    """
    asked = [*policy.rule_conditions.spoken, *policy.graver_conditions.spoken]
    asked += [f"scores.{name}" for name in policy.categories]
    known = {"scores": categories, "event_scores": events}
    kinds = {"scores": "category", "event_scores": "event"}
    parts = [(name.partition(".")[0], name.partition(".")[2]) for name in dict.fromkeys(asked)]
    return [
        f"The policy names the {kinds[kind]} {name}, which the model doesn't score"
        f"{nearest(name, known[kind])}"
        for kind, name in parts
        if kind in known and name not in known[kind]
    ] + [
        f"The policy doesn't know the category {name}: its scores go to a person"
        f"{nearest(name, policy.categories)}"
        for name in categories
        if name not in policy.categories
    ]
