"""Casework by itself: it goes on whatever fails, says whom nobody reaches, and ends when told."""

from __future__ import annotations

import logging
from pathlib import Path
from time import monotonic, sleep

import pytest
from casework import Desk, roster_of

from triage.errors import StoreFailed, TriageError
from triage.escalate.clocks import Clocks
from triage.escalate.run import Casework, casework


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(f"sqlite:///{tmp_path / 'triage.db'}", tmp_path)


def test_it_keeps_the_clocks_until_it_is_stopped(desk: Desk) -> None:
    desk.decided("a", violence=0.95)
    working = casework(lambda: desk.book, 30, 365)
    working.step()
    desk.now += 121
    working.step()
    assert len(desk.messages()) == 4
    working.stop()


def test_who_is_reached_by_nobody_is_said_once(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    working = casework(lambda: desk.book, 30, 365)
    desk.roster = roster_of(people={}, lines={})
    for _ in range(3):
        working.step()
    assert caplog.text.count("queue hate: nobody of its line has a target") == 1
    desk.roster = roster_of()
    working.step()
    desk.roster = roster_of(people={}, lines={})
    working.step()
    assert caplog.text.count("queue hate: nobody of its line has a target") == 2
    working.stop()


@pytest.mark.parametrize("error", [StoreFailed("It is gone."), TriageError("Not yet."), OSError()])
def test_it_goes_on_after(desk: Desk, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[float] = []

    def clocks() -> Clocks:
        calls.append(monotonic())
        if len(calls) == 1:
            raise error
        return Clocks(desk.book, 30, 365)

    whole = casework(lambda: desk.book, 30, 365)
    working = Casework(clocks, whole._made, every=0.01)
    with caplog.at_level(logging.DEBUG):
        working.start()
        while len(calls) < 3:
            sleep(0.01)
        working.stop()
    assert any(word in caplog.text for word in ("It is gone.", "Not yet.", "OSError"))
    after = len(calls)
    sleep(0.05)
    assert len(calls) == after
