"""A run is begun once, and goes on only as what it was; what is written of it tells no secret."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from begun_runs import DISTRESS, HATE, KEY, LINE, Desk, loaded, look_once, renamed
from policies import written
from pydantic import SecretStr

from triage.batch.begin import LIMITS
from triage.batch.journal import PLAN, Journal
from triage.batch.plan import FORMAT, Picked
from triage.errors import (
    AuditFailed,
    BadField,
    BadSetting,
    BatchRefused,
    NothingToScore,
    RosterRefused,
    TriageError,
    WeightsNotFound,
)
from triage.policy.loading import load_policy
from triage.safeguards.pseudonym import Pseudonymiser

pytestmark = pytest.mark.models


@pytest.fixture(autouse=True)
def looked_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    look_once(monkeypatch, weights="missing" not in request.node.name)


@pytest.fixture
def desk(tmp_path: Path, model: Path) -> Desk:
    return Desk(tmp_path, model)


@pytest.fixture
def another_model(tmp_path: Path, model: Path) -> Path:
    return renamed(model, tmp_path / "another")


def refused(desk: Desk, kind: type[TriageError], told: str, **asked: Any) -> None:
    """Nothing is begun, and nothing changed, if a run isn't opened."""
    before = (desk.kept() if (desk.run / PLAN).exists() else "", desk.audited())
    with pytest.raises(kind, match=told):
        desk.open(**asked)
    assert (desk.kept() if (desk.run / PLAN).exists() else "", desk.audited()) == before


# Begun ------------------------------------------------------------------------------------------


def test_what_a_run_is_made_from_is_kept_and_is_in_the_audit(desk: Desk) -> None:
    before = datetime.now(UTC)
    picked = Picked(limit=2, where="id != 'b'")
    plan = desk.open(picked=picked, sound_only=True, decide_only=True).plan
    manifest, policy = loaded(desk.settings.model).manifest, load_policy(desk.policy)
    assert before <= plan.began <= datetime.now(UTC)
    assert (plan.by, plan.reason, plan.source) == ("ann", "a test", str(desk.source))
    assert (plan.recordings, plan.picked) == (3, picked)
    assert plan.model == f"{manifest.name} {manifest.digest}"
    assert plan.policy == policy.digest
    assert plan.limits == {name: getattr(desk.settings, name) for name in LIMITS}
    assert (plan.sound_only, plan.escalate, plan.jsonl) == (True, False, False)
    assert Journal(desk.run).plan() == plan
    assert stat.S_IMODE((desk.run / PLAN).stat().st_mode) == 0o600
    assert desk.audited() == [
        {
            "run": plan.run,
            "what": "began",
            "by": "ann",
            "reason": "a test",
            "source": str(desk.source),
            "survey": plan.survey,
            "model": plan.model,
            "policy": plan.policy,
            "picked": {
                "limit": 2,
                # It may name a recording.
                "where": Pseudonymiser(KEY.encode()).pseudonym("id != 'b'", "where"),
            },
            "screen": "",
            "escalate": False,
            "accepted": [],
        }
    ]


def test_no_two_runs_are_one(desk: Desk) -> None:
    one = desk.open().plan
    desk.run = desk.folder / "other"
    other = desk.open().plan
    assert one.run != other.run
    assert one.changed(other) == []


def test_it_gives_what_is_picked_each_time_and_notices_another_source(desk: Desk) -> None:
    opened = desk.open(picked=Picked(where="id != 'a'", limit=1))
    ids = [getattr(one, "id", None) for one in opened.entries()]
    assert ids == [None, "b"]
    assert [getattr(one, "id", None) for one in opened.entries()] == ids
    assert opened.surveyed() == opened.plan.survey
    desk.source.write_text(LINE.format("d"))
    assert opened.surveyed() != opened.plan.survey


def gone(desk: Desk) -> None:
    desk.source.unlink()


def not_a_store(desk: Desk) -> None:
    desk.set(store=f"sqlite:///{desk.source}")


def not_a_roster(desk: Desk) -> None:
    desk.set(roster=desk.source)


def not_an_audit(desk: Desk) -> None:
    desk.audit.mkdir(parents=True)


def short_key(desk: Desk) -> None:
    desk.set(key=SecretStr("short"))


def no_weights(desk: Desk) -> None:
    desk.set(whisper=str(desk.folder))


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (gone, NothingToScore),
        (not_a_store, BadSetting),
        (not_a_roster, RosterRefused),
        (short_key, BadSetting),
        pytest.param(no_weights, WeightsNotFound, id="weights missing"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_begun(
    desk: Desk, wrong: Callable[[Desk], None], kind: type[TriageError]
) -> None:
    wrong(desk)
    refused(desk, kind, ".")
    assert not (desk.run / PLAN).exists()


def test_a_condition_that_is_none_begins_nothing(desk: Desk) -> None:
    refused(desk, BadField, "--where isn't a condition", picked=Picked(where="id +"))


def test_a_run_of_which_nothing_can_be_audited_is_not_begun(desk: Desk) -> None:
    not_an_audit(desk)
    with pytest.raises(AuditFailed):
        desk.open()
    assert not (desk.run / PLAN).exists()


# Going on ---------------------------------------------------------------------------------------


def test_the_same_again_is_the_same_run_and_tells_who_went_on_and_why(desk: Desk) -> None:
    began = desk.open().plan
    assert desk.open(by="bob", reason="").plan == began
    assert desk.open(by="cyn", reason="in a hurry").plan == began
    told = [(one["run"], one["what"], one["by"], one["reason"]) for one in desk.audited()]
    assert told == [
        (began.run, "began", "ann", "a test"),
        (began.run, "went on", "bob", "a test"),
        (began.run, "went on", "cyn", "in a hurry"),
    ]


def test_lines_may_be_wanted_later_and_then_for_good(desk: Desk) -> None:
    began = desk.open().plan
    assert desk.open(jsonl=True).plan == began.model_copy(update={"jsonl": True})
    assert desk.open().plan.jsonl
    assert json.loads(desk.kept())["jsonl"]


def another_policy(desk: Desk, _: Path) -> dict[str, Any]:
    desk.policy.write_bytes(written(DISTRESS, HATE))
    return {}


def another_model_in_service(desk: Desk, another: Path) -> dict[str, Any]:
    desk.set(model=another)
    return {}


def more_in_the_source(desk: Desk, _: Path) -> dict[str, Any]:
    desk.source.write_text("".join(map(LINE.format, "abcd")))
    return {}


def another_key(desk: Desk, _: Path) -> dict[str, Any]:
    desk.set(key=SecretStr(KEY[::-1]))
    return {}


def another_source(desk: Desk, _: Path) -> dict[str, Any]:
    return {"source": str(shutil.copy(desk.source, desk.folder / "copy.jsonl"))}


def limited(name: str) -> Callable[[Desk, Path], dict[str, Any]]:
    def change(desk: Desk, _: Path) -> dict[str, Any]:
        desk.set(**{name: getattr(desk.settings, name) - 1})
        return {}

    return change


def asked(**more: Any) -> Callable[[Desk, Path], dict[str, Any]]:
    return lambda *_: more


Change = Callable[[Desk, Path], dict[str, Any]]
ACCEPTABLE: list[tuple[Change, str]] = [
    (another_policy, "policy"),
    (another_model_in_service, "model"),
    (more_in_the_source, "source"),
    *((limited(name), "limits of the settings") for name in LIMITS),
    (asked(sound_only=True), "choice of --sound-only"),
    (asked(decide_only=True), "choice of --decide-only"),
]
OTHERS: list[tuple[Change, str]] = [
    (another_key, "key for pseudonyms"),
    (another_source, "source"),
    (asked(picked=Picked(limit=2)), "choice of recordings"),
    (asked(picked=Picked(sample=0.5)), "choice of recordings"),
    (asked(picked=Picked(seed=1)), "choice of recordings"),
    (asked(picked=Picked(where="true")), "choice of recordings"),
]


@pytest.mark.parametrize(("change", "told"), ACCEPTABLE)
def test_what_has_changed_is_refused_until_somebody_accepts_it(
    desk: Desk, another_model: Path, change: Change, told: str
) -> None:
    began = desk.open().plan
    more = change(desk, another_model)
    refused(desk, BatchRefused, f"this has changed: {told}.* --accept-changes", **more)
    plan = desk.open(**more, accept=True, by="bob", jsonl=True).plan
    assert (plan.run, plan.began, plan.by) == (began.run, began.began, began.by)
    (accepted,) = plan.accepted
    assert accepted.startswith(f"{told} (after 20")
    assert accepted.endswith("by bob)")
    assert plan.jsonl
    assert plan.recordings == (4 if change is more_in_the_source else 3)
    assert Journal(desk.run).plan() == plan
    assert desk.audited()[-1]["accepted"] == [accepted]
    assert desk.open(**more).plan == plan
    assert len(desk.audited()) == 3


@pytest.mark.parametrize(("change", "told"), OTHERS)
def test_what_makes_it_another_run_is_refused_whoever_accepts_it(
    desk: Desk, another_model: Path, change: Change, told: str
) -> None:
    desk.open()
    more = change(desk, another_model)
    for accept in (False, True):
        refused(desk, BatchRefused, f"begun with another {told}", accept=accept, **more)


def test_every_change_is_accepted_by_itself_and_all_are_told(desk: Desk) -> None:
    desk.open()
    more_in_the_source(desk, desk.run)
    desk.open(accept=True)
    desk.policy.write_bytes(written(HATE))
    refused(desk, BatchRefused, "changed: policy, choice of --sound-only", sound_only=True)
    another_key(desk, desk.run)
    refused(desk, BatchRefused, "begun with another policy, key for pseudonyms", accept=True)
    desk.set(key=SecretStr(KEY))
    accepted = desk.open(accept=True, sound_only=True).plan.accepted
    assert [one.partition(" (")[0] for one in accepted] == [
        "source",
        "policy, choice of --sound-only",
    ]


def test_a_folder_of_another_format_is_left_as_it_is(desk: Desk) -> None:
    desk.open()
    (desk.run / PLAN).write_text(json.dumps(json.loads(desk.kept()) | {"format": FORMAT + 1}))
    for accept in (False, True):
        refused(desk, BatchRefused, f"is of format {FORMAT + 1}", accept=accept)
