"""Hours: when they hold in the time of their place, over nights, weekends, changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.policy.hours import DAYS, Hours

OFFICE = Hours.model_validate(
    {"zone": "Europe/Berlin", "start": "09:00", "end": "17:00", "days": DAYS[:5]}
)
NIGHT = Hours.model_validate({"zone": "Europe/Berlin", "start": "22:00", "end": "06:00"})
FRIDAY = datetime(2026, 5, 8, 14, tzinfo=UTC)  # four in the afternoon in Berlin
HOUR = timedelta(hours=1)


def test_they_hold_from_start_to_end_on_their_days() -> None:
    assert OFFICE.holds(FRIDAY)
    assert not OFFICE.holds(FRIDAY + 2 * HOUR)
    assert not OFFICE.holds(FRIDAY + 24 * HOUR)
    assert OFFICE.opens(FRIDAY + HOUR) == datetime(2026, 5, 11, 7, tzinfo=UTC)
    assert OFFICE.opens(FRIDAY) == FRIDAY


def test_over_midnight() -> None:
    assert NIGHT.holds(datetime(2026, 5, 8, 2, tzinfo=UTC))
    assert not NIGHT.holds(datetime(2026, 5, 8, 4, tzinfo=UTC))
    assert NIGHT.opens(datetime(2026, 5, 8, 4, tzinfo=UTC)) == datetime(2026, 5, 8, 20, tzinfo=UTC)


def test_time_is_counted_only_while_they_hold() -> None:
    assert OFFICE.add(FRIDAY, 3_600) == FRIDAY + HOUR
    assert OFFICE.add(FRIDAY, 3_601) == datetime(2026, 5, 11, 7, 0, 1, tzinfo=UTC)
    assert OFFICE.add(FRIDAY, 8 * 3_600) == datetime(2026, 5, 11, 14, tzinfo=UTC)
    assert OFFICE.add(FRIDAY, 41 * 3_600) == datetime(2026, 5, 15, 15, tzinfo=UTC)


def test_changes_of_the_clock_are_kept() -> None:
    before = datetime(2026, 10, 23, 7, tzinfo=UTC)  # nine in the summer, on the Friday before
    assert OFFICE.add(before, 8 * 3_600 + 1) == datetime(2026, 10, 26, 8, 0, 1, tzinfo=UTC)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)), st.integers(1, 30 * 86_400))
def test_later_asks_end_later_and_always_in_the_hours(at: datetime, seconds: int) -> None:
    now = at.replace(tzinfo=UTC)
    for hours in (OFFICE, NIGHT):
        end = hours.add(now, seconds)
        assert end - now >= timedelta(seconds=seconds)
        assert hours.holds(end - timedelta(microseconds=1))
        assert end <= hours.add(now, seconds + 1)
        assert end <= hours.add(now + HOUR, seconds)


def test_one_within_another() -> None:
    longer = Hours.model_validate({"zone": "Europe/Berlin", "start": "08:00", "end": "20:00"})
    elsewhere = Hours.model_validate({"zone": "Europe/Paris", "start": "08:00", "end": "20:00"})
    whole = Hours.model_validate({"zone": "Europe/Berlin", "start": "00:00", "end": "00:00"})
    assert OFFICE.within(longer)
    assert not longer.within(OFFICE)
    assert not OFFICE.within(elsewhere)
    assert all(one.within(whole) for one in (OFFICE, NIGHT, longer, whole))
    assert whole.share == 1.0
    assert OFFICE.share == pytest.approx(40 / 168)


def test_they_open_once_a_day_in_order() -> None:
    at, opened = FRIDAY, []
    for _ in range(6):
        at = OFFICE.opens(OFFICE.add(at, 8 * 3_600) + timedelta(seconds=1))
        opened.append(at)
    assert all(before < after for before, after in pairwise(opened))
    assert {one.weekday() for one in opened} <= set(range(5))


def test_no_zone_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no time zone Europe/Berlino"):
        Hours.model_validate({"zone": "Europe/Berlino", "start": "09:00", "end": "17:00"})
