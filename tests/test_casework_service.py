"""The whole way, with the real model: heard, decided, paged, taken, resolved, and told back."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest
from test_service import PATIENCE, Running, free_port, running

from benchmarks.receiver import SECRET, Receiver, receiving
from triage.safeguards.audit import verify

pytestmark = [pytest.mark.service, pytest.mark.models]

ROSTER = """
targets:
  pager: {{webhook: "{pager}", secret: env:TRIAGE_HOOK, allow: [127.0.0.1]}}
  backend: {{webhook: "{backend}", secret: env:TRIAGE_HOOK, allow: [127.0.0.1]}}
people:
  ann: {{targets: [pager], token: "sha256:{token}"}}
lines: {{on-call: [ann]}}
outcomes: [backend]
"""
OWN = {"Authorization": "Bearer ann's"}


@dataclass
class World:
    """A service, a pager and the callers' own backend."""

    service: Running
    pager: Receiver
    backend: Receiver

    def until(self, receiver: Receiver, count: int) -> list[dict[str, object]]:
        end = monotonic() + PATIENCE
        while len(receiver.arrived) < count:
            assert monotonic() < end, self.service.log
            sleep(0.05)
        return [receiver.bodies[id]["data"] for id in receiver.order]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder, port = tmp_path_factory.mktemp("casework"), free_port()
    token = hashlib.sha256(b"ann's").hexdigest()
    store = {}
    if request.param == "postgresql":
        store = {"TRIAGE_STORE": request.getfixturevalue("postgres").database()}
    with receiving(Receiver()) as pager, receiving(Receiver()) as backend:
        roster = ROSTER.format(pager=pager.url, backend=backend.url, token=token)
        (folder / "roster.yaml").write_text(roster)
        own = {"TRIAGE_ROSTER": str(folder / "roster.yaml"), "TRIAGE_HOOK": SECRET} | store
        with running(folder, port, "triage", "serve", "--port", str(port), **own) as service:
            yield World(service, pager, backend)


def test_from_a_cry_to_its_end(world: World, samples: Path) -> None:
    audio = (samples / "baby-cry.mp3").read_bytes()
    answer = world.service.post("/score", files={"audio": audio}, data={"id": "alice-kitchen-7"})
    decision = answer.json()["results"][0]["decision"]
    assert decision["tier"] in {"E3", "E4"}
    (page, *_) = world.until(world.pager, 1)
    assert (page["case"], page["tier"]) == (decision["case"], decision["tier"])
    url = f"{world.service.url}/cases/{page['case']}"
    for move, body in (("claim", {}), ("resolve", {"outcome": "helped", "heard": ["distress"]})):
        assert httpx.post(f"{url}/{move}", json=body, headers=OWN).status_code == 200
    (end,) = world.until(world.backend, 1)
    assert (end["case"], end["outcome"]) == (decision["case"], "helped")
    told = httpx.get(f"{world.service.url}/metrics").text
    assert 'triage_messages{state="sent",target="backend"} 1.0' in told
    assert "alice" not in world.service.log + json.dumps([page, end]) + told
    assert "alice" not in (world.service.folder / "state" / "audit.jsonl").read_text()
    verify(world.service.folder / "state" / "audit.jsonl")


def test_a_page_outlives_the_process_that_owed_it(tmp_path: Path, samples: Path) -> None:
    """Nobody listens; the service is killed; another begins when somebody does."""
    port, closed = free_port(), free_port()
    token = hashlib.sha256(b"ann's").hexdigest()
    roster = tmp_path / "roster.yaml"
    own = {"TRIAGE_ROSTER": str(roster), "TRIAGE_HOOK": SECRET}
    command = ("triage", "serve", "--port", str(port))
    nobody = f"http://127.0.0.1:{closed}/"
    roster.write_text(ROSTER.format(pager=nobody, backend=nobody, token=token))
    with running(tmp_path, port, *command, **own) as service:
        audio = (samples / "baby-cry.mp3").read_bytes()
        answer = service.post("/score", files={"audio": audio}).json()
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait(PATIENCE)
    with receiving(Receiver()) as pager:
        roster.write_text(ROSTER.format(pager=pager.url, backend=nobody, token=token))
        with running(tmp_path, port, *command, **own) as service:
            (page, *_) = World(service, pager, pager).until(pager, 1)
    assert page["case"] == answer["results"][0]["decision"]["case"]
