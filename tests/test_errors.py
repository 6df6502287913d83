"""The error tree: each problem has one name, one title and one status."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator

import pytest

from triage import errors
from triage.errors import (
    AuditFailed,
    InputError,
    NothingToScore,
    SetupError,
    StoreFailed,
    TooLarge,
    TriageError,
    UnsupportedAudio,
)


def tree(root: type[TriageError] = TriageError) -> Iterator[type[TriageError]]:
    yield root
    for branch in root.__subclasses__():
        if branch.__module__ == errors.__name__:
            yield from tree(branch)


TREE = sorted(tree(), key=lambda kind: kind.__name__)


def test_every_error_of_the_module_is_in_the_tree() -> None:
    defined = {one for one in vars(errors).values() if isinstance(one, type)}
    assert defined == set(TREE)


@pytest.mark.parametrize("name", ["slug", "title"])
def test_no_two_problems_share_a_name(name: str) -> None:
    told = [getattr(kind, name) for kind in TREE]
    assert sorted(set(told)) == sorted(told)


@pytest.mark.parametrize("kind", TREE)
def test_a_problem_is_named_for_machines_and_titled_for_people(kind: type[TriageError]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.slug)
    assert re.fullmatch(r"[A-Z].*[^.]", kind.title)


@pytest.mark.parametrize("kind", TREE)
def test_the_status_says_whose_fault_it_is(kind: type[TriageError]) -> None:
    if issubclass(kind, InputError):
        assert kind.status in {400, 401, 403, 404, 409, 413, 415, 422}
    elif issubclass(kind, SetupError | AuditFailed | StoreFailed):
        assert kind.status == 503
    else:
        assert kind.status == 500


@pytest.mark.parametrize(
    ("kind", "status"), [(TooLarge, 413), (UnsupportedAudio, 415), (NothingToScore, 400)]
)
def test_statuses_with_a_meaning_of_their_own(kind: type[TriageError], status: int) -> None:
    assert kind.status == status


def test_a_problem_is_what_rfc_9457_says() -> None:
    assert TooLarge("Too long. Send less.", limit=5).as_problem() == {
        "type": "urn:triage:problem:too-large",
        "title": "The request is larger than this service allows",
        "status": 413,
        "detail": "Too long. Send less.",
        "limit": 5,
    }


@pytest.mark.parametrize("limit", [0, 0.5, "wav", ["wav", "flac"], []])
def test_every_limit_is_told(limit: float | str | list[str]) -> None:
    assert TooLarge("x", limit=limit).as_problem()["limit"] == limit


def test_without_a_limit_none_is_told() -> None:
    assert "limit" not in TooLarge("x").as_problem()


@pytest.mark.parametrize("kind", TREE)
def test_the_message_is_the_detail(kind: type[TriageError]) -> None:
    assert str(kind("What was wrong.")) == "What was wrong."


def test_an_error_survives_the_way_from_one_process_to_another() -> None:
    error = pickle.loads(pickle.dumps(TooLarge("x", limit=5)))  # noqa: S301 - our own bytes
    assert error.as_problem() == TooLarge("x", limit=5).as_problem()
