"""`triage cases`, `outbox`, `escalate`, `roster`, `store`: casework from a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time
from typing import Any

import pytest
from casework import made
from typer.testing import CliRunner

from benchmarks.receiver import SECRET, Receiver, receiving
from triage.cli.app import app
from triage.errors import BadField, MoveRefused, RosterRefused, TriageError
from triage.escalate.casebook import Casebook
from triage.escalate.opening import casebook
from triage.safeguards.pseudonym import Pseudonymiser, load_key
from triage.settings import settings

ROSTER = """
targets: {{hook: {{webhook: "{url}", secret: env:TRIAGE_TEST_HOOK, allow: [127.0.0.1]}}}}
people: {{ann: {{targets: [hook]}}, bob: {{}}, cyn: {{}}, lea: {{lead: true}}}}
lines: {{on-call: [ann, bob], violence-specialists: [cyn]}}
"""


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving(Receiver()) as receiver:
        (tmp_path / "roster.yaml").write_text(ROSTER.format(url=receiver.url))
        for name, value in {
            "TRIAGE_STATE": str(tmp_path / "state"),
            "TRIAGE_ROSTER": str(tmp_path / "roster.yaml"),
            "TRIAGE_TEST_HOOK": SECRET,
            "COLUMNS": "160",
        }.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        yield receiver
        settings.cache_clear()


def typed(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    if isinstance(done.exception, TriageError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def book() -> Casebook:
    return casebook(settings())


@pytest.fixture
def raise_case(book: Casebook) -> Callable[..., str]:
    """Decides a recording, by the default policy."""

    def raised(id: str, recording: str = "", **scores: float) -> str:
        pseudonym = Pseudonymiser(load_key(settings())).pseudonym
        named = pseudonym(recording) if recording else ""
        one = made(id, book.policy(), time(), recording=named, **scores or {"violence": 0.8})
        with book.record([one], book.policy()) as kept:
            return kept[0].decision.case

    return raised


def test_a_case_is_listed_taken_and_resolved(raise_case: Callable[..., str]) -> None:
    assert "No case waits." in typed("cases", "list")
    raise_case("tri_aaaa1")
    raise_case("tri_bbbb2", violence=0.5)
    first, second = typed("cases", "list").splitlines()[2:]
    assert "tri_aaaa1" in first
    assert "E4" in first
    assert "tri_bbbb2" in second
    assert "tri_aaaa1" not in typed("cases", "list", "--as", "nobody")
    rows = [json.loads(line) for line in typed("cases", "list", "--jsonl").splitlines()]
    assert [row["id"] for row in rows] == ["tri_aaaa1", "tri_bbbb2"]
    assert "tri_aaaa1" in typed("cases", "next", "--as", "cyn")
    with pytest.raises(MoveRefused):
        typed(
            "cases", "resolve", "tri_a", "--as", "lea", "--outcome", "helped", "--heard", "x"
        ) if (False) else typed("cases", "reopen", "tri_a", "--as", "cyn", "--reason", "why")
    typed("cases", "snooze", "tri_a", "--as", "cyn", "--for", "4m", "--reason", "a call")
    typed("cases", "claim", "tri_a", "--as", "cyn")
    typed("cases", "hand-over", "tri_a", "--as", "cyn", "--to", "lea")
    typed("cases", "resolve", "tri_a", "--as", "lea", "--outcome", "helped", "--heard", "violence")
    told = typed("cases", "show", "tri_a")
    assert "lea  resolve helped" in told
    assert "cyn  snooze: a call" in told
    assert json.loads(typed("cases", "show", "tri_a", "--json"))["state"] == "resolved"
    assert "tri_aaaa1" in typed("cases", "list", "--resolved")
    with pytest.raises(BadField, match="ends as one of"):
        typed("cases", "resolve", "tri_b", "--as", "cyn", "--outcome", "won")
    typed("cases", "acknowledge", "tri_b", "--as", "cyn")
    typed("cases", "release", "tri_b", "--as", "cyn")


def test_somebody_heard_something() -> None:
    typed("cases", "raise", "--as", "ann", "--queue", "violence", "--heard", "violence",
          "--recording", "alice-kitchen-7")  # fmt: skip
    told = typed("cases", "list", "--as", "cyn")
    assert "by-hand" in told
    assert "alice" not in typed("cases", "list", "--jsonl")
    with pytest.raises(BadField):
        typed(
            "cases",
            "raise",
            "--as",
            "ann",
            "--queue",
            "violence",
            "--heard",
            "hate",
            "--tier",
            "E0",
        )


def test_people_are_told_without_the_service(
    raise_case: Callable[..., str], environment: Receiver
) -> None:
    raise_case("tri_1", distress=0.8)
    assert "All is sent." in typed("escalate", "run", "--once")
    assert [body["data"]["case"] for body in environment.bodies.values()] == ["tri_1"]
    assert "All is sent." in typed("escalate", "run", "--once")
    assert len(environment.calls) == 1


def test_what_was_given_up_is_listed_and_sent_again(
    raise_case: Callable[..., str], environment: Receiver
) -> None:
    assert "No message was given up." in typed("outbox", "list")
    raise_case("tri_1", distress=0.8)
    assert "waiting" in typed("outbox", "list", "--waiting")
    environment.behave = lambda _id, before: "410" if before == 0 else "ok"
    typed("escalate", "run", "--once")
    told = typed("outbox", "list", code=3)
    assert "gone" in told
    with pytest.raises(BadField):
        typed("outbox", "resend", "msg_nothing")
    assert "1 will be sent again" in typed("outbox", "resend", "--all")
    typed("escalate", "run", "--once")
    assert "No message was given up." in typed("outbox", "list")
    assert typed("outbox", "resend", code=2)


def test_the_board_shows_what_waits(raise_case: Callable[..., str], tmp_path: Path) -> None:
    assert "no case is open" in typed("cases", "board", "--once")
    raise_case("tri_1", distress=0.8)
    told = typed("cases", "board", "--svg", tmp_path / "board.svg")
    for part in ("on-call", "ann, bob", "tri_1", "hook"):
        assert part in told
        assert part.replace(" ", "&#160;") in (tmp_path / "board.svg").read_text()


def test_endings_become_labels(raise_case: Callable[..., str], tmp_path: Path) -> None:
    for number, scores in enumerate(({"violence": 0.8}, {"violence": 0.81}, {"violence": 0.82})):
        raise_case(f"tri_{number}", f"mine-{number}", **scores)
    for number, ending in enumerate((("helped", "--heard", "domestic_abuse"), ("false_alarm",))):
        typed("cases", "claim", f"tri_{number}", "--as", "cyn")
        typed("cases", "resolve", f"tri_{number}", "--as", "cyn", "--outcome", *ending)
    rows = tmp_path / "mine.jsonl"
    rows.write_text("".join(f'{{"id": "mine-{n}", "text": "words {n}"}}\n' for n in range(4)))
    told = typed("cases", "labels", rows, "--out", tmp_path / "labels.jsonl")
    assert "2 recordings got labels" in told
    assert "2 without labels: no case of theirs has ended" in told
    found: list[dict[str, Any]] = [
        json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()
    ]
    assert [(row["id"], row["labels"], row["annotator"]) for row in found] == [
        ("mine-0", {"domestic_abuse": 1, "violence": 0}, "cyn"), ("mine-1", {"violence": 0}, "cyn"),
    ]  # fmt: skip
    assert "2 new" in typed("labels", "import", tmp_path / "labels.jsonl")
    rows.write_text('{"id": "other", "text": "words"}\n')
    typed("cases", "labels", rows, "--out", tmp_path / "none.jsonl", code=3)
    assert not (tmp_path / "none.jsonl").exists()


def test_cases_are_events_for_other_tools(raise_case: Callable[..., str]) -> None:
    raise_case("tri_1")
    (line,) = typed("cases", "export", "--format", "osprey").splitlines()
    event = json.loads(line)
    assert event["data"]["action_name"] == "triage_escalation"
    assert event["data"]["data"]["case"] == "tri_1"
    assert isinstance(event["data"]["action_id"], int)
    assert json.loads(typed("cases", "export"))["id"] == "tri_1"
    with pytest.raises(BadField):
        typed("cases", "export", "--format", "kafka")


def test_a_roster_is_checked(tmp_path: Path) -> None:
    told = typed("roster", "check", code=3)
    assert "queue hate: nobody of its line has a target" in told
    assert "ann, bob" in told
    (tmp_path / "roster.yaml").write_text("people: {ann: {targets: [nowhere]}}")
    with pytest.raises(RosterRefused, match="no target nowhere"):
        typed("roster", "check")


def test_a_token_and_its_digest() -> None:
    import hashlib

    told = typed("roster", "token")
    token, digest = (line.rpartition(" ")[2] for line in told.splitlines())
    assert digest == f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def test_the_stores_are_shown_and_upgraded(raise_case: Callable[..., str]) -> None:
    raise_case("tri_1")
    told = typed("store", "show")
    assert "revision 0001" in told
    assert "cases                1" in told
    assert "labels: revision none" in told
    assert "Store of labels: from nothing to 0001." in typed("store", "upgrade")
