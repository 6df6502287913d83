"""How far a run is: lines by a clock, a bar on a terminal, and what both say of it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.batch.run import Stand, Watch
from triage.cli.pace import EVERY, Lines, Rates, pace


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Log:
    """Lines, and the clock they are told by."""

    def __init__(self, total: int | None, every: float = 30.0) -> None:
        self.clock = Clock()
        self.written: list[str] = []
        self.lines = Lines(self.written.append, total, every, self.clock)

    def tell(self, after: float, *stand: float) -> None:
        self.clock.now += after
        self.lines.tell(Stand(*stand))  # type: ignore[arg-type]


# Rates ------------------------------------------------------------------------------------------


def test_nothing_is_said_of_the_speed_of_what_has_not_moved() -> None:
    rates = Rates()
    assert rates.told(Stand(), 0.0) == ""
    assert rates.told(Stand(), 10.0) == ""
    assert rates.told(Stand(5, 10.0), 10.0) == "0.5/s, 1x real time"


def test_nothing_is_divided_by_no_time() -> None:
    rates = Rates()
    rates.told(Stand(), 7.0)
    assert rates.told(Stand(5, 10.0), 7.0) == ""
    assert rates.left(Stand(5, 10.0), 10, 7.0) == 0.0


def test_words_alone_have_no_real_time() -> None:
    rates = Rates()
    rates.told(Stand(), 0.0)
    assert rates.told(Stand(4_000), 2.0) == "2,000.0/s"


def test_what_went_wrong_is_told_from_the_first() -> None:
    rates = Rates()
    assert rates.told(Stand(9, 0.0, 1_234, 2), 0.0) == "1,234 errors, 2 with a failed stage"
    assert rates.told(Stand(9, 0.0, 0, 2), 1.0) == "2 with a failed stage"
    assert rates.told(Stand(9, 0.0, 1, 0), 2.0) == "1 errors"


eighths = st.integers(0, 8_000).map(lambda n: n / 8)


@given(st.integers(0, 10**6), st.integers(1, 10**6), eighths, eighths, st.integers(1, 1_000))
def test_a_run_that_goes_on_is_as_fast_as_it_is_now(
    before: int, done: int, seconds_before: float, seconds: float, took: int
) -> None:
    anew, goes_on = Rates(), Rates()
    anew.told(Stand(), 0.0)
    goes_on.told(Stand(before, seconds_before), 500.0)
    new = Stand(done, seconds)
    both = Stand(before + done, seconds_before + seconds)
    assert goes_on.told(both, 500.0 + took) == anew.told(new, float(took))
    total = done + 17
    assert goes_on.left(both, before + total, 500.0 + took) == anew.left(new, total, float(took))


@given(st.integers(0, 500), st.integers(1, 500), st.integers(1, 2_000), st.integers(1, 600))
def test_the_time_left_is_what_the_rest_takes_at_this_speed(
    before: int, more: int, total: int, took: int
) -> None:
    rates = Rates()
    rates.told(Stand(before), 0.0)
    left = rates.left(Stand(before + more), total, float(took))
    assert left is not None
    assert left >= 0.0
    assert left * more == pytest.approx(took * max(total - before - more, 0))


def test_the_time_left_is_told_only_where_it_is_known() -> None:
    rates = Rates()
    assert rates.left(Stand(1), 10, 1.0) is None  # nothing was watched
    rates.told(Stand(5), 0.0)
    assert rates.left(Stand(5), 10, 60.0) is None  # nothing has moved
    assert rates.left(Stand(6), None, 60.0) is None  # nobody knows how many there are
    assert rates.left(Stand(6), 10, 60.0) == 240.0


# Lines ------------------------------------------------------------------------------------------


def test_a_line_says_how_far_how_fast_what_is_wrong_and_how_long_still() -> None:
    log = Log(4_000)
    log.tell(0.0)
    log.tell(30.0, 1_500, 6_000.0, 3, 1)
    assert log.written == [
        "batch: 0 of 4,000 (0%) scored",
        "batch: 1,500 of 4,000 (38%) scored, 50.0/s, 200x real time, 3 errors, "
        "1 with a failed stage, 50 s left",
    ]


def test_of_how_many_is_not_said_where_nobody_knows() -> None:
    for total in (None, 0):
        log = Log(total)
        log.tell(0.0)
        log.tell(30.0, 1_500)
        assert log.written == ["batch: 0 scored", "batch: 1,500 scored, 50.0/s"]


@given(st.lists(st.integers(0, 50), max_size=40))
def test_lines_are_so_far_apart_and_no_further_than_they_must_be(pauses: list[int]) -> None:
    log = Log(None)
    told_at: list[float] = []
    log.tell(0.0)
    told_at.append(log.clock.now)
    for pause in pauses:
        before = len(log.written)
        log.tell(pause, 1)
        due = log.clock.now - told_at[-1] >= 30.0
        assert (len(log.written) > before) == due
        if due:
            told_at.append(log.clock.now)
    assert len(log.written) == len(told_at)


def test_the_last_line_says_where_it_ended_even_soon_after_another() -> None:
    log = Log(3)
    log.tell(0.0)
    log.tell(1.0, 1, 2.0)
    log.tell(1.0, 3, 6.0, 1)
    log.clock.now += 2.0
    log.lines.last()
    first, last = log.written
    assert first.startswith("batch: 0 of 3 (0%) scored")
    assert last.startswith("batch: 3 of 3 (100%) scored, 0.8/s, 2x real time, 1 errors")


def test_where_nothing_was_told_there_is_no_last_line() -> None:
    log = Log(3)
    log.lines.last()
    assert log.written == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (30, "30 s left"),
        (59.4, "59 s left"),
        (59.6, "1 min left"),
        (60, "1 min left"),
        (3_599, "59 min left"),
        (3_600, "1 h 0 min left"),
        (90_061, "25 h 1 min left"),
    ],
)
def test_the_time_left_is_said_as_people_do(seconds: float, said: str) -> None:
    log = Log(2)
    log.tell(0.0)
    log.tell(seconds, 1)
    assert log.written[-1].endswith(f", {said}")


# Where it goes ----------------------------------------------------------------------------------

LONG = Stand(123_456, 6_789_012.0, 1_234, 567)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What takes the place of standard error in `watched`: a terminal of 120 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return Terminal()


@contextmanager
def watched(terminal: Terminal, total: int | None, *, quiet: bool = False) -> Iterator[Watch]:
    """`pace` where somebody watches. pytest has standard error until a test itself begins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        with pace(total, quiet=quiet) as watch:
            yield watch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("triage.cli.pace.monotonic", clock)
    return clock


def test_where_nobody_watches_there_are_lines_on_standard_error_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pace(3, quiet=False) as watch:
        watch(Stand())
        watch(Stand(3, 6.0))
    said = capsys.readouterr()
    assert said.out == ""
    first, last = said.err.splitlines()
    assert first == "batch: 0 of 3 (0%) scored"
    assert last.startswith("batch: 3 of 3 (100%) scored")


def test_a_line_is_one_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    with pace(10**6, quiet=True) as watch:
        watch(Stand())
        watch(LONG)
    (_, last) = capsys.readouterr().err.splitlines()
    assert last.endswith("left")
    assert len(last) > 80


def test_quiet_means_lines_even_where_somebody_watches(terminal: Terminal) -> None:
    with watched(terminal, 3, quiet=True) as watch:
        watch(Stand())
        watch(Stand(3, 6.0))
    assert len(terminal.getvalue().splitlines()) == 2
    assert "\x1b" not in terminal.getvalue()


def test_lines_come_twice_a_minute_unless_said_otherwise() -> None:
    assert EVERY == 30.0


def test_a_run_that_breaks_says_no_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        with pace(3, quiet=True) as watch:
            watch(Stand())
            watch(Stand(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_bar_says_what_lines_say(terminal: Terminal, clock: Clock) -> None:
    with watched(terminal, 4_000) as watch:
        watch(Stand())
        clock.now += 30.0
        watch(Stand(1_500, 6_000.0, 3, 1))
    said = terminal.getvalue()
    assert "Scoring" in said
    assert "1500/4000" in said
    assert "50.0/s, 200x real time, 3 errors, 1 with a failed stage" in said.replace("\n", " ")


def test_a_bar_of_nobody_knows_how_many_says_how_many_so_far(terminal: Terminal) -> None:
    with watched(terminal, None) as watch:
        watch(Stand(7))
    assert "7/?" in terminal.getvalue()


def test_a_bar_leaves_the_terminal_as_it_was_when_a_run_breaks(terminal: Terminal) -> None:
    def broken() -> None:
        with watched(terminal, 3) as watch:
            watch(Stand(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    hidden, shown = "\x1b[?25l", "\x1b[?25h"  # the cursor
    assert terminal.getvalue().count(hidden) == terminal.getvalue().count(shown) == 1


def test_a_bar_leaves_standard_output_alone(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with watched(terminal, 3) as watch:
        watch(Stand(1))
        print("a line of the output")  # noqa: T201
        assert sys.stdout is out
    assert out.getvalue() == "a line of the output\n"
    assert "a line of the output" not in terminal.getvalue()
