"""That the bench of decisions compares what decides alike. No time is asserted."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from benchmarks import decisions
from triage.policy.loading import load_policy
from triage.policy.model import Policy
from triage.settings import Settings


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(Settings.model_fields["policy"].default)


@pytest.mark.parametrize("sound", [True, False])
def test_the_chain_of_ifs_decides_as_the_policy_does(policy: Policy, sound: bool) -> None:
    some = decisions.recordings(policy, 3_000, sound=sound)
    assert decisions.disagreement(policy, some) is None
    tiers = [decisions.by_hand(one, policy.levels)[0] for one in some]
    assert 0.1 < tiers.count("E0") / len(tiers) < 0.9
    assert {"E1", "E2", "E3"} | ({"E4"} if sound else set()) <= set(tiers)


def test_a_policy_that_has_changed_is_not_timed(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = decisions.recordings(policy, 1, sound=True)
    grave = replace(some[0], categories=some[0].categories | {"self_harm": 1.0})
    monkeypatch.setattr(decisions, "by_hand", lambda *_: ("E0", "none"))
    assert decisions.disagreement(policy, [grave]) is grave
    with pytest.raises(RuntimeError, match="other rules by now"):
        decisions.measure(policy, 100, 1)


def test_figures_are_shown_with_the_aim(capsys: pytest.CaptureFixture[str]) -> None:
    before = os.sched_getaffinity(0)
    decisions.main(["--count", "20", "--rounds", "2"])
    assert os.sched_getaffinity(0) == before
    told = capsys.readouterr().out
    assert "sound and words" in told
    assert "words only" in told
    assert "10,000" in told
