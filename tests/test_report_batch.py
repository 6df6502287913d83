"""A run's page says what was found, in figures and the policy's own words, and names nobody."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from batch_page import Read, bins
from batch_parts import ABOUT, CATEGORIES, EVENTS, NOON, a_part, a_plan, answers, rows_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import triage.archive.entries as entries
import triage.batch.picked as picked
from triage.batch.figures import Found, Pace, found_in, pace_of
from triage.batch.journal import Journal, name
from triage.batch.plan import Picked
from triage.batch.rows import Row, result, results_schema, write_parquet
from triage.policy.decide import FIRST_LOOK, SCREENED
from triage.policy.loading import load_policy
from triage.policy.model import Policy
from triage.report.batch import MOST_HOURS, MOST_RULES, PASSED_OVER, Told, page, summary
from triage.report.page import Note

SHIPPED = Path(__file__).parent.parent / "triage" / "policy" / "default.yaml"
HOSTILE = "<script>alert(1)</script>&\"'</dd>"
PACE = Pace(10.0, Counter(read=1.0, encode=4.0), 0, [(10, 5.0, 100.0), (20, 5.0, 90.0)], Counter())
NO_PACE = Pace(0.0, Counter(), 0, [], Counter())


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy(SHIPPED)


def told(policy: Policy, found: Found, pace: Pace = PACE, **plan: Any) -> Told:
    return Told(a_plan(**plan), policy, found, pace, False)


# Counts -----------------------------------------------------------------------------------------


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take most of a page's time, and are looked at elsewhere."""
    for plot in ("scores", "hours", "stages", "course"):
        monkeypatch.setattr(f"triage.report.batch_plots.{plot}", lambda *_: Note("drawn"))


@pytest.mark.usefixtures("undrawn")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows_of(answers()), max_size=8))
def test_the_page_of_a_run_has_the_counts_of_its_rows(
    policy: Policy, tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("run"))
    (journal.folder / "results").mkdir()
    made = [result(row, ABOUT) for row in rows]
    if rows:
        schema = results_schema(CATEGORIES, EVENTS)
        write_parquet(made, schema, journal.folder / "results" / f"{name(0)}.parquet")
        journal.parts.append(a_part(0, 0, len(rows)))
    found = found_in(journal)
    read = Read(page(told(policy, found, pace_of(journal))))
    tiers = Counter(row.get("tier") for row in made)
    assert {tier: int(count) for tier, count, *_ in read.rows("Tiers")} == {
        tier: tiers[tier] for tier in ("E0", "E1", "E2", "E3", "E4")
    }
    looks = sum(tiers[tier] for tier in ("E2", "E3", "E4"))
    of = "1 recording" if len(rows) == 1 else f"{len(rows)} recordings"
    assert read.points[0] == f"{of}; somebody has to look at {looks} of them."
    errors = Counter(row["error"] for row in made if row["error"])
    shown = read.rows("What couldn't be scored") if errors else []
    assert {code: int(count) for code, count in shown} == errors
    rules = Counter(row["rule"] for row in made if row.get("rule"))
    shown = read.rows("The rules that decided") if rules else []
    assert {row[0]: int(row[1]) for row in shown} == rules
    if found.scores:
        flagged = Counter(one for row in made for one in row.get("categories") or ())
        shown = read.rows("Categories")
        assert {row[0]: int(row[1]) for row in shown} == {one: flagged[one] for one in CATEGORIES}
    told_all = " ".join(read.text)
    assert not any(row.answer.recording in told_all for row in rows)


def test_a_run_of_nothing_has_a_page(policy: Policy) -> None:
    read = Read(page(told(policy, Found(), NO_PACE)))
    assert read.points == ["0 recordings; somebody has to look at 0 of them."]
    assert read.figures == []
    assert "Scores" not in read.headings
    assert "Speed" not in read.headings


def test_a_million_rows_are_told_with_their_thousands(policy: Policy) -> None:
    found = Found(
        rows=1_000_000,
        seconds=5_000_000.0,
        tiers=Counter(E0=898_765, E4=1_235),
        errors=Counter({"too-large": 100_000}),
        scores={"violence": bins(_0=999_000, _49=1_000), "scream": bins(_0=1_000_000)},
    )
    pace = Pace(
        7200.0,
        Counter(encode=7_000.0),
        0,
        [(500_000, 1.0, 1.0), (10**6, 1.0, 1.0)],
        PACE.passed_over,
    )
    html = page(told(policy, found, pace))
    read = Read(html)
    assert read.points[0] == "1,000,000 recordings; somebody has to look at 1,235 of them."
    assert read.points[-1] == "2 h 0 min at 138.9 recordings a second, 694 times real time."
    assert read.rows("Tiers")[0][:3] == ["E4", "1,235", "0.12%"]
    assert read.facts["Sound"] == "1,388 h 53 min"
    assert {"1", "100", "10,000", "1,000,000"} <= set(read.text)  # ticks
    assert "mathdefault" not in html
    assert "e+" not in html


def test_one_row_is_told_as_one(policy: Policy) -> None:
    found = Found(rows=1, tiers=Counter(E2=1), failures=Counter({("text", "OSError"): 1}), twice=1)
    lines = summary(told(policy, found))
    assert lines[0] == "1 recording; somebody has to look at 1 of them."
    assert "A stage failed 1 time; somebody has to look at those recordings." in lines
    assert "1 id is of more than one recording; all were scored." in lines


@pytest.mark.usefixtures("undrawn")
def test_without_sound_nothing_is_said_of_real_time(policy: Policy) -> None:
    found = Found(rows=3, tiers=Counter(E0=3), scores={"violence": bins(_0=3)})
    read = Read(page(told(policy, found)))
    assert not {"Sound", "Times real time"} & set(read.facts)
    assert all(len(row) == 3 for row in read.rows(by_stage(read)))
    assert "real time" not in " ".join(summary(told(policy, found)))


def by_stage(read: Read) -> str:
    (caption,) = [one for one in read.tables if one.startswith("By stage")]
    return caption


@pytest.mark.usefixtures("undrawn")
def test_a_stage_costs_what_it_took_of_what_was_scored_here(policy: Policy) -> None:
    found = Found(rows=10, seconds=100.0)
    read = Read(
        page(told(policy, found, Pace(10.0, Counter(encode=4.0, read=1.0), 8, [], Counter())))
    )
    assert read.rows(by_stage(read)) == [
        ["encode", "4.0", "2,000.00", "25"],
        ["read", "1.0", "500.00", "100"],
    ]
    assert read.facts["Scored before, or twice the same"] == "8"


def test_memory_is_the_most_of_all_parts_and_drawn_if_there_are_several(policy: Policy) -> None:
    found = Found(rows=20)
    two = Read(page(told(policy, found)))
    assert two.facts["Memory at most"] == "100 MB"
    assert any("memory went from 100 to 90 MB" in one for one in two.figures)
    one = Read(page(told(policy, found, Pace(1.0, Counter(), 0, [(20, 1.0, 70.0)], Counter()))))
    assert one.facts["Memory at most"] == "70 MB"
    assert one.figures == []


# Hours --------------------------------------------------------------------------------------------


def test_the_busiest_hours_are_those_with_the_most_to_look_at(policy: Policy) -> None:
    every = Counter({NOON + timedelta(hours=n): 100 - n for n in range(30)})
    looked_at = Counter({NOON + timedelta(hours=29): 2, NOON + timedelta(hours=3): 1})
    found = Found(rows=9_000, timed=8_000, busiest=(every, looked_at))
    read = Read(page(told(policy, found)))
    shown = read.rows("The hours with the most to look at")
    assert len(shown) == MOST_HOURS
    assert shown[:3] == [
        ["2026-05-05 17:00", "71", "2"],
        ["2026-05-04 15:00", "97", "1"],
        ["2026-05-04 12:00", "100", "0"],
    ]
    assert "known of 8,000 of 9,000 recordings" in " ".join(read.text)
    assert any("most to be looked at at 17:00" in one for one in read.figures)


@pytest.mark.usefixtures("undrawn")
def test_where_no_time_is_known_it_is_said_how_it_would_be(policy: Policy) -> None:
    read = Read(page(told(policy, Found(rows=3))))
    assert "recorded_at" in " ".join(read.text)
    assert "The hours with the most to look at" not in read.tables


# Words ------------------------------------------------------------------------------------------


def test_all_that_can_be_passed_over_has_words(policy: Policy) -> None:
    kinds = {
        value
        for module in (entries, picked)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    assert kinds == set(PASSED_OVER)
    pace = Pace(1.0, Counter(), 0, [], Counter(dict.fromkeys(kinds, 1_234)))
    lines = [one for one in summary(told(policy, Found(), pace)) if one.startswith("Passed over")]
    assert len(lines) == len(kinds)
    assert all(line.endswith(" (1,234).") for line in lines)
    assert not any(kind in line for kind in kinds if "-" in kind for line in lines)


def verdict(html: str) -> str:
    (kind,) = re.findall(r'class="verdict (\w+)"', html)
    return str(kind)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("found", "passed_over", "changed", "kind"),
    [
        (Found(), {"hidden": 1, "not-picked": 9}, False, "good"),
        (Found(), {"text-without-audio": 1}, False, "warn"),
        (Found(), {"where-unanswered": 1}, False, "warn"),
        (Found(), {"sidecar-unreadable": 1}, False, "warn"),
        (Found(), {}, True, "warn"),
        (Found(errors=Counter({"too-large": 1})), {}, False, "warn"),
        (Found(failures=Counter({("text", "OSError"): 1})), {}, False, "warn"),
        (Found(twice=1), {}, False, "warn"),
    ],
)
def test_what_may_be_a_mistake_warns(
    policy: Policy, found: Found, passed_over: dict[str, int], changed: bool, kind: str
) -> None:
    pace = Pace(0.0, Counter(), 0, [], Counter(passed_over))
    html = page(Told(a_plan(), policy, found, pace, changed))
    assert verdict(html) == kind
    assert ("source changed" in html) == changed


def test_a_run_that_told_nobody_says_so(policy: Policy) -> None:
    assert "Nobody was told" in summary(told(policy, Found(), escalate=False))[1]
    assert "Nobody" not in " ".join(summary(told(policy, Found())))


@pytest.mark.usefixtures("undrawn")
def test_what_was_only_screened_is_told_with_its_reason(policy: Policy) -> None:
    found = Found(rows=3, screened=2, rules=Counter({SCREENED: 2, "none": 1}))
    screened = told(policy, found, screen="f" * 64)
    assert "2 texts got a first look only" in " ".join(summary(screened))
    (caption,) = [one for one in Read(page(screened)).tables if one.startswith("The rules")]
    assert Read(page(screened)).rows(caption)[0] == [SCREENED, "2", FIRST_LOOK.reason]
    assert "first look" not in " ".join(summary(told(policy, Found(rows=3))))


@pytest.mark.usefixtures("undrawn")
def test_every_rule_has_its_reason_and_the_rest_is_counted(policy: Policy) -> None:
    own = [rule.id for rule in policy.rules]
    names = ["none", *(f"fallback:{one}" for one, _ in policy.fallbacks.each()), *own]
    found = Found(rules=Counter({one: 1_000 - n for n, one in enumerate(names)}))
    read = Read(page(told(policy, found)))
    (caption,) = [one for one in read.tables if one.startswith("The rules that decided")]
    assert caption.endswith(f"the {MOST_RULES} most often of {len(names)}")
    shown = read.rows(caption)
    assert [row[0] for row in shown] == names[:MOST_RULES]
    assert all(len(row) == 3 for row in shown)


@pytest.mark.usefixtures("undrawn")
def test_a_category_that_the_policy_does_not_know_is_counted_too(policy: Policy) -> None:
    found = Found(
        rows=4, categories=Counter(novel=3), scores={"novel": bins(_49=3), "violence": bins(_0=4)}
    )
    read = Read(page(told(policy, found)))
    assert read.rows("Categories") == [["violence", "0", "0.00%"], ["novel", "3", "75.00%"]]


@pytest.mark.usefixtures("undrawn")
def test_what_somebody_wrote_is_text_and_no_condition_is_repeated(policy: Policy) -> None:
    asked = Picked(limit=1_000, sample=0.25, seed=7, where="id == 'alice'")
    plan = {"by": HOSTILE, "reason": HOSTILE, "accepted": (HOSTILE,), "picked": asked}
    errors = Counter({HOSTILE: 1})
    html = page(told(policy, Found(rows=1, errors=errors, rules=errors.copy()), **plan))
    assert "<script" not in html
    read = Read(html)
    assert read.facts["Reason"] == HOSTILE
    assert read.facts["Begun"] == f"2026-05-04 12:00 UTC by {HOSTILE}"
    assert read.facts["Asked for"] == (
        "the first 1,000; a share of 0.25 drawn with seed 7; those of which --where holds, as "
        "run.json has it"
    )
    assert "alice" not in html
    assert "archive.tar" not in html  # a source may be named after somebody
    assert Read(page(told(policy, Found()))).facts["Asked for"] == "all"


def test_a_page_needs_no_other_file(policy: Policy) -> None:
    found = Found(
        rows=9, scores={"violence": bins(_1=9)}, timed=9, busiest=(Counter({NOON: 9}),) * 2
    )
    html = page(told(policy, found))
    assert html.count("<svg") == 4
    used = re.findall(r"(?:src|href)=\"([^\"]*)\"|url\(([^)]*)\)", html)
    assert {one[:1] for pair in used for one in pair if one} == {"#"}
    assert "'none'" in html  # what the page says of itself: nothing may be fetched
