"""Rows of manifests that a run couldn't hand on: deep, long, or with paths that are none."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from archives import SECRET, given, recordings, unreadable
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from triage.archive import rows
from triage.archive.rows import DEEPEST_CONTEXT, LONGEST_CONTEXT, LONGEST_PATH, check_context
from triage.errors import BadField, InputError, TooLarge

GOOD = '{"id": "good", "text": "hello"}'


def bad(tmp_path: Path, line: str) -> InputError:
    """What is said of a line between two good ones."""
    (tmp_path / "m.jsonl").write_text(f"{GOOD}\n{line}\n{GOOD}\n")
    found = given(tmp_path / "m.jsonl")
    assert len(recordings(found)) == 2
    (one,) = unreadable(found)
    assert SECRET not in one.error.detail
    return one.error


@pytest.mark.parametrize("pair", ["[]", ["{" + f'"{SECRET}":', "}"]])
@pytest.mark.parametrize("depth", [DEEPEST_CONTEXT, 300, 900])
def test_context_that_is_too_deep_to_be_sent_is_an_error(
    tmp_path: Path, pair: list[str] | str, depth: int
) -> None:
    nested = pair[0] * depth + "1" + pair[1] * depth
    line = '{"id": "1", "text": "hi", "context": {"a": ' + nested + "}}"
    assert type(bad(tmp_path, line)) is BadField


def test_context_just_as_deep_as_allowed_is_read(tmp_path: Path) -> None:
    depth = DEEPEST_CONTEXT - 1
    nested = "[" * depth + "]" * depth
    (tmp_path / "m.jsonl").write_text('{"id": "1", "text": "hi", "context": {"a": ' + nested + "}}")
    assert len(recordings(given(tmp_path / "m.jsonl"))) == 1


def test_context_that_is_too_long_to_be_kept_is_an_error(tmp_path: Path) -> None:
    context = {"a": SECRET * (LONGEST_CONTEXT // len(SECRET) + 1)}
    line = json.dumps({"id": "1", "text": "hi", "context": context})
    assert type(bad(tmp_path, line)) is TooLarge


contexts = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    ),
    max_size=3,
)


@drawn(contexts)
@settings(max_examples=30)
def test_what_is_allowed_can_be_sent_to_a_worker(context: dict[str, Any]) -> None:
    check_context(context)
    assert repr(pickle.loads(pickle.dumps(context))) == repr(context)  # noqa: S301 - our own


@pytest.mark.parametrize("audio", ["a\\u0000.wav", "a" * (LONGEST_PATH + 1)])
def test_audio_that_is_no_path_is_an_error(tmp_path: Path, audio: str) -> None:
    line = f'{{"id": "1", "audio": "{audio}"}}'
    assert type(bad(tmp_path, line)) is BadField


def test_name_given_twice_is_an_error_as_one_of_the_two_would_go_unscored(tmp_path: Path) -> None:
    assert type(bad(tmp_path, f'{{"id": "1", "text": "{SECRET}", "text": "hi"}}')) is BadField
    inner = f'{{"id": "1", "text": "hi", "context": {{"a": "{SECRET}", "a": 1}}}}'
    assert type(bad(tmp_path, inner)) is BadField


def test_labels_may_be_as_deep_as_they_like(tmp_path: Path) -> None:
    line = '{"id": "1", "text": "hi", "labels": ' + "[" * 100 + "]" * 100 + "}"
    assert "labels" in rows.IGNORED
    (tmp_path / "m.jsonl").write_text(line)
    assert len(recordings(given(tmp_path / "m.jsonl"))) == 1
