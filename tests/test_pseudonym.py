from __future__ import annotations

import base64
import hashlib
import hmac
import multiprocessing
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from triage.errors import BadSetting
from triage.safeguards.pseudonym import KEY_BYTES, KEY_FILE, Pseudonymiser, load_key
from triage.settings import Settings

KEY = bytes(range(32))
KINDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=32)


def kept_in(state: Path, key: str = "") -> Settings:
    return Settings(state=state, key=SecretStr(key))


# The pseudonym -----------------------------------------------------------------------------------


def test_it_is_the_hmac_that_is_documented() -> None:
    digest = hmac.new(KEY, b"triage pseudonym 1\0recording\0call-7", hashlib.sha256).digest()
    text = base64.b32encode(digest[:16]).decode().rstrip("=").lower()
    assert Pseudonymiser(KEY).pseudonym("call-7") == f"rec_{text}"


@given(st.text(), KINDS)
def test_it_is_short_and_safe_in_a_url(value: str, kind: str) -> None:
    made = Pseudonymiser(KEY).pseudonym(value, kind)
    assert re.fullmatch(r"[a-z]{3}_[a-z2-7]{26}", made)
    assert made.startswith(kind[:3])
    assert made == Pseudonymiser(KEY).pseudonym(value, kind)


@given(st.tuples(KINDS, st.text()), st.tuples(KINDS, st.text()))
def test_another_id_or_another_kind_is_another_pseudonym(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    names = Pseudonymiser(KEY)
    made = [names.pseudonym(value, kind)[4:] for kind, value in (one, other)]
    assert (made[0] == made[1]) == (one == other)


@given(st.text())
def test_the_end_of_a_kind_is_not_the_start_of_an_id(value: str) -> None:
    names = Pseudonymiser(KEY)
    assert names.pseudonym("der" + value, "recor") != names.pseudonym(value, "recorder")


@given(st.binary(min_size=KEY_BYTES, max_size=64).filter(lambda key: key != KEY))
def test_another_key_is_another_pseudonym(key: bytes) -> None:
    assert Pseudonymiser(key).pseudonym("call-7") != Pseudonymiser(KEY).pseudonym("call-7")


def test_half_a_character_has_a_pseudonym() -> None:
    names = Pseudonymiser(KEY)
    assert names.pseudonym("\ud800") != names.pseudonym("\ud801")


@pytest.mark.parametrize("kind", ["", "ab", "Recording", "rec ord", "a" * 33, "rec\0"])
def test_a_kind_of_another_form_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="3 to 32 letters"):
        Pseudonymiser(KEY).pseudonym("call-7", kind)


def test_the_key_stays_out_of_repr() -> None:
    assert repr(Pseudonymiser(KEY)) == "Pseudonymiser()"


@pytest.mark.parametrize("size", [0, 31])
def test_a_short_key_is_refused(size: int) -> None:
    with pytest.raises(BadSetting, match=f"has {size} bytes") as refused:
        Pseudonymiser(bytes(size))
    assert refused.value.limit == KEY_BYTES


# The key -----------------------------------------------------------------------------------------


def test_the_setting_comes_first(tmp_path: Path) -> None:
    secret = "0123456789" * 3 + "ää"
    assert load_key(kept_in(tmp_path / "state", secret)) == secret.encode()
    assert not (tmp_path / "state").exists()


def test_a_short_setting_is_refused_and_not_told(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="31 characters") as refused:
        load_key(kept_in(tmp_path, "s" * 31))
    assert "sss" not in refused.value.detail


def test_a_key_is_made_once_and_kept_by_its_owner(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    key = load_key(kept_in(state))
    assert len(key) == KEY_BYTES
    assert key == (state / KEY_FILE).read_bytes()
    assert stat.S_IMODE((state / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert load_key(kept_in(state)) == key
    assert load_key(kept_in(tmp_path / "other")) != key


def test_what_a_kill_left_behind_is_cleared_away(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    left = tmp_path / f".{KEY_FILE}.{killed.pid}.part"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert len(load_key(kept_in(tmp_path))) == KEY_BYTES
    assert {path.name for path in tmp_path.iterdir()} == {KEY_FILE, f"{KEY_FILE}.lock"}


def test_a_kept_key_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    key = load_key(kept_in(tmp_path))
    (tmp_path / f"{KEY_FILE}.lock").unlink()
    assert load_key(kept_in(tmp_path)) == key
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    load_key(kept_in(tmp_path))
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(BadSetting, match="Make it 0600") as refused:
        load_key(kept_in(tmp_path))
    assert str(tmp_path) not in refused.value.detail


def test_a_damaged_key_is_refused_and_not_replaced(tmp_path: Path) -> None:
    load_key(kept_in(tmp_path))
    (tmp_path / KEY_FILE).write_bytes(b"")
    with pytest.raises(BadSetting, match="has 0 bytes"):
        load_key(kept_in(tmp_path))
    assert (tmp_path / KEY_FILE).read_bytes() == b""


def test_a_state_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(BadSetting, match="TRIAGE_STATE") as refused:
        load_key(kept_in(tmp_path / "state"))
    assert str(tmp_path) not in refused.value.detail


def first_key(state: Path) -> bytes:
    return load_key(kept_in(state))


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        for attempt in range(20):
            keys = pool.map(first_key, [tmp_path / str(attempt)] * 4, chunksize=1)
            assert len(set(keys)) == 1
