"""What somebody sees before they sign: the gravest first, and whose each rule and queue is."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from policies import QUEUE, policy_of, rule, scores_of, written

from triage.answer import as_json
from triage.cli.backtest import run
from triage.cli.exits import Exit
from triage.measure.backtest import Backtest, backtest
from triage.measure.stored import Stored
from triage.policy.decide import decide
from triage.policy.model import Policy
from triage.records import Outcome
from triage.report.backtest import page, summary

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
QUEUES = dict.fromkeys(("some", "unscored"), QUEUE)
PAGED = rule("distress", "E4", ["page:some"], "scores.distress >= 0.6")
QUEUED = rule("distress", "E2", ["queue:some"], "scores.distress >= 0.6")
HATE = rule("hate", "E2", ["queue:some"], "scores.hate >= 0.5")


def tried(old: Policy, new: Policy, *scores: dict[str, float], hours: float = 24) -> Backtest:
    """These scores, one after another with so many hours in between."""
    times = [NOON + timedelta(hours=hours * n) for n in range(len(scores))]
    return backtest(
        old,
        new,
        [
            Stored(f"tri_{at:%d%H%M}", scores_of(one), at)
            for at, one in zip(times, scores, strict=True)
        ],
    )


def test_later_is_never_good() -> None:
    found = tried(policy_of(PAGED), policy_of(QUEUED), {"distress": 0.9}, {"distress": 0.1})
    told = page(found, 0).decode()
    assert "Somebody would look at 1 recordings later than now" in told
    assert "Nothing that somebody looks at now would be missed" not in told


def test_sooner_is_good() -> None:
    found = tried(policy_of(QUEUED), policy_of(PAGED), {"distress": 0.9}, {"distress": 0.1})
    assert "Nothing that somebody looks at now would be missed" in page(found, 0).decode()


def test_a_lost_one_is_said_before_later_ones() -> None:
    old, new = policy_of(PAGED, HATE), policy_of(QUEUED)
    told = page(tried(old, new, {"distress": 0.9}, {"hate": 0.9}), 0).decode()
    assert "Nobody would look at 1 recordings" in told
    assert "1 later" in told


def test_part_of_a_day_is_told() -> None:
    same = policy_of(QUEUED)
    assert "span 3.0 hours only" in " ".join(summary(tried(same, same, {}, {}, hours=3)))
    assert "hours only" not in " ".join(summary(tried(same, same, {}, {}, hours=24)))


def test_a_rule_of_one_policy_is_not_told_as_of_both() -> None:
    found = tried(policy_of(QUEUED), policy_of(HATE), {"distress": 0.9}, {"hate": 0.9})
    told = page(found, 0).decode()
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in told.split("<tr")]
    assert ["distress", "live", "–", "1", "–"] in rows  # noqa: RUF001
    assert ["hate", "–", "live", "–", "1"] in rows  # noqa: RUF001
    assert "with shadow rules" not in told


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A new policy that drops a queue, the old one, and scores."""
    new, old, scores = (tmp_path / name for name in ("new.yaml", "old.yaml", "s.jsonl"))
    gone = {**HATE, "actions": ["queue:gone"]}
    old.write_bytes(written(gone, queues={**QUEUES, "gone": QUEUE}))
    new.write_bytes(written(HATE, queues=QUEUES))
    one = scores_of({"hate": 0.9})
    outcome = Outcome("tri_0", "r", one, decide(one, policy_of(HATE), NOON), "h")
    scores.write_text(json.dumps(as_json(outcome)))
    return new, old, scores


def test_a_queue_that_goes_is_on_the_terminal(
    files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    new, old, scores = files
    assert run(new, old, [scores], None, since="30d", jsonl=False) is Exit.DONE
    told = capsys.readouterr().out
    assert [line.split() for line in told.splitlines() if line.startswith("gone")] == [
        ["gone", "1", "–", "10"]  # noqa: RUF001
    ]


def test_what_is_asked_of_a_queue_is_told_by_the_day_as_what_it_takes(
    files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    new, old, scores = files
    line = json.loads(scores.read_text())
    times = [NOON, NOON, NOON + timedelta(days=2)]
    scores.write_text("\n".join(json.dumps(line | {"at": at.isoformat()}) for at in times))
    run(new, old, [scores], None, since="30d", jsonl=False)
    told = capsys.readouterr().out
    assert ["some", "0.0", "1.5", "10"] in [line.split() for line in told.splitlines()]


def test_json_is_json_on_a_narrow_terminal(
    files: tuple[Path, Path, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    new, old, scores = files
    run(new, old, [scores], None, since="30d", jsonl=True)
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert json.loads(told)["decided"] == 1
