"""The real service, with the real model, over real sockets; and the bento that is built from it."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import yaml

from triage.manifest import read_manifest
from triage.safeguards.audit import verify

PROJECT = Path(__file__).resolve().parent.parent
SAMPLES = PROJECT / "data" / "samples"
ROWS = [json.loads(line) for line in (SAMPLES / "manifest.jsonl").read_text().splitlines()]
ONE_OF_EACH = {Path(row["audio"]).suffix: row for row in ROWS if "audio" in row}
PATIENCE = 60.0  # s; a busy machine, not what it takes
SECRET = "alice-kitchen-7"

pytestmark = [pytest.mark.service, pytest.mark.models]


@dataclass
class Running:
    """A service in a process of its own.

    Attributes:
        statuses: What /readyz said, until it was ready.
        folder: Its log, its state, and its folder for temporary files.
    """

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    statuses: list[int]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def temporary(self) -> list[str]:
        """Files in the folder for temporary files. (BentoML keeps an empty folder there.)"""
        return [str(path) for path in (self.folder / "tmp").rglob("*") if not path.is_dir()]

    def post(self, path: str, **send: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=PATIENCE, **send)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def environment(folder: Path) -> dict[str, str]:
    (folder / "tmp").mkdir(exist_ok=True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRIAGE_") and name != "BENTOML_DO_NOT_TRACK"
    }
    return kept | {
        "TMPDIR": str(folder / "tmp"),
        "TRIAGE_STATE": str(folder / "state"),
        "BENTOML_HOME": str(folder / "bentoml"),
        "__BENTOML_DEBUG_USAGE": "True",  # usage would be logged, not sent
    }


@contextmanager
def running(folder: Path, port: int, *command: str, **more: str) -> Iterator[Running]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=log, stderr=log, env=environment(folder) | more
        )
    one = Running(process, port, folder, [])
    try:
        end = monotonic() + PATIENCE
        while one.statuses[-1:] != [200]:
            assert process.poll() is None, one.log
            assert monotonic() < end, one.log
            try:
                one.statuses.append(httpx.get(one.url + "/readyz", timeout=5).status_code)
            except httpx.TransportError:
                sleep(0.05)
        yield one
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    port = free_port()
    with running(
        tmp_path_factory.mktemp("service"), port, "triage", "serve", "--port", str(port)
    ) as one:
        yield one


def noise(seconds: float, hz: int = 16_000, channels: int = 1) -> bytes:
    samples = np.random.default_rng(0).normal(0, 2_000, (int(seconds * hz), channels))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((channels, 2, hz, 0, "NONE", ""))
        out.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()


# Starting -----------------------------------------------------------------------------------


def test_it_says_that_it_is_not_ready_until_it_is(service: Running) -> None:
    assert service.statuses[0] == 503
    assert service.statuses[-1] == 200
    for path in ("/livez", "/healthz", "/readyz"):
        assert httpx.get(service.url + path).status_code == 200


def test_it_listens_on_loopback_only(service: Running) -> None:
    inodes = set(re.findall(r"socket:\[(\d+)\]", " ".join(open_files(service.process.pid))))
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{service.process.pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[9] in inodes
    ]
    assert listening == [f"0100007F:{service.port:04X}"]


def test_the_model_and_the_policy_are_those_that_ship(service: Running, model: Path) -> None:
    told = httpx.get(service.url + "/model").json()
    assert told["name"] == read_manifest(model).name
    assert httpx.get(service.url + "/policy").json()["name"] == "default"


# Scoring -----------------------------------------------------------------------------------


def test_samples_of_every_format_are_scored(service: Running, model: Path) -> None:
    manifest = read_manifest(model)
    for row in ONE_OF_EACH.values():
        sound = (SAMPLES / row["audio"]).read_bytes()
        answer = service.post("/score", files={"audio": sound}, data={"id": row["id"]})
        assert answer.status_code == 200, answer.text
        (result,) = answer.json()["results"]
        assert answer.json()["recording"] == row["id"]
        assert set(result["category_scores"]) == set(manifest.categories)
        assert set(result["event_scores"]) == set(manifest.events)
        assert "failures" not in result


def test_a_list_is_scored_as_its_items_are(service: Running) -> None:
    texts = ["turn off the light", "I will hurt you", "", "what is the weather"]
    items = service.post("/score_text", json={"text": texts}).json()["items"]
    assert [("error" in item) for item in items] == [False, False, True, False]
    for text, item in zip(texts, items, strict=True):
        alone = service.post("/score_text", json={"text": text}).json()
        if text:
            assert item["results"] == alone["results"]


def test_an_unmodified_openai_client(service: Running) -> None:
    client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)
    one = client.moderations.create(input="turn off the light")
    assert one.results[0].flagged is False
    assert 0 <= one.results[0].category_scores.violence <= 1
    two = client.moderations.create(input=["a", "b"], model="omni-moderation-latest")
    assert len(two.results) == 2
    parts = client.moderations.create(input=[{"type": "text", "text": "turn off the light"}])
    assert parts.results[0].category_scores == one.results[0].category_scores
    with pytest.raises(openai.BadRequestError) as caught:
        client.moderations.create(
            input=[{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
        )
    assert (caught.value.code, caught.value.param) == ("bad-field", "input.0")


# What can't be scored -----------------------------------------------------------------------


def test_bad_audio_is_a_clear_error(service: Running) -> None:
    scream = (SAMPLES / "scream.flac").read_bytes()
    for audio, status, slug in (
        (b"", 400, "nothing-to-score"),
        (noise(0), 400, "nothing-to-score"),
        (scream[:40], 415, "unsupported-audio"),
        (b"no audio at all" * 100, 415, "unsupported-audio"),
        (b"#EXTM3U\nfile:///etc/hostname\n", 415, "unsupported-audio"),
        (noise(0.01, channels=200), 422, "too-many-channels"),
    ):
        answer = service.post("/score", files={"audio": ("a.wav", audio)})
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["type"]) == (
            status,
            f"urn:triage:problem:{slug}",
        )


def test_damaged_audio_and_wrong_names_are_scored(service: Running) -> None:
    scream = (SAMPLES / "scream.flac").read_bytes()
    answer = service.post("/score", files={"audio": ("song.exe", scream[: len(scream) // 2])})
    assert answer.json()["results"][0]["flags"]["damaged"] is True


def test_a_text_of_a_megabyte(service: Running) -> None:
    answer = service.post("/score_text", json={"text": "word " * 200_000})
    assert (answer.status_code, answer.json()["limit"]) == (413, 200_000)


def test_a_declared_size_is_refused_at_once(service: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.putrequest("POST", "/score")
    connection.putheader("Content-Type", "audio/wav")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()  # and not one byte of the body
    assert connection.getresponse().status == 413


# What must not be ---------------------------------------------------------------------------


def open_files(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(link))
        except FileNotFoundError:  # closed since it was listed
            continue
    return found


def test_audio_never_touches_the_disk(service: Running) -> None:
    audio = noise(6, hz=48_000, channels=8)  # 4.6 MB; Starlette would spool from 1 MB on
    head = b'--b\r\nContent-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\n'
    body = head + audio + b"\r\n--b--\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    connection.putrequest("POST", "/score")
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    before = set(open_files(service.process.pid))
    connection.send(body[:-1_000])
    sleep(0.5)  # most of it has arrived
    halfway = set(open_files(service.process.pid)) - before
    assert service.temporary == []
    connection.send(body[-1_000:])
    answer = connection.getresponse()
    assert (answer.status, service.temporary) == (200, [])
    assert {file for file in halfway if not file.startswith("socket:")} == set()


def test_the_log_names_nobody(service: Running) -> None:
    service.post("/score", json={"id": SECRET, "transcript": f"my name is {SECRET}"})
    service.post(f"/score?id={SECRET}", json={"transcript": SECRET})
    service.post(f"/{SECRET}", json={SECRET: SECRET})
    service.post("/v1/moderations", json={"input": [{"type": SECRET}]})
    service.post("/score", files={"audio": (SECRET, SECRET)})
    service.post("/score", content=SECRET, headers={"content-type": f"text/{SECRET}"})
    exposed = httpx.get(service.url + "/metrics").text
    assert "POST /score 200" in service.log
    assert SECRET not in service.log + exposed
    assert SECRET not in (service.folder / "state" / "audit.jsonl").read_text()


def test_health_is_answered_while_much_is_scored(service: Running) -> None:
    long = noise(20)
    with ThreadPoolExecutor(4) as pool:
        scored = [
            pool.submit(service.post, "/score", content=long, headers={"content-type": "audio/wav"})
            for _ in range(4)
        ]
        waits = []
        while not all(one.done() for one in scored):
            began = monotonic()
            assert httpx.get(service.url + "/livez", timeout=10).status_code == 200
            waits.append(monotonic() - began)
            sleep(0.05)
    assert [one.result().status_code for one in scored] == [200] * 4
    assert sorted(waits)[len(waits) // 2] < 0.5


def test_a_connection_can_be_used_again_without_waiting(service: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    waits = []
    for _ in range(20):
        began = monotonic()
        connection.request("GET", "/policy")
        connection.getresponse().read()
        waits.append(monotonic() - began)
    # An acknowledgement that is waited for takes 40 ms.
    assert sorted(waits)[len(waits) // 2] < 0.035


def test_all_of_it_is_in_an_audit_that_holds(service: Running) -> None:
    assert service.post("/score_text", json={"text": "hello"}).status_code == 200
    assert verify(service.folder / "state" / "audit.jsonl").entries > 0


# Another model ------------------------------------------------------------------------------


def renamed(model: Path, folder: Path, name: str) -> Path:
    """The model under another name, and so with another digest."""
    shutil.copytree(model, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"name": name}))
    return folder


def change(one: Running, script: str, *arguments: str) -> None:
    """Changes the model in service from another process, as a command does."""
    before = (
        "import sys; from pathlib import Path; from triage.artefact import load; "
        "from triage.settings import settings; "
        "from triage.registry import champion, promote, rollback; own, who = settings(), "
        "{'by': 'a test', 'reason': 'to see'}; "
    )
    subprocess.run(
        [sys.executable, "-c", before + script, *arguments],
        env=environment(one.folder),
        timeout=PATIENCE,
        check=True,
    )


PROMOTE = "promote(load(Path(sys.argv[1])), own, against=champion(own).digest, **who)"
ROLLBACK = "rollback(own, **who)"
# Between the last check of what is promoted and the service's first look at it.
DAMAGE = """
from triage import registry
record = registry._record
def damaged(change, own):
    (change.after.folder / "heads.safetensors").write_bytes(b"rot")
    record(change, own)
registry._record = damaged
"""


class Crowd:
    """Clients that post texts without a pause.

    Attributes:
        answers: Status and model of every answer, in their order.
    """

    def __init__(self, one: Running, clients: int) -> None:
        self._one = one
        self._clients = clients
        self._over = Event()
        self.answers: list[tuple[int, str]] = []

    def __enter__(self) -> Crowd:
        self._pool = ThreadPoolExecutor(self._clients)
        self._posting = [self._pool.submit(self._post) for _ in range(self._clients)]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()
        for client in self._posting:
            client.result()

    def _post(self) -> None:
        with httpx.Client(base_url=self._one.url, timeout=PATIENCE) as client:
            while not self._over.is_set():
                answer = client.post("/score_text", json={"text": "turn off the light"})
                self.answers.append((answer.status_code, answer.json().get("model", "")))

    def wait_for(self, model: str) -> None:
        end = monotonic() + PATIENCE
        seen = len(self.answers)
        while (200, model) not in self.answers[seen:]:
            assert monotonic() < end, self._one.log
            sleep(0.02)


def gauge(one: Running, name: str) -> float:
    (found,) = re.findall(rf"^{name} (\S+)$", httpx.get(one.url + "/metrics").text, re.M)
    return float(found)


def test_models_change_places_and_no_request_is_lost(
    service: Running, model: Path, tmp_path: Path
) -> None:
    old, new = read_manifest(model).name, "challenger-1"
    challenger = renamed(model, tmp_path / "challenger", new)
    with Crowd(service, 4) as crowd:
        crowd.wait_for(old)
        change(service, PROMOTE, str(challenger))
        crowd.wait_for(new)
        told = httpx.get(service.url + "/model").json()
        change(service, ROLLBACK)
        crowd.wait_for(old)
    assert {status for status, _ in crowd.answers} == {200}
    names = [name for _, name in crowd.answers]
    assert set(names) == {old, new}
    # Answers overtake each other, so the order holds but for those in hand at a change.
    first, last = names.index(new), len(names) - names[::-1].index(new)
    assert names[first + 4 : last - 4].count(old) == 0
    assert (told["name"], told["digest"]) == (new, read_manifest(challenger).digest)
    assert gauge(service, 'triage_model_reloads_total{result="done"}') == 2
    assert f"model {new}" in service.log


def test_a_promoted_model_that_is_damaged_does_not_reach_the_service(
    service: Running, model: Path, tmp_path: Path
) -> None:
    challenger = renamed(model, tmp_path / "challenger", "challenger-2")
    with Crowd(service, 2) as crowd:
        change(service, DAMAGE + PROMOTE, str(challenger))
        end = monotonic() + PATIENCE
        while gauge(service, "triage_model_behind") == 0:
            assert monotonic() < end, service.log
            sleep(0.1)
        change(service, ROLLBACK)
    assert set(crowd.answers) == {(200, read_manifest(model).name)}
    assert "heads.safetensors has SHA-256" in service.log
    assert "goes on serving" in service.log


# Stopping, and not starting -------------------------------------------------------------------


def test_policies_change_places_and_no_request_is_lost(tmp_path: Path) -> None:
    """Two good files and a broken one in turn, under requests that don't stop."""
    port, file, stop = free_port(), tmp_path / "policy.yaml", Event()
    shipped = (PROJECT / "triage" / "policy" / "default.yaml").read_bytes()
    files = [shipped, shipped.replace(b'version: "2"', b'version: "3"'), b"broken: ["]
    digests = {f"sha256:{hashlib.sha256(data).hexdigest()}" for data in files[:2]}
    file.write_bytes(shipped)

    def ask() -> list[tuple[int, str]]:
        told = []
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            while not stop.is_set():
                answer = client.post("/score_text", json={"text": "good morning"})
                told.append((answer.status_code, answer.json()["policy"]["digest"]))
        return told

    command = ("triage", "serve", "--port", str(port))
    with (
        running(tmp_path, port, *command, TRIAGE_POLICY=str(file)) as one,
        ThreadPoolExecutor(2) as pool,
    ):
        asking = [pool.submit(ask) for _ in range(2)]
        for turn in range(9):
            part = tmp_path / "part"
            part.write_bytes(files[turn % 3])
            part.replace(file)
            sleep(0.4)
            if turn % 3 == 2:
                told = httpx.get(one.url + "/policy", timeout=PATIENCE).json()
                assert (told["version"], bool(told["problem"])) == ("3", True)
                assert "triage_policy_refused 1.0" in httpx.get(one.url + "/metrics").text
        stop.set()
        answers = [answer for future in asking for answer in future.result()]
    assert {status for status, _ in answers} == {200}
    assert {digest for _, digest in answers} == digests
    audit = (tmp_path / "state" / "audit.jsonl").read_text().splitlines()
    changes = [json.loads(line) for line in audit if '"kind":"policy"' in line]
    assert [one["body"]["version"] for one in changes] == ["3", "2", "3", "2", "3"]
    assert changes[0]["body"]["changes"] == ["everybody: the version is 3 instead of 2"]


def test_it_stops_cleanly(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, port, "triage", "serve", "--port", str(port)) as one:
        pass
    assert one.process.returncode == 0
    assert one.log.rstrip().endswith("stopped")
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"TRIAGE_MODEL": "/nowhere"}, "manifest.json"),
        ({"TRIAGE_STORE": "nowhere"}, "TRIAGE_STORE"),
        ({"TRIAGE_MAX_BYTES": "many"}, "TRIAGE_MAX_BYTES"),
    ],
)
def test_what_is_not_set_up_does_not_start(
    setting: dict[str, str], said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "triage", "serve", "--port", str(free_port())],
        env=environment(tmp_path) | setting,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(service: Running, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "triage", "serve", "--port", str(service.port)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "--port" in done.stderr


# BentoML ----------------------------------------------------------------------------------


def test_the_bento_pins_what_the_project_needs() -> None:
    def name(requirement: str) -> str:
        return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[]", requirement)[0]).lower()

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    pins = [line for line in (PROJECT / "constraints.txt").read_text().splitlines() if "==" in line]
    versions = {name(line): line.partition("==")[2] for line in pins}
    bento = yaml.safe_load((PROJECT / "bentofile.yaml").read_text())["python"]["packages"]
    extras = re.compile(r"\[.*?\]|$")
    assert bento == [
        f"{name(one)}{extras.findall(one)[0]}=={versions[name(one)]}"
        for one in project["dependencies"]
    ]


def test_a_bento_is_built_and_serves(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--output", "tag", str(PROJECT)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (manifest,) = (tmp_path / "bentoml" / "bentos").rglob("bento.yaml")
    assert not list(manifest.parent.rglob("tests"))
    port = free_port()
    with running(
        tmp_path, port, "bentoml", "serve", str(manifest.parent), "--port", str(port)
    ) as one:
        answer = one.post("/score", files={"audio": (SAMPLES / "siren.webm").read_bytes()})
        assert answer.status_code == 200, answer.text
        assert httpx.get(one.url + "/nothing").json()["status"] == 404
        assert "triage_recordings_total" in httpx.get(one.url + "/metrics").text
    tracked = built.stdout + built.stderr + one.log
    assert "Tracking" not in tracked
