"""Delivery against a real receiver that misbehaves, from SQLite and from PostgreSQL."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep, time

import pytest
import sqlalchemy as sa
from casework import NOON, Desk, hook, roster_of

from benchmarks.receiver import BUSY, DROP, ERROR, HANG, OK, REFUSE, Receiver, receiving
from triage.database.tables import NotificationRow
from triage.escalate.delivery import Delivery, Gate
from triage.escalate.outbox import ATTEMPTS, OneSender, Outbox, paused
from triage.escalate.roster import Target
from triage.escalate.rows import DEAD, SENT, WAITING
from triage.escalate.sending import Result, WebhookSender

PATIENCE = 40.0  # s; a busy machine, not what it takes


@pytest.fixture
def desk(store_url: str, tmp_path: Path) -> Desk:
    return Desk(store_url, tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Receiver()) as running:
        yield running


def target(receiver: Receiver, **terms: object) -> dict[str, object]:
    return hook(receiver.url, timeout=0.5, per_minute=1_000_000) | terms


class Turned:
    """Real time from noon on, so that pauses pass, and messages are signed with today's."""

    def __init__(self) -> None:
        self._begun = monotonic()
        self.ahead = 0.0

    def __call__(self) -> float:
        return NOON + monotonic() - self._begun + self.ahead


@contextmanager
def delivering(desk: Desk, now: Callable[[], float]) -> Iterator[Delivery]:
    outbox = Outbox(desk.book.opened, now)
    delivery = Delivery(outbox, lambda: desk.roster, time, idle=0.01, alone=0.2)
    assert delivery.tend()
    try:
        yield delivery
    finally:
        delivery.stop()


def until(holds: Callable[[], bool]) -> None:
    end = monotonic() + PATIENCE
    while not holds():
        assert monotonic() < end
        sleep(0.01)


def states(desk: Desk) -> Counter[str]:
    return Counter(row["state"] for row in desk.messages())


def all_sent(desk: Desk) -> bool:
    return set(states(desk)) == {SENT}


def test_messages_arrive_signed_once_the_graver_first(desk: Desk, receiver: Receiver) -> None:
    desk.roster = roster_of(targets={"hook": target(receiver, at_once=1)})
    desk.now = NOON - 10
    desk.decided("a", "b")
    desk.now = NOON
    desk.decided("now", violence=0.95)
    with delivering(desk, Turned()):
        until(lambda: all_sent(desk))
    assert receiver.wrong == 0
    assert set(receiver.arrived.values()) == {1}
    tiers = [receiver.bodies[id]["data"]["tier"] for id in receiver.order]
    assert tiers == ["E4", "E4", "E3", "E3"]
    body = receiver.bodies[receiver.order[0]]
    assert (body["type"], body["data"]["case"]) == ("case.escalated", "now")


def test_whatever_a_receiver_does_everything_arrives(desk: Desk, receiver: Receiver) -> None:
    """It hangs, fails, has too much to do, cuts the line before and after it has accepted."""
    ways = (HANG, ERROR, BUSY, DROP, REFUSE)
    order: dict[str, str] = {}

    def behave(id: str, before: int) -> str:
        return order.setdefault(id, ways[len(order) % len(ways)]) if before == 0 else OK

    receiver.behave, receiver.hang = behave, 1.0
    desk.roster = roster_of(targets={"hook": target(receiver)})
    desk.decided(*(f"id-{n}" for n in range(10)))
    with delivering(desk, Turned()):
        until(lambda: all_sent(desk))
    assert set(receiver.arrived) == {row["id"] for row in desk.messages()}
    assert len(receiver.arrived) == 10
    for id, count in receiver.arrived.items():
        assert count == (2 if order[id] == DROP else 1)  # and the same id says so
    errors = Counter(row["failures"] for row in desk.messages())
    assert errors == {1: 10}


def test_a_receiver_that_asks_for_time_gets_it(desk: Desk, receiver: Receiver) -> None:
    receiver.behave, receiver.retry_after = lambda _id, _before: BUSY, 100
    desk.roster = roster_of(targets={"hook": target(receiver)})
    desk.decided("a")
    with delivering(desk, Turned()):
        until(lambda: desk.messages()[0]["failures"] == 1)
    (row,) = desk.messages()
    assert row["next_at"] - row["tried_at"] == 100
    assert (row["error"], row["state"]) == ("http-429", WAITING)


def test_one_target_that_hangs_holds_up_no_other(desk: Desk, receiver: Receiver) -> None:
    with receiving(Receiver(behave=lambda _id, _before: HANG, hang=30.0)) as stuck:
        slow = target(stuck, timeout=30.0)
        people = {"cyn": {"targets": ["slow"]}, "ann": {"targets": ["hook"]}}
        desk.roster = roster_of(
            targets={"slow": slow, "hook": target(receiver)},
            people=people,
            lines={"violence": ["cyn"], "on-call": ["ann"]},
        )
        desk.decided(*(f"id-{n}" for n in range(10)), violence=0.95)
        with delivering(desk, Turned()) as delivery:
            until(lambda: len(receiver.arrived) == 10)
            until(lambda: states(desk) == {SENT: 10, WAITING: 10})
            stuck.closing.set()
            delivery.stop()


def test_a_target_that_fails_again_and_again_is_left_alone(receiver: Receiver) -> None:
    gate, tried = Gate(Target.model_validate(target(receiver)), alone=0.3), []

    def fail() -> Result:
        tried.append(1)
        return Result("http-500")

    for _ in range(5):
        assert gate.through(fail) == Result("http-500")
    assert gate.is_open
    assert gate.through(fail) is None
    assert len(tried) == 5
    sleep(0.35)
    assert gate.through(fail) == Result("http-500")  # one tries, and it is shut again
    assert gate.through(fail) is None
    sleep(0.35)
    assert gate.through(lambda: Result("sent")) == Result("sent")
    assert not gate.is_open
    assert gate.through(fail) == Result("http-500")


def test_a_gate_lets_many_through_side_by_side(receiver: Receiver) -> None:
    gate, both = Gate(Target.model_validate(target(receiver))), threading.Barrier(2, timeout=5)

    def send() -> Result:
        both.wait()
        return Result("sent")

    threads = [threading.Thread(target=gate.through, args=(send,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not both.broken


def test_a_gate_takes_so_many_a_minute(receiver: Receiver) -> None:
    gate = Gate(Target.model_validate(target(receiver, per_minute=3)))
    assert [gate.has_room() for _ in range(5)] == [True, True, True, False, False]


def test_neither_its_rate_nor_its_rest_counts_as_an_attempt(desk: Desk, receiver: Receiver) -> None:
    receiver.behave = lambda _id, _before: ERROR
    desk.roster = roster_of(targets={"hook": target(receiver, per_minute=3)})
    desk.decided(*(f"id-{n}" for n in range(8)))
    with delivering(desk, Turned()):
        until(lambda: sum(receiver.calls.values()) == 3)
        sleep(0.3)
    assert sum(receiver.calls.values()) == 3
    assert sum(row["attempts"] for row in desk.messages()) == 3


def test_a_rest_is_no_error_and_no_attempt(
    desk: Desk, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.behave = lambda _id, _before: ERROR
    desk.roster = roster_of(targets={"hook": target(receiver, at_once=1)})
    desk.decided(*(f"id-{n}" for n in range(20)))
    with delivering(desk, Turned()):
        until(lambda: sum(receiver.calls.values()) == 6)  # five, a rest, and one that tries
    assert "sending to hook failed" not in caplog.text
    assert sum(row["attempts"] for row in desk.messages()) == sum(receiver.calls.values())


def test_pauses_double_with_some_chance_up_to_ten_minutes() -> None:
    for attempts, least in ((1, 1), (2, 2), (5, 16), (9, 256), (50, 600), (10_000, 600)):
        found = {paused(attempts) for _ in range(20)}
        assert all(least <= one <= min(least + 1, 600) for one in found)
        assert len(found) > 1 or least == 600


def test_what_is_given_up_is_listed_and_sent_again(desk: Desk, receiver: Receiver) -> None:
    receiver.behave = lambda _id, before: "410" if before == 0 else OK
    desk.roster = roster_of(targets={"hook": target(receiver)})
    desk.decided("a", "b")
    outbox = Outbox(desk.book.opened, lambda: NOON)
    with delivering(desk, Turned()):
        until(lambda: states(desk) == {DEAD: 2})
        dead = outbox.undelivered()
        assert [(one.target, one.attempts, one.error) for one in dead] == [("hook", 1, "gone")] * 2
        assert outbox.send_again([dead[0].id]) == 1
        until(lambda: states(desk) == {SENT: 1, DEAD: 1})
        assert outbox.send_again([dead[0].id]) == 0
        assert outbox.send_again() == 1
        until(lambda: all_sent(desk))
    assert set(receiver.arrived) == {one.id for one in dead}


def test_after_so_many_attempts_it_is_given_up(desk: Desk, receiver: Receiver) -> None:
    receiver.behave = lambda _id, _before: ERROR
    desk.roster = roster_of(targets={"hook": target(receiver)})
    desk.decided("a")
    with desk.book.opened.begin() as connection:
        connection.execute(sa.update(NotificationRow).values(attempts=ATTEMPTS - 1))
    with delivering(desk, Turned()):
        until(lambda: states(desk) == {DEAD: 1})


def test_what_cannot_be_marked_is_not_sent_again_but_marked_later(
    desk: Desk,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from triage.errors import StoreFailed

    real, failed = Outbox._mark, []

    def failing(self: Outbox, connection: object, row: object, result: object) -> None:
        if len(failed) < 2:
            failed.append(1)
            raise StoreFailed("The disk is full.")
        real(self, connection, row, result)  # type: ignore[arg-type]

    monkeypatch.setattr(Outbox, "_mark", failing)
    desk.roster = roster_of(targets={"hook": target(receiver)})
    desk.decided("a")
    with delivering(desk, Turned()):
        until(lambda: all_sent(desk))
    assert set(receiver.arrived.values()) == {1}


def test_several_processes_send_each_once(desk: Desk, receiver: Receiver) -> None:
    desk.roster = roster_of(targets={"hook": target(receiver)})
    desk.decided(*(f"id-{n}" for n in range(60)))
    books, clock = [desk.opened() for _ in range(3)], Turned()
    ones = [
        Delivery(Outbox(one.opened, clock), lambda: desk.roster, time, idle=0.01) for one in books
    ]
    sending = [one.tend() for one in ones]
    assert sending.count(True) == (1 if "sqlite" in desk.url else 3)
    until(lambda: all_sent(desk))
    for one in ones:
        one.stop()
    assert len(receiver.calls) == 60
    assert set(receiver.calls.values()) == {1}


def test_another_takes_the_place_of_the_one_sender(desk: Desk) -> None:
    first, second = (OneSender(desk.opened().opened) for _ in range(2))
    assert first.taken()
    assert first.taken()
    assert second.taken() is ("postgresql" in desk.url)
    first.left()
    assert second.taken()
    second.left()


def test_a_roster_that_changes_changes_where_messages_go(desk: Desk, receiver: Receiver) -> None:
    desk.roster = roster_of(targets={"hook": hook("http://127.0.0.1:9/")})
    desk.decided("a")
    with delivering(desk, Turned()) as delivery:
        until(lambda: desk.messages()[0]["failures"] > 0)
        desk.roster = roster_of(targets={"hook": target(receiver)})
        delivery.tend()
        until(lambda: all_sent(desk))
    assert len(receiver.arrived) == 1


def test_an_error_nobody_foresaw_ends_no_thread(
    desk: Desk,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real, broken = WebhookSender.send, []

    def send(self: WebhookSender, *given: object) -> Result:
        if not broken:
            broken.append(1)
            raise RuntimeError("canary")
        return real(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(WebhookSender, "send", send)
    monkeypatch.setattr("triage.escalate.delivery.AGAIN", 0.05)
    desk.roster = roster_of(targets={"hook": target(receiver, at_once=1)})
    desk.decided("a")
    with caplog.at_level(logging.DEBUG), delivering(desk, Turned()):
        until(lambda: all_sent(desk))
    assert "RuntimeError" in caplog.text
    assert "canary" not in caplog.text
    assert replace(Result("sent"), wait=1.0).is_sent
