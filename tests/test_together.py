"""Works side by side: each gets what it would get alone, in batches."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.together import Batches, together

Plan = list[int]  # what a work asks for, one after another; a negative number breaks it


def work(plan: Plan) -> Generator[int, int, list[int]]:
    got = []
    for ask in plan:
        try:
            got.append((yield ask))
        except ValueError:
            got.append(-1)
        if ask < 0:
            raise KeyError("broken by itself")
    return got


def squares(asks: Sequence[int]) -> list[int]:
    if 13 in asks:
        raise ValueError("13 can't be answered")
    return [ask * ask for ask in asks]


def alone(plan: Plan) -> list[int] | type[KeyError]:
    answers = [-1 if ask == 13 else ask * ask for ask in plan]
    return KeyError if any(ask < 0 for ask in plan) else answers


@given(
    st.lists(st.lists(st.integers(-2, 20), max_size=6), max_size=40),
    st.integers(1, 9),
    st.integers(1, 20),
)
def test_every_work_ends_as_it_would_alone(plans: list[Plan], most: int, begun: int) -> None:
    batches: list[int] = []

    def answer(asks: Sequence[int]) -> list[int]:
        batches.append(len(asks))
        assert len({ask % 3 for ask in asks}) == 1, "of two kinds"
        return squares(asks)

    found = together(
        map(work, plans), Batches(answer, lambda ask: ask % 3, abs, most=most, begun=begun)
    )
    assert [type(one) if isinstance(one, Exception) else one for one in found] == [
        alone(plan) for plan in plans
    ]
    assert max(batches, default=0) <= min(most, begun)


def test_no_more_are_begun_than_may_be() -> None:
    under_way = most = 0

    def counted() -> Generator[int, int, None]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        yield 1
        yield 2
        under_way -= 1

    together((counted() for _ in range(30)), Batches(squares, abs, abs, most=2, begun=5))
    assert most == 5


def test_asks_are_answered_with_those_nearest_in_size() -> None:
    seen: list[list[int]] = []

    def answer(asks: Sequence[int]) -> list[int]:
        seen.append(list(asks))
        return squares(asks)

    together([work([size]) for size in (9, 1, 8, 2)], Batches(answer, lambda _: 0, abs, most=2))
    assert seen == [[1, 2], [8, 9]]


def test_nothing_is_asked_of_works_that_ask_for_nothing() -> None:
    def never(asks: Sequence[int]) -> list[int]:
        raise AssertionError

    assert together([work([]) for _ in range(50)], Batches(never, abs, abs)) == [[]] * 50


def test_an_interrupt_is_nobodys_to_swallow() -> None:
    def interrupted() -> Generator[int, int, None]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        together([interrupted()], Batches(squares, abs, abs))
