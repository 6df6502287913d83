"""`triage suggest`: what is given out, to whom, and what is never printed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from archives import noise, tarred
from casework import plain_book
from typer.testing import CliRunner

from triage.cli import suggest
from triage.cli.app import app
from triage.errors import AuditFailed, BadSetting, LabelsRefused, NothingToScore
from triage.labels.read import read_labels
from triage.pipeline import Triage
from triage.policy.decide import decide
from triage.policy.loading import load_policy
from triage.process import Processor
from triage.records import Decision, Recording, Scores
from triage.safeguards.audit import AuditLog, verify
from triage.safeguards.pseudonym import Pseudonymiser
from triage.safeguards.sampling import LEDGER, Ledger, Sampled
from triage.settings import Settings, settings
from triage.taxonomy import CATEGORIES

SCORES = {
    "private": {"sexual": 0.9},
    "help": {"distress": 0.95},
    "maybe": {"distress": 0.25},
}


class Listener:
    """Scores by the first word that is known; "bad" can't be scored, "broken" breaks."""

    def __init__(self) -> None:
        self.policy = load_policy(Settings().policy)
        metrics = {"text, val": [{"name": "distress", "positives": 3}]}
        self.artefact = SimpleNamespace(
            manifest=SimpleNamespace(
                name="listener-1", categories=CATEGORIES, events=("scream",), metrics=metrics
            )
        )

    def score(self, recording: Recording) -> Scores:
        audio = recording.audio.read_text() if isinstance(recording.audio, Path) else ""
        said = f"{recording.transcript or ''} {audio}".split()
        if "bad" in said:
            raise NothingToScore("There is nothing in it.")
        if "broken" in said:
            raise RuntimeError("secret")
        known: Mapping[str, float] = next((SCORES[one] for one in said if one in SCORES), {})
        return Scores("listener-1", dict.fromkeys(CATEGORIES, 0.001) | dict(known), {})

    def decide(self, scores: Scores, now: Any) -> Decision:
        return decide(scores, self.policy, now)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TRIAGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TRIAGE_SAMPLING_CAP", "0.1")
    monkeypatch.setenv("COLUMNS", "120")
    settings.cache_clear()

    def load(own: Settings) -> Processor:
        log, triage = AuditLog(own.state / "audit.jsonl"), Listener()
        book = plain_book(own, triage.policy, log)
        return Processor(triage, Pseudonymiser(b"k" * 32), log, book, workers=2)  # type: ignore[arg-type]

    monkeypatch.setattr(Processor, "load", load)
    monkeypatch.setattr(Triage, "load", lambda _: Listener())
    yield tmp_path / "state"
    settings.cache_clear()


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = CliRunner().invoke(app, ["suggest", *(str(one) for one in arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def manifest(folder: Path, *words: str, start: int = 0, times: int = 1) -> Path:
    """A manifest of texts; the ids name somebody."""
    file = folder / f"manifest-{start}.jsonl"
    rows = [{"id": f"alice-{i}", "text": f"{one} {i}"} for i, one in enumerate(words, start)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows * times))
    return file


def sounds(folder: Path, *words: str) -> Path:
    folder.mkdir()
    for number, one in enumerate(words):
        (folder / f"bob-{number}.wav").write_text(f"{one} {number}")
    return folder


def picks(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def audited(state: Path, kind: str) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (state / "audit.jsonl").read_text().splitlines())
    return [line["body"] for line in lines if line["kind"] == kind]


def stand(state: Path) -> Sampled:
    return Ledger(state / LEDGER, 0.1, AuditLog(state / "audit.jsonl")).stand()


# What is given out --------------------------------------------------------------------------


def test_picks_can_be_labelled_and_keep_their_weight(tmp_path: Path, state: Path) -> None:
    out = tmp_path / "picks.jsonl"
    code, _, asked = run(
        manifest(tmp_path, *["maybe"] * 9, *["timer"] * 41), "--budget", "3", "--out", out
    )
    assert (code, asked) == (0, "3 drawn.\n")
    found = picks(out)
    assert len({one["id"] for one in found}) == 3
    for one in found:
        assert one["weight"] == pytest.approx(1 / one["inclusion_probability"])
        assert one["tier"] == "E0"
        assert one["category_scores"].keys() == set(CATEGORIES)
        assert one["why"].partition(":")[0] in {"random", "uncertain", "rare"}
        assert one["text"].endswith(one["id"].removeprefix("alice-"))
    reading = read_labels([out])
    assert reading.problems == []
    assert [row.weight for row in reading.rows] == [one["weight"] for one in found]
    assert all(row.labels == {} for row in reading.rows)
    assert len(audited(state, "decision")) == 50
    assert {body["way"] for body in audited(state, "decision")} == {"suggest"}


def test_sounds_are_named_by_their_file_and_no_word_is_made_up(tmp_path: Path) -> None:
    out = tmp_path / "picks.jsonl"
    run(sounds(tmp_path / "in", *["timer"] * 20), "--budget", "9", "--out", out)
    found = picks(out)
    assert len(found) == 2
    assert all(Path(one["audio"]).is_file() and "text" not in one for one in found)


def test_only_its_owner_can_read_the_file_and_nobody_is_printed(tmp_path: Path) -> None:
    out = tmp_path / "picks.jsonl"
    _, told, asked = run(manifest(tmp_path, *["timer"] * 30), "--budget", "2", "--out", out)
    assert out.stat().st_mode & 0o777 == 0o600
    assert "alice" not in told + asked
    assert "timer" not in told + asked
    assert "30 recordings could be picked" in told
    assert list(tmp_path.glob(".*.part")) == []


def test_the_private_and_the_escalated_are_never_picked(tmp_path: Path, state: Path) -> None:
    out = tmp_path / "picks.jsonl"
    words = [*["private"] * 20, *["help"] * 20, *["broken"] * 5, "timer", "maybe"]
    code, told, asked = run(manifest(tmp_path, *words), "--budget", "4", "--out", out)
    assert code == 3  # for what broke
    assert {one["id"] for one in picks(out)} == {"alice-45", "alice-46"}
    assert asked == "2 drawn, fewer than the 4 asked for.\n"
    assert "20 left out: withheld" in told
    assert "25 left out: looked at by specialists" in told
    assert stand(state) == Sampled(47, 2, 0.1)


def test_whoever_looks_for_labels_in_an_old_archive_need_page_nobody(
    tmp_path: Path, state: Path
) -> None:
    run(manifest(tmp_path, "help", "timer"), "--budget", "1", "--decide-only")
    assert {one["case"] for one in audited(state, "decision")} == {""}
    run(manifest(tmp_path, "help", "timer"), "--budget", "1")
    assert len({one["case"] for one in audited(state, "decision")}) == 2


def test_what_cannot_be_scored_is_neither_seen_nor_picked(tmp_path: Path, state: Path) -> None:
    file = manifest(tmp_path, *["bad"] * 10, *["timer"] * 10)
    file.write_text(file.read_text() + "no JSON\n")
    code, told, _ = run(file, "--budget", "1", "--out", tmp_path / "picks.jsonl")
    assert code == 3
    assert "11 left out: not scored" in told
    assert stand(state) == Sampled(10, 1, 0.1)


def test_a_seed_gives_the_same_picks(tmp_path: Path) -> None:
    words = ["timer"] * 60 + ["maybe"] * 20
    run(manifest(tmp_path, *words), "--budget", "5", "--seed", "7", "--out", tmp_path / "a.jsonl")
    (tmp_path / "state" / LEDGER).unlink()
    run(manifest(tmp_path, *words), "--budget", "5", "--seed", "7", "--out", tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()


# The cap ------------------------------------------------------------------------------------


def test_too_few_seen_is_told_with_the_numbers(tmp_path: Path, state: Path) -> None:
    out = tmp_path / "picks.jsonl"
    code, told, asked = run(manifest(tmp_path, *["timer"] * 7), "--budget", "3", "--out", out)
    assert code == 1
    assert not out.exists()
    assert "7 seen in all, 0 drawn before, the cap is 10.000%: 0 may be drawn" in told
    assert "3 recordings more have to be seen until it allows one" in asked
    assert audited(state, "sample") == []


def test_the_same_archive_again_widens_nothing(tmp_path: Path, state: Path) -> None:
    file = manifest(tmp_path, *["timer"] * 20, times=3)
    run(file, "--budget", "9", "--out", tmp_path / "a.jsonl")
    code, _, asked = run(file, "--budget", "9", "--out", tmp_path / "b.jsonl")
    assert code == 1
    assert "10 recordings more" in asked
    run(manifest(tmp_path, *["timer"] * 20, start=20), file, "--budget", "9",
        "--out", tmp_path / "c.jsonl")  # fmt: skip
    drawn = [one["id"] for name in "ac" for one in picks(tmp_path / f"{name}.jsonl")]
    assert len(drawn) == len(set(drawn)) == 4
    assert stand(state) == Sampled(40, 4, 0.1)
    first, second = audited(state, "sample")
    assert (first["drawn_before"], second["drawn_before"]) == (0, 2)
    assert (first["budget"], first["seed"], first["model"]) == (9, 0, "listener-1")
    assert verify(state / "audit.jsonl").torn == 0


def test_a_copy_under_another_name_is_not_drawn_again(tmp_path: Path, state: Path) -> None:
    words = ["timer"] * 10
    run(sounds(tmp_path / "one", *words), "--budget", "9", "--out", tmp_path / "a.jsonl")
    (tmp_path / "one").rename(tmp_path / "two")
    code, _, _ = run(tmp_path / "two", "--budget", "9", "--out", tmp_path / "b.jsonl")
    assert code == 1
    assert stand(state) == Sampled(10, 1, 0.1)


def test_without_a_file_nothing_is_drawn(tmp_path: Path, state: Path) -> None:
    code, told, asked = run(manifest(tmp_path, *["timer"] * 30), "--budget", "2")
    assert code == 0
    assert "random" in told
    assert asked == "Nothing was drawn: 2 of 2 would be. Name a file with --out.\n"
    assert stand(state) == Sampled(30, 0, 0.1)


def test_when_all_are_left_out_it_says_so(tmp_path: Path) -> None:
    code, _, asked = run(manifest(tmp_path, *["private"] * 30), "--budget", "2")
    assert code == 1
    assert "every recording was left out or drawn before" in asked


# What goes wrong ----------------------------------------------------------------------------


def test_a_file_of_earlier_picks_is_not_overwritten(tmp_path: Path, state: Path) -> None:
    out = tmp_path / "picks.jsonl"
    out.write_text("earlier")
    code, _, told = run(manifest(tmp_path, *["timer"] * 30), "--budget", "2", "--out", out)
    assert code == 2
    assert "there already" in told
    assert out.read_text() == "earlier"
    assert not state.exists()
    code, _, _ = run(manifest(tmp_path, "timer"), "--budget", "2", "--out", tmp_path / "no" / "a")
    assert code == 2


def test_nothing_to_score_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NothingToScore):
        run(manifest(tmp_path), "--budget", "1")


def test_no_audit_no_picks(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> str:
        raise AuditFailed("The disk is full.")

    monkeypatch.setattr(AuditLog, "append", refuse)
    with pytest.raises(AuditFailed):
        run(manifest(tmp_path, *["timer"] * 30), "--budget", "2", "--out", tmp_path / "p.jsonl")
    assert not (tmp_path / "p.jsonl").exists()
    assert list(tmp_path.glob(".*.part")) == []
    assert stand(state) == Sampled(30, 0, 0.1)


def test_picks_that_cannot_be_written_are_not_drawn(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(suggest, "json", SimpleNamespace(dumps=full))
    with pytest.raises(LabelsRefused, match="No space"):
        run(manifest(tmp_path, *["timer"] * 30), "--budget", "2", "--out", tmp_path / "p.jsonl")
    assert not (tmp_path / "p.jsonl").exists()
    assert list(tmp_path.glob(".*.part")) == []
    assert stand(state) == Sampled(30, 0, 0.1)
    assert audited(state, "sample") == []


def test_an_archive_that_changed_meanwhile_gives_nothing_out(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sounds(tmp_path / "in", *["timer"] * 10)
    choose = suggest.choose

    def late(*arguments: Any) -> Any:
        (folder / "a-first-one.wav").write_text("timer new")
        return choose(*arguments)

    monkeypatch.setattr(suggest, "choose", late)
    with pytest.raises(BadSetting, match="has changed"):
        run(folder, "--budget", "1", "--out", tmp_path / "p.jsonl")
    assert stand(state) == Sampled(10, 0, 0.1)
    assert not (tmp_path / "p.jsonl").exists()


def test_members_of_an_archive_are_told_by_their_place_in_it(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    file.write_bytes(tarred({f"{n}.wav": noise(n) for n in range(20)}))
    code, _, _ = run(file, "--budget", "1", "--out", tmp_path / "p.jsonl")
    (only,) = picks(tmp_path / "p.jsonl")
    assert code == 0
    assert only["id"].startswith(f"{file}/")
    assert "audio" not in only
