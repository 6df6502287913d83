"""What could make somebody wait for longer than a policy means is refused."""

from __future__ import annotations

from typing import Any

import pytest
from casework import QUEUES, TIERS, casework_policy

from triage.errors import PolicyRefused
from triage.policy.diff import diff

OFFICE = {"zone": "UTC", "start": "09:00", "end": "17:00", "days": ["mon", "tue"]}
ALL_DAY = {"zone": "UTC", "start": "06:00", "end": "22:00"}


def tiers(**changes: dict[str, Any]) -> dict[str, Any]:
    return {tier: terms | changes.get(tier, {}) for tier, terms in TIERS.items()}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"E4": {"hours": OFFICE}, "E3": {"hours": OFFICE}, "E2": {"hours": OFFICE}}, "E4 waits"),
        ({"E3": {"hours": OFFICE}}, "must hold all those of the tier below"),
        ({"E2": {"hours": ALL_DAY}, "E3": {"hours": OFFICE}}, "must hold all those of the tier"),
        (
            {"E2": {"hours": OFFICE | {"end": "09:10", "days": ["mon"]}}},
            "take longer than 2592000 s",
        ),
        ({"E1": {"again": 60}}, "leave again and hours out"),
        ({"E4": {"again": 5}}, "greater than or equal to 10"),
        ({"E2": {"hours": OFFICE | {"zone": "UTX"}}}, "no time zone UTX"),
    ],
)
def test_clocks_that_wait_too_long_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(PolicyRefused, match=why):
        casework_policy(tiers=tiers(**changes))


def test_longer_hours_for_the_graver_tier_are_fine() -> None:
    policy = casework_policy(tiers=tiers(E2={"hours": OFFICE}, E3={"hours": ALL_DAY}))
    assert policy.tiers["E3"].hours is not None


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"hate": "nowhere"}, "nowhere is not among the queues"),
        ({"hate": "hate"}, "runs in a circle: hate to hate"),
        ({"hate": "violence", "on-call": "hate"}, "runs in a circle"),
    ],
)
def test_an_overflow_leads_somewhere(over: dict[str, str], why: str) -> None:
    queues = {n: q | ({"overflow": over[n]} if n in over else {}) for n, q in QUEUES.items()}
    with pytest.raises(PolicyRefused, match=why):
        casework_policy(queues=queues)


def test_what_changes_is_told() -> None:
    old = casework_policy()
    new = casework_policy(
        tiers=tiers(E2={"hours": OFFICE}, E4={"again": 60}),
        queues=QUEUES | {"hate": QUEUES["hate"] | {"overflow": "on-call"}},
    )
    told = {one.what: one.weaker for one in diff(old, new)}
    assert told == {
        "E2 asks for a specialist within 86,400 s, in hours of UTC instead of a specialist within "
        "86,400 s": True,
        "E4 asks for whoever is on call within 300 s, told again every 60 s instead of whoever is "
        "on call within 300 s, told again every 120 s": False,
        "beyond its capacity on-call takes what comes": False,
    }
