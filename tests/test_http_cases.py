"""Cases over HTTP: who may ask, what they may do, and what comes from elsewhere."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from casework import casework_policy, roster_of
from pydantic import SecretStr
from standardwebhooks import Webhook
from starlette.testclient import TestClient

from benchmarks.receiver import SECRET
from triage.database.store import open_store
from triage.escalate.casebook import Casebook
from triage.escalate.roster import Roster
from triage.http.app import build_app
from triage.http.cases import MOVES
from triage.http.openapi import document
from triage.http.schemas import EndingName
from triage.process import Processor
from triage.safeguards.audit import AuditLog
from triage.settings import Settings

SOUND = {"files": {"audio": b"sound"}}
NEEDS: dict[str, dict[str, str]] = {
    "hand-over": {"to": "ann"},
    "snooze": {"until": "2030-01-01T00:00:00Z", "reason": "why"},
    "resolve": {"outcome": "helped"},
}
PEOPLE = ("ann", "bob", "cyn", "eve", "lea")


def roster() -> Roster:
    people: dict[str, dict[str, Any]] = {
        name: {"token": f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"} for name in PEOPLE
    }
    people["lea"]["lead"] = True
    return roster_of(
        targets={},
        people=people,
        lines={"on-call": ["ann", "bob"], "violence": ["cyn"], "hate": ["eve"]},
        senders={"review-tool": SecretStr(SECRET)},
    )


@pytest.fixture
def book(fake_processor: Processor, limits: Settings) -> Casebook:
    policy, known = casework_policy(), roster()
    audit = AuditLog(limits.state / "audit.jsonl")
    return Casebook(open_store(limits.store_url), lambda: policy, lambda: known, audit)


@pytest.fixture
def client(fake_processor: Processor, limits: Settings, book: Casebook) -> TestClient:
    fake_processor.triage.fixed = book.policy()  # type: ignore[attr-defined]
    processor = replace(fake_processor, book=book)
    return TestClient(build_app(lambda: processor, limits))


def own(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


@pytest.fixture
def case(client: TestClient) -> str:
    """A case before `on-call`."""
    answer = client.post("/score", **SOUND).json()
    id: str = answer["results"][0]["decision"]["case"]
    return id


def do(client: TestClient, case: str, move: str, person: str = "ann", **body: object) -> Any:
    return client.post(f"/cases/{case}/{move}", json=body, headers=own(person))


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": "Bearer mallory"}, {"Authorization": "ann"}]
)
def test_nobody_else_is_told_anything(
    client: TestClient, case: str, header: dict[str, str]
) -> None:
    for method, path in (
        ("GET", "/cases"), ("GET", f"/cases/{case}"), ("POST", "/cases"), ("POST", "/cases/next"),
        ("POST", f"/cases/{case}/claim"), ("POST", "/outcomes"),
    ):  # fmt: skip
        answer = client.request(method, path, headers=header)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"] == "urn:triage:problem:unauthorised"


def test_a_case_goes_its_way(client: TestClient, case: str) -> None:
    (listed,) = client.get("/cases", headers=own("ann")).json()["cases"]
    assert (listed["id"], listed["state"], listed["tier"], listed["queues"]) == (
        case, "open", "E3", ["on-call"],
    )  # fmt: skip
    assert do(client, case, "acknowledge").json()["state"] == "acknowledged"
    assert do(client, case, "claim", "bob").json()["owner"] == "bob"
    assert do(client, case, "hand-over", "bob", to="ann").json()["owner"] == "ann"
    later = datetime.fromtimestamp(datetime.now(UTC).timestamp() + 60, UTC).isoformat()
    snoozed = do(client, case, "snooze", until=later, reason="a call first").json()
    assert snoozed["state"] == "snoozed"
    assert do(client, case, "claim").status_code == 200
    ended = do(client, case, "resolve", outcome="helped", heard=["distress"])
    assert (ended.status_code, ended.json()["state"]) == (200, "resolved")
    assert client.get("/cases", headers=own("ann")).json()["cases"] == []
    gone = client.get("/cases?state=resolved&queue=on-call&limit=1", headers=own("ann")).json()
    assert [one["id"] for one in gone["cases"]] == [case]
    whole = client.get(f"/cases/{case}", headers=own("ann")).json()
    assert [one["move"] for one in whole["history"]] == [
        "raise", "acknowledge", "claim", "hand-over", "snooze", "claim", "resolve",
    ]  # fmt: skip
    assert whole["history"][4]["reason"] == "a call first"


def test_each_case_is_for_its_own_people(client: TestClient, case: str) -> None:
    for person, status in (("cyn", 404), ("eve", 404), ("ann", 200), ("lea", 200)):
        assert client.get(f"/cases/{case}", headers=own(person)).status_code == status
        assert len(client.get("/cases", headers=own(person)).json()["cases"]) == (status == 200)
    for move in MOVES:
        assert do(client, case, move, "cyn", **NEEDS.get(move, {})).status_code == 404
    assert do(client, case, "claim").status_code == 200
    assert do(client, case, "hand-over", to="cyn").status_code == 403
    assert client.get("/cases/nothing", headers=own("ann")).status_code == 404


@pytest.mark.parametrize(
    ("move", "body", "status"),
    [
        ("resolve", {"outcome": "helped"}, 409),
        ("release", {}, 409),
        ("reopen", {"reason": "why"}, 409),
        ("reopen", {}, 422),
        ("resolve", {}, 422),
        ("resolve", {"outcome": "won"}, 422),
        ("resolve", {"outcome": "false_alarm", "heard": ["distress"]}, 422),
        ("snooze", {"until": "tomorrow", "reason": "why"}, 422),
        ("snooze", {"until": "2030-01-01T00:00:00", "reason": "why"}, 422),
        ("claim", {"owner": "bob"}, 422),
        ("release", {"reason": "x" * 501}, 422),
        ("hand-over", {}, 422),
    ],
)
def test_what_cannot_be_is_refused(
    client: TestClient, case: str, move: str, body: dict[str, Any], status: int
) -> None:
    answer = do(client, case, move, **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"].endswith(".")
    assert client.get(f"/cases/{case}", headers=own("ann")).json()["state"] == "open"


@pytest.mark.parametrize("query", ["state=lost", "limit=0", "limit=x", "limit=1000", "who=ann"])
def test_what_cannot_be_asked_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/cases?{query}", headers=own("ann")).status_code == 422


def test_the_next_case_is_claimed(client: TestClient, case: str) -> None:
    assert client.post("/cases/next", headers=own("eve")).status_code == 204
    assert (
        client.post("/cases/next", json={"queue": "violence"}, headers=own("ann")).status_code
        == 204
    )
    taken = client.post("/cases/next", headers=own("ann")).json()
    assert (taken["id"], taken["owner"]) == (case, "ann")


def test_somebody_heard_something(client: TestClient) -> None:
    body = {
        "queue": "violence",
        "tier": "E4",
        "heard": ["violence"],
        "recording": "alice-kitchen-7",
    }
    raised = client.post("/cases", json=body, headers=own("eve"))
    assert raised.status_code == 201
    assert raised.json()["raised_by"] == "eve"
    assert raised.json()["recording"].startswith("rec_")
    assert "alice" not in raised.text
    id = raised.json()["id"]
    assert client.get(f"/cases/{id}", headers=own("eve")).status_code == 200
    assert do(client, id, "claim", "eve").status_code == 403
    assert do(client, id, "claim", "cyn").status_code == 200
    for wrong in ({"queue": "x"}, {"heard": []}, {"heard": ["x"]}, {"tier": "E1"}):
        assert client.post("/cases", json=body | wrong, headers=own("eve")).status_code == 422


# What comes from elsewhere ------------------------------------------------------------------


def sent(client: TestClient, body: object, key: str = "m1", **wrong: Any) -> Any:
    content = json.dumps(body)
    at = wrong.get("at", datetime.now(UTC))
    signed = Webhook(wrong.get("secret", SECRET)).sign(key, at, wrong.get("content", content))
    headers = {
        "webhook-id": key,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signed,
        "content-type": "application/json",
    }
    return client.post("/outcomes", content=content, headers=headers)


def test_an_outcome_from_elsewhere_resolves_a_case_once(client: TestClient, case: str) -> None:
    body = {"case": case, "outcome": "referred", "heard": ["distress"], "reason": "by phone"}
    assert sent(client, body).json()["state"] == "resolved"
    assert sent(client, body).status_code == 200  # the same message, sent again
    assert sent(client, body, "m2").status_code == 409
    whole = client.get(f"/cases/{case}", headers=own("lea")).json()
    done = [(one["actor"], one["move"], one["to"]) for one in whole["history"][1:]]
    assert done == [
        ("sender:review-tool", "claim", None), ("sender:review-tool", "resolve", "referred"),
    ]  # fmt: skip


def test_a_message_of_nobody_or_of_long_ago_changes_nothing(client: TestClient, case: str) -> None:
    body = {"case": case, "outcome": "referred"}
    long_ago = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 600, UTC)
    for wrong in (
        {"secret": "whsec_" + "A" * 40},
        {"content": "{}"},
        {"at": long_ago},
        {"key": "x" * 201},
    ):
        assert sent(client, body, **wrong).status_code == 401
    headers = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,???"}
    assert client.post("/outcomes", json=body, headers=headers).status_code == 401
    assert client.get(f"/cases/{case}", headers=own("ann")).json()["state"] == "open"


def test_it_does_not_take_a_case_out_of_somebody_s_hands(client: TestClient, case: str) -> None:
    assert do(client, case, "claim").status_code == 200
    assert sent(client, {"case": case, "outcome": "helped"}).status_code == 409
    assert sent(client, {"case": "nothing", "outcome": "helped"}).status_code == 404
    assert sent(client, {"case": case, "outcome": "won"}).status_code == 422


# What is seen -------------------------------------------------------------------------------


def test_metrics_tell_of_cases_and_name_nobody(client: TestClient, case: str) -> None:
    do(client, case, "claim")
    told = client.get("/metrics").text
    assert 'triage_cases_open{queue="on-call",tier="E3"} 1.0' in told
    assert 'triage_cases_waiting{queue="on-call",tier="E3"} 0.0' in told
    assert 'triage_time_to_acknowledge_seconds_bucket{le="30.0",tier="E3"} 1.0' in told
    assert 'triage_time_to_acknowledge_seconds_count{tier="E3"} 1.0' in told
    assert "triage_store_up 1.0" in told
    assert "triage_roster_refused 0.0" in told
    assert 'route="/cases/{id}/claim"' in told
    assert case not in told


def test_the_description_says_how(limits: Settings) -> None:
    told = document(limits)
    schema = told["components"]["schemas"]["ResolveBody"]["properties"]["outcome"]
    assert schema["enum"] == list(EndingName.__args__)  # type: ignore[attr-defined]
    assert set(told["paths"]["/cases"]) == {"get", "post"}
    assert told["paths"]["/outcomes"]["post"]["security"] == []
