"""`triage compare`: the same rows for both, what is printed, what is kept, what is never told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from test_compare import Model, Score, bad, good, rows
from typer.testing import CliRunner

from triage.cli import compare as command
from triage.cli.app import app
from triage.cli.exits import Exit
from triage.errors import TriageError
from triage.labels.rows import row_digest
from triage.labels.write import write_rows
from triage.measure import latency
from triage.measure.comparison import Comparison, stored
from triage.pipeline import Triage
from triage.policy.loading import load_policy
from triage.records import Recording
from triage.settings import settings

SECRET = "word"  # is in every text
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Settings of the test's own, with "champion" in service."""
    monkeypatch.setenv("TRIAGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TRIAGE_MODEL", str(tmp_path / "champion"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(latency, "loading", lambda folder: 1.0, raising=False)
    settings.cache_clear()
    yield tmp_path / "state"
    settings.cache_clear()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a model that scores by a function, which the commands then load by its folder."""
    made: dict[Path, Model] = {}

    def one(name: str, score: Score, known: tuple[int, ...] = ()) -> Path:
        made[tmp_path / name] = Model(tmp_path / name, f"{name}-1", score, known)
        return tmp_path / name

    monkeypatch.setattr(Triage, "load", lambda own: made[own.model])
    one("champion", good)
    return one


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_rows(rows(), tmp_path / "rows.jsonl", "jsonl")
    return tmp_path / "rows.jsonl"


def run(challenger: Path, data: Path, *more: str | Path) -> tuple[int, str]:
    """Exit code, and all that was printed; raises what it raises."""
    told = ("compare", challenger, "--data", data, "--repeats", "100", *more)
    done = CliRunner().invoke(app, [str(one) for one in told])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def kept(state: Path) -> Comparison:
    (file,) = (state / "comparisons").iterdir()
    found = Comparison.model_validate_json(file.read_bytes())
    assert file.stem == f"{found.champion.digest[:16]}-{found.challenger.digest[:16]}"
    return found


def test_an_equal_challenger_has_nothing_against_it(make: Make, data: Path, state: Path) -> None:
    code, out = run(make("same", good), data)
    assert code == Exit.DONE
    assert "same-1" in out
    assert "champion-1" in out
    assert "80 rows; 0 left out" in out
    assert "against it" not in out
    assert "no reason to refuse it." in out
    assert kept(state).challenger.name == "same-1"


def test_a_damaged_challenger_is_told_by_what_it_lost(make: Make, data: Path) -> None:
    code, out = run(make("worse", bad), data)
    assert code == Exit.DONE  # it was compared, which is all that was asked
    blocking = [line for line in out.splitlines() if line.startswith("against it: ")]
    assert blocking
    assert all(line.startswith("against it: violence: ") for line in blocking)
    assert f"{len(blocking)} reasons to refuse it." in out


def test_what_is_kept_is_what_promote_will_read(make: Make, data: Path, state: Path) -> None:
    challenger = make("worse", bad)
    run(challenger, data)
    found = kept(state)
    assert stored(state, found.champion.digest, found.challenger.digest) == found
    assert found.policy == load_policy(settings().policy).digest


def test_another_champion_may_be_named(make: Make, data: Path, state: Path) -> None:
    run(make("same", good), data, "--champion", make("other", bad))
    assert kept(state).champion.name == "other-1"


def test_promote_compares_with_the_same_defaults(make: Make, data: Path, state: Path) -> None:
    challenger = make("same", good)
    found = command.compared(challenger, settings().model, [data])
    assert kept(state) == found
    assert found.prevalence == 0.001


def test_json_holds_all_of_it_and_alone_on_standard_output(
    make: Make, data: Path, tmp_path: Path, state: Path
) -> None:
    challenger = make("same", good)
    code, out = run(challenger, data, "--json", "-")
    assert code == Exit.DONE
    assert json.loads(out) == json.loads(kept(state).model_dump_json())
    _, table = run(challenger, data, "--json", tmp_path / "out.json")
    assert "no reason to refuse it." in table
    assert Comparison.model_validate_json((tmp_path / "out.json").read_bytes()) == kept(state)


def test_the_page_needs_nothing_from_elsewhere(make: Make, data: Path, tmp_path: Path) -> None:
    run(make("worse", bad), data, "--html", tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert not re.search(r"(src|href)=\"(?!#)|url\((?!#)|@import|<script", html)
    assert "worse-1 against champion-1" in html
    assert "violence: " in html
    headings = (">Verdict<", "to refuse it", ">Reliability</h2", ">Parts of the rows</h2")
    places = [html.find(one) for one in headings]
    assert -1 not in places
    assert places == sorted(places)


def test_no_words_of_a_row_are_told_or_kept(
    make: Make, data: Path, tmp_path: Path, state: Path
) -> None:
    html, figures = tmp_path / "page.html", tmp_path / "out.json"
    _, out = run(make("worse", bad), data, "--html", html, "--json", figures)
    (file,) = (state / "comparisons").iterdir()
    for told in (out, html.read_text(), figures.read_text(), file.read_text()):
        assert not re.search(rf"\b{SECRET} {SECRET}\b", told)
        assert not re.search(r"\br\d+\b", told)  # a row's id


def test_rows_that_a_model_was_fitted_on_are_left_out(make: Make, data: Path) -> None:
    known = tuple(row_digest(row) for row in rows()[:30])
    _, out = run(make("same", good, known), data)
    assert "50 rows; 30 left out" in out


def test_rows_that_cannot_be_read_or_scored_make_it_incomplete(
    make: Make, data: Path, tmp_path: Path
) -> None:
    challenger = make("same", good)
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text(data.read_text() + "no JSON\n")
    assert run(challenger, damaged)[0] == Exit.INCOMPLETE
    long = tmp_path / "long.jsonl"
    long.write_text(data.read_text().replace('"r0"', '"long"'))
    code, _ = run(challenger, long)
    assert code == Exit.INCOMPLETE


def test_a_split_without_rows_is_refused_and_nothing_is_kept(
    make: Make, data: Path, state: Path
) -> None:
    with pytest.raises(TriageError, match="split train"):
        run(make("same", good), data, "--split", "train")
    assert not (state / "comparisons").exists()


@pytest.mark.parametrize("columns", ["80", "100", "160"])
def test_every_category_is_named_whatever_the_width(
    make: Make, data: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    _, out = run(make("same", good), data)
    assert "violence" in out
    assert "distress" in out


def test_a_loss_is_marked_in_the_table(make: Make, data: Path) -> None:
    def worse(recording: Recording) -> Mapping[str, float]:
        return good(recording) | {"distress": 0.9 - good(recording)["distress"]}

    _, out = run(make("worse", worse), data)
    table = {line.split()[0]: line for line in out.splitlines() if " → " in line}
    assert "*" in table["distress"]
    assert "*" not in table["violence"]
