"""The clocks: told again, then the next in line; missed, woken, returned, set right, forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from casework import NOON, TIERS, Desk, casework_policy, made, roster_of

from triage.database.tables import NotificationRow
from triage.errors import NoSuchCase
from triage.escalate.clocks import Clocks
from triage.escalate.figures import figures
from triage.escalate.records import Ending, Move, Order, State

DAY = 86_400


@pytest.fixture
def desk(store_url: str, tmp_path: Path) -> Desk:
    return Desk(store_url, tmp_path)


def told(desk: Desk, queue: str) -> list[tuple[float, str]]:
    """When who of a queue was told, in seconds from noon."""
    return [(row["at"] - NOON, row["person"]) for row in desk.messages() if row["queue"] == queue]


def test_a_page_that_nobody_acknowledges_is_made_again_and_goes_to_the_next(desk: Desk) -> None:
    desk.decided("a", violence=0.95)
    for _ in range(60):
        desk.passes(10)
    assert told(desk, "on-call") == [
        (0, "ann"), (120, "ann"), (240, "bob"), (360, "bob"), (480, "ann"), (600, "ann"),
    ]  # fmt: skip
    assert [who for _, who in told(desk, "violence")] == ["cyn", "cyn", "dan", "dan", "ann", "ann"]


def test_once_acknowledged_nobody_is_told_any_more(desk: Desk) -> None:
    desk.decided("a", violence=0.95)
    desk.passes(130)
    desk.book.move("a", Order(Move.ACKNOWLEDGE, "bob"))
    before = desk.told()
    desk.passes(200)
    desk.passes(600)
    assert desk.told() == before
    assert figures(desk.book.opened, desk.now).missed == {}


def test_a_missed_deadline_is_counted_once(desk: Desk) -> None:
    desk.decided("a", "b", violence=0.95)
    desk.book.move("b", Order(Move.CLAIM, "ann"))
    desk.passes(300)
    assert desk.book.case("a").missed_at is None
    for _ in range(5):
        desk.passes(1)
    assert desk.book.case("a").missed_at == NOON + 301
    assert figures(desk.book.opened, desk.now).missed == {"E4": 1}
    assert [one.move for one in desk.book.history("a")] == ["raise", "miss"]


def test_a_lesser_case_is_told_of_when_its_deadline_is_missed(desk: Desk) -> None:
    desk.decided("a", hate=0.7)
    desk.passes(DAY - 1)
    assert desk.told() == []
    desk.passes(2)
    assert desk.told() == [("case.escalated", "eve")]
    desk.passes(DAY)
    assert desk.told()[1:] == [("case.reminded", "eve")]


def test_several_processes_tell_once(desk: Desk) -> None:
    desk.decided(*(f"id-{n}" for n in range(30)), violence=0.95)
    before = len(desk.messages())
    clocks = [Clocks(desk.opened(), 30, 365) for _ in range(4)]
    for _ in range(3):
        desk.now += 121
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(Clocks.tick, clocks))
    assert len(desk.messages()) == before + 3 * 60
    assert sum(one.move == "miss" for n in range(30) for one in desk.book.history(f"id-{n}")) == 30


def test_more_than_a_batch_is_done_in_one_look(desk: Desk) -> None:
    desk.recorded([made(f"id-{n}", desk.policy, hate=0.7) for n in range(450)])
    desk.passes(DAY + 1)
    assert len(desk.messages()) == 450
    assert figures(desk.book.opened, desk.now).missed == {"E2": 450}


def test_a_snooze_ends_and_its_owner_is_told(desk: Desk) -> None:
    desk.decided("a")
    desk.book.move("a", Order(Move.CLAIM, "cyn"))
    desk.book.move("a", Order(Move.SNOOZE, "cyn", reason="later", until=NOON + 900))
    desk.passes(899)
    assert desk.book.case("a").state is State.SNOOZED
    desk.passes(2)
    case = desk.book.case("a")
    assert (case.state, case.owner) == (State.CLAIMED, "cyn")
    assert desk.told()[-1] == ("case.reminded", "cyn")


def test_what_somebody_has_and_leaves_goes_back_to_everybody(desk: Desk) -> None:
    desk.decided("a")
    desk.book.move("a", Order(Move.CLAIM, "cyn"))
    desk.passes(3_599)
    assert desk.book.case("a").owner == "cyn"
    desk.passes(2)
    case = desk.book.case("a")
    assert (case.state, case.owner) == (State.OPEN, "")
    assert desk.told()[-1] == ("case.reminded", "cyn")
    desk.passes(1_201)
    assert desk.told()[-1] == ("case.reminded", "dan")


def test_released_and_reopened_cases_are_told_of_at_once(desk: Desk) -> None:
    desk.decided("a")
    desk.book.move("a", Order(Move.CLAIM, "cyn"))
    desk.passes(60)
    desk.book.move("a", Order(Move.RELEASE, "cyn"))
    desk.passes(1)
    assert told(desk, "violence") == [(0, "cyn"), (61, "cyn")]
    desk.book.move("a", Order(Move.CLAIM, "dan"))
    desk.book.move("a", Order(Move.RESOLVE, "dan", ending=Ending.UNCLEAR))
    desk.passes(5_000)
    assert len(desk.told()) == 2
    desk.book.move("a", Order(Move.REOPEN, "dan", reason="it came again"))
    desk.passes(1)
    assert told(desk, "violence")[2:] == [(5_062, "cyn")]
    assert desk.messages()[-1]["kind"] == "case.escalated"


def test_who_cannot_be_reached_does_not_hold_up_the_next_in_line(desk: Desk) -> None:
    desk.decided("a", violence=0.95)
    fails = sa.update(NotificationRow).where(NotificationRow.person == "ann").values(failures=3)
    with desk.book.opened.begin() as connection:
        connection.execute(fails)
    desk.passes(5)
    assert told(desk, "on-call") == [(0, "ann"), (5, "bob")]
    with desk.book.opened.begin() as connection:
        connection.execute(sa.update(NotificationRow).values(failures=3))
    for _ in range(50):  # all are down: once round, nobody is told more often for it
        desk.passes(1)
        with desk.book.opened.begin() as connection:
            connection.execute(sa.update(NotificationRow).values(failures=3))
    assert told(desk, "on-call") == [(0, "ann"), (5, "bob")]
    assert [who for _, who in told(desk, "violence")] == ["cyn", "dan", "ann", "bob"]


def test_hours_of_a_tier_hold_its_clock(desk: Desk) -> None:
    hours = {"zone": "UTC", "start": "09:00", "end": "13:00", "days": ["mon", "tue"]}
    desk.policy = casework_policy(
        tiers=TIERS | {tier: TIERS[tier] | {"hours": hours} for tier in ("E2", "E3")}
    )
    desk.now = NOON + 2 * 3_600  # Monday at two: closed
    desk.decided("a")
    assert desk.told() == []
    desk.passes(18 * 3_600)
    assert desk.told() == []
    desk.passes(3_600)  # Tuesday at nine
    assert told(desk, "violence") == [(21 * 3_600, "cyn")]
    assert desk.book.case("a").due_at == NOON + 22 * 3_600
    desk.decided("b", violence=0.95)
    assert [queue for row in desk.messages() if (queue := row["queue"]) == "on-call"] == ["on-call"]


# A clock that is turned ---------------------------------------------------------------------


def test_a_clock_that_was_ahead_and_is_right_again_delays_nothing(desk: Desk) -> None:
    desk.decided("before", violence=0.95)
    desk.now += 3_600
    desk.clocks.tick()
    desk.decided("ahead", violence=0.95)
    desk.book.move("ahead", Order(Move.CLAIM, "ann"))
    desk.book.move("ahead", Order(Move.RELEASE, "ann"))
    desk.decided("other", violence=0.95)
    desk.now -= 3_590  # it is right again, ten seconds later
    desk.clocks.tick()
    assert desk.book.case("other").due_at == NOON + 310
    count = len(desk.messages())
    desk.passes(1)
    assert len(desk.messages()) == count
    desk.passes(130)
    later = [r for r in desk.messages() if (r["case"], r["at"]) == ("other", desk.now)]
    assert [row["kind"] for row in later] == ["case.reminded"] * 2
    waiting = [row for row in desk.messages() if row["state"] == "waiting"]
    assert all(row["next_at"] <= desk.now for row in waiting)


def test_a_clock_that_goes_back_delays_nothing(desk: Desk) -> None:
    desk.decided("a", violence=0.95)
    desk.passes(10)
    desk.now -= 3_600
    desk.passes(1)
    desk.passes(120)  # ten seconds more than by a good clock: how long it had run isn't known
    assert [who for _, who in told(desk, "on-call")] == ["ann", "ann"]
    assert desk.book.case("a").due_at == desk.now + 180


def test_a_clock_that_goes_ahead_loses_nothing(desk: Desk) -> None:
    desk.decided("a", violence=0.95)
    desk.decided("b", hate=0.7)
    desk.passes(3_600)
    assert [who for _, who in told(desk, "on-call")] == ["ann", "ann"]
    assert desk.book.case("a").missed_at == desk.now
    assert desk.book.case("b").missed_at is None


# What is old --------------------------------------------------------------------------------


def test_what_is_old_is_forgotten_but_never_what_is_open(desk: Desk) -> None:
    desk.decided("open", "ended")
    desk.decided("nothing", sexual=0.9)
    desk.book.move("ended", Order(Move.CLAIM, "cyn"))
    desk.book.move("ended", Order(Move.RESOLVE, "cyn", ending=Ending.HELPED))
    desk.now += 31 * DAY
    assert desk.clocks.forget() == 2  # two decisions
    assert desk.book.case("ended").state is State.RESOLVED
    desk.now += 335 * DAY
    assert desk.clocks.forget() == 1
    with pytest.raises(NoSuchCase):
        desk.book.case("ended")
    assert desk.book.case("open").state is State.OPEN
    assert {row["case"] for row in desk.messages()} == {"open"}


def test_where_nobody_can_be_told_the_case_waits_and_it_is_said(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.roster = roster_of(people={}, lines={})
    desk.decided("a")
    desk.passes(1_201)
    assert desk.told() == []
    assert "nobody can be told" in caplog.text
    assert desk.book.case("a").state is State.OPEN
