"""The written lines: made from their seeds, told apart by them, and fit to train on."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripts import imported

from triage.labels.leaks import leaks
from triage.labels.read import read_labels
from triage.taxonomy import CATEGORIES
from triage.text import spoken_words

AUTHORED = Path(__file__).parent.parent / "data" / "authored"
FILES = ("lines.jsonl.gz", "unseen.jsonl.gz", "lines-heard.jsonl.gz", "unseen-heard.jsonl.gz")
Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    with gzip.open(AUTHORED / name, "rt") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def make() -> ModuleType:
    return imported(AUTHORED)


@pytest.fixture(scope="module")
def known(make: ModuleType) -> dict[str, list[str]]:
    slots: dict[str, list[str]] = make.slots()
    return slots


def test_the_committed_lines_are_those_of_the_seeds(make: ModuleType, known: Any) -> None:
    unseen = list(make.rows(AUTHORED / "unseen", known, unseen=True))
    kept = {row["text"] for row in unseen}
    made = list(make.rows(AUTHORED / "seeds", known, unseen=False))
    assert rows("unseen.jsonl.gz") == unseen
    assert rows("lines.jsonl.gz") == [row for row in made if row["text"] not in kept]


def test_there_are_six_thousand_lines_and_as_many_harmless_as_harmful_seeds() -> None:
    found = rows("lines.jsonl.gz")
    assert len({row["text"] for row in found}) == len(found) >= 6000
    seeds = {row["group"]: any(row["labels"].get(n) for n in CATEGORIES) for row in found}
    assert 0.4 < sum(seeds.values()) / len(seeds) < 0.6


def test_every_category_that_lacked_spoken_lines_has_them_from_many_seeds() -> None:
    seeds: dict[str, set[str]] = defaultdict(set)
    for row in rows("lines.jsonl.gz"):
        for name, label in row["labels"].items():
            if label:
                seeds[name].add(row["group"])
    for name in ("violence", "domestic_abuse", "child_safety", "self_harm", "medical_emergency"):
        assert len(seeds[name]) >= 90, name
    assert len(seeds["distress"]) >= 300


def test_labels_are_read_without_a_problem() -> None:
    reading = read_labels([AUTHORED / name for name in FILES])
    assert not reading.problems
    assert {row.licence for row in reading.rows} == {"CC0-1.0"}


def test_no_seed_is_on_both_sides_and_no_unseen_line_is_trained_on() -> None:
    training = {r["group"] for r in rows("lines.jsonl.gz") if r["split"] == "train"}
    measured = {r["group"] for r in rows("lines.jsonl.gz") if r["split"] == "val"}
    assert measured
    assert not training & measured
    assert {r["split"] for r in rows("unseen.jsonl.gz")} == {"val"}
    read = read_labels([AUTHORED / "lines.jsonl.gz", AUTHORED / "unseen.jsonl.gz"])
    found = leaks(read.rows, lambda *_: None)
    assert not found.grouped
    assert not found.near


def test_lines_are_as_a_recogniser_writes_them() -> None:
    for row in rows("lines.jsonl.gz"):
        spoken = " ".join(spoken_words(row["text"]))
        assert spoken.replace("'", "") == row["text"].replace("-", " ").replace("'", ""), row["id"]


def test_what_was_heard_belongs_to_a_line() -> None:
    for name in ("lines", "unseen"):
        lines = {row["id"]: row for row in rows(f"{name}.jsonl.gz")}
        for row in rows(f"{name}-heard.jsonl.gz"):
            line = lines[row["id"].removesuffix("-heard")]
            assert row | {"id": "", "text": ""} == line | {"id": "", "text": ""}


def test_nothing_about_a_child_is_sexual() -> None:
    # Ids only: a line that this finds must not be printed.
    strange = re.compile(r"\b(sex\w*|naked|nude\w*|porn\w*|erotic|kiss\w*|breasts?|genital\w*)\b")
    found = [
        row["id"]
        for name in FILES
        for row in rows(name)
        if row["labels"].get("child_safety") and strange.search(row["text"])
    ]
    assert not found


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ("a seed", "before the first heading"),
        ("[violence | threatener]", "a heading is"),
        ("[violence | nobody | room]", "a heading is"),
        ("[rage | threatener | room]", "no such category: rage"),
        ("[violence | benign | room]", "a harmless heading"),
        ("[- | victim | room]", "a harmless heading"),
        ("[- | benign | room]\nWell, no", "not as a recogniser writes"),
        ("[- | benign | room]\nin the {kitchen}", "no such slot: {'kitchen'}"),
        ("[- | benign | room]\nin the (a|b", "brackets"),
        ("[- | benign | room]\nin the (a|(b|c))", "brackets"),
        ("[- | benign | room]\nthis|that", "brackets"),
    ],
)
def test_a_wrong_line_is_named(
    make: ModuleType, known: Any, tmp_path: Path, told: str, wrong: str
) -> None:
    file = tmp_path / "seeds.txt"
    file.write_text(f"# one\n{told}\n")
    with pytest.raises(make.Wrong) as refused:
        list(make.seeds(file, known))
    assert wrong.replace("{'kitchen'}", "kitchen") in str(refused.value)
    assert "seeds.txt, line" in str(refused.value)


def test_a_seeds_lines_depend_on_nothing_but_the_seed(make: ModuleType, known: Any) -> None:
    seed = make.Seed("(a|b|c) in the {room} at {time}", {}, "victim", "room")
    assert make.lines(seed, known) == make.lines(seed, known)
    assert len(set(make.lines(seed, known))) == make.MOST
    assert make.lines(make.Seed("(a|) b", {}, "victim", "room"), known) in (
        ["a b", "b"],
        ["b", "a b"],
    )
