"""That the bench of archives sees what is unlike, and counts right. No time is asserted."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.batch_beside import AFTERNOON, BATCH, LOOP, Way
from benchmarks.batch_report import REST, is_as_once, report, stage_rows, table
from benchmarks.batch_runs import Ran, fresh, unlike
from triage.batch import rows as written

RAN = Ran(
    rows=100,
    refused=2,
    failed=0,
    known=10,
    sound=500.0,
    fresh=400.0,
    seconds=50.0,
    took=40.0,
    cores=45.0,
    peak=900.0,
    stages={"decode": 4.0, "encode": 20.0, "transcribe": 16.0},
    over_time=[[60, 30.0, 800.0], [100, 10.0, 850.0]],
)
KEPT = {
    "decided": 98,
    "decisions": 98,
    "cases": 7,
    "messages": 3,
    "lost": 0,
    "strange": 0,
    "is_whole": True,
}
ONCE: dict[str, Any] = {"ran": asdict(RAN), "kept": KEPT}
ABOUT = {
    "scale": 1.0,
    "machine": {"cores": 2, "processor": "some processor", "date": "2026-01-01T00:00:00+00:00"},
    "busy": [0.0, 0.01],
}
FOUND: dict[str, Any] = {
    "once": ONCE,
    "killed": ONCE | {"unlike": {}, "ran": asdict(replace(RAN, kills=10, seconds=80.0))},
    "ray": ONCE | {"unlike": {}},
    "commands": {
        "transcribed": {"start": 10.0, "ran": asdict(replace(RAN, sound=1250.0))},
        "--sound-only": {"start": 10.0, "ran": asdict(replace(RAN, sound=7400.0))},
    },
    "texts": {"as it is": {"start": 10.0, "ran": asdict(replace(RAN, rows=20_000))}},
    "memory": {
        "start": 10.0,
        "sizes": [asdict(replace(RAN, rows=10**power)) for power in (3, 4, 5)],
    },
    "beside": {
        "recordings": 200,
        "ways": {
            BATCH: [asdict(Way(20.0, 10.0)), asdict(Way(40.0, 20.0))],
            LOOP: [asdict(Way(60.0, 50.0)), asdict(Way(120.0, 100.0))],
            AFTERNOON: [asdict(Way(100.0, 90.0)), asdict(Way(200.0, 180.0))],
        },
    },
}


def figures(**changed: Any) -> dict[str, Any]:
    return {part: ABOUT | {"found": one} for part, one in (FOUND | changed).items()}


# What is alike ------------------------------------------------------------------------------


CATEGORY = "distress"
SCHEMA = written.results_schema([CATEGORY], ["scream"])


def results(*scores: float | None) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "position": number,
                "recording": f"rec_{number}",
                "content": f"content {number // 2}",
                "model": "m",
                "policy": "p",
                "seconds": 2.5,
                "category_scores": {CATEGORY: score},
                "segments": [{"start": 0.0, "end": 1.0, "category_scores": {CATEGORY: score}}],
            }
            for number, score in enumerate(scores)
        ],
        schema=SCHEMA,
    )


def test_results_are_as_themselves_however_they_are_cut_into_parts() -> None:
    whole = results(0.1, float("nan"), None, 0.4)
    assert unlike(whole, whole) == {}
    assert unlike(whole, pa.concat_tables([whole.slice(0, 3), whole.slice(3)])) == {}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(0, 5), st.floats(1e-12, 0.5))
def test_a_row_that_differs_is_counted_in_its_columns(
    scores: list[float], place: int, by: float
) -> None:
    place %= len(scores)
    other = [*scores]
    other[place] = scores[place] + by
    if other[place] == scores[place]:
        return
    assert unlike(results(*scores), results(*other)) == {"category_scores": 1, "segments": 1}


def test_rows_in_another_order_are_unlike() -> None:
    one = results(0.1, 0.2, 0.3)
    assert unlike(one, one.take([0, 2, 1]))["position"] == 2


def test_a_row_too_few_is_unlike_and_so_is_another_schema() -> None:
    one = results(0.1, 0.2)
    assert unlike(one, one.slice(0, 1)) == {"rows": 1}
    assert unlike(one, one.drop_columns(["tier"])) == {"schema": 2}
    assert unlike(one, one.replace_schema_metadata({})) == {"schema": 2}


def test_sound_that_comes_twice_is_fresh_once_and_what_was_refused_never() -> None:
    one = results(0.1, 0.2, 0.3)
    assert fresh(one) == 5.0
    refused = pa.array([None] * 3, pa.string())
    assert fresh(one.set_column(one.column_names.index("content"), "content", refused)) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"unlike": {"tier": 1}},
        {"kept": KEPT | {"decisions": 97}},
        {"kept": KEPT | {"decided": 97}},
        {"kept": KEPT | {"cases": 8}},
        {"kept": KEPT | {"messages": 4}},
        {"kept": KEPT | {"lost": 1}},
        {"kept": KEPT | {"strange": 1}},
        {"kept": KEPT | {"is_whole": False}},
        {"ran": asdict(replace(RAN, outlived=1))},
    ],
)
def test_a_run_that_differs_in_anything_is_not_as_the_unbroken_one(change: dict[str, Any]) -> None:
    same = ONCE | {"unlike": {}}
    assert is_as_once(ONCE, same)
    assert not is_as_once(ONCE, same | change)


@pytest.mark.parametrize("wrong", [{"is_whole": False}, {"lost": 1}, {"strange": 1}])
def test_nothing_is_as_an_unbroken_run_that_is_wrong_itself(wrong: dict[str, Any]) -> None:
    damaged = ONCE | {"kept": KEPT | wrong}
    assert not is_as_once(damaged, damaged | {"unlike": {}})


# Figures ------------------------------------------------------------------------------------


def test_rates_are_over_the_whole_command() -> None:
    assert (RAN.times, RAN.rate, RAN.after(10.0)) == (10.0, 2.0, 40.0)
    assert RAN.after(60.0) > 0
    assert Ran.of(json.loads(json.dumps(asdict(RAN)))) == RAN


def test_stages_are_told_by_what_they_cost_with_what_is_left_over() -> None:
    found = stage_rows(RAN)
    assert [one["stage"] for one in found] == ["encode", "transcribe", "decode", REST]
    assert found[0] == {"stage": "encode", "seconds": 20, "share": 20 / 45, "ms": 200, "times": 20}
    assert found[-1]["seconds"] == 5
    assert sum(one["share"] for one in found) == pytest.approx(1)


@pytest.mark.parametrize("ran", [replace(RAN, cores=30.0), replace(RAN, kills=1)])
def test_what_is_left_over_is_not_told_where_it_is_not_known(ran: Ran) -> None:
    assert REST not in [one["stage"] for one in stage_rows(ran)]


def test_the_report_has_every_table_with_its_aim() -> None:
    told = report(figures(), None)
    assert "2 cores of some processor, 2026-01-01." in told
    assert "**" not in told
    assert "| the same |  | yes | yes |" in told
    assert "10 kills cost 30 s, 3.0 s each, +60 % of the unbroken run." in told
    assert "| transcribed | 100 | 1,250 | 50.0 | 25.0 | 31.2 | 25 | met |" in told
    assert "| --sound-only | 100 | 7,400 | 50.0 | 148.0 | 185.0 | 150 | missed |" in told
    assert "| as it is | 20,000 | 50.0 | 400 | 500 | 400 | met |" in told
    assert "| 1,000 | 50.0 | 40.00 | 825 | 900 |" in told
    assert "cost 0.10 times what a thousand of 10,000 do, and take 1.00 times the memory." in told
    assert f"| {BATCH} | 30.0 |  | 15.0 |  |  |  |" in told
    assert f"| {LOOP} | 90.0 | 3.0 (3.0 to 3.0) | 75.0 | 5.0 (5.0 to 5.0) | 2 | met |" in told
    assert f"| {AFTERNOON} | 150.0 | 5.0 (5.0 to 5.0) | 135.0 |" in told


@pytest.mark.parametrize("part", sorted(FOUND))
def test_a_part_is_reported_by_itself(part: str) -> None:
    assert report({part: ABOUT | {"found": FOUND[part]}}, None)


def test_the_report_warns_of_small_runs_busy_machines_and_unlike_rows() -> None:
    told = report(
        figures(ray=ONCE | {"unlike": {"tier": 3}})
        | {"texts": ABOUT | {"scale": 0.02, "busy": [0.0, 0.5], "found": FOUND["texts"]}},
        None,
    )
    assert "worth nothing: texts.**" in told
    assert "rates are too low: texts 50 %.**" in told
    assert "| rows unlike those of the whole run | 0 | 0 | 3 |" in told
    assert "| the same |  | yes | **no** |" in told


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["c", "1"]]) == "| a | b |\n| --- | ---: |\n| c | 1 |"


def test_plots_are_drawn_and_named(tmp_path: Path) -> None:
    told = report(figures(), tmp_path / "pictures")
    for name in ("batch-memory.png", "batch-stages.png"):
        assert (tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG")
        assert f"(pictures/{name})" in told
