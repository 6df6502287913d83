from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import resource
import stat
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.errors import AuditFailed, AuditTampered, BadSetting
from triage.safeguards import audit
from triage.safeguards.audit import AuditEntry, AuditLog, verify
from triage.safeguards.chain import GENESIS, Damage, seal

AT = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
ON_EACH = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit.jsonl"


def filled(path: Path, entries: int = 5) -> bytes:
    """A fresh log of some entries at `path`; its bytes."""
    path.unlink(missing_ok=True)
    AuditLog(path).append_many([AuditEntry("decision", {"n": n}, AT) for n in range(entries)])
    return path.read_bytes()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


# The form --------------------------------------------------------------------------------------


def test_a_line_is_as_documented(path: Path) -> None:
    first = AuditLog(path).append("decision", {"tier": "E3", "größe": [1, 0.5, None]}, AT)
    unhashed = (
        '{"at":"2026-03-01T12:00:00.123Z","body":{"gr\\u00f6\\u00dfe":[1,0.5,null],"tier":"E3"},'
        f'"kind":"decision","previous":"{GENESIS}","seq":1}}'
    )
    assert first == "sha256:" + hashlib.sha256(unhashed.encode()).hexdigest()
    hashed = unhashed.replace('"kind"', f'"hash":"{first}","kind"')
    assert path.read_text("ascii") == hashed + "\n"


def test_each_entry_follows_from_the_one_before(path: Path) -> None:
    log = AuditLog(path)
    hashes = [log.append("one", {}, AT), *log.append_many([AuditEntry("more", {}, AT)] * 3)]
    written = lines(path)
    assert [entry["seq"] for entry in written] == [1, 2, 3, 4]
    assert [entry["hash"] for entry in written] == hashes
    assert [entry["previous"] for entry in written] == [GENESIS, *hashes[:-1]]
    assert verify(path) == audit.AuditReport(entries=4, head=hashes[-1], torn=0, unfinished=0)


def test_a_log_is_carried_on_by_another_process(path: Path) -> None:
    filled(path)
    AuditLog(path).append("decision", {}, AT)
    assert verify(path).entries == 6


def test_the_time_is_written_in_utc(path: Path) -> None:
    AuditLog(path).append("decision", {}, AT.astimezone(timezone(timedelta(hours=2))))
    assert lines(path)[0]["at"] == "2026-03-01T12:00:00.123Z"


def test_only_the_owner_can_read_it(path: Path) -> None:
    filled(path)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_batch_costs_one_write_and_one_sync(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    calls: list[str] = []

    def counted(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*given: object) -> object:
            calls.append(name)
            return real(*given)

        return call

    log = AuditLog(path)
    for name in ("write", "fsync"):
        monkeypatch.setattr(os, name, counted(name))
    log.append_many([AuditEntry("decision", {}, AT)] * 50)
    assert calls[-2:] == ["write", "fsync"]
    assert calls.count("fsync") == 1
    assert verify(path).entries == 55


def test_an_empty_batch_writes_nothing(path: Path) -> None:
    assert AuditLog(path).append_many([]) == []
    assert not path.exists()


def test_a_body_stays_out_of_repr() -> None:
    assert "private" not in repr(AuditEntry("decision", {"x": "private"}, AT))


# What may not be written -------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": object()}, {"x": {1, 2}}])
def test_a_body_that_is_not_json_is_refused(path: Path, body: dict[str, Any]) -> None:
    before = filled(path)
    with pytest.raises(AuditFailed, match="plain JSON"):
        AuditLog(path).append_many([AuditEntry("ok", {}, AT), AuditEntry("bad", body, AT)])
    assert path.read_bytes() == before


@given(
    st.dictionaries(
        st.text() | st.integers() | st.booleans(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
        max_size=5,
    )
)
@ON_EACH
def test_whatever_is_written_verifies(path: Path, body: dict[Any, Any]) -> None:
    path.unlink(missing_ok=True)
    try:
        AuditLog(path).append("decision", body, AT)
    except AuditFailed:  # infinities, and keys of several types that can't be sorted
        assert not path.exists()
    else:
        assert verify(path).entries == 1


def test_text_that_is_half_a_character_is_written(path: Path) -> None:
    AuditLog(path).append("decision", {"x": "\ud800", "y": "\ud83d\ude00"}, AT)
    assert verify(path).entries == 1


def test_an_entry_that_is_too_long_is_refused(path: Path) -> None:
    before = filled(path)
    with pytest.raises(AuditFailed) as refused:
        AuditLog(path).append("decision", {"x": "x" * audit.MAX_LINE}, AT)
    assert refused.value.limit == audit.MAX_LINE
    assert path.read_bytes() == before


@pytest.mark.parametrize(("kind", "at"), [("", AT), ("torn", AT), ("ok", AT.replace(tzinfo=None))])
def test_the_logs_own_kind_and_a_time_without_zone_are_refused(
    path: Path, kind: str, at: datetime
) -> None:
    with pytest.raises(ValueError, match="audit entry"):
        AuditLog(path).append(kind, {}, at)


# What must show --------------------------------------------------------------------------------


@given(st.data())
@ON_EACH
def test_any_changed_byte_shows(path: Path, data: st.DataObject) -> None:
    whole = bytearray(filled(path))
    place = data.draw(st.integers(0, len(whole) - 2))  # all but the newline at the end
    whole[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    with pytest.raises(AuditTampered):
        verify(path)


@given(st.data())
@ON_EACH
def test_any_line_removed_moved_or_doubled_shows(path: Path, data: st.DataObject) -> None:
    before = filled(path).splitlines(keepends=True)
    after = data.draw(
        st.lists(st.sampled_from([*before, b"\n", b"{}\n"]), max_size=7).filter(
            lambda drawn: drawn != before[: len(drawn)]
        )
    )
    path.write_bytes(b"".join(after))
    with pytest.raises(AuditTampered):
        verify(path)


@given(st.data(), st.sampled_from([b"\n", b"x\n", b"{}\n", b"null\n"]))
@ON_EACH
def test_any_line_added_shows(path: Path, data: st.DataObject, line: bytes) -> None:
    written = filled(path).splitlines(keepends=True)
    written.insert(data.draw(st.integers(0, len(written))), line)
    path.write_bytes(b"".join(written))
    with pytest.raises(AuditTampered):
        verify(path)


@pytest.mark.parametrize(
    ("kind", "seq", "follows"), [("ok", 7, True), ("ok", 6, False), ("torn", 6, True)]
)
def test_an_entry_that_hashes_well_must_still_follow(
    path: Path, kind: str, seq: int, follows: bool
) -> None:
    before = filled(path)
    fields = {"at": "2026-03-01T12:00:00.000Z", "body": Damage().note(), "kind": kind}
    forged, _ = seal(fields, seq, verify(path).head if follows else GENESIS)
    path.write_bytes(before + forged)
    with pytest.raises(AuditTampered, match="entry 6"):
        verify(path)


@pytest.mark.parametrize("seq", ["6", 6.0, True, None])
def test_a_number_that_is_none_shows_before_anything_follows(path: Path, seq: Any) -> None:
    before = filled(path)
    fields = {"at": "2026-03-01T12:00:00.000Z", "body": {}, "kind": "ok"}
    path.write_bytes(before + seal(fields, seq, verify(path).head)[0])
    for use in (lambda: AuditLog(path).append("decision", {}, AT), lambda: verify(path)):
        with pytest.raises(AuditTampered, match="fields of an entry"):
            use()


def test_the_error_says_where_and_how(path: Path) -> None:
    before = filled(path)
    path.write_bytes(before.replace(b'"n":2', b'"n":7'))
    with pytest.raises(AuditTampered, match="breaks at entry 3: its content doesn't match"):
        verify(path)


@pytest.mark.parametrize("value", ["NaN", " 1", "1e0"])
def test_another_way_to_write_the_same_shows(path: Path, value: str) -> None:
    before = filled(path)
    path.write_bytes(before.replace(b'"n":1', f'"n":{value}'.encode()))
    with pytest.raises(AuditTampered, match="entry 2: it isn't in the form"):
        verify(path)


def test_a_cut_end_shows_only_against_a_head_that_was_kept(path: Path) -> None:
    before = filled(path)
    head = verify(path).head
    path.write_bytes(b"".join(before.splitlines(keepends=True)[:-1]))
    assert verify(path).entries == 4
    with pytest.raises(AuditTampered, match="expected head"):
        verify(path, expected_head=head)


def test_a_head_that_was_kept_stays_good_while_the_log_grows(path: Path) -> None:
    filled(path)
    head = verify(path).head
    AuditLog(path).append("decision", {}, AT)
    assert verify(path, expected_head=head).entries == 6
    assert verify(path, expected_head=GENESIS).entries == 6


def test_nothing_is_added_after_a_last_entry_that_was_changed(path: Path) -> None:
    before = filled(path)
    path.write_bytes(before.replace(b'"n":4', b'"n":7'))
    with pytest.raises(AuditTampered):
        AuditLog(path).append("decision", {}, AT)


def test_a_log_that_is_cut_or_gone_while_in_use_shows(path: Path) -> None:
    log = AuditLog(path)
    log.append("decision", {}, AT)
    log.append("decision", {}, AT)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(AuditTampered, match="entry 2"):
        log.append("decision", {}, AT)
    path.unlink()
    with pytest.raises(AuditFailed):
        log.append("decision", {}, AT)
    assert not path.exists()


def test_a_log_that_is_not_there_can_not_be_verified(path: Path) -> None:
    with pytest.raises(BadSetting) as refused:
        verify(path)
    assert str(path) not in refused.value.detail


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"x" * 30_000_000)
    tracemalloc.start()
    assert verify(path).unfinished == 30_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * audit.MAX_LINE
    with pytest.raises(AuditTampered, match="no entry in the last"):
        AuditLog(path).append("decision", {}, AT)


# A kill in the middle of a write -----------------------------------------------------------------


@given(st.data())
@ON_EACH
def test_a_torn_line_is_kept_and_noted(path: Path, data: st.DataObject) -> None:
    before = filled(path)
    last = before.splitlines(keepends=True)[-1]
    keep = data.draw(st.integers(1, len(last) - 2))  # without its last byte it is no entry
    torn = before[: len(before) - len(last) + keep]
    path.write_bytes(torn)
    assert verify(path).unfinished == keep

    hash_ = AuditLog(path).append("decision", {}, AT)
    assert verify(path) == audit.AuditReport(entries=6, head=hash_, torn=1, unfinished=0)
    assert lines_after(path, torn)[1]["hash"] == hash_
    assert path.read_bytes().startswith(torn + b"\n")
    assert lines_after(path, torn)[0]["body"] == {
        "bytes": keep + 1,
        "sha256": hashlib.sha256(last[:keep] + b"\n").hexdigest(),
    }


def lines_after(path: Path, torn: bytes) -> list[dict[str, Any]]:
    rest = path.read_bytes().removeprefix(torn + b"\n")
    return [json.loads(line) for line in rest.splitlines()]


@given(st.data())
@ON_EACH
def test_a_second_kill_while_it_is_noted_is_noted_too(path: Path, data: st.DataObject) -> None:
    before = filled(path)
    path.write_bytes(before[:-20])
    AuditLog(path).append("decision", {}, AT)
    mended = path.read_bytes()
    path.write_bytes(mended[: data.draw(st.integers(len(before) - 20, len(mended) - 1))])
    AuditLog(path).append("decision", {}, AT)
    report = verify(path)
    assert report.torn in (1, 2)
    assert report.unfinished == 0


def test_an_entry_that_lacks_only_its_newline_is_whole(path: Path) -> None:
    path.write_bytes(filled(path)[:-1])
    assert verify(path).entries == 5
    AuditLog(path).append("decision", {}, AT)
    assert verify(path).entries == 6
    assert verify(path).torn == 0


def test_a_first_entry_that_is_torn_is_noted(path: Path) -> None:
    path.write_bytes(filled(path, entries=1)[:30])
    AuditLog(path).append("decision", {}, AT)
    assert (verify(path).entries, verify(path).torn) == (2, 1)


@given(st.data())
@ON_EACH
def test_torn_bytes_can_not_be_changed_or_removed_later(path: Path, data: st.DataObject) -> None:
    before = filled(path)
    path.write_bytes(before[:-20])
    AuditLog(path).append("decision", {}, AT)
    mended = path.read_bytes()
    start, end = before.rfind(b"\n", 0, -1) + 1, len(before) - 19
    first = data.draw(st.integers(start, end - 1))
    last = data.draw(st.integers(first + 1, end))
    other = data.draw(st.binary(max_size=3).filter(lambda drawn: drawn != mended[first:last]))
    path.write_bytes(mended[:first] + other + mended[last:])
    with pytest.raises(AuditTampered):
        verify(path)


def test_a_torn_line_in_the_middle_of_a_batch_keeps_what_is_whole(path: Path) -> None:
    whole = filled(path, entries=40)
    path.write_bytes(whole[: whole.index(b'"n":25') + 3])
    AuditLog(path).append("decision", {}, AT)
    report = verify(path)
    assert (report.entries, report.torn) == (25 + 2, 1)


# A disk that won't -------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing_half_done(path: Path) -> None:
    before = filled(path)
    log = AuditLog(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, hard))
    try:
        with pytest.raises(AuditFailed) as failed:
            log.append("decision", {}, AT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert str(path) not in failed.value.detail
    log.append("decision", {}, AT)
    assert verify(path).entries == 6


def failing(*_: object) -> None:
    raise OSError(5, "Input/output error")


def test_what_is_not_on_the_disk_was_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled(path)
    log = AuditLog(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(AuditFailed, match="Input/output error"):
            log.append("decision", {}, AT)
    assert path.read_bytes() == before


def test_what_can_not_be_taken_back_is_noted_as_torn(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    log, write = AuditLog(path), os.write
    full = False

    def nearly_full(file: int, data: bytes) -> int:
        nonlocal full
        if full:
            failing()
        full = True
        return write(file, data[:40])

    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", failing)
        patch.setattr(os, "write", nearly_full)
        with pytest.raises(AuditFailed):
            log.append("decision", {}, AT)
    assert verify(path).unfinished == 40
    log.append("decision", {}, AT)
    assert (verify(path).entries, verify(path).torn) == (7, 1)


def test_a_place_that_can_not_be_written_is_an_audit_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "file" / "audit.jsonl", tmp_path / "folder"):
        with pytest.raises(AuditFailed) as failed:
            AuditLog(place).append("decision", {}, AT)
        assert str(tmp_path) not in failed.value.detail


# Many writers ------------------------------------------------------------------------------------


def write_some(path: Path, name: str, entries: int) -> None:
    log = AuditLog(path)
    for n in range(entries):
        log.append("decision", {"writer": name, "n": n}, AT)


def test_two_processes_make_one_chain(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_some, args=(path, name, 200)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert verify(path).entries == 400
    for name in "ab":
        of_one = [entry["body"]["n"] for entry in lines(path) if entry["body"]["writer"] == name]
        assert of_one == list(range(200))


def test_threads_make_one_chain(path: Path) -> None:
    log = AuditLog(path)
    with ThreadPoolExecutor(8) as pool:
        hashes = list(pool.map(lambda n: log.append("decision", {"n": n}, AT), range(100)))
    assert {entry["hash"] for entry in lines(path)} == set(hashes)
    assert verify(path).entries == 100


def test_a_lock_that_is_never_given_back_is_an_audit_failure(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    monkeypatch.setattr(audit, "LOCK_SECONDS", 0.05)
    log = AuditLog(path)
    with ThreadPoolExecutor(1) as pool, FileLock(f"{path}.lock"):
        waiting = pool.submit(log.append, "decision", {}, AT)
        with pytest.raises(AuditFailed, match="held the audit log"):
            waiting.result()
