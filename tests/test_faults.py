"""Faults: kills, a database that is gone, a full disk. Real processes, real databases."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
import sqlalchemy as sa
from casework import Desk, made
from postgres import Server, server
from starlette.testclient import TestClient

from benchmarks.escalations import measure
from benchmarks.receiver import HANG, OK, SECRET, Receiver, receiving
from triage.database.store import open_store
from triage.database.tables import NotificationRow
from triage.errors import StoreFailed
from triage.escalate.clocks import Clocks
from triage.escalate.delivery import Delivery
from triage.escalate.outbox import Outbox
from triage.escalate.run import Casework
from triage.http.app import build_app
from triage.process import Processor
from triage.records import Recording
from triage.settings import Settings

pytestmark = pytest.mark.slow

PATIENCE = 60.0  # s; a busy machine, not what it takes
PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as running:
        yield running


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A server that nobody else uses, so that it may be stopped."""
    with server() as running:
        if running is None:
            pytest.skip("no PostgreSQL is installed: apt-get install postgresql")
        yield running


def sender(url: str, receiver: Receiver, folder: Path) -> subprocess.Popen[bytes]:
    """`triage escalate run`, in a process of its own."""
    (folder / "roster.yaml").write_text(
        f"targets: {{hook: {{webhook: '{receiver.url}', secret: env:HOOK, allow: [127.0.0.1]}}}}\n"
        "people: {ann: {targets: [hook]}}\nlines: {on-call: [ann]}\n"
    )
    environment = os.environ | {
        "TRIAGE_STORE": url,
        "TRIAGE_STATE": str(folder),
        "TRIAGE_ROSTER": str(folder / "roster.yaml"),
        "HOOK": SECRET,
    }
    with (folder / "sender.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "triage", "escalate", "run"],
            env=environment,
            cwd=PROJECT,
            stderr=log,
        )


def until(holds: object) -> None:
    end = monotonic() + PATIENCE
    while not holds():  # type: ignore[operator]
        assert monotonic() < end
        sleep(0.02)


def states(url: str) -> list[str]:
    with open_store(url).connect() as connection:
        return list(connection.execute(sa.select(NotificationRow.state)).scalars())


def desk_now(url: str, folder: Path) -> Desk:
    from time import time

    from casework import roster_of

    return Desk(url, folder, roster=roster_of(), now=time())


def test_killed_between_deciding_and_sending_it_is_sent_by_the_next(
    store_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    code = (
        "import os, sys; sys.path.insert(0, 'tests'); from pathlib import Path\n"
        "from test_faults import desk_now\n"
        "desk_now(sys.argv[1], Path(sys.argv[2])).decided('a'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, store_url, str(tmp_path)], cwd=PROJECT, check=False
    )
    assert killed.returncode == -9
    assert states(store_url) == ["waiting"]
    running = sender(store_url, receiver, tmp_path)
    until(lambda: states(store_url) == ["sent"])
    running.terminate()
    assert running.wait(30) == 0
    assert list(receiver.arrived.values()) == [1]


def test_killed_between_sending_and_marking_the_same_message_comes_again(
    store_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    receiver.hang = 30.0
    receiver.behave = lambda _id, before: HANG if before == 0 else OK
    desk_now(store_url, tmp_path).decided("a")
    first = sender(store_url, receiver, tmp_path)
    until(lambda: sum(receiver.calls.values()) == 1)  # it has it, and hasn't said so
    first.kill()
    first.wait(30)
    second = sender(store_url, receiver, tmp_path)
    until(lambda: states(store_url) == ["sent"])
    second.terminate()
    second.wait(30)
    assert list(receiver.calls.values()) == [2]
    assert len(receiver.arrived) == 1


def test_a_standby_takes_over_from_a_sender_that_is_killed(
    store_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    desk = desk_now(store_url, tmp_path)
    running = [sender(store_url, receiver, tmp_path) for _ in range(2)]
    for number, one in enumerate(running):
        desk.decided(f"id-{number}")
        until(lambda: set(states(store_url)) == {"sent"})
        one.kill()
        one.wait(30)
    assert len(receiver.arrived) == 2


def test_a_database_that_is_gone_is_an_error_to_the_caller_and_nothing_is_lost(
    own_postgres: Server,
    tmp_path: Path,
    receiver: Receiver,
    fake_processor: Processor,
    limits: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace
    from time import time

    from casework import hook, roster_of

    monkeypatch.setattr("triage.escalate.delivery.AGAIN", 0.1)
    url = own_postgres.database()
    roster = roster_of(targets={"hook": hook(receiver.url)})
    book = replace(fake_processor.book, opened=open_store(url), roster=lambda: roster, now=time)
    processor = replace(fake_processor, book=book)
    client = TestClient(build_app(lambda: processor, limits))
    casework = Casework(
        lambda: Clocks(book, 30, 365),
        lambda: Delivery(Outbox(book.opened), lambda: roster),
        every=0.1,
    )
    casework.start()
    sound = {"files": {"audio": b"sound"}}
    answered = [client.post("/score", **sound).json()["results"][0]["decision"]["case"]]
    own_postgres.stop("immediate")
    for _ in range(3):
        refused = client.post("/score", **sound)
        assert (refused.status_code, refused.json()["type"]) == (
            503,
            "urn:triage:problem:store-failed",
        )
        assert "127.0.0.1" not in refused.text
    assert "triage_store_up 0.0" in client.get("/metrics").text
    sleep(1.0)
    own_postgres.start()
    answered.append(client.post("/score", **sound).json()["results"][0]["decision"]["case"])
    until(lambda: set(states(url)) <= {"sent"} and len(states(url)) >= 2)
    casework.stop()
    told = {body["data"]["case"] for body in receiver.bodies.values()}
    assert told == {case.id for case in book.cases()} >= set(answered)
    assert "triage_store_up 1.0" in client.get("/metrics").text


def test_a_full_disk_is_an_error_to_the_caller_and_nothing_is_half_kept(
    fake_processor: Processor, limits: Settings
) -> None:
    opened = fake_processor.book.opened
    audio = [Recording(f"r{n}", b"sound") for n in range(40)]
    fake_processor.process(audio[:1], "http")

    def fill(connection: object, *_: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
        connection.execute(f"PRAGMA max_page_count={pages + 2}")  # type: ignore[attr-defined]

    opened.dispose()
    sa.event.listen(opened, "connect", fill)
    kept, failed = 1, []
    for number in range(0, 40, 5):
        try:
            kept += len(fake_processor.process(audio[number : number + 5], "http"))
        except StoreFailed as error:
            failed.append(error.detail)
    assert failed
    assert all("SQLITE_FULL" in one for one in failed)
    sa.event.remove(opened, "connect", fill)
    opened.dispose()
    with opened.connect() as connection:
        counts = [
            connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar()  # noqa: S608
            for table in ("decisions", "cases")
        ]
    assert counts[0] == kept
    fake_processor.process(audio[-5:], "http")  # and with room again it goes on


def test_a_full_disk_of_postgresql_is_one_too(own_postgres: Server, tmp_path: Path) -> None:
    """A tablespace on a file system of two megabytes, where one can be mounted."""
    small = own_postgres.small_disk()
    if small is None:
        pytest.skip("no file system can be mounted here")
    url = own_postgres.database(small)
    desk = Desk(url, tmp_path)
    kept = 0

    def fill() -> None:
        nonlocal kept
        for number in range(5_000):
            desk.recorded([made(f"id-{number}-{n}", desk.policy) for n in range(50)])
            kept += 50

    with pytest.raises(StoreFailed, match=r"53100|DiskFull"):
        fill()
    with open_store(url).connect() as connection:
        for table in ("decisions", "cases", "notifications"):
            query = sa.text(f"SELECT count(*) FROM {table}")  # noqa: S608
            assert connection.execute(query).scalar() == kept


def test_everything_arrives_whoever_is_killed(store_url: str, tmp_path: Path) -> None:
    """The bench of 10,000 in small: deciders and senders are killed, the receiver misbehaves."""
    found = measure(store_url, 250, tmp_path, seed=3)
    assert found.is_whole, found
    assert found.kills > 0
    assert found.calls > found.messages > 250
