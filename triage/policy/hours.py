"""Hours of the day in which something is worked, in the time of some place. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, model_validator

from triage.policy.conditions import nearest
from triage.policy.parts import Part

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)

WEEK = 7 * 24 * 60  # minutes
MONDAY = datetime(2026, 1, 5)  # any; for what is the same in every week
LONGEST = 400 * 7  # days of opening times that `add` looks through: a minute a week for a month


class Hours(Part):
    """When a queue is worked, or a tier's clock runs: from one time of the day until another.

    Attributes:
        zone: As in the IANA time zone database.
        start, end: Local times; an end that isn't later than the start is on the next day.
        days: On which it starts.
    """

    zone: str
    start: time
    end: time
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.zone not in available_timezones():
            known = nearest(self.zone, available_timezones())
            raise ValueError(f"there is no time zone {self.zone}{known}")
        return self

    @property
    def tzinfo(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @property
    def share(self) -> float:
        """The share of a week that they are, over 0 to 1."""
        return len(self._minutes) / WEEK

    def holds(self, at: datetime) -> bool:
        """Whether they hold at a time."""
        return self.opens(at) == at

    def opens(self, at: datetime) -> datetime:
        """The first time from `at` on at which they hold."""
        return max(at, next(self._open(at))[0])

    def add(self, at: datetime, seconds: float) -> datetime:
        """The time at which so many seconds of them have passed since `at`."""
        left = timedelta(seconds=seconds)
        for start, end in self._open(at):
            start = max(start, at)
            if end - start >= left:
                return start + left
            left -= end - start
        raise ValueError(f"{seconds:g} s of these hours don't pass in {LONGEST} days")

    def within(self, others: Hours) -> bool:
        """Whether others hold whenever these do, by the same clock."""
        return self.zone == others.zone and self._minutes <= others._minutes

    @property
    def _minutes(self) -> frozenset[int]:
        """Of a week without a change of the clock."""
        length = (_minute(self.end) - _minute(self.start)) % (24 * 60) or 24 * 60
        firsts = [DAYS.index(day) * 24 * 60 + _minute(self.start) for day in self.days]
        return frozenset((first + n) % WEEK for first in firsts for n in range(length))

    def _open(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """From when until when they hold, from those on that end after `at`, in UTC.

        A local time that a change of the clock skips is taken for the one an hour later.
        """
        zone = self.tzinfo
        local = at.astimezone(zone).date()
        overnight = timedelta(days=self.end <= self.start)
        for number in range(-2, LONGEST):
            day = local + timedelta(days=number)
            if DAYS[day.weekday()] not in self.days:
                continue
            start = datetime.combine(day, self.start, zone).astimezone(UTC)
            end = datetime.combine(day + overnight, self.end, zone).astimezone(UTC)
            if end > max(at, start):
                yield start, end


def _minute(one: time) -> int:
    return one.hour * 60 + one.minute
