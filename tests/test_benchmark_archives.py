"""That archives to measure over are as they say, and always the same."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks import archives

COUNT = 2_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled data of made-up clips and lines."""
    data = tmp_path_factory.mktemp("data")
    (data / "audio").mkdir()
    (data / "text").mkdir()
    clips = [
        {"audio": f"clip-{n}.wav", "seconds": float(n % 20), "events": {"speech": n % 2}}
        for n in range(400)
    ]
    (data / "audio" / "clips.jsonl").write_text("".join(json.dumps(one) + "\n" for one in clips))
    with gzip.open(data / "text" / "labels.jsonl.gz", "wt") as lines:
        told = ({"text": f"line {n}", "source": "abc"[n % 3]} for n in range(500))
        lines.writelines(json.dumps(row) + "\n" for row in told)
    return data


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_mixed_archive_has_its_shares_and_is_always_the_same(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "mixed.jsonl"
    archives.mixed(data, file, COUNT)
    before = file.read_bytes()
    archives.mixed(data, file, COUNT)
    assert file.read_bytes() == before
    found = rows(file)
    assert len({row["id"] for row in found}) == len(found) == COUNT
    unreadable = [row for row in found if row.get("audio") == str(file)]
    assert 0.01 < len(unreadable) / COUNT < 0.03
    both = [row for row in found if {"audio", "text"} <= row.keys()]
    words = [row for row in found if "audio" not in row]
    assert 0.07 < len(both) / COUNT < 0.13
    assert 0.07 < len(words) / COUNT < 0.13
    twice = Counter(row["audio"] for row in found if row.keys() == {"id", "context", "audio"})
    assert sum(twice.values()) > len(twice)


def test_a_mixed_archive_is_of_one_month(data: Path, tmp_path: Path) -> None:
    archives.mixed(data, tmp_path / "mixed.jsonl", 300)
    contexts = [row["context"] for row in rows(tmp_path / "mixed.jsonl")]
    times = [datetime.fromisoformat(one["recorded_at"]) for one in contexts]
    assert datetime(2026, 1, 1, tzinfo=UTC) <= min(times)
    assert max(times) < datetime(2026, 1, 31, tzinfo=UTC)
    assert 1 < len({one["account"] for one in contexts}) <= archives.ACCOUNTS


def test_commands_are_spoken_and_short_and_none_comes_twice_before_all_have(
    data: Path, tmp_path: Path
) -> None:
    lengths = {one["audio"]: one["seconds"] for one in archives.clips(data)}
    spoken = {one["audio"] for one in archives.clips(data, 2, 10, spoken=True)}
    assert 0 < len(spoken) < len(lengths)
    seconds = archives.commands(data, tmp_path / "few.jsonl", len(spoken))
    found = [row["audio"] for row in rows(tmp_path / "few.jsonl")]
    assert sorted(found) == sorted(spoken)
    assert all(2 <= lengths[one] <= 10 for one in found)
    assert seconds == sum(lengths[one] for one in found)
    assert archives.commands(data, tmp_path / "more.jsonl", 2 * len(spoken)) == 2 * seconds


def test_texts_are_of_the_sources_that_are_named(data: Path) -> None:
    drawn = {int(text.split()[1]) % 3 for text in archives.texts(data, 200, sources=["b", "c"])}
    assert drawn == {1, 2}


@pytest.mark.parametrize("alike", [True, False])
def test_texts_are_different_unless_they_may_be_alike(
    data: Path, tmp_path: Path, alike: bool
) -> None:
    archives.said(data, tmp_path / "said.jsonl", COUNT, alike=alike)
    found = rows(tmp_path / "said.jsonl")
    assert len({row["id"] for row in found}) == COUNT
    assert (len({row["text"] for row in found}) == COUNT) is not alike
