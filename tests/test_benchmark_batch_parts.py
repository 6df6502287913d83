"""That the parts of the bench of archives measure what they say, and nothing twice."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from benchmarks import archives, batch, batch_beside, batch_report, machine
from benchmarks.batch import Bench
from benchmarks.batch_beside import AFTERNOON, BATCH, LOOP, Way, listed
from benchmarks.batch_runs import Kept, Place, Ran

RAN = Ran(1, 0, 0, 0, 5.0, 5.0, 10.0, 8.0, 9.0, 900.0, {"encode": 4.0}, [[1, 8.0, 850.0]])
KEPT = Kept(1, 1, 1, 0, 0, 0, is_whole=True)
SCALE = 0.01


@dataclass
class Given:
    """What a run was given."""

    source: str
    place: str
    rows: int
    flags: tuple[str, ...]
    kills: list[float]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Given]:
    """Runs that score nothing: what each was given."""
    runs: list[Given] = []

    def run(source: Path, place: Place, *flags: str, kills: Sequence[float] = ()) -> Ran:
        rows = len(source.read_text().splitlines())
        runs.append(Given(source.name, place.folder.name, rows, flags, list(kills)))
        place.out.mkdir(parents=True)  # nothing was there
        start = "--limit" in flags
        return replace(RAN, rows=rows, seconds=2.0 + len(runs) if start else 10.0)

    monkeypatch.setattr(batch, "run", run)
    monkeypatch.setattr(batch_beside, "run", run)
    monkeypatch.setattr(batch, "kept", lambda place: KEPT)
    monkeypatch.setattr(batch, "results", lambda folder: pa.table({"place": [folder.parent.name]}))
    monkeypatch.setattr(batch, "unlike", lambda one, other: {})
    monkeypatch.setattr(batch, "written", lambda manifest: [1] * len(listed(manifest)))
    monkeypatch.setattr(batch, "by_loop", lambda *_: Way(20.0, 18.0))
    monkeypatch.setattr(batch, "by_afternoon", lambda *_: Way(60.0, 55.0))
    monkeypatch.setattr(machine, "busy", lambda: 0.0)
    return runs


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench over a little made-up data."""
    data, out = tmp_path / "data", tmp_path / "out"
    for folder in (data / "audio", data / "text", out):
        folder.mkdir(parents=True)
    clips = [{"audio": f"{n}.wav", "seconds": 5.0, "events": {"speech": 1}} for n in range(9)]
    (data / "audio" / "clips.jsonl").write_text("".join(json.dumps(one) + "\n" for one in clips))
    with gzip.open(data / "text" / "labels.jsonl.gz", "wt") as lines:
        sources = ("slurp", "calls")
        rows = ({"text": f"line {n}", "source": sources[n % 2]} for n in range(9))
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return Bench(data, out, SCALE, afternoon=tmp_path / "no python")


# What they measure --------------------------------------------------------------------------


def test_kills_are_spread_over_the_time_of_the_unbroken_run(
    bench: Bench, runs: list[Given]
) -> None:
    bench.measured("killed")
    whole, broken = runs
    assert (whole.rows, whole.flags, whole.kills) == (50, (), [])
    assert (broken.rows, broken.flags, broken.source) == (50, (), whole.source)
    assert len(set(broken.kills)) == batch.KILLS == 10
    assert all(0 <= one <= 9 for one in broken.kills)
    assert max(broken.kills) - min(broken.kills) > 4


def test_the_unbroken_run_is_kept_for_others_and_made_again_if_it_is_gone(
    bench: Bench, runs: list[Given]
) -> None:
    bench.measured("once")
    bench.measured("ray")
    assert [(one.place, one.flags) for one in runs] == [("once", ()), ("ray", ("--engine", "ray"))]
    assert [one.name for one in (bench.out / "runs").iterdir()] == ["once"]
    bench.gone("once")
    bench.measured("killed")
    assert [one.place for one in runs[2:]] == ["once", "killed"]


def test_a_run_that_is_unlike_stays_to_be_looked_at(
    bench: Bench, runs: list[Given], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "unlike", lambda one, other: {"tier": 1})
    bench.measured("ray")
    assert {one.name for one in (bench.out / "runs").iterdir()} == {"once", "ray"}


def test_the_shorter_start_counts_and_each_way_has_its_own(bench: Bench, runs: list[Given]) -> None:
    found = bench.measured("commands")
    one = ("--limit", "1")
    sound = ("--sound-only",)
    assert [run.flags for run in runs] == [(*one,), (*one,), (), one + sound, one + sound, sound]
    assert {run.rows for run in runs} == {10}
    assert [found[name]["start"] for name in ("transcribed", "--sound-only")] == [3.0, 6.0]


def test_texts_are_run_in_every_way(
    bench: Bench, runs: list[Given], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "EXTRA", (("quicker", ("--quicker",)),))
    ways = ["all sources", "all sources, quicker", "commands", "commands, quicker"]
    assert list(bench.measured("texts")) == ways
    assert {run.rows for run in runs} == {100}
    assert runs[-1].flags == ("--quicker",)


def test_memory_is_measured_over_archives_ten_times_as_large(
    bench: Bench, runs: list[Given]
) -> None:
    found = bench.measured("memory")
    assert [run.rows for run in runs[batch.STARTS :]] == [10, 100, 1_000]
    assert [one["rows"] for one in found["sizes"]] == [10, 100, 1_000]


@pytest.mark.parametrize("there", [True, False])
def test_three_ways_take_turns_or_two_where_there_is_no_torch(
    bench: Bench, runs: list[Given], there: bool
) -> None:
    if there:
        bench.afternoon.touch()
    found = bench.measured("beside")
    assert list(found["ways"]) == [BATCH, LOOP, *([AFTERNOON] if there else [])]
    assert [len(rounds) for rounds in found["ways"].values()] == [2] * len(found["ways"])
    assert found["ways"][BATCH][0] == {"whole": 10.0, "working": 10.0 - 3.0}
    assert found["recordings"] == 2


def test_all_parts_together_are_reported_and_leave_no_words(
    bench: Bench, runs: list[Given], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data", str(bench.data), "--out", str(bench.out), "--scale", str(SCALE)]
    batch.main([*given, "--pictures", str(bench.out / "pictures"), "--afternoon", "nowhere"])
    told = capsys.readouterr().out
    for what in ("| the same |", "By stage", "| commands |", "| texts, all", "times each, in turn"):
        assert what in told
    left = {one.name for one in bench.out.iterdir()}
    assert left == {f"{part}.json" for part in batch.PARTS} | {"runs", "pictures"}
    number = len(runs)
    batch.main(given)
    assert len(runs) == number


# What they keep ----------------------------------------------------------------------------


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Parts that measure nothing, in the order in which they are asked for."""
    order: list[str] = []

    def part(name: str, bench: Bench) -> dict[str, Any]:
        if name == "killed":
            bench.measured("once")
        order.append(name)
        return {"number": len(order)}

    names = ("once", "killed", "texts")
    parts = {name: (lambda bench, name=name: part(name, bench)) for name in names}
    monkeypatch.setattr(batch, "PARTS", parts)
    monkeypatch.setattr(machine, "busy", lambda: 0.0)
    monkeypatch.setattr(batch, "is_as_once", lambda once, other: other != {"number": 0})
    monkeypatch.setattr(batch, "report", lambda figures, _: f"report of {', '.join(figures)}")
    return order


def test_what_is_measured_is_measured_once_and_reported(
    tmp_path: Path, order: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    batch.main(["killed", "--out", str(tmp_path)])
    assert order == ["once", "killed"]  # what it needs comes first
    batch.main(["--out", str(tmp_path)])
    assert order == ["once", "killed", "texts"]
    assert capsys.readouterr().out.endswith("report of once, killed, texts\n")
    assert not [*tmp_path.glob("*.tmp")]


def test_anew_measures_again_and_so_does_another_scale(tmp_path: Path, order: list[str]) -> None:
    batch.main(["texts", "--out", str(tmp_path)])
    batch.main(["texts", "--out", str(tmp_path), "--anew"])
    batch.main(["texts", "--out", str(tmp_path), "--scale", "0.5"])
    assert len(order) == 3
    assert json.loads((tmp_path / "texts.json").read_text())["scale"] == 0.5


def test_what_was_compared_with_an_older_run_does_not_count(
    tmp_path: Path, order: list[str]
) -> None:
    batch.main(["killed", "texts", "--out", str(tmp_path)])
    batch.main(["once", "--out", str(tmp_path), "--anew"])
    assert sorted(file.name for file in tmp_path.glob("*.json")) == ["once.json", "texts.json"]


def test_a_run_that_is_unlike_fails_the_bench(
    tmp_path: Path, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.main(["once", "killed", "--out", str(tmp_path)])
    monkeypatch.setattr(batch, "is_as_once", batch_report.is_as_once)
    figures = json.loads((tmp_path / "killed.json").read_text())
    (tmp_path / "killed.json").write_text(json.dumps(figures | {"found": {"unlike": {"tier": 1}}}))
    with pytest.raises(SystemExit, match="killed isn't as the unbroken run"):
        batch.main(["report", "--out", str(tmp_path)])


def test_a_part_that_is_none_is_said(tmp_path: Path, order: list[str]) -> None:
    with pytest.raises(SystemExit):
        batch.main(["everything", "--out", str(tmp_path)])
    assert order == []


def test_words_are_gone_after_a_part_that_fails(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tmp_path, scale=0.001)
    assert (bench.count(5_000), bench.count(10)) == (5, 1)
    told = iter([{"id": "a", "audio": "x.wav"}])

    def fails() -> None:
        with bench.archive("words", lambda _, to, __: archives.write(to, told), 1) as file:
            assert listed(file) == [("a", "x.wav")]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert list(tmp_path.iterdir()) == []
