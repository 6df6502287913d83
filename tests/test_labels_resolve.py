"""Joining rows: votes become shares, nothing is invented, and no conflict passes in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.labels.resolve import Conflict, resolve, same_sound, same_words
from triage.labels.rows import Labelled

CANARY = "canary"


def row(id: str, labels: dict[str, float] | None = None, **fields: Any) -> Labelled:
    given: dict[str, Any] = {"source": "s", "licence": "MIT", "group": "g", "split": "train"}
    given |= {"events": {}, "text": f"the words of {id}", **fields}
    return Labelled(id=id, labels=labels or {}, **given)


def told(*rows: Labelled) -> list[tuple[tuple[str, ...], str, dict[str, int]]]:
    return [(one.ids, one.name, dict(one.values)) for one in resolve(rows).conflicts]


# One id -------------------------------------------------------------------------------------


def test_votes_become_a_share_and_unknown_stays_unknown() -> None:
    rows = [
        row("1", {"hate": 1, "violence": 0}, annotator="a"),
        row("1", {"hate": 0, "violence": 0}, annotator="b", events={"scream": 1}),
        row("1", {"hate": 1}, annotator="c"),
    ]
    resolved = resolve(rows)
    (joined,) = resolved.rows
    assert joined.labels == {"hate": pytest.approx(2 / 3), "violence": 0}
    assert joined.events == {"scream": 1}
    assert type(joined.labels["violence"]) is int, "another digest for the same label"
    assert joined.annotator is None
    assert resolved.conflicts == [Conflict(("1",), "label.hate", {"1": 2, "0": 1})]
    assert str(resolved.conflicts[0]) == "1, label.hate: 2 × 1, 1 × 0"  # noqa: RUF001


def test_agreement_is_no_conflict() -> None:
    assert told(row("1", {"hate": 0.6}), row("1", {"hate": 1})) == []
    assert resolve([row("1", {"hate": 0.6}), row("1", {"hate": 1})]).rows[0].labels == {"hate": 0.8}


def test_the_golden_answer_wins_over_any_number_of_votes() -> None:
    votes = [row("1", {"hate": 1, "violence": 1}, annotator=name) for name in "abc"]
    resolved = resolve([*votes, row("1", {"hate": 0}, golden=True)])
    assert resolved.rows[0].labels == {"hate": 0, "violence": 1}
    assert resolved.rows[0].golden
    assert resolved.conflicts == []


def test_golden_rows_that_contradict_each_other_are_told() -> None:
    rows = [row("1", {"hate": 1}, golden=True), row("1", {"hate": 0}, golden=True)]
    assert told(*rows) == [(("1",), "label.hate", {"1": 1, "0": 1})]


@pytest.mark.parametrize("name", ["text", "audio", "group", "source", "licence"])
def test_what_should_be_the_same_and_is_not_is_told_and_the_first_is_kept(name: str) -> None:
    values: list[Any] = [f"{CANARY} {number}" for number in range(2)]
    if name == "audio":
        values = [Path(one) for one in values]
    rows = [row("1", **{name: value}) for value in values]
    resolved = resolve(rows)
    assert getattr(resolved.rows[0], name) == values[0]
    assert [one.name for one in resolved.conflicts] == [name]
    hidden = name in ("text", "audio", "group")
    assert (CANARY in f"{resolved.conflicts}{resolved.conflicts[0]}") is not hidden


def test_both_splits_become_train() -> None:
    for splits in (("val", "train"), ("train", "val", "val")):
        rows = [row("1", split=split) for split in splits]
        resolved = resolve(rows)
        assert resolved.rows[0].split == "train"
        assert [one.name for one in resolved.conflicts] == ["split"]
    assert resolve([row("1", split="val")] * 2).rows[0].split == "val"


def test_what_one_row_does_not_say_another_may() -> None:
    rows = [
        row("1", source="unknown", licence="unknown", group="1", text=None, audio=Path("a")),
        row("1", source="field", licence="MIT", group="speaker", text="words"),
    ]
    resolved = resolve(rows)
    (joined,) = resolved.rows
    assert (joined.source, joined.licence, joined.group) == ("field", "MIT", "speaker")
    assert (joined.text, joined.audio) == ("words", Path("a"))
    assert resolved.conflicts == []
    assert resolve([rows[0]] * 2).rows[0].source == "unknown"


def test_the_largest_weight_is_kept() -> None:
    rows = [row("1", weight=weight) for weight in (2.0, 500.0, 1.0)]
    assert resolve(rows).rows[0].weight == 500


def test_order_is_kept_and_rows_of_their_own_are_the_same_objects() -> None:
    rows = [row("b"), row("a", {"hate": 1}), row("c"), row("a", {"hate": 0})]
    joined = resolve(rows).rows
    assert [one.id for one in joined] == ["b", "a", "c"]
    assert joined[0] is rows[0]
    assert joined[2] is rows[2]


shares = st.dictionaries(st.sampled_from("xyz"), st.sampled_from([0, 0.25, 1]))


@given(st.lists(st.tuples(st.sampled_from("abc"), shares, st.booleans())))
def test_joining_is_whole_and_done_once(given: list[tuple[str, dict[str, float], bool]]) -> None:
    rows = [row(id, labels, golden=golden) for id, labels, golden in given]
    joined = resolve(rows).rows
    assert [one.id for one in joined] == list(dict.fromkeys(one.id for one in rows))
    for one in joined:
        mine = [other.labels for other in rows if other.id == one.id]
        assert one.labels.keys() == set().union(*mine)
        for name, share in one.labels.items():
            votes = [labels[name] for labels in mine if name in labels]
            assert min(votes) <= share <= max(votes)
    again = resolve(joined)
    assert again.rows == joined
    assert all(one is other for one, other in zip(again.rows, joined, strict=True))


# Different ids ------------------------------------------------------------------------------


def test_the_same_words_with_opposite_labels_are_told_and_left() -> None:
    rows = [
        row("1", {"hate": 1, "violence": 0}, text="Turn it off!"),
        row("2", {"hate": 0}, text="turn it off"),
        row("3", {"hate": 0}, text="TURN, it off."),
        row("4", {"hate": 1}, text="turn it on"),
    ]
    resolved = resolve(rows)
    assert resolved.rows == rows
    assert resolved.conflicts == [Conflict(("2", "1"), "label.hate", {"0": 2, "1": 1}, "words")]
    assert "turn" not in str(resolved.conflicts[0])


def test_words_of_a_sound_and_no_words_at_all_are_not_compared() -> None:
    heard = [row(id, text="help", audio=Path(id)) for id in "ab"]
    silent = [row(id, text="?!") for id in "cd"]
    assert same_words([*heard, *silent, *(replace(one, text=None) for one in heard)]) == []


def sound(folder: Path, id: str, content: bytes, **events: float) -> Labelled:
    (folder / id).write_bytes(content)
    return row(id, text=None, audio=folder / id, events=events)


def test_the_same_sound_with_opposite_labels_is_told(tmp_path: Path) -> None:
    rows = [
        sound(tmp_path, "a", b"sound", scream=0),
        sound(tmp_path, "b", b"other", scream=1),  # as long, but another
        sound(tmp_path, "c", b"longer", scream=1),
        sound(tmp_path, "d", b"sound", scream=1),
        row("e", text=None, audio=tmp_path / "gone", events={"scream": 1}),
        row("f", text=None, audio=tmp_path / "gone", events={"scream": 0}),
    ]
    assert same_sound(rows) == [[0, 3]]
    resolved = resolve(rows)
    assert resolved.rows == rows
    assert resolved.conflicts == [Conflict(("a", "d"), "event.scream", {"0": 1, "1": 1}, "sound")]


def test_files_of_a_length_of_their_own_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [sound(tmp_path, "a", b"1"), sound(tmp_path, "b", b"22"), sound(tmp_path, "c", b"33")]
    read: list[str] = []
    monkeypatch.setattr(
        "triage.labels.resolve.sha256", lambda file: read.append(file.name) or file.name
    )
    assert same_sound(rows) == []
    assert read == ["b", "c"]
