from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from policies import policy_of, rule, written

from triage.errors import PolicyRefused
from triage.policy import loading
from triage.policy.document import MAX_BYTES
from triage.policy.loading import Failed, approved, load_policy, read_policy
from triage.policy.surroundings import Effective

RULES = (
    rule("again", "E3", ["queue:on-call"], "history.day.any >= 2 && scores.hate >= 0.5"),
    rule("hate", "E2", ["queue:some"], "scores.hate >= 0.5 && !flags.noisy"),
    rule("heard", "E2", ["queue:some", "count"], "event_scores.scream >= 0.5"),
    rule("locale", "E1", ["count"], "context.locale == 'de' && !text_present"),
    rule("private", "E0", ["withhold"], "scores.sexual >= 0.5"),
)


def example(given: dict[str, Any], **expect: Any) -> dict[str, Any]:
    return {"name": "an example", "given": given, "expect": expect}


def file_of(folder: Path, *tests: dict[str, Any], **changes: Any) -> Path:
    path = folder / "policy.yaml"
    path.write_bytes(written(*RULES, tests=list(tests), **changes))
    return path


# A file ------------------------------------------------------------------------------------------


def test_a_file_is_read_and_its_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = file_of(tmp_path)
    policy = load_policy(path)
    assert policy.name == "test"
    assert policy.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_a_file_that_can_not_be_read_is_refused_without_its_path(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(PolicyRefused, match="TRIAGE_POLICY") as refused:
            load_policy(path)
        assert str(path) not in refused.value.detail


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    assert len(read_policy(Path("/dev/zero"))) == MAX_BYTES + 1
    with pytest.raises(PolicyRefused, match="more than 1000000 bytes") as refused:
        load_policy(Path("/dev/zero"))
    assert refused.value.limit == MAX_BYTES


def test_a_file_of_ten_megabytes_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path)
    path.write_bytes(path.read_bytes() + b"# " + b"x" * 10_000_000)
    with pytest.raises(PolicyRefused, match="more than 1000000 bytes"):
        load_policy(path)


# Its own tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        ({}, {"tier": "E0", "rule": "none", "actions": []}),
        ({"scores": {"hate": 0.5}}, {"tier": "E2", "rule": "hate"}),
        ({"scores": {"hate": 0.5}, "flags": {"noisy": True}}, {"tier": "E0"}),
        ({"event_scores": {"scream": 0.5}}, {"tier": "E2", "actions": ["queue:some", "count"]}),
        ({"event_scores": {"scream": 0.5}, "sound": False}, {"tier": "E0", "rule": "none"}),
        ({"context": {"locale": "de"}}, {"tier": "E0"}),
        ({"context": {"locale": "de"}, "text": False}, {"tier": "E1", "rule": "locale"}),
        ({"scores": {"hate": 0.5}, "history": {"day": {"any": 2}}}, {"tier": "E3"}),
        ({"scores": {"sexual": 1}}, {"tier": "E0", "rule": "private", "actions": ["withhold"]}),
    ],
)
def test_a_test_gives_what_it_says_and_nothing_else(
    tmp_path: Path, given: dict[str, Any], expect: dict[str, Any]
) -> None:
    policy = load_policy(file_of(tmp_path, example(given, **expect)))
    assert loading.tested(policy) == []


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ({"tier": "E3"}, "an example: expected E3, got E2"),
        ({"tier": "E2", "rule": "heard"}, "expected E2 by heard, got E2 by hate"),
        ({"tier": "E2", "actions": []}, "expected E2 with no action, got E2 with queue:some"),
        ({"tier": "E3", "rule": "none", "actions": ["count"]},
         "expected E3 by none with count, got E2 by hate with queue:some"),
    ],
)  # fmt: skip
def test_a_policy_that_fails_its_own_test_is_refused(
    tmp_path: Path, expect: dict[str, Any], told: str
) -> None:
    fine = example({"scores": {"hate": 0.9}}, tier="E2")
    path = file_of(tmp_path, fine, example({"scores": {"hate": 0.9}}, **expect))
    with pytest.raises(PolicyRefused) as refused:
        load_policy(path)
    assert refused.value.detail.startswith("1 of the policy's own tests failed. ")
    assert told in refused.value.detail


def test_many_that_fail_are_counted_and_some_are_told() -> None:
    tests = [example({}, tier="E3") | {"name": f"number {n}"} for n in range(9)]
    policy = policy_of(*RULES, tests=tests)
    assert loading.tested(policy)[8] == Failed("number 8", "E3", "E0")
    with pytest.raises(PolicyRefused, match="9 of the policy's own tests failed") as refused:
        approved(policy)
    assert "number 4" in refused.value.detail
    assert "number 5" not in refused.value.detail


def test_a_test_may_expect_a_fallback() -> None:
    odd = rule("odd", "E1", ["count"], "1000 / (context.tries * context.tries - 49) > 0")
    failing = example({"context": {"tries": 7}}, tier="E2", rule="fallback:rule_failed")
    assert loading.tested(policy_of(odd, tests=[failing])) == []


# In effect ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effective", "day", "holds"),
    [
        ({}, date(1999, 1, 1), True),
        ({"since": "2026-03-01"}, date(2026, 3, 1), True),
        ({"since": "2026-03-01"}, date(2026, 2, 28), False),
        ({"until": "2026-03-01"}, date(2026, 3, 1), True),
        ({"until": "2026-03-01"}, date(2026, 3, 2), False),
        ({"since": "2026-03-01", "until": "2026-03-01"}, date(2026, 3, 1), True),
    ],
)
def test_a_policy_decides_from_its_first_day_to_its_last(
    tmp_path: Path, effective: dict[str, Any], day: date, holds: bool
) -> None:
    path = file_of(tmp_path, effective=effective)
    assert Effective.model_validate(effective).holds(day) is holds
    if holds:
        assert load_policy(path, day).name == "test"
    else:
        with pytest.raises(PolicyRefused, match=f"isn't in effect on {day}, only from") as refused:
            load_policy(path, day)
        assert "Change `effective`, or load another one" in refused.value.detail


def test_today_counts_where_no_day_is_given(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefused, match="only from ever until 2020-01-01"):
        load_policy(file_of(tmp_path, effective={"until": "2020-01-01"}))
    with pytest.raises(PolicyRefused, match="only from 9999-01-01 until ever"):
        load_policy(file_of(tmp_path, effective={"since": "9999-01-01"}))
