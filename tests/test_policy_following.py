"""The policy in service follows its file, and is never lost because it did."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from policies import rule, scores_of, written

from triage.errors import AuditFailed, BadSetting
from triage.policy.decide import decide
from triage.policy.following import EVERYTHING, KEPT, PolicyInService
from triage.policy.model import Policy, parse_policy
from triage.policy.signing import fingerprint, sign, signature_file
from triage.process import Processor
from triage.records import Outcome, Recording

RULE = rule("distress", "E3", ["queue:on-call"], "scores.distress >= 0.8")
ONE, TWO = written(RULE, version="1"), written(RULE, version="2")
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
_clock: Iterator[int] = count(1)


def put(file: Path, data: bytes) -> Path:
    """Writes a file whose time of change differs, however fast the test is."""
    file.write_bytes(data)
    now = next(_clock) * 1_000_000_000
    os.utime(file, ns=(now, now))
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return put(tmp_path / "policy.yaml", ONE)


@pytest.fixture
def served(file: Path, tmp_path: Path) -> PolicyInService:
    found = PolicyInService(file, state=tmp_path / "state")
    assert found.current().version == "1"
    return found


def test_a_changed_file_is_taken_up(served: PolicyInService, file: Path) -> None:
    put(file, TWO)
    assert served.current().version == "2"
    assert served.problem == ""


def test_an_unchanged_file_is_not_read_again(served: PolicyInService) -> None:
    assert served.current() is served.current()


@pytest.mark.parametrize("broken", [b"", b"name: [", ONE.replace(b"0.8", b"'x'"), b"\xff"])
def test_a_broken_file_changes_nothing_and_is_told_loudly(
    served: PolicyInService, file: Path, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    put(file, broken)
    assert served.current().version == "1"
    assert served.problem
    assert any(one.levelno == logging.ERROR for one in caplog.records)
    put(file, TWO)
    assert served.current().version == "2"
    assert served.problem == ""


def test_a_file_that_is_gone_changes_nothing(served: PolicyInService, file: Path) -> None:
    file.unlink()
    assert served.current().version == "1"
    assert "can't be read" in served.problem


def test_a_policy_that_fails_its_own_tests_is_not_taken(
    served: PolicyInService, file: Path
) -> None:
    wrong = [{"name": "x", "given": {"scores": {"distress": 0.9}}, "expect": {"tier": "E0"}}]
    put(file, written(RULE, version="2", tests=wrong))
    assert served.current().version == "1"
    assert "tests failed" in served.problem


def test_after_a_start_with_a_broken_file_the_last_good_one_decides(
    served: PolicyInService, file: Path, tmp_path: Path
) -> None:
    put(file, b"broken: [")
    again = PolicyInService(file, state=tmp_path / "state")
    assert again.current().version == "1"
    assert again.problem


def test_without_any_good_policy_everything_goes_to_people(tmp_path: Path) -> None:
    for state in (None, tmp_path):
        served = PolicyInService(put(tmp_path / "policy.yaml", b""), state=state)
        policy = served.current()
        assert policy.digest == parse_policy(EVERYTHING.read_bytes()).digest
        decision = decide(scores_of(), policy, NOW)
        assert (decision.tier, decision.actions) == ("E2", ("queue:no-policy",))
        assert served.problem


def test_a_damaged_copy_is_no_policy_either(file: Path, tmp_path: Path) -> None:
    (tmp_path / KEPT).write_bytes(b"x")
    served = PolicyInService(put(file, b""), state=tmp_path)
    assert served.current().name == "everything-to-people"


def test_a_change_is_told_before_it_takes_effect(served: PolicyInService, file: Path) -> None:
    told: list[tuple[str, str, str]] = []
    served.changed = lambda old, new, by: told.append((old.version, new.version, by))
    put(file, TWO)
    served.current()
    put(file, TWO)  # only its time
    served.current()
    assert told == [("1", "2", "")]


def test_a_change_that_cannot_be_told_takes_no_effect(served: PolicyInService, file: Path) -> None:
    def fails(old: Policy, new: Policy, by: str) -> None:
        raise AuditFailed("The disk is full.")

    served.changed = fails
    put(file, TWO)
    assert served.current().version == "1"
    assert served.problem == "The disk is full."


def test_a_change_between_two_runs_is_told_too(
    served: PolicyInService, file: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    again = PolicyInService(put(file, TWO), state=tmp_path / "state")
    again.changed = lambda old, new, _: told.append(f"{old.version} {new.version}")
    again.current()
    assert told == ["1 2"]


def test_nobody_waits_while_a_file_is_read(served: PolicyInService, file: Path) -> None:
    reading, go_on = Event(), Event()

    def slow(old: Policy, new: Policy, by: str) -> None:
        reading.set()
        assert go_on.wait(20)

    served.changed = slow
    put(file, TWO)
    reader = Thread(target=served.current)
    reader.start()
    assert reading.wait(20)
    assert served.current().version == "1"
    go_on.set()
    reader.join()
    assert served.current().version == "2"


def test_a_fixed_policy_never_changes() -> None:
    policy = parse_policy(ONE)
    assert PolicyInService.fixed(policy).current() is policy


# Signatures ---------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return pem(tmp_path / "private.pem", Ed25519PrivateKey.generate())


def pem(file: Path, private: Ed25519PrivateKey) -> Path:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    file.write_bytes(private.private_bytes(*form))
    return file


def public(file: Path, *private: Path) -> Path:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    keys = (load_pem_private_key(one.read_bytes(), None).public_key() for one in private)
    file.write_bytes(b"".join(one.public_bytes(*form) for one in keys))
    return file


def test_only_a_signed_policy_decides_where_keys_are_named(
    file: Path, key: Path, tmp_path: Path
) -> None:
    other = pem(tmp_path / "other.pem", Ed25519PrivateKey.generate())
    keys, told = public(tmp_path / "keys.pem", other, key), list[str]()
    served = PolicyInService(file, keys, tmp_path / "state")
    served.changed = lambda *change: told.append(change[2])
    assert served.current().name == "everything-to-people"
    assert "must be signed" in served.problem
    by = sign(file, ONE, key)
    assert served.current().version == "1"
    put(file, TWO)  # by somebody who has no key
    assert served.current().version == "1"
    assert "changed after it was signed" in served.problem
    sign(file, TWO, key)
    assert served.current().version == "2"
    assert told[-1] == by
    assert len(by) == 16


def test_a_signature_by_another_key_is_none(file: Path, key: Path, tmp_path: Path) -> None:
    other = pem(tmp_path / "other.pem", Ed25519PrivateKey.generate())
    sign(file, ONE, other)
    served = PolicyInService(file, public(tmp_path / "keys.pem", key))
    assert served.current().name == "everything-to-people"
    signature_file(file).write_text("not base64!")
    assert served.current().name == "everything-to-people"
    assert "isn't base64" in served.problem


def test_keys_that_are_none_are_told(file: Path, tmp_path: Path) -> None:
    signature_file(file).write_text("AAAA")
    for content in (b"", b"-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----\n"):
        (tmp_path / "keys.pem").write_bytes(content)
        served = PolicyInService(file, tmp_path / "keys.pem")
        assert served.current().name == "everything-to-people"
        assert "TRIAGE_POLICY_KEYS" in served.problem


def test_a_private_key_of_another_kind_signs_nothing(file: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(BadSetting, match="Ed25519"):
        sign(file, ONE, tmp_path / "key.pem")
    with pytest.raises(BadSetting, match="can't be read"):
        sign(file, ONE, tmp_path / "none.pem")
    assert not signature_file(file).exists()


def test_a_fingerprint_tells_keys_apart() -> None:
    keys = [Ed25519PrivateKey.generate().public_key() for _ in range(2)]
    assert fingerprint(keys[0]) != fingerprint(keys[1])
    assert fingerprint(keys[0]).isalnum()


# In the guarded way -------------------------------------------------------------------------


def test_every_decision_is_by_one_whole_policy(fake_processor: Processor, file: Path) -> None:
    """While the file changes under it, each answer names the policy that its rule is of."""
    policies = PolicyInService(file)
    by_digest = {parse_policy(data).digest for data in (ONE, TWO)}
    fake_processor.triage.followed = policies  # type: ignore[attr-defined]
    for n in range(6):
        put(file, (ONE, TWO)[n % 2])
        for answer in fake_processor.process([Recording("a", b"sound")], "http"):
            assert isinstance(answer, Outcome)
            assert answer.decision.policy_digest in by_digest
            assert answer.decision.rule == "distress"
