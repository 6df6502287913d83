"""The command line: what it prints, in which order, with which code, and what it never says."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from casework import plain_book
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from triage.__main__ import main
from triage.cli import demo, score, tables
from triage.cli.app import app
from triage.cli.evaluate import chosen
from triage.cli.exits import Exit
from triage.cli.score import LARGEST_GROUP, next_size
from triage.errors import AuditFailed, NothingToScore, SetupError
from triage.labels.rows import Labelled
from triage.manifest import FORMAT, EncoderNote, Manifest, SourceNote
from triage.pipeline import Triage
from triage.policy.decide import decide
from triage.policy.loading import load_policy
from triage.process import Processor
from triage.records import Decision, Event, Evidence, Recording, Scores, Span, Transcript
from triage.safeguards.audit import AuditLog, verify
from triage.safeguards.pseudonym import Pseudonymiser
from triage.settings import Settings, settings
from triage.weights import sha256

SECRET = "not to be repeated"


class Listener:
    """Stands in for the models. "bad" can't be scored, "broken" breaks, "cry" is heard crying."""

    artefact = SimpleNamespace(manifest=SimpleNamespace(name="listener-1"), folder=Settings().model)

    def __init__(self) -> None:
        self.policy = load_policy(Settings().policy)

    def score(self, recording: Recording) -> Scores:
        said = recording.transcript or ""
        if "bad" in said:
            raise NothingToScore("There is nothing in it.")
        if "broken" in said:
            raise RuntimeError(SECRET)
        crying = 0.9 if "cry" in said else 0.01
        heard = (Event("cry", 3.2, 5.1, crying),) if crying > 0.5 else ()
        evidence = [Evidence("distress", "audio", "cry", 2.3 * crying, Span(3.2, 5.1))]
        return Scores(
            model="listener-1",
            categories={"distress": crying, "hate": 0.02},
            applied={"distress": ("audio",), "hate": ()},
            seconds=None if recording.audio is None else 62.0,
            event_scores={"cry": crying},
            events=heard,
            evidence=tuple(evidence),
            transcript=Transcript(said),
        )

    def decide(self, scores: Scores, now: Any) -> Decision:
        return decide(scores, self.policy, now)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of its own, a wide terminal, and the stand-in where the models would be."""
    folder = tmp_path / "state"
    monkeypatch.setenv("TRIAGE_STATE", str(folder))
    monkeypatch.setenv("COLUMNS", "120")
    settings.cache_clear()

    def load(own: Settings) -> Processor:
        log, triage = AuditLog(own.state / "audit.jsonl"), Listener()
        book = plain_book(own, triage.policy, log)
        return Processor(triage, Pseudonymiser(b"k" * 32), log, book, workers=2)  # type: ignore[arg-type]

    monkeypatch.setattr(Processor, "load", load)
    monkeypatch.setattr(Triage, "load", lambda _: Listener())
    yield folder
    settings.cache_clear()


def run(*arguments: str | Path, stdin: str = "") -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def said(*lines: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and JSON of scoring lines of text."""
    code, out, _ = run("score", "--jsonl", "--text", "-", stdin="\n".join(lines))
    return code, [json.loads(line) for line in out.splitlines()]


# Starting -----------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    heavy = {"numpy", "bentoml", "av", "librosa", "onnxruntime", "sklearn", "torch", "pydantic"}
    script = f"import sys, triage.__main__; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    "command",
    [
        *("", "score", "serve", "demo", "train", "evaluate", "model", "model show", "audit verify"),
        *("compare", "promote", "rollback", "suggest", "monitor", "labels", "labels check"),
        *("labels import", "labels export", "labels quality"),
    ],
)
def test_every_command_has_help(command: str) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert "Usage" in out


# triage score -------------------------------------------------------------------------------


def test_lines_come_out_in_order_and_in_the_shape_of_the_api(state: Path) -> None:
    lines = [f"line {n}" for n in range(7)]
    code, answers = said(*lines)
    assert code == Exit.DONE
    assert [one["recording"] for one in answers] == [f"stdin:{n}" for n in range(1, 8)]
    assert set(answers[0]["results"][0]["category_scores"]) == {"distress", "hate"}
    assert verify(state / "audit.jsonl").entries == 7


def test_one_bad_recording_is_an_error_row_and_the_rest_are_scored(tmp_path: Path) -> None:
    rows = ['{"id": "a", "text": "hello"}', "{", '{"id": "c", "text": "bad"}', '{"id": "d"}']
    rows.append('{"id": "e", "text": "hello"}')
    (tmp_path / "m.jsonl").write_text("\n".join(rows))
    code, out, err = run("score", "--jsonl", tmp_path / "m.jsonl")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == Exit.INCOMPLETE
    assert [one["recording"] for one in answers] == ["a", f"{tmp_path}/m.jsonl:2", "c", "d", "e"]
    assert [one.get("error", {}).get("status") for one in answers] == [None, 400, 400, 400, None]
    assert err == ""


def test_stage_that_failed_is_a_decision_for_a_person_and_an_exit_code(state: Path) -> None:
    code, (first, second) = said("hello", "broken")
    assert code == Exit.INCOMPLETE
    assert "failures" not in first["results"][0]
    assert second["results"][0]["decision"]["tier"] >= "E2"
    assert SECRET not in json.dumps(second) + (state / "audit.jsonl").read_text()


def test_who_only_decides_raises_no_case() -> None:
    asked = ("score", "--jsonl", "--text", "-")
    for extra, cases in ((["--decide-only"], 0), ([], 1)):
        decision = json.loads(run(*asked, *extra, stdin="cry")[1])["results"][0]["decision"]
        assert decision["tier"] >= "E2"
        assert bool(decision["case"]) == bool(cases)
        assert len(run("cases", "list", "--jsonl")[1].splitlines()) == cases


def test_words_are_printed_only_when_asked_for() -> None:
    for extra in ([], ["--jsonl"]):
        without = run("score", "--text", "-", *extra, stdin="my own words")[1]
        asked = run("score", "--text", "-", "--transcript", *extra, stdin="my own words")[1]
        assert "my own words" not in without
        assert "my own words" in asked


def test_what_is_not_ascii_survives(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": "Zoë", "text": "cry"}', encoding="utf-8")
    _, out, _ = run("score", "--jsonl", tmp_path / "m.jsonl")
    assert '"recording": "Zoë"' in out
    assert "cry 3.2–5.1 s" in out  # noqa: RUF001


def test_table_shows_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(
        '{"id": "one", "audio": "x.wav", "text": "cry"}\n{"id": "two", "text": "bad"}\n'
    )
    code, out, _ = run("score", tmp_path / "m.jsonl")
    row = next(line for line in out.splitlines() if line.startswith("one"))
    for cell in ("1:02", "distress", "0.90", "cry 3.2–5.1", "E"):  # noqa: RUF001
        assert cell in row
    assert "nothing to score" in next(line for line in out.splitlines() if line.startswith("two"))
    assert "1 not scored (nothing-to-score): There is nothing in it." in out
    assert "Cases for people: 1;" in out
    assert code == Exit.INCOMPLETE


def test_no_line_is_printed_before_its_audit_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> list[str]:
        raise AuditFailed("The disk is full.")

    monkeypatch.setattr(AuditLog, "append_many", fail)
    done = CliRunner().invoke(app, ["score", "--jsonl", "--text", "-"], input="hello")
    assert isinstance(done.exception, AuditFailed)
    assert done.stdout == ""


def test_a_group_holds_only_so_much_audio_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "GROUP_BYTES", 100)
    remaining = iter([Recording(str(n), b"1" * 40) for n in range(7)])
    assert [len(score._group(remaining, 8)) for _ in range(4)] == [3, 3, 1, 0]
    paths = iter([Recording(str(n), Path("a.wav")) for n in range(7)])
    assert len(score._group(paths, 5)) == 5


@given(seconds=st.floats(0, 1e4), size=st.integers(1, LARGEST_GROUP), least=st.integers(1, 8))
def test_groups_stay_within_bounds_and_at_most_double(
    seconds: float, size: int, least: int
) -> None:
    found = next_size(size, seconds, least)
    assert least <= found <= max(least, min(LARGEST_GROUP, 2 * size))


def test_groups_grow_for_what_is_quick_and_shrink_for_what_is_slow() -> None:
    assert next_size(4, 0.01, 2) == 8
    assert next_size(64, 16.0, 2) == 8


# Exit codes ---------------------------------------------------------------------------------


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["triage", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code


def test_what_is_wrong_with_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, "score") == Exit.USAGE
    assert ended(monkeypatch, "score", "--no-such-option") == Exit.USAGE
    assert ended(monkeypatch, "score", str(tmp_path / SECRET)) == Exit.USAGE
    assert ended(monkeypatch, "score", str(tmp_path)) == Exit.USAGE  # no audio in it
    assert SECRET not in capsys.readouterr().err


def test_what_has_to_be_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIAGE_MAX_BYTES", "many")
    assert ended(monkeypatch, "model", "show") == Exit.SETUP
    assert "TRIAGE_MAX_BYTES" in capsys.readouterr().err


def test_error_nobody_expected_shows_where_but_not_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(_: Settings) -> Processor:
        raise ValueError(SECRET)

    monkeypatch.setattr(Processor, "load", load)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hello")))
    assert ended(monkeypatch, "score", "--text", "-") == Exit.SETUP
    told = capsys.readouterr().err
    assert "ValueError" in told
    assert "in load" in told
    assert SECRET not in told


def test_audit_verify(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said("one", "two")
    assert ended(monkeypatch, "audit", "verify") == Exit.DONE
    assert "2 entries" in capsys.readouterr().out
    log = state / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"seq":1', b'"seq":7'))
    assert ended(monkeypatch, "audit", "verify", str(log)) == Exit.AUDIT
    assert ended(monkeypatch, "audit", "verify", str(log) + "x") == Exit.SETUP


# triage evaluate ----------------------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    rows = [
        {"id": f"{SECRET} {n}", "text": f"{'cry' if n % 3 else 'hush'} {SECRET}", "split": split,
         "labels": {"distress": int(n % 3 > 0)}}
        for n, split in enumerate(["val"] * 9 + ["train"] * 3)
    ]  # fmt: skip
    file = tmp_path / "labels.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def test_evaluate_prints_figures_and_no_row(labelled: Path, tmp_path: Path) -> None:
    code, out, err = run("evaluate", labelled, "--repeats", "20", "--json", tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    assert code == Exit.DONE
    assert "listener-1: 9 of 9 rows scored" in out
    assert found["categories"][0]["name"] == "distress"
    assert found["categories"][0]["auroc"]["value"] == 1.0
    assert SECRET not in out + err + (tmp_path / "out.json").read_text()


def test_evaluate_writes_json_to_standard_output(labelled: Path) -> None:
    _, out, _ = run("evaluate", labelled, "--split", "all", "--repeats", "5", "--json", "-")
    assert json.loads(out)["rows"] == 12


def test_evaluate_counts_rows_that_fail(tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "text": "bad" if n else "cry", "labels": {"distress": 1}} for n in (0, 1)
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, out, _ = run("evaluate", tmp_path / "m.jsonl", "--repeats", "5")
    assert code == Exit.INCOMPLETE
    assert "1 not scored: nothing-to-score" in out


def test_limit_draws_from_all_of_the_split() -> None:
    rows = [
        Labelled(str(n), "s", "l", "g", "val" if n % 2 else "train", {}, {}, text="x")
        for n in range(200)
    ]
    assert [row.id for row in chosen(rows, "train", 0)] == [str(n) for n in range(0, 200, 2)]
    drawn = chosen(rows, "val", 20)
    assert drawn == chosen(rows, "val", 20)
    assert len({row.id for row in drawn}) == 20
    assert max(int(row.id) for row in drawn) > 100


# triage model show --------------------------------------------------------------------------


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "heads.safetensors").write_bytes(b"heads")
    figure = {"value": 0.612, "low": 0.55, "high": 0.67}
    manifest = Manifest(
        format=FORMAT,
        name="triage-test-1",
        created="2026-01-01T00:00:00+00:00",
        code="0.1.0",
        files={"heads.safetensors": sha256(folder / "heads.safetensors")},
        encoders={
            kind: EncoderNote(name="tiny", width=12, licence="MIT", files={})
            for kind in ("speech", "text")
        },
        categories=("distress",),
        events=("scream",),
        event_thresholds={"scream": 0.5},
        strengths={},
        lineage=(SourceNote(kind="text", source="some[set]", licence="CC0", train=1200, val=34),),
        training={"seed": 0},
        metrics={
            "text, val": [
                {"name": "distress", "positives": 3, "negatives": 4, "auprc": figure,
                 "auroc": figure, "recall_at_1pct_fpr": None, "ece": figure}
            ]
        },
    )  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return folder


def test_model_show_tells_what_it_is_and_where_from(small_model: Path) -> None:
    code, out, _ = run("model", "show", small_model)
    assert code == Exit.DONE
    for part in (
        "triage-test-1",
        "as pinned",
        "some[set]",
        "1,200",
        "0.612 0.55–0.67",  # noqa: RUF001
        "Text, val",
    ):
        assert part in out


@pytest.mark.parametrize(
    ("change", "state_of_it"),
    [(lambda file: file.write_bytes(b"x"), "changed"), (lambda file: file.unlink(), "missing")],
)
def test_model_show_tells_of_changed_files(
    small_model: Path, change: Callable[[Path], object], state_of_it: str
) -> None:
    change(small_model / "heads.safetensors")
    code, out, _ = run("model", "show", small_model)
    assert code == Exit.SETUP
    assert state_of_it in out


def test_model_show_as_json_is_the_manifest(small_model: Path) -> None:
    out = run("model", "show", small_model, "--json")[1]
    assert Manifest.model_validate_json(out).name == "triage-test-1"


# Tables -------------------------------------------------------------------------------------


def answer(recording: str) -> dict[str, Any]:
    top = "medical_emergency"
    result: dict[str, Any] = {
        "seconds": 3.0,
        "categories": {top: True},
        "category_scores": {top: 0.91, "hate": 0.1},
        "explanation": [
            {"evidence": "cry 1.0–2.0 s", "category": "hate", "contribution": 3.0},  # noqa: RUF001
            {"evidence": "music 1.0–2.0 s", "category": top, "contribution": 0.01},  # noqa: RUF001
            {"evidence": "words 3719.8–3721.9 s", "category": top, "contribution": 2.4},  # noqa: RUF001
            {"evidence": "siren 0.0–2.0 s", "category": top, "contribution": 0.2},  # noqa: RUF001
        ],
        "flags": {},
        "decision": {"severity": 6, "tier": "E4", "actions": ["page:on-call", "queue:medical"]},
    }
    return {"recording": recording, "results": [result]}


def printed(width: int, *answers: Mapping[str, Any]) -> str:
    console = Console(width=width, file=io.StringIO(), markup=False)
    results = tables.Results(console)
    for one in answers:
        results.add(one)
    results.print()
    out = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(out, str)
    return out


@pytest.mark.parametrize("width", [80, 100, 160])
def test_table_fits_and_cuts_only_ids(width: int) -> None:
    out = printed(width, answer("short"), answer("archive/" * 30 + "clip-7.wav"))
    assert max(map(len, out.splitlines())) <= width
    for part in ("medical_emergency", "0.91", "3719.8–3721.9", "siren 0.0–2.0", "on-call"):  # noqa: RUF001
        assert out.count(part) == 2
    assert "short" in out
    assert "clip-7.wav" in out
    assert out.count("…") == 1


def test_only_evidence_for_the_shown_category_that_counts_is_shown() -> None:
    out = printed(160, answer("x"))
    assert "siren" in out
    assert "cry" not in out
    assert "music" not in out


def test_callers_text_is_never_obeyed() -> None:
    out = printed(100, answer("[red]a\x1b[2J\u202e\nb"))
    assert "[red]a" in out
    assert not {"\x1b", "\u202e"} & set(out)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, "text"), (0.04, "0.0 s"), (59.94, "59.9 s"), (59.97, "1:00"), (3605, "1:00:05")],
)
def test_lengths(seconds: float | None, told: str) -> None:
    assert tables.length(seconds) == told


# triage demo --------------------------------------------------------------------------------


def test_service_that_does_not_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo.sys, "executable", "/bin/false")
    with pytest.raises(SetupError, match="ended with 1"), demo.service(tmp_path, Console()):
        pass


def runs(pid: str) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


def test_service_is_ended_even_if_it_will_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = tmp_path / "stubborn"
    stubborn.write_text("#!/bin/sh\ntrap '' TERM\nsleep 60 & echo $! $$ > pids\nwait; wait\n")
    stubborn.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo.sys, "executable", str(stubborn))
    monkeypatch.setattr(demo, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(demo, "START_SECONDS", 0.5)
    with pytest.raises(SetupError, match="isn't ready"), demo.service(tmp_path, Console()):
        pass
    until = monotonic() + 5
    while running := [pid for pid in (tmp_path / "pids").read_text().split() if runs(pid)]:
        assert monotonic() < until, running
        sleep(0.01)


def test_samples_are_posted_as_forms_or_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bytes]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append((request.headers["content-type"].partition(";")[0], request.read()))
        return httpx.Response(200 if len(seen) == 1 else 415, json={"n": len(seen)})

    real = httpx.Client
    monkeypatch.setattr(
        httpx, "Client", lambda **kw: real(transport=httpx.MockTransport(respond), **kw)
    )
    (tmp_path / "x.wav").write_bytes(b"RIFF sound")
    samples = [Recording("a", tmp_path / "x.wav", "hello"), Recording("b", transcript="words")]
    answers = demo.post(samples, "http://here", Console(file=io.StringIO()))
    assert [kind for kind, _ in seen] == ["multipart/form-data", "application/json"]
    assert all(part in seen[0][1] for part in (b'name="audio"', b"RIFF sound", b"hello"))
    assert json.loads(seen[1][1]) == {"id": "b", "transcript": "words"}
    assert answers == [{"n": 1}, {"recording": "b", "error": {"n": 2}}]


# The real models ----------------------------------------------------------------------------


@pytest.mark.models
def test_the_samples_are_scored_for_real(tmp_path: Path) -> None:
    samples = Path(__file__).parent.parent / "data" / "samples" / "manifest.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "triage", "score", "--jsonl", samples],
        capture_output=True,
        text=True,
        env=os.environ | {"TRIAGE_STATE": str(tmp_path)},
    )
    assert done.returncode == Exit.DONE, done.stderr
    wanted = [json.loads(line)["id"] for line in samples.read_text().splitlines()]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["recording"] for one in answers] == wanted
    assert verify(tmp_path / "audit.jsonl").entries == len(wanted)


@pytest.mark.models
@pytest.mark.service
def test_the_demo_runs_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "triage", "demo"],
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    assert "Service stopped" in done.stdout
    assert list(tmp_path.iterdir()) == []
