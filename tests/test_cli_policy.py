"""`triage policy`, as it is typed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from policies import policy_of, rule, scores_of, written
from test_decisions import add, made
from test_policy_following import pem
from typer.testing import CliRunner

from triage.answer import as_json
from triage.cli.app import app
from triage.cli.exits import Exit, exit_code
from triage.database.store import open_store
from triage.errors import BadField, PolicyRefused, StoreFailed
from triage.policy.decide import decide
from triage.policy.model import parse_policy
from triage.policy.signing import signature_file, signer
from triage.records import Outcome
from triage.settings import settings

TESTS = [
    {
        "name": "a scream",
        "given": {"scores": {"distress": 0.9}},
        "expect": {"tier": "E3", "rule": "distress", "actions": ["queue:on-call"]},
    }
]
RULES = (
    rule("distress", "E3", ["queue:on-call"], "scores.distress >= likely"),
    rule("tried", "E2", ["queue:some"], "scores.hate >= likely", mode="shadow"),
)
DATA = written(*RULES, levels={"likely": 0.7}, tests=TESTS)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy in service, in an installation of the test's own."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(DATA)
    monkeypatch.setenv("TRIAGE_POLICY", str(path))
    monkeypatch.setenv("TRIAGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    settings.cache_clear()
    yield path
    settings.cache_clear()


def typed(*words: object, code: int = 0) -> str:
    found = CliRunner().invoke(app, ["policy", *map(str, words)], catch_exceptions=False)
    assert found.exit_code == code, found.output
    return found.output


def test_a_good_policy_is_checked_against_the_model(file: Path) -> None:
    told = typed("check")
    assert "1 live, 1 shadow rules, 3 queues, 1 tests passed" in told
    assert "doesn't know the category medical_emergency" in told
    assert parse_policy(DATA).digest in told


def test_a_bad_policy_is_refused_with_its_place(file: Path) -> None:
    file.write_bytes(DATA.replace(b"scores.distress >= likely", b"scores.distres >= likely"))
    with pytest.raises(PolicyRefused, match=r"line \d+, column \d+.*did you mean scores.distress"):
        typed("check")


def test_failed_tests_are_told(file: Path) -> None:
    assert "1 of 1 tests passed" in typed("test")
    file.write_bytes(DATA.replace(b"likely: 0.7", b"likely: 0.95"))
    told = typed("test", code=1)
    assert "expected E3 by distress with queue:on-call, got E0 by none with no action" in told


def test_a_policy_is_shown_highest_tier_first(file: Path) -> None:
    told = typed("show")
    assert told.index("distress") < told.index("tried")
    assert "24 h" in told.replace("1 d", "24 h")
    assert "somebody" in told


def test_a_difference_is_told_by_queue(file: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_bytes(DATA.replace(b"likely: 0.7", b"likely: 0.8"))
    told = typed("diff", new)
    assert "the level likely is 0.8 instead of 0.7" in told
    assert "less" in told
    assert "alike" in typed("diff", file)


def test_one_command_makes_a_shadow_rule_live(file: Path) -> None:
    told = typed("promote", "tried")
    assert "some: tried is live instead of shadow." in told
    assert parse_policy(file.read_bytes()).rules[1].mode == "live"
    assert file.read_bytes() == DATA.replace(b"mode: shadow", b"mode: live")
    for name in ("tried", "none"):
        with pytest.raises(PolicyRefused, match="no shadow rule"):
            typed("promote", name)


def test_a_promotion_that_breaks_a_test_changes_nothing(file: Path) -> None:
    grave = RULES[1] | {"tier": "E4", "actions": ["page:on-call"]}
    both = {"distress": 0.9, "hate": 0.9}
    tests = [{"name": "both", "given": {"scores": both}, "expect": {"tier": "E3"}}]
    before = written(RULES[0], grave, levels={"likely": 0.7}, tests=tests)
    file.write_bytes(before)
    with pytest.raises(PolicyRefused, match="own tests failed"):
        typed("promote", "tried")
    assert file.read_bytes() == before


def test_a_policy_is_signed(file: Path, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from test_policy_following import public

    key = pem(tmp_path / "key.pem", Ed25519PrivateKey.generate())
    told = typed("sign", "--key", key)
    assert signature_file(file).exists()
    assert signer(file, DATA, public(tmp_path / "keys.pem", key)) in told


def test_a_store_that_fails_is_as_grave_as_the_audit() -> None:
    assert exit_code(StoreFailed("It is gone.")) is Exit.AUDIT


def test_shadows_are_compared_over_time(file: Path) -> None:
    assert "Nothing was decided" in typed("shadow")
    now = datetime.now(UTC)
    age = (now - made("x").at).total_seconds() / 3_600
    opened = open_store(settings().store_url)
    add(opened, [made("a", age - 1, score=0.95), made("b", age - 30, score=0.6)])
    told = typed("shadow", "--since", "7d")
    assert "tried" in told
    assert told.count(f"{now:%Y}-") == 2
    with pytest.raises(BadField):
        typed("shadow", "--since", "soon")


def test_a_backtest_of_files_and_of_the_store(file: Path, tmp_path: Path) -> None:
    new, scores, page = (tmp_path / name for name in ("new.yaml", "scores.jsonl", "page.html"))
    new.write_bytes(DATA.replace(b"likely: 0.7", b"likely: 0.9"))
    policy = parse_policy(DATA)
    lines = []
    for n, one in enumerate((0.5, 0.8, 0.95)):
        found = scores_of({"distress": one})
        outcome = Outcome(f"tri_{n}", "r", found, decide(found, policy, datetime.now(UTC)), "h")
        lines.append(json.dumps(as_json(outcome)))
    scores.write_text("\n".join([*lines, "broken"]))
    told = typed("backtest", new, scores, "--report", page, code=3)
    assert "1 not looked at any more" in told
    assert "scores.jsonl, line 4 holds no scores" in told
    assert "tri_1" in page.read_text()
    found = json.loads(typed("backtest", new, scores, "--json", code=3))
    assert found["changes"] == {"not looked at any more": 1}
    with pytest.raises(BadField, match="no scores"):
        typed("backtest", new)
    at = (datetime.now(UTC) - made("x").at).total_seconds() / 3_600
    add(open_store(settings().store_url), [made("a", at - 1, score=0.8)])
    assert "1 not looked at any more" in typed("backtest", new)


def test_a_simulation_with_labels(file: Path, tmp_path: Path) -> None:
    policy, lines, rows = policy_of(*RULES, levels={"likely": 0.7}), [], []
    for n in range(200):
        found = scores_of({"distress": (n + 0.5) / 200})
        outcome = Outcome(f"tri_{n}", f"r{n}", found, decide(found, policy, datetime.now(UTC)), "")
        lines.append(json.dumps(as_json(outcome)))
        row = {"id": f"r{n}", "text": f"line {n}", "labels": {"distress": int(n >= 100)}}
        rows.append(json.dumps(row | {"source": "s", "licence": "CC0-1.0"}))
    scores, labels, page = (tmp_path / name for name in ("s.jsonl", "l.jsonl", "p.html"))
    scores.write_text("\n".join(lines))
    labels.write_text("\n".join(rows))
    told = typed(
        *("simulate", scores, "--labels", labels, "--a-day", 100),
        *("--capacity", 40, "--report", page),
    )
    assert "on-call: likely from 0.65 (now 0.7) asks for 35.0 of 40 reviews a day" in told
    assert "finds 70% of the cases" in told
    assert "<svg" in page.read_text()


def test_a_decision_is_explained(file: Path, tmp_path: Path) -> None:
    policy, lines = parse_policy(DATA), []
    for n, one in enumerate((0.5, 0.9)):
        found = scores_of({"distress": one})
        outcome = Outcome(f"tri_{n}", "r", found, decide(found, policy, datetime.now(UTC)), "h")
        lines.append(json.dumps(as_json(outcome)))
    scores = tmp_path / "scores.jsonl"
    scores.write_text("\n".join(lines))
    told = typed("explain", scores)
    assert "E3 by distress: scores.distress +0.2" in told
    assert "scores.distress 0.9" in told
    assert "tri_0" not in typed("explain", scores, "--id", "tri_1")
    with pytest.raises(BadField, match="no scores"):
        typed("explain", scores, "--id", "tri_9")
