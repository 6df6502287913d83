"""The sampling cap: what is drawn never passes it, whatever is offered, however often."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.errors import AuditFailed, BadSetting
from triage.records import Recording
from triage.safeguards.audit import AuditLog, verify
from triage.safeguards.pseudonym import Pseudonymiser
from triage.safeguards.sampling import Ledger, Sampled, digest, pseudonym

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
CAP = 0.1
MAKER = Pseudonymiser(b"k" * 32)


def names(n: int, start: int = 0) -> list[str]:
    return [MAKER.pseudonym(f"recording {i}") for i in range(start, start + n)]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state" / "sampling.sqlite", CAP, AuditLog(tmp_path / "audit.jsonl"))


def entries(folder: Path) -> list[dict[str, Any]]:
    file = folder / "audit.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


# The numbers --------------------------------------------------------------------------------


@given(
    seen=st.integers(0, 10**8),
    drawn=st.integers(0, 10**6),
    cap=st.floats(1e-9, 1),
)
def test_the_cap_is_used_up_and_never_passed(seen: int, drawn: int, cap: float) -> None:
    sampled = Sampled(seen, drawn, cap)
    limit = Fraction(repr(cap)) * seen
    assert sampled.allowed == 0 or drawn + sampled.allowed <= limit
    assert drawn + sampled.allowed + 1 > limit


@given(
    seen=st.integers(0, 10**6),
    drawn=st.integers(0, 10**4),
    cap=st.sampled_from([0.002, 0.29, 1 / 3, 1.0, 2e-5]),
)
def test_it_says_how_many_more_have_to_be_seen(seen: int, drawn: int, cap: float) -> None:
    sampled = Sampled(seen, drawn, cap)
    assert (sampled.unseen == 0) == (sampled.allowed > 0)
    assert Sampled(seen + sampled.unseen, drawn, cap).allowed > 0
    if sampled.unseen:
        assert Sampled(seen + sampled.unseen - 1, drawn, cap).allowed == 0


def test_the_cap_is_the_number_that_was_written() -> None:
    assert Sampled(100, 0, 0.29).allowed == 29  # 0.29 * 100 is 28.999999999999996
    assert [Sampled(n, 0, 0.002).allowed for n in (499, 500, 999, 1000)] == [0, 1, 1, 2]


# The ledger ---------------------------------------------------------------------------------


def test_what_is_seen_again_widens_nothing(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.stand() == Sampled(0, 0, CAP)
    ledger.see(names(30))
    ledger.see([*names(30), *names(5), *names(10, start=25)])
    assert ledger.stand() == Sampled(35, 0, CAP)
    again = Ledger(tmp_path / "state" / "sampling.sqlite", CAP, AuditLog(tmp_path / "other"))
    assert again.stand() == Sampled(35, 0, CAP)


def test_a_draw_counts_for_ever(ledger: Ledger) -> None:
    ledger.see(names(30))
    assert ledger.draw(names(2), {}, NOON) == Sampled(30, 2, CAP)
    ledger.see(names(30))
    assert ledger.drawn() == set(names(2))
    assert ledger.stand().allowed == 1


@pytest.mark.parametrize(
    "wanted",
    [
        names(4, start=10),  # over the cap
        names(1) + names(1, start=7),  # one was drawn before
        names(1, start=30),  # never seen
        names(1, start=5) * 2,  # twice
    ],
)
def test_what_may_not_be_drawn_leaves_all_as_it_was(
    ledger: Ledger, tmp_path: Path, wanted: list[str]
) -> None:
    ledger.see(names(30))
    ledger.draw(names(1), {}, NOON)
    before = entries(tmp_path)
    with pytest.raises(BadSetting, match="run this one again"):
        ledger.draw(wanted, {}, NOON)
    assert ledger.drawn() == set(names(1))
    assert entries(tmp_path) == before


def test_each_draw_is_in_the_audit(ledger: Ledger, tmp_path: Path) -> None:
    ledger.see(names(40))
    ledger.draw(names(2), {"seed": 7, "budget": 2}, NOON)
    ledger.draw(names(1, start=20), {"seed": 8, "budget": 9}, NOON)
    first, second = entries(tmp_path)
    assert first["kind"] == second["kind"] == "sample"
    assert first["body"] == {
        "seed": 7,
        "budget": 2,
        "draw": 1,
        "seen": 40,
        "drawn_before": 0,
        "drawn_now": 2,
        "cap": CAP,
        "sha256": digest(names(2)),
    }
    assert (second["body"]["draw"], second["body"]["drawn_before"]) == (2, 2)
    assert verify(tmp_path / "audit.jsonl").entries == 2
    assert not any(name in json.dumps([first, second]) for name in names(40))


def test_the_ledger_can_be_held_against_the_audit(ledger: Ledger, tmp_path: Path) -> None:
    ledger.see(names(40))
    ledger.draw(names(3, start=10), {}, NOON)
    ledger.draw(names(1), {}, NOON)
    with sqlite3.connect(tmp_path / "state" / "sampling.sqlite") as database:
        rows = database.execute("SELECT draw, pseudonym FROM recordings WHERE draw").fetchall()
    for entry in entries(tmp_path):
        held = [name for draw, name in rows if draw == entry["body"]["draw"]]
        assert digest(reversed(held)) == entry["body"]["sha256"]


def test_without_an_audit_entry_nothing_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    ledger = Ledger(tmp_path / "sampling.sqlite", CAP, AuditLog(tmp_path / "audit.jsonl"))
    ledger.see(names(30))
    with pytest.raises(AuditFailed):
        ledger.draw(names(1), {}, NOON)
    assert ledger.stand() == Sampled(30, 0, CAP)


def test_a_kill_after_the_entry_leaves_an_entry_too_many(tmp_path: Path) -> None:
    script = f"""
import os
from datetime import UTC, datetime
from pathlib import Path
from triage.safeguards.audit import AuditLog
from triage.safeguards.sampling import Ledger

class Killed(AuditLog):
    def append(self, *entry):
        super().append(*entry)
        os._exit(9)

folder = Path({str(tmp_path)!r})
ledger = Ledger(folder / "sampling.sqlite", 1.0, Killed(folder / "audit.jsonl"))
ledger.see(["a", "b"])
ledger.draw(["a"], {{}}, datetime.now(UTC))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    after = Ledger(tmp_path / "sampling.sqlite", 1.0, AuditLog(tmp_path / "audit.jsonl"))
    assert after.stand() == Sampled(2, 0, 1.0)
    assert len(entries(tmp_path)) == 1
    assert after.draw(["a"], {}, NOON).drawn == 1


def test_of_many_at_once_none_passes_the_cap(tmp_path: Path) -> None:
    def one() -> Ledger:
        return Ledger(tmp_path / "sampling.sqlite", CAP, AuditLog(tmp_path / "audit.jsonl"))

    def try_to_draw(number: int) -> int:
        own = one()
        own.see(names(60))
        try:
            own.draw(names(2, start=2 * number), {}, NOON)
        except BadSetting:
            return 0
        return 2

    with ThreadPoolExecutor(8) as pool:
        drawn = sum(pool.map(try_to_draw, range(8)))
    assert one().stand() == Sampled(60, drawn, CAP) == Sampled(60, 6, CAP)
    assert len(entries(tmp_path)) == 3


def test_only_its_owner_can_read_it(ledger: Ledger, tmp_path: Path) -> None:
    ledger.see(names(1))
    file = tmp_path / "state" / "sampling.sqlite"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_damaged_ledger_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "state" / "sampling.sqlite"
    file.parent.mkdir()
    file.write_bytes(b"no database at all " * 100)
    with pytest.raises(BadSetting, match="SQLITE_NOTADB"):
        ledger.stand()


def test_a_state_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    ledger = Ledger(tmp_path / "state" / "sampling.sqlite", CAP, AuditLog(tmp_path / "a"))
    with pytest.raises(BadSetting, match="TRIAGE_STATE"):
        ledger.see(names(1))


# Which recording it is ----------------------------------------------------------------------


def test_the_same_sound_is_the_same_recording(tmp_path: Path) -> None:
    for name, content in (("a.wav", b"sound"), ("b.wav", b"sound"), ("c.wav", b"other")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (pseudonym(Recording(n, tmp_path / f"{n}.wav"), MAKER) for n in "abc")
    assert a == b == pseudonym(Recording("z", b"sound", "with words"), MAKER)
    assert c != a


def test_words_alone_are_known_by_their_id() -> None:
    one, same, other = (
        pseudonym(Recording(id, transcript=words), MAKER)
        for id, words in (("x-1", "stop"), ("x-1", "go"), ("x-2", "stop"))
    )
    assert one == same != other
    assert "x-1" not in one
    assert len(one) == len(one.encode("ascii")) == 30
