"""Leaks: what training rows give away is found, all of it and nothing else, and refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.errors import LabelsRefused
from triage.labels.leaks import LEAST_WORDS, Leaks, drop, leaks, refuse
from triage.labels.rows import Labelled, Split

WORDS = [f"some{number}" for number in range(12)]
LONG = [f"word{number}" for number in range(20)]


def row(id: str, split: Split, text: str | None = None, **fields: object) -> Labelled:
    given = {"group": id, "labels": {}, "events": {}} | fields
    return Labelled(id=id, source="s", licence="l", split=split, text=text, **given)  # type: ignore[arg-type]


def found(*rows: Labelled) -> Leaks:
    return leaks(rows, lambda *_: None)


# Groups -------------------------------------------------------------------------------------


def test_groups_on_both_sides() -> None:
    rows = [
        row("1", "train", group="a"),
        row("2", "val", group="b"),
        row("3", "val", group="a"),
        row("4", "val", group="a"),
        row("5", "train", group="c"),
    ]
    leaking = found(*rows)
    assert (leaking.groups, leaking.grouped, leaking.near) == (("a",), ("3", "4"), ())
    assert [one.id for one in drop(rows, leaking)] == ["1", "2", "5"]


# Words --------------------------------------------------------------------------------------


def test_nearly_the_same_words_leak_however_they_are_written() -> None:
    rows = [
        row("v", "val", " ".join(WORDS)),
        row("t", "train", " ".join(WORDS).upper() + "!"),
        row("u", "train", " ".join(WORDS)),
    ]
    assert found(*rows).near == (("v", "t"),)


@pytest.mark.parametrize(("at", "near"), [((0,), True), ((10,), True), ((4, 15), False)])
def test_one_word_of_twenty_may_differ(at: tuple[int, ...], near: bool) -> None:
    other = ["different" if place in at else word for place, word in enumerate(LONG)]
    rows = row("v", "val", " ".join(LONG)), row("t", "train", " ".join(other))
    assert bool(found(*rows).near) is near


@pytest.mark.parametrize(("count", "leaking"), [(LEAST_WORDS - 1, False), (LEAST_WORDS, True)])
def test_short_texts_are_no_leak(count: int, leaking: bool) -> None:
    said = " ".join(WORDS[:count])
    assert bool(found(row("v", "val", said), row("t", "train", said))) is leaking


def test_a_shorter_train_row_may_still_be_near() -> None:
    rows = row("v", "val", " ".join(WORDS[:8])), row("t", "train", " ".join(WORDS[:7]))
    assert found(*rows).near == (("v", "t"),)


def test_val_rows_among_themselves_and_train_rows_among_themselves_are_no_leak() -> None:
    said = " ".join(WORDS)
    other = " ".join(LONG)
    assert not found(row("1", "val", said), row("2", "val", said), row("3", "train", other),
                     row("4", "train", other), row("5", "train"), row("6", "val"))  # fmt: skip


def jaccard(one: list[str], other: list[str]) -> float:
    a, b = ({*pairwise(words)} for words in (one, other))
    return len(a & b) / len(a | b)


texts = st.lists(st.lists(st.sampled_from("abc"), min_size=8, max_size=14), max_size=8)


@given(texts, texts)
def test_all_near_rows_are_found_and_no_others(
    val: list[list[str]], train: list[list[str]]
) -> None:
    rows = [row(f"v{n}", "val", " ".join(words)) for n, words in enumerate(val)]
    rows += [row(f"t{n}", "train", " ".join(words)) for n, words in enumerate(train)]
    expected = []
    for n, words in enumerate(val):
        like = [m for m, other in enumerate(train) if jaccard(words, other) >= 0.8 - 1e-9]
        expected += [(f"v{n}", f"t{like[0]}")] if like else []
    assert sorted(found(*rows).near) == sorted(expected)


def test_a_val_row_is_found_wherever_it_stands_and_told_in_its_order() -> None:
    said = [" ".join(f"{word}{n}" for word in WORDS) for n in range(3)]
    rows = [row("v2", "val", said[2]), row("t0", "train", said[0]), row("v0", "val", said[0]),
            row("w0", "val", said[0]), row("t2", "train", said[2])]  # fmt: skip
    assert found(*rows).near == (("v2", "t2"), ("v0", "t0"), ("w0", "t0"))


# Sound --------------------------------------------------------------------------------------


def test_copies_of_a_file_across_the_split(tmp_path: Path) -> None:
    rows = []
    for id, split, content in (
        ("a", "val", b"same"),
        ("b", "train", b"same"),
        ("c", "train", b"same"),
        ("d", "val", b"else"),
        ("e", "val", b"same"),
        ("f", "val", b"twin"),
        ("g", "val", b"twin"),
    ):
        (tmp_path / id).write_bytes(content)
        rows.append(row(id, split, audio=tmp_path / id))  # type: ignore[arg-type]
    assert found(*rows).near == (("a", "b"), ("e", "b"))


# What is done about them --------------------------------------------------------------------


def test_what_is_dropped_leaks_no_more_and_train_rows_stay() -> None:
    said = " ".join(WORDS)
    rows = [row("t", "train", said, group="a"), row("v", "val", said), row("w", "val", group="a"),
            row("x", "val", group="b")]  # fmt: skip
    kept = drop(rows, found(*rows))
    assert [one.id for one in kept] == ["t", "x"]
    assert not found(*kept)


def test_a_leak_is_refused_with_counts_ids_and_what_to_do() -> None:
    near = tuple((f"v{n}", f"t{n}") for n in range(1234))
    with pytest.raises(LabelsRefused) as caught:
        refuse(Leaks(("speaker name",), ("x", "y"), near))
    detail = caught.value.detail
    for told in ("2 val rows are of 1 groups", "(x, y)", "1,234", "v4 like t4, …", "--leaks drop"):
        assert told in detail
    assert "v5" not in detail
    assert "speaker name" not in detail


def test_nothing_is_refused_where_nothing_leaks() -> None:
    refuse(found(row("1", "train", " ".join(WORDS)), row("2", "val", " ".join(LONG))))


def test_progress_ends_at_the_last_row() -> None:
    told: list[tuple[str, int, int]] = []
    leaks([row(str(n), "val") for n in range(5000)], lambda *args: told.append(args))
    assert [done for _, done, _ in told] == [1, 4097, 5000]
