"""The endpoints around a fake model: what is answered, counted, logged, and never told."""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from triage.errors import AuditFailed, BadSetting, TriageError
from triage.http import metrics
from triage.http.about import about_policy
from triage.http.admission import Admission
from triage.http.app import Edge, build_app
from triage.http.loading import Loading
from triage.http.openapi import document
from triage.http.problems import PROBLEM, Busy
from triage.http.schemas import ModerationBody, ScoreBody, ScoreTextBody, validated
from triage.process import Processor
from triage.settings import Settings

SOUND = b"sound of a scream"
SECRET = "alice-kitchen-7"


@pytest.fixture
def app(fake_processor: Processor, limits: Settings) -> Starlette:
    return build_app(lambda: fake_processor, limits)


@pytest.fixture
def client(app: Starlette) -> TestClient:
    return TestClient(app)


def problem(response: Any, status: int, slug: str) -> dict[str, Any]:
    """The problem that a response tells, once it was seen to be well-formed."""
    told: dict[str, Any] = response.json()
    assert response.headers["content-type"] == PROBLEM
    assert (response.status_code, told["status"]) == (status, status), told
    assert told["type"] == f"urn:triage:problem:{slug}"
    assert told["title"]
    assert told["detail"].endswith(".")
    return told


def until(holds: Callable[[], bool]) -> None:
    """Waits for a thread to get there."""
    end = monotonic() + 10
    while not holds():
        assert monotonic() < end
        sleep(0.001)


def entries(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


# /score --------------------------------------------------------------------------------------


def test_three_ways_to_send_a_recording_give_one_answer(client: TestClient) -> None:
    answers = [
        client.post("/score", files={"audio": ("x.txt", SOUND)}, data={"id": SECRET}),
        client.post("/score", json={"audio": base64.b64encode(SOUND).decode(), "id": SECRET}),
        client.post(
            "/score",
            content=SOUND,
            headers={"content-type": "audio/wav", "x-recording-id": SECRET},
        ),
    ]
    results = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [result["recording"] for result in results] == [SECRET] * 3
    for result in results:
        (one,) = result["results"]
        assert {name: score for name, score in one["category_scores"].items() if score} == {
            "violence": 0.1,
            "distress": 0.9,
        }
        assert one["events"] == [{"event": "scream", "start": 0.0, "end": 1.0, "score": 0.95}]
        assert one["decision"]["tier"] in {"E2", "E3", "E4"}
    assert len({result["id"] for result in results}) == 3


def test_nothing_is_answered_that_is_not_in_the_audit(client: TestClient, audit_file: Path) -> None:
    scored = client.post("/score", json={"transcript": "hello", "id": SECRET}).json()
    refused = client.post("/score", json={"transcript": "", "id": SECRET}).json()
    first, second = entries(audit_file)
    assert (first["hash"], first["body"]["id"]) == (scored["audit"], scored["id"])
    assert (second["kind"], second["body"]["id"]) == ("refusal", refused["id"])
    assert SECRET not in audit_file.read_text()


def test_words_only_for_those_who_ask(client: TestClient) -> None:
    body = {"transcript": "turn it off"}
    assert "turn it off" not in client.post("/score", json=body).text
    asked = client.post("/score", json=body | {"include_transcript": True}).json()
    assert asked["results"][0]["transcript"]["text"] == "turn it off"


def test_a_refused_recording_is_a_problem(client: TestClient) -> None:
    told = problem(client.post("/score", json={"id": SECRET}), 400, "nothing-to-score")
    assert told["recording"] == SECRET
    answer = client.post("/score", files={"audio": b"noise"})
    problem(answer, 415, "unsupported-audio")
    answer = client.post("/score", json={"transcript": "x" * 101})
    assert problem(answer, 413, "too-large")["limit"] == 100


def test_a_stage_that_fails_is_an_answer_for_a_person(client: TestClient) -> None:
    before = metrics.STAGE_FAILURES.labels("text")._value.get()
    (one,) = client.post("/score", json={"transcript": "this breaks a stage"}).json()["results"]
    assert (one["flagged"], one["failures"]) == (True, {"text": "RuntimeError"})
    assert one["decision"]["rule"] == "fallback:stage_failed"
    assert metrics.STAGE_FAILURES.labels("text")._value.get() == before + 1


# /score_text ---------------------------------------------------------------------------------


def test_one_text_or_many(client: TestClient) -> None:
    one = client.post("/score_text", json={"text": "hello", "id": "a"}).json()
    many = client.post("/score_text", json={"text": [{"text": "hello", "id": "a"}]}).json()
    assert list(many) == ["items"]
    assert many["items"][0]["results"][0]["categories"] == one["results"][0]["categories"]
    assert (one["recording"], many["items"][0]["recording"]) == ("a", "a")


def test_one_bad_text_is_a_row_and_the_rest_are_scored(client: TestClient) -> None:
    items = ["fine", "", 7, {"text": "x" * 101, "id": "long"}, {"text": "fine too", "id": "b"}]
    response = client.post("/score_text", json={"text": items})
    rows = response.json()["items"]
    assert response.status_code == 200
    assert [row.get("error", {}).get("status") for row in rows] == [None, 400, 422, 413, None]
    assert [row["recording"] for row in rows][3:] == ["long", "b"]
    assert rows[2]["id"] is None


def test_a_list_of_only_bad_items(client: TestClient) -> None:
    (row,) = client.post("/score_text", json={"text": [7]}).json()["items"]
    assert row["error"]["status"] == 422


# /v1/moderations -----------------------------------------------------------------------------


def test_moderations_have_openais_shape(client: TestClient) -> None:
    answer = client.post("/v1/moderations", json={"input": ["a", "b"], "model": "omni"}).json()
    assert set(answer) == {"id", "model", "results"}
    assert len(answer["results"]) == 2
    assert answer["results"][0]["categories"]["violence"] is False
    assert answer["results"][0]["categories"]["self-harm/intent"] is False


@pytest.mark.parametrize(
    ("send", "status", "code"),
    [
        ({"json": {"input": [{"type": "image_url", "image_url": {}}]}}, 400, "bad-field"),
        ({"json": {"input": "a", "temperature": 1}}, 400, "bad-field"),
        ({"json": {"input": ""}}, 400, "nothing-to-score"),
        ({"json": {"input": ["fine", "x" * 101]}}, 413, "too-large"),
        ({"content": b"{"}, 415, "wrong-content-type"),
    ],
)
def test_moderation_errors_have_openais_shape(
    client: TestClient, send: dict[str, Any], status: int, code: str
) -> None:
    response = client.post("/v1/moderations", **send)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"


# /model, /policy, /openapi.json --------------------------------------------------------------


def test_the_model_is_described(client: TestClient) -> None:
    told = client.get("/model").json()
    assert told["name"] == "triage-fake"
    assert told["categories"] == ["violence", "distress"]
    fake = {"name": "fake", "width": 8, "licence": "MIT"}
    assert told["encoders"] == {"speech": fake, "text": fake}
    assert {"events", "event_thresholds", "lineage", "metrics"} <= set(told)


def test_the_policy_is_described(client: TestClient, fake_triage: Any) -> None:
    policy = fake_triage.policy
    told = client.get("/policy").json()
    assert told == about_policy(policy) | {"problem": ""}
    assert "members" not in str(told)
    assert (told["name"], told["digest"]) == (policy.name, policy.digest)
    violence = policy.categories["violence"]
    assert told["categories"]["violence"] == {
        "threshold": violence.threshold,
        "severity": violence.severity,
        "critical": True,
    }
    assert told["tiers"]["E4"]["deadline"] == policy.tiers["E4"].deadline
    assert [rule["id"] for rule in told["rules"]] == [rule.id for rule in policy.rules]
    assert all(isinstance(action, str) for rule in told["rules"] for action in rule["actions"])
    assert told["fallbacks"]["stage_failed"]["actions"]


def test_openapi_knows_every_path(client: TestClient, app: Starlette) -> None:
    told = client.get("/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    probes = {"/livez", "/healthz", "/readyz"}  # BentoML's
    assert set(told["paths"]) - probes == {route.path for route in app.routes}  # type: ignore[attr-defined]


def test_openapi_holds_together(limits: Settings) -> None:
    told = document(limits)
    named = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(told))
    assert named
    assert set(named) <= set(told["components"]["schemas"])
    bodies = {"/score": ScoreBody, "/score_text": ScoreTextBody, "/v1/moderations": ModerationBody}
    for path, kind in bodies.items():
        content = told["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        shown = content.get("examples") or {"one": {"value": content["example"]}}
        for example in shown.values():
            validated(kind, example["value"])


def test_openapis_example_answer_is_one(client: TestClient) -> None:
    told = client.get("/openapi.json").json()
    example = told["paths"]["/score"]["post"]["responses"]["200"]["content"]["application/json"]
    real = client.post("/score", files={"audio": SOUND}).json()
    assert set(real) == set(example["example"])
    assert set(real["results"][0]) == set(example["example"]["results"][0])
    assert set(real["results"][0]["decision"]) == set(example["example"]["results"][0]["decision"])


# What can't be answered ----------------------------------------------------------------------


def test_unknown_paths_and_wrong_methods(client: TestClient) -> None:
    problem(client.get("/nothing/here"), 404, "unknown-path")
    told = problem(client.get("/score"), 405, "wrong-method")
    assert told["limit"] == ["POST"]
    assert client.delete("/model").headers["allow"] == "GET, HEAD"
    assert client.get("/v1/moderations").json()["error"]["code"] == "wrong-method"


def test_a_size_over_the_limit(client: TestClient) -> None:
    answer = client.post("/score", content=bytes(8_000_001), headers={"content-type": "audio/wav"})
    assert problem(answer, 413, "too-large")["limit"] == 8_000_000


@pytest.mark.parametrize(("path", "shape"), [("/score", "problem"), ("/v1/moderations", "openai")])
def test_what_breaks_inside_says_nothing(
    path: str, shape: str, limits: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def process(self, *_: object) -> None:
            raise RuntimeError(f"{SECRET} was said")

    client = TestClient(build_app(lambda: Broken(), limits))  # type: ignore[arg-type,return-value]
    with caplog.at_level(logging.DEBUG):
        answer = client.post(path, json={"transcript" if shape == "problem" else "input": SECRET})
    assert answer.status_code == 500
    assert SECRET not in answer.text + caplog.text
    assert "RuntimeError" in caplog.text
    if shape == "problem":
        problem(answer, 500, "internal")


def test_no_audit_no_answer(fake_processor: Processor, limits: Settings, audit_file: Path) -> None:
    class Full:
        def append_many(self, *_: object) -> list[str]:
            raise AuditFailed("The audit log can't be written: no space left.")

    object.__setattr__(fake_processor, "audit", Full())
    client = TestClient(build_app(lambda: fake_processor, limits))
    problem(client.post("/score", json={"transcript": "hello"}), 503, "audit-failed")
    assert not audit_file.exists()


def test_loading_and_not_loaded(limits: Settings, fake_processor: Processor) -> None:
    loading = Loading(lambda: fake_processor)
    client = TestClient(build_app(loading.processor, limits))
    for answer in (client.post("/score", json={"transcript": "a"}), client.get("/model")):
        problem(answer, 503, "not-ready")
        assert int(answer.headers["retry-after"]) > 0
    assert client.get("/openapi.json").status_code == 200
    done: list[bool] = []
    loading.when_done(lambda: done.append(loading.ready))
    loading.start()
    until(lambda: bool(done))
    assert done == [True]
    assert client.post("/score", json={"transcript": "a"}).status_code == 200


@pytest.mark.parametrize("error", [BadSetting("Set it right."), RuntimeError("broken file")])
def test_what_can_not_be_loaded_is_told(error: Exception, limits: Settings) -> None:
    def fail() -> Processor:
        raise error

    loading = Loading(fail)
    loading.start()
    until(lambda: loading.error is not None)
    assert not loading.ready
    answer = TestClient(build_app(loading.processor, limits)).get("/model")
    if isinstance(error, TriageError):
        problem(answer, 503, "bad-setting")
    else:
        problem(answer, 500, "internal")


def test_models_are_loaded_once(fake_processor: Processor) -> None:
    times: list[int] = []
    loading = Loading(lambda: times.append(1) or fake_processor)  # type: ignore[func-returns-value]
    loading.start()
    loading.start()
    until(lambda: loading.ready)
    assert times == [1]


# A crowd -------------------------------------------------------------------------------------


def together(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def test_the_loop_answers_while_recordings_are_scored(
    app: Starlette, fake_triage: Any, held: Callable[[], None]
) -> None:
    async def run() -> None:
        async with together(app) as client, anyio.create_task_group() as tasks:
            answers = []

            async def score() -> None:
                answers.append(await client.post("/score", json={"transcript": "hello"}))

            for _ in range(4):  # two at work, two waiting
                tasks.start_soon(score)
            await anyio.to_thread.run_sync(fake_triage.waiting.wait, 10)
            with anyio.fail_after(5):
                assert (await client.get("/model")).status_code == 200
            assert answers == []
            held()
        assert [answer.status_code for answer in answers] == [200] * 4

    anyio.run(run)
    assert len(fake_triage.heard) == 4


def test_a_full_queue_says_so_at_once(
    fake_processor: Processor,
    limits: Settings,
    held: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("triage.http.app.WAITING", 1)
    app = build_app(lambda: fake_processor, limits)
    statuses: list[int] = []

    async def score(client: httpx.AsyncClient) -> None:
        answer = await client.post("/score", json={"transcript": "hello"})
        statuses.append(answer.status_code)
        if answer.status_code == 503:
            problem(answer, 503, "busy")
            assert int(answer.headers["retry-after"]) > 0
            held()

    async def run() -> None:
        async with together(app) as client:
            async with anyio.create_task_group() as tasks:
                for _ in range(4):  # one more than two at work and one waiting
                    tasks.start_soon(score, client)
            assert statuses == [503, 200, 200, 200]
            await score(client)  # places are given back

    anyio.run(run)
    assert statuses[-1] == 200


def test_admission_gives_back_what_it_took() -> None:
    admission = Admission(most_requests=2, most_bytes=10)
    with admission.place() as one, admission.place() as two:
        one.hold(6)
        with pytest.raises(Busy):
            two.hold(6)
    assert (admission.requests, admission.held) == (0, 0)
    with admission.place(), admission.place(), pytest.raises(Busy), admission.place():
        pass
    assert admission.requests == 0


# What is counted and logged ------------------------------------------------------------------


def test_metrics_count_and_name_nobody(client: TestClient) -> None:
    counters = (
        metrics.RECORDINGS.labels("score_text", "E0"),
        metrics.REFUSALS.labels("nothing-to-score"),
        metrics.REFUSALS.labels("bad-field"),
        metrics.REFUSALS.labels("unknown-path"),
    )
    before = [counter._value.get() for counter in counters]
    client.post("/score_text", json={"text": ["hello", "", 7], "include_transcript": True})
    client.post("/score", files={"audio": SOUND}, data={"id": SECRET})
    client.get(f"/{SECRET}")
    client.post("/score", json={SECRET: 1})
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    after = [counter._value.get() for counter in counters]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 2, 1]
    for line in (
        'triage_recordings_total{tier="E0",way="score_text"}',
        'triage_refusals_total{slug="nothing-to-score"}',
        'triage_refusals_total{slug="bad-field"}',
        "triage_audio_seconds_total",
        'triage_scoring_seconds_bucket{le="0.005",way="score"}',
        'triage_http_requests_total{route="unknown",status="404"}',
        "triage_http_requests_in_hand",
    ):
        assert line in answer.text
    assert SECRET not in answer.text


def test_logs_name_nobody(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="triage"):
        client.post("/score", json={"transcript": "hello there", "id": SECRET})
        client.post(f"/score?id={SECRET}", json={"transcript": "hello there"})
        client.get(f"/recordings/{SECRET}")
        client.post("/score", json={"transcript": "x" * 101, "id": SECRET})
    assert re.findall(r"(POST|GET) (\S+) (\d+) ", caplog.text) == [
        ("POST", "/score", "200"),
        ("POST", "/score", "422"),
        ("GET", "unknown", "404"),
        ("POST", "/score", "413"),
    ]
    assert SECRET not in caplog.text
    assert "hello" not in caplog.text


def test_a_client_that_leaves_is_no_error(
    fake_processor: Processor, limits: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = build_app(lambda: fake_processor, limits)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/score",
        "query_string": b"",
        "headers": [(b"content-type", b"audio/wav")],
    }
    with caplog.at_level(logging.INFO):
        anyio.run(app, scope, receive, send)
    assert sent == []
    assert "499" in caplog.text


def test_the_edge_leaves_other_protocols_alone() -> None:
    seen: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    anyio.run(Edge(inner, ()), {"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]
