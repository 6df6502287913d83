"""`triage labels quality`: which rows are ranked, what is said of it, and that no word is shown."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from triage.cli import quality
from triage.cli.exits import Exit
from triage.cli.quality import Quality, judged, run, show
from triage.errors import LabelsRefused
from triage.labels.rows import Labelled, row_digest
from triage.labels.store import Store
from triage.settings import Settings

CANARY = "canary"


def row(id: str, annotator: str | None = None, **fields: Any) -> Labelled:
    given: dict[str, Any] = {"labels": {"violence": 0}, "events": {}, "text": f"{CANARY} {id}"}
    return Labelled(id, "s", "l", id, "val", annotator=annotator, **given | fields)


@pytest.fixture
def fitted(fake_triage: Any, monkeypatch: pytest.MonkeyPatch) -> list[Labelled]:
    """Rows that the fake model was fitted on; more may be put in."""
    rows = [row("somebody else's")]
    fake_triage.artefact = SimpleNamespace(
        manifest=fake_triage.artefact.manifest, folder=Path("model")
    )
    monkeypatch.setattr(quality, "seen", lambda _: frozenset(map(row_digest, rows)))
    return rows


def shown(found: Quality) -> str:
    out = io.StringIO()
    show(found, Console(file=out, width=100))
    return out.getvalue()


def judge(fake: Any, rows: list[Labelled], most: int = 1) -> Quality:
    return judged(rows, most, fake, lambda *_: None)


def test_errors_agreement_and_golden_items(fake_triage: Any, fitted: list[Labelled]) -> None:
    rows = [
        row("1", "a", labels={"violence": 1}),
        row("1", "b", labels={"violence": 1}),
        row("2", "a"),
        row("2", "b"),
        row("3", "a", labels={"distress": 0}),
        row("3", labels={"distress": 1}, golden=True),
        row("4", labels={"directed": 1}),
        row("damaged", text=" "),
    ]
    found = judge(fake_triage, rows, most=2)
    assert (found.model, found.rows, found.seen, found.ranked) == ("triage-fake", 5, 0, 5)
    assert found.failed == {"nothing-to-score": 1}
    # The model says 0.1 and 0.2 of everything.
    assert [(one.id, one.name, one.given) for one in found.errors] == [
        ("1", "label.violence", 1),
        ("3", "label.distress", 1),
    ]
    assert {one.name: one.items for one in found.agreement} == {
        "label.violence": 2,
        "label.distress": 0,
    }
    assert [(one.annotator, one.share.value) for one in found.golden] == [("a", 0), ("a", 0)]
    text = shown(found)
    for told in ("4 of 5 rows ranked", "nothing-to-score", "0.100", "1.000", "fitted on 0 of"):
        assert told in text


def test_events_are_judged_by_what_was_heard(
    fake_triage: Any, fitted: list[Labelled], tmp_path: Path
) -> None:
    audio = tmp_path / "a.wav"
    audio.write_bytes(b"sound")
    fake_triage.score = lambda recording, score=fake_triage.score: score(
        replace(recording, audio=recording.audio and recording.audio.read_bytes())
    )
    rows = [
        row("1", text=None, audio=audio, labels={}, events={"scream": 0}),
        row("2", labels={}, events={"scream": 0}),
    ]
    (found,) = judge(fake_triage, rows, most=9).errors
    assert (found.id, found.name) == ("1", "event.scream")
    assert found.probability == pytest.approx(0.95)


def test_only_unseen_rows_are_ranked_where_they_are_enough(
    fake_triage: Any, fitted: list[Labelled]
) -> None:
    rows = [row(str(number)) for number in range(30)]
    fitted += rows[:10]
    found = judge(fake_triage, rows, most=1)
    assert (found.seen, found.ranked) == (10, 20)
    assert {one.id for one in fake_triage.heard} == {row.id for row in rows[10:]}
    assert "fitted on 10 of the 30 rows; the others are ranked" in shown(found)


def test_where_too_few_are_unseen_all_are_ranked_and_it_is_said(
    fake_triage: Any, fitted: list[Labelled]
) -> None:
    rows = [row(str(number)) for number in range(30)]
    fitted += rows[:11]
    found = judge(fake_triage, rows, most=1)
    assert (found.seen, found.ranked) == (11, 30)
    assert "repeats their errors" in shown(found).replace("\n", " ")


def test_a_model_that_does_not_say_what_it_was_fitted_on(
    fake_triage: Any, fitted: list[Labelled]
) -> None:
    fitted.clear()
    found = judge(fake_triage, [row("1")])
    assert found.seen is None
    assert "doesn't say" in shown(found)


def test_a_row_counts_as_seen_with_the_label_that_it_has_joined(
    fake_triage: Any, fitted: list[Labelled]
) -> None:
    fitted.append(row("1", labels={"violence": 0.5}))
    rows = [row("1", "a", labels={"violence": 1}), row("1", "b", labels={"violence": 0})]
    assert judge(fake_triage, rows).seen == 1


def test_nothing_scored_is_refused(fake_triage: Any, fitted: list[Labelled]) -> None:
    with pytest.raises(LabelsRefused, match="nothing-to-score"):
        judge(fake_triage, [row("1", text=" ")])


# The command --------------------------------------------------------------------------------


@pytest.fixture
def command(
    fake_triage: Any,
    fitted: list[Labelled],
    limits: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    monkeypatch.setattr(quality, "settings", lambda: limits)
    monkeypatch.setattr(quality.Triage, "load", lambda _: fake_triage)
    return limits


def test_rows_of_files(
    command: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "labels.jsonl"
    rows = [{"id": str(n), "text": f"{CANARY} {n}", "labels": {"distress": 1}} for n in range(3)]
    file.write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    out = tmp_path / "found.json"
    with out.open("w") as stream:
        assert run([file], 2, stream) is Exit.DONE
    written = json.loads(out.read_text())
    assert [one["id"] for one in written["errors"]] == ["0", "1"]
    assert written["errors"][0]["quality"] == pytest.approx(0.2)
    printed = capsys.readouterr().out
    assert "label.distress" in printed
    assert CANARY not in out.read_text() + printed


def test_rows_of_the_store(command: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LabelsRefused, match="no rows"):
        run([], 5, None)
    Store(command.labels_url).put([row("in the store", "a", labels={"violence": 1})])
    assert run([], 5, None) is Exit.DONE
    assert "in the store" in capsys.readouterr().out


@pytest.mark.models
def test_the_model_that_ships(
    tmp_path: Path, limits: Settings, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "settings", lambda: limits.model_copy(update={"model": model}))
    file = tmp_path / "labels.jsonl"
    said = ["play some jazz in the kitchen", "what is the weather tomorrow"]
    rows = [{"id": str(n), "text": t, "labels": {"violence": n}} for n, t in enumerate(said)]
    file.write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    out = tmp_path / "found.json"
    with out.open("w") as stream:
        assert run([file], 1, stream) is Exit.DONE
    (found,) = json.loads(out.read_text())["errors"]
    assert (found["id"], found["given"]) == ("1", 1)
