"""The cache of features: whole blocks or none, and a full disk says that it is one."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from triage.training.cache import AT_ONCE, FILE, FeatureCache, key


def test_what_is_kept_is_found_by_another_run(tmp_path: Path) -> None:
    values = {key("a", str(n)): bytes([n % 256]) * n for n in range(2 * AT_ONCE + 1)}
    FeatureCache(tmp_path).keep(values)
    again = FeatureCache(tmp_path)
    assert again.found([*values, key("b")]) == values
    assert again.found([]) == {}


def test_a_key_depends_on_every_part_and_where_it_ends() -> None:
    keys = [key("ab", "c"), key("a", "bc"), key("abc"), key("ab", "c", "")]
    assert len(set(keys)) == 4


def test_two_runs_may_write_beside_each_other(tmp_path: Path) -> None:
    one, two = FeatureCache(tmp_path), FeatureCache(tmp_path)
    one.keep({key("1"): b"one", key("both"): b"same"})
    two.keep({key("2"): b"two", key("both"): b"same"})
    assert one.found([key("1"), key("2"), key("both")]).keys() == {key("1"), key("2"), key("both")}


def test_a_full_disk_is_told_as_one_and_loses_nothing(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.keep({key("old"): b"x"})
    cache._database.execute("PRAGMA max_page_count = 8")
    with pytest.raises(OSError, match="full") as caught:
        cache.keep({key("small"): b"y", key("large"): b"z" * 1_000_000})
    assert caught.value.errno == errno.ENOSPC
    found = FeatureCache(tmp_path).found([key("old"), key("small"), key("large")])
    assert found == {key("old"): b"x"}


def test_a_file_that_is_no_cache_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"somebody's notes" * 100)
    with pytest.raises(OSError, match="feature cache"):
        FeatureCache(tmp_path)
    assert (tmp_path / FILE).read_bytes().startswith(b"somebody's notes")
