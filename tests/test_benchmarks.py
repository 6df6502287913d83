"""That the bench runs, on inputs so small that its figures mean nothing. No time is asserted."""

from __future__ import annotations

import ast
import json
import os
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import machine, measure, report, timing
from benchmarks.measure import AFTERNOON, MANY, OURS, STAGES, Plan, Serving, Timed
from benchmarks.ours import Ours
from benchmarks.protocol import Worker
from benchmarks.recordings import SPEECH, utterances, write
from benchmarks.report import Figures
from benchmarks.service import LIST, Served
from triage.settings import Settings
from triage.text import TextEncoder, spoken_words

BENCHMARKS = Path(command.__file__).parent
TINY = Plan({1: 1}, many_rounds=1, texts=3, starts=1, requests=2, clients=(1, 2), pause=0)
ECHO = """
import os
from benchmarks.protocol import work

def load(threads):
    print("what a library has to say")
    def ended():
        os._exit(7)
    return {
        "twice": lambda number: lambda: 2 * number,
        "cores": lambda: lambda: [threads, sorted(os.sched_getaffinity(0))],
        "end": lambda: ended,
    }

work(load)
"""


def quiet(_: str) -> None:
    """Told what is being done, says nothing."""


# Timing -------------------------------------------------------------------------------------


def test_things_take_turns_and_the_first_round_is_not_counted() -> None:
    order: list[str] = []

    def run(name: str) -> float:
        order.append(name)
        return float(len(order))

    taken = timing.in_turn({"a": lambda: run("a"), "b": lambda: run("b")}, 2, pause=0)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert taken == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_ratios_are_of_each_round() -> None:
    assert timing.ratios([4.0, 9.0, 1.0], [2.0, 3.0, 1.0]) == timing.Spread(2.0, 1.0, 3.0)


@given(st.lists(st.floats(0, 1e3), min_size=1), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_a_percentile_is_the_least_that_so_many_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = timing.percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < max(share * len(values), 1)


# Workers ------------------------------------------------------------------------------------


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    (tmp_path / "echo_worker.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    with Worker(sys.executable, "echo_worker", machine.cores()[:1]) as worker:
        yield worker


def test_a_worker_answers_whatever_its_libraries_print(echo: Worker) -> None:
    for number in range(3):
        answer = echo.ask("twice", number=number)
        assert answer["result"] == 2 * number
        assert answer["seconds"] > 0
    assert echo.time("twice", number=1) > 0


def test_a_worker_has_the_cores_that_it_was_given(echo: Worker) -> None:
    assert echo.ask("cores")["result"] == [1, machine.cores()[:1]]


def test_a_worker_that_ends_is_an_error(echo: Worker) -> None:
    with pytest.raises(RuntimeError, match="ended with 7 during end"):
        echo.ask("end")


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name.partition(".")[0] not in sys.stdlib_module_names}


def test_the_afternoon_shares_the_protocol_only() -> None:
    assert imported(BENCHMARKS / "protocol.py") == set()
    assert imported(BENCHMARKS / "afternoon.py") == {
        "av", "benchmarks.protocol", "numpy", "torch", "transformers",
    }  # fmt: skip
    pinned = {line.partition("==")[0] for line in (BENCHMARKS / "constraints.txt").open()}
    assert pinned >= {"av", "numpy", "torch", "transformers"}


def test_the_afternoon_runs(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the afternoon's pipeline has an environment of its own")
    pytest.importorskip("transformers")
    from benchmarks.afternoon import BERT, WHISPER, Afternoon

    heads = dict.fromkeys((name for name in WHISPER if "heads" in name), 2)
    small = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1}
    narrow = {"hidden_size": 12, "num_hidden_layers": 1, "intermediate_size": 16}
    tasks = Afternoon(1, {**WHISPER, **heads, **small}, {**BERT, **narrow}).tasks()
    file = str(write(tmp_path, 31))
    assert tasks["whole"](file, tokens=8)() == 8  # in two stretches
    assert tasks["many"](file, tokens=8, count=2)() == 16
    assert tasks["texts"]([16] * 33)() == 33


# What is measured ----------------------------------------------------------------------------


def test_a_recording_is_as_long_as_it_is_to_be(tmp_path: Path) -> None:
    for seconds in (0.5, 70):
        with wave.open(str(write(tmp_path, seconds))) as file:
            assert file.getparams()[:4] == (1, 2, 16_000, seconds * 16_000)


def test_what_is_spoken_are_samples_that_ship(samples: Path) -> None:
    shipped = {json.loads(line).get("audio") for line in (samples / "manifest.jsonl").open()}
    assert set(SPEECH) <= shipped


@pytest.mark.models
def test_utterances_have_sixteen_tokens(text_encoder: TextEncoder) -> None:
    texts = utterances(50)
    assert len(set(texts)) == 50
    windows = text_encoder.windows([spoken_words(text) for text in texts])
    assert {len(window.words) for one in windows for window in one} == {measure.UTTERANCE}
    assert {len(one) for one in windows} == {1}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Ours:
    return Ours(Settings(threads=1), tmp_path_factory.mktemp("state"))


@pytest.mark.models
@pytest.mark.parametrize("task", [*STAGES, "whole", "tokens"])
def test_each_task_of_ours_runs(ours: Ours, tmp_path: Path, task: str) -> None:
    job = ours.tasks()[task](str(write(tmp_path, 3)))
    assert json.dumps(job()) == json.dumps(job())  # timed many times, each the same work


@pytest.mark.models
def test_many_recordings_are_each_scored(ours: Ours, tmp_path: Path) -> None:
    assert ours.tasks()["many"](str(write(tmp_path, 1)), 3)() == 3


@pytest.mark.models
def test_what_could_not_be_scored_is_not_timed(ours: Ours) -> None:
    assert ours.tasks()["texts"](utterances(2))() == 2
    with pytest.raises(RuntimeError, match="1 of 2"):
        ours.tasks()["texts"](["hello", ""])()


@pytest.mark.models
@pytest.mark.service
@pytest.mark.slow
def test_all_is_measured_of_ours_without_the_afternoon(tmp_path: Path) -> None:
    figures = command.measure(TINY, tmp_path / "no-such-python", quiet)
    told = {(one.pipeline, one.task, one.amount, one.cores) for one in figures.timed}
    many = len(machine.cores())
    assert told >= {(OURS, task, 1, many) for task in (*STAGES, "whole")}
    assert told >= {(OURS, "events", 1, 1), (OURS, "texts", 3, many), (OURS, "many", MANY, many)}
    assert all(second > 0 for one in figures.timed for second in one.seconds)
    asked = {(one.request, one.clients) for one in figures.serving.served}
    assert asked >= {
        ("/score, 1 s", 2),
        ("/score_text, 1 text", 2),
        (f"/score_text, {LIST} texts", 1),
    }
    assert 0 < figures.serving.megabytes <= figures.serving.most_megabytes


# What is told --------------------------------------------------------------------------------


def figures(*, afternoon: bool, busy: float = 0.0) -> Figures:
    timed = [
        Timed(OURS, "events", 30, 1, [0.3, 0.2, 0.4]),
        Timed(OURS, "encode", 30, 2, [0.1]),
        Timed(OURS, "whole", 5, 2, [0.2, 0.3, 0.1]),
        Timed(OURS, "many", 80, 2, [1.0]),
        Timed(OURS, "texts", 100, 2, [0.5]),
    ]
    if afternoon:
        timed += [
            Timed(AFTERNOON, "whole", 5, 2, [2.0, 0.9, 0.4]),
            Timed(AFTERNOON, "many", 80, 2, [7.0]),
            Timed(AFTERNOON, "texts", 100, 2, [5.0]),
        ]
    served = [Served("/score, 5 s", 1, 100, 0.2, 0.3, 5.0)]
    return Figures({"cores": 2}, (0.0, busy), timed, Serving([6.0, 4.0, 4.5], 300, 950.0, served))


def test_aims_are_held_against_medians() -> None:
    found = {aim.name: (aim.got, aim.met) for aim in report.aims(figures(afternoon=True))}
    assert found == {
        "sounds alone on one core, times real time": (100, True),
        "whole path on the shortest, times real time": (25, True),
        "texts of 16 tokens a second": (200, False),
        "service ready, s": (4.5, True),
        "service's memory at its most, MB": (950, False),
        "times the afternoon's pipeline": (4, False),
    }
    assert len(report.aims(figures(afternoon=False))) == len(found) - 1


@pytest.mark.parametrize("afternoon", [True, False])
def test_tables_hold_what_was_measured(afternoon: bool, capsys: pytest.CaptureFixture[str]) -> None:
    report.show(figures(afternoon=afternoon), Console(width=120))
    told = capsys.readouterr().out
    for cell in (
        "100 (75 to 150)",
        "0.2 (0.1 to 0.3)",
        "200.0",
        "4.5 (4 to 6)",
        "16 times 5 s at once",
    ):
        assert cell in told
    assert ("4 (3 to 10)" in told) is afternoon


def run(
    monkeypatch: pytest.MonkeyPatch, figures: Figures, arguments: list[str]
) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def measured(*given: Any) -> Figures:
        asked.append(given)
        return figures

    monkeypatch.setattr(command, "measure", measured)
    command.main(arguments)
    return asked


def test_figures_are_kept_with_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    ((plan, python, _),) = run(
        monkeypatch, figures(afternoon=True), ["--json", str(file), "--afternoon", sys.executable]
    )
    assert (plan, python) == (Plan(), Path(sys.executable))
    kept = json.loads(file.read_text())
    assert kept["timed"][0]["seconds"] == [0.3, 0.2, 0.4]
    assert kept["serving"]["served"][0]["p95"] == 0.3
    told = capsys.readouterr().out
    assert "left out" not in told
    assert "Others took" not in told


def test_it_says_what_is_missing_and_what_spoils_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    arguments = ["--quick", "--json", str(file), "--afternoon", str(tmp_path / "none")]
    ((plan, *_),) = run(monkeypatch, figures(afternoon=False, busy=0.5), arguments)
    assert plan == measure.QUICK
    assert not file.exists()
    told = " ".join(capsys.readouterr().out.split())
    assert "Others took 50 % of the cores" in told
    assert "`make bench` installs what it needs" in told


def test_the_machine_is_described() -> None:
    told = machine.described()
    assert told["cores"] == len(machine.cores())
    assert set(told["versions"]) == set(machine.MEASURED)
    assert 0 <= machine.busy(0.1) <= 1
