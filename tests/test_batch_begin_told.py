"""What is told of a run, and to whom: no credential and no secret, whatever it is called."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archives import noise, put, tarred, zipped
from begun_runs import DISTRESS, HATE, KEY, Desk, loaded, look_once, renamed
from policies import written
from pydantic import SecretStr, TypeAdapter
from scored_runs import ByRule

from triage.archive.entries import PassedOver
from triage.batch.figures import found_in
from triage.batch.journal import PLAN, Journal
from triage.batch.known import secret
from triage.batch.plan import Picked
from triage.batch.run import Run
from triage.errors import BatchRefused
from triage.manifest import read_manifest
from triage.policy.loading import load_policy
from triage.promotions import Model
from triage.registry import POINTER, in_service

pytestmark = pytest.mark.models

PASSWORD = "the password of a database"
ODD = os.fsdecode(b"caf\xe9")  # as a name that is no UTF-8 comes in


@pytest.fixture(autouse=True)
def looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    look_once(monkeypatch)


@pytest.fixture
def desk(tmp_path: Path, model: Path) -> Desk:
    return Desk(tmp_path, model)


def told(desk: Desk) -> str:
    """All that is written down of a run's beginning."""
    return desk.kept() + desk.audit.read_text()


# Credentials ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("memory://ann:hid@den@bucket/x.wav", "memory://bucket/x.wav"),
        ("memory://hidden@bucket/x.wav", "memory://bucket/x.wav"),
        ("memory://bucket/x.wav?signed=hidden", "memory://bucket/x.wav"),
        ("memory://bucket/x.wav?who=ann@hidden\nhidden", "memory://bucket/x.wav"),
        ("memory://bucket/at@home/x.wav", "memory://bucket/at@home/x.wav"),
    ],
)
def test_what_opens_a_source_is_never_written_down(desk: Desk, url: str, kept: str) -> None:
    put(url, noise(1))
    opened = desk.open(source=url)
    assert opened.plan.source == kept
    assert [one["source"] for one in desk.audited()] == [kept]
    assert not any(word in told(desk) for word in ("hid", "den@", "hidden"))
    assert "hid" not in repr(replace(desk.asked, source=url)) + repr(opened.shards)
    assert len(list(opened.entries())) == 1


def test_a_path_on_this_machine_is_told_as_it_is(desk: Desk) -> None:
    for name in ("day-?.jsonl", "what?.jsonl", "ann@home.jsonl"):
        shutil.copy(desk.source, desk.folder / name.replace("-?", "-1"))
        desk.run = desk.folder / f"run of {name}"
        assert desk.open(source=str(desk.folder / name)).plan.source == str(desk.folder / name)


def test_workers_learn_no_secret(desk: Desk) -> None:
    store = f"sqlite:///{desk.folder}/{PASSWORD}.db"
    desk.set(store=store, labels=f"postgresql://u:{PASSWORD}@nowhere/x", threads=2)
    opened = desk.open()
    sent = pickle.dumps(opened.task)
    for hidden in (KEY, PASSWORD, desk.source.name):
        assert hidden.encode() not in sent
        assert hidden not in repr(opened.task)
    given = opened.task.settings
    assert (given.key.get_secret_value(), given.store, given.labels) == ("", "", "")
    assert given.threads == 1
    assert opened.task.key == secret(KEY.encode())
    assert not any(hidden in told(desk) for hidden in (KEY, PASSWORD))


def test_workers_know_again_only_what_was_scored_alike(desk: Desk, model: Path) -> None:
    def about(**asked: Any) -> str:
        desk.run = desk.folder / f"{len(list(desk.folder.iterdir()))}"
        return desk.open(**asked).task.about

    plain = about()
    assert about(reason="another", picked=Picked(limit=1), decide_only=True) == plain
    changed = [about(sound_only=True)]
    for name in ("max_bytes", "max_seconds", "max_channels", "max_characters"):
        desk.set(**{name: getattr(desk.settings, name) - 1})
        changed.append(about())
    desk.set(model=renamed(model, desk.folder / "another"))
    changed.append(about())
    assert len({plain, *changed}) == 1 + len(changed)


def test_scores_are_kept_in_the_runs_folder_or_where_it_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)  # workers may stand elsewhere
    assert desk.open().task.known == desk.run / "scores.db"
    assert desk.open(known=Path("shared.db")).task.known == desk.folder / "shared.db"


# Another model or policy meanwhile --------------------------------------------------------------


def promoted(desk: Desk, folder: Path) -> None:
    manifest = read_manifest(folder)
    pointer = desk.settings.state / "registry" / POINTER
    pointer.parent.mkdir(parents=True, exist_ok=True)
    model = Model(manifest.name, manifest.digest, folder)
    pointer.write_bytes(TypeAdapter(Model).dump_json(model))


def test_what_goes_into_service_meanwhile_changes_nothing_for_a_run(
    desk: Desk, model: Path
) -> None:
    one, other = model, renamed(model, desk.folder / "another")
    state = desk.settings.state
    desk.settings = desk.settings.__class__(policy=desk.policy, state=state, key=SecretStr(KEY))
    promoted(desk, one)
    opened = desk.open()
    promoted(desk, other)
    desk.policy.write_bytes(written(DISTRESS, HATE))
    assert in_service(desk.settings) == other
    assert in_service(opened.task.settings) == one
    assert opened.guard.triage.artefact is loaded(one)
    assert opened.guard.triage.policy.digest == opened.plan.policy
    assert opened.guard.book.policy().digest == opened.plan.policy
    assert opened.plan.policy != load_policy(desk.policy).digest
    with pytest.raises(BatchRefused, match="this has changed: model, policy"):
        desk.open()


def test_a_policy_that_a_run_is_the_first_to_see_is_in_the_audit(desk: Desk) -> None:
    before = desk.open().plan.policy
    desk.policy.write_bytes(written(DISTRESS, HATE))
    desk.run = desk.folder / "another run"
    after = desk.open().plan.policy
    (change,) = desk.audited("policy")
    assert (change["before"], change["after"]) == (before, after)


# Names that are no UTF-8 ------------------------------------------------------------------------


def test_names_that_are_no_text_are_told_as_text_and_go_on_as_the_same(desk: Desk) -> None:
    folder = desk.folder / ODD
    folder.mkdir()
    (folder / "x.wav").write_bytes(noise(1))
    asked: dict[str, Any] = {
        "source": str(folder),
        "by": ODD,
        "reason": "\ud800",
        "picked": Picked(where=f"id != '{ODD}'"),
    }
    plan = desk.open(**asked).plan
    assert plan.source == str(desk.folder / r"caf\xe9")
    assert (plan.by, plan.reason, plan.picked.where) == (
        r"caf\xe9",
        r"\ud800",
        r"id != 'caf\xe9'",
    )
    opened = desk.open(**asked)
    assert opened.plan == plan
    assert json.loads(desk.kept())["source"] == plan.source
    assert len(list(opened.entries())) == 1
    desk.policy.write_bytes(written(HATE))
    assert "by caf" in desk.open(**asked, accept=True).plan.accepted[0]


def a_folder(place: Path) -> Path:
    (place / ODD).mkdir(parents=True)
    for name in ("a", "b"):
        (place / ODD / f"{ODD} {name}.wav").write_bytes(noise(1))
    return place / ODD


def a_file(suffix: str, content: Callable[[], bytes]) -> Callable[[Path], Path]:
    def made(place: Path) -> Path:
        place.mkdir()
        (place / f"{ODD}{suffix}").write_bytes(content())
        return place / f"{ODD}{suffix}"

    return made


MEMBERS = {f"{ODD} a.wav": noise(1), f"{ODD}/{ODD} b.wav": noise(2)}
SHARD = {f"{ODD}.a.wav": noise(1), f"{ODD}.a.json": b'{"id": "\\ud800"}', f"{ODD}.b.wav": noise(2)}
ZIPPED = {"caf\u00e9 a.wav": noise(1), "caf\u00e9/b.wav": noise(2)}
ROWS = ['{"id": "\\ud800", "text": "x"}', '{"id": "b", "text": "\\udcff"}']


@pytest.mark.parametrize(
    "made",
    [
        a_folder,
        a_file(".tar", lambda: tarred(MEMBERS)),
        a_file("-0000.tar", lambda: tarred(SHARD)),
        a_file(".zip", lambda: zipped(ZIPPED).replace("caf\u00e9".encode(), b"caf\xe9\xe9")),
        a_file(".jsonl", lambda: "\n".join(ROWS).encode()),
        a_file(".csv", lambda: b"id,text\n\xff,x\nb,\xff\n"),
        a_file(".wav", lambda: noise(1)),
    ],
)
def test_whatever_a_recording_is_called_it_has_a_row_and_is_counted(
    desk: Desk, made: Callable[[Path], Path]
) -> None:
    opened = desk.open(source=str(made(desk.folder / "archive")))
    journal = Journal(desk.run)
    work = Run(opened.plan, journal, opened.guard, lambda _: None)
    given = [one for one in opened.entries() if not isinstance(one, PassedOver)]
    work.go(opened.entries(), ByRule())
    found = found_in(journal)
    assert found.rows == len(given) > 0
    assert found.twice == 0
    assert (desk.run / PLAN).read_bytes().isascii()


@pytest.mark.parametrize("where", ["", "archive"])
def test_a_run_does_not_read_what_it_writes(desk: Desk, where: str) -> None:
    around = desk.run if where else desk.folder
    around.mkdir(exist_ok=True)
    with pytest.raises(BatchRefused, match="inside of the source"):
        desk.open(source=str(around))
