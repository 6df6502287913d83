"""Promotions: what is in service, what goes there, what is taken back, and what a kill leaves."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from hypothesis import given
from hypothesis import strategies as st

from triage import model_store, promotions, registry
from triage.artefact import ENCODER, FILES, HEADS, SEEN, TOKENIZER, heads_to_bytes, load
from triage.calibrate import Calibrator
from triage.classifier import Head, Scaling
from triage.errors import ArtefactRefused, AuditFailed, AuditTampered, PromotionRefused
from triage.manifest import FORMAT, MANIFEST, read_manifest
from triage.promotions import Change, Model, standing
from triage.registry import champion, history, in_service, promote, rollback, to_follow
from triage.safeguards.audit import AuditLog, verify
from triage.settings import Settings

WHO = {"by": "ada", "reason": "more labels"}


def tiny_model(folder: Path, name: str) -> Path:
    """A model that passes every check of `triage.artefact.load` and scores nothing."""
    parts = []
    for names, width in ((("violence", "distress"), 3), (("scream", "speech"), 6)):
        rng = np.random.default_rng(width)
        weights = rng.normal(size=(2, width)).astype(np.float32)
        head = Head(
            names, weights, weights[:, 0], (Calibrator(np.arange(2.0), np.arange(2.0)),) * 2
        )
        parts.append((head, Scaling(np.zeros(width, np.float32), np.ones(width, np.float32))))
    files = {HEADS: heads_to_bytes(*parts), ENCODER: b"a graph", TOKENIZER: b"{}", SEEN: b"rows"}
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    encoders = {
        kind: {"name": "tiny", "width": width, "licence": "MIT", "files": {}}
        for kind, width in (("text", 3), ("speech", 2))
    }
    manifest = {
        "format": FORMAT,
        "name": name,
        "created": "2026-01-01T00:00:00Z",
        "code": "0",
        "files": {file: sha256(content).hexdigest() for file, content in files.items()},
        "encoders": encoders,
        "categories": ["violence", "distress"],
        "events": ["scream", "speech"],
        "event_thresholds": {},
        "strengths": {},
        "lineage": [],
        "training": {},
        "metrics": {},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """BentoML's store in a folder of the test's own; it reads BENTOML_HOME once a process."""
    folder = tmp_path / "bentoml"
    (folder / "tmp").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # for what a kill leaves there
    BentoMLContainer.bentoml_home.set(str(folder))
    BentoMLContainer.model_store_dir.set(str(folder / "models"))
    yield folder
    BentoMLContainer.bentoml_home.reset()
    BentoMLContainer.model_store_dir.reset()


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: tiny_model(tmp_path / "models" / name, name)


@pytest.fixture
def setup(tmp_path: Path, make: Callable[[str], Path]) -> Settings:
    """Settings whose default model is "shipped"; TRIAGE_MODEL isn't set."""
    return unpinned(tmp_path / "state", make("shipped"))


def unpinned(state: Path, model: Path) -> Settings:
    """As if the model were the one that ships."""
    one = Settings(state=state)
    object.__setattr__(one, "model", model)
    one.__pydantic_fields_set__.discard("model")
    return one


def put(folder: Path, settings: Settings, **more: Any) -> Change | None:
    return promote(load(folder), settings, against=champion(settings).digest, **{**WHO, **more})


def serves(settings: Settings) -> str:
    """The name of the model in service, verified."""
    return load(in_service(settings)).manifest.name


def pointer(settings: Settings) -> Path:
    return settings.state / "registry" / "champion.json"


def log(settings: Settings) -> Path:
    return settings.state / "registry" / "promotions.jsonl"


# What is in service -------------------------------------------------------------------------


def test_without_a_promotion_the_model_that_ships_serves(setup: Settings) -> None:
    assert in_service(setup) == setup.model
    assert to_follow(setup) is None
    assert history(setup) == ()
    assert not setup.state.exists()  # looking leaves nothing


def test_a_promoted_model_serves_whatever_becomes_of_its_folder(
    setup: Settings, make: Callable[[str], Path], home: Path
) -> None:
    mine = make("mine-2")
    digest = read_manifest(mine).digest
    change = put(mine, setup)
    shutil.rmtree(mine)
    assert serves(setup) == "mine-2"
    assert in_service(setup).is_relative_to(home / "models")
    assert to_follow(setup) == digest
    assert change is not None
    assert (change.after.digest, change.after.tag) == (digest, f"triage-model:mine-2-{digest[:12]}")


def test_a_model_that_is_set_wins_and_is_not_replaced(
    setup: Settings, make: Callable[[str], Path]
) -> None:
    put(make("mine"), setup)
    own = Settings(state=setup.state, model=make("pinned"))
    assert serves(own) == "pinned"
    assert to_follow(own) is None
    assert champion(own).name == "mine"


def test_the_environment_pins_it(
    setup: Settings, make: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(make("mine"), setup)
    monkeypatch.setenv("TRIAGE_MODEL", str(make("pinned")))
    assert serves(Settings(state=setup.state)) == "pinned"


def test_another_model_in_the_promoted_ones_place_is_refused(
    setup: Settings, make: Callable[[str], Path]
) -> None:
    put(make("mine"), setup)
    tiny_model(in_service(setup), "other")
    with pytest.raises(ArtefactRefused, match=r"mine .* holds other"):
        in_service(setup)
    shutil.rmtree(champion(setup).folder)
    with pytest.raises(ArtefactRefused, match=r"mine .* can't be served"):
        in_service(setup)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"name": "x"', b"\xff", b"[]"])
def test_a_pointer_that_names_no_model_is_refused_and_mended(
    setup: Settings, make: Callable[[str], Path], content: bytes
) -> None:
    put(make("one"), setup)
    put(make("two"), setup)
    pointer(setup).write_bytes(content)
    with pytest.raises(ArtefactRefused, match=r"champion\.json"):
        in_service(setup)
    assert to_follow(setup) is None
    rollback(setup, **WHO)
    assert serves(setup) == "one"


# Promoting ----------------------------------------------------------------------------------


def test_everything_is_on_record(setup: Settings, make: Callable[[str], Path]) -> None:
    before = champion(setup)
    began = datetime.now(UTC)
    put(
        make("mine"),
        setup,
        by="ada",
        reason="more labels",
        override="the old one is blind",
        findings=["violence loses recall."],
        comparison="c" * 64,
    )
    (change,) = history(setup)
    assert (change.kind, change.before, change.after) == ("promote", before, champion(setup))
    assert (change.by, change.reason) == ("ada", "more labels")
    assert change.override == "the old one is blind"
    assert change.findings == ("violence loses recall.",)
    assert change.comparison == "c" * 64
    assert (change.at - began).total_seconds() > -1
    assert verify(log(setup)).entries == 1
    assert pointer(setup).parent.stat().st_mode & 0o077 == 0


def test_bentoml_knows_the_model(setup: Settings, make: Callable[[str], Path], home: Path) -> None:
    import bentoml
    from bentoml._internal.models import ModelStore

    store = ModelStore(home / "models")
    for name in ("one", "two"):
        put(make(name), setup)
        newest = bentoml.models.get("triage-model:latest", _model_store=store)
        assert newest.info.labels == {"name": name}
    assert newest.info.metadata["digest"] == champion(setup).digest
    assert newest.info.metadata["promoted_by"] == "ada"
    assert len(bentoml.models.list("triage-model", _model_store=store)) == 2


@pytest.mark.parametrize("name", ["a", "x" * 64, "9-a.b-"])
def test_every_name_that_a_model_may_have_fits_the_store(
    setup: Settings, make: Callable[[str], Path], name: str
) -> None:
    put(make(name), setup)
    assert serves(setup) == name


def test_the_model_in_service_is_not_promoted_again(
    setup: Settings, make: Callable[[str], Path]
) -> None:
    assert put(setup.model, setup) is None
    assert not log(setup).exists()
    put(make("mine"), setup)
    assert put(make("mine"), setup, findings=["worse."]) is None
    assert len(history(setup)) == 1


def test_what_speaks_against_it_forbids_it_unless_overridden(
    setup: Settings, make: Callable[[str], Path]
) -> None:
    findings = ["violence loses recall.", "distress is calibrated worse."]
    for override in ("", "  "):
        with pytest.raises(PromotionRefused) as caught:
            put(make("mine"), setup, findings=findings, override=override)
        assert all(one in caught.value.detail for one in findings)
        assert "--override" in caught.value.detail
    assert serves(setup) == "shipped"
    assert not log(setup).exists()
    put(make("mine"), setup, findings=findings, override="it must be")
    assert serves(setup) == "mine"


@pytest.mark.parametrize(
    "harm",
    [
        *(lambda folder, file=file: (folder / file).write_bytes(b"rot") for file in FILES),
        lambda folder: (folder / MANIFEST).unlink(),
        lambda folder: tiny_model(folder, "other"),
    ],
)
def test_a_model_that_changed_since_it_was_looked_at_is_not_promoted(
    setup: Settings, make: Callable[[str], Path], home: Path, harm: Callable[[Path], object]
) -> None:
    mine = load(make("mine"))
    harm(mine.folder)
    with pytest.raises((ArtefactRefused, PromotionRefused)):
        promote(mine, setup, against=champion(setup).digest, override="it must be", **WHO)
    assert in_service(setup) == setup.model
    assert not log(setup).exists()
    assert not list(home.rglob("*triage*"))


def test_a_champion_that_changed_meanwhile_was_not_compared(
    setup: Settings, make: Callable[[str], Path]
) -> None:
    compared = champion(setup).digest
    put(make("faster"), setup)
    with pytest.raises(PromotionRefused, match=r"faster .* meanwhile"):
        promote(load(make("mine")), setup, against=compared, override="now", **WHO)
    assert serves(setup) == "faster"


def test_promoting_what_was_lost_brings_it_back(
    setup: Settings, make: Callable[[str], Path]
) -> None:
    put(make("mine"), setup)
    (in_service(setup) / HEADS).write_bytes(b"rot")
    put(make("mine"), setup)
    assert serves(setup) == "mine"
    rollback(setup, **WHO)
    assert serves(setup) == "shipped"


def _promote_in_turn(settings: Settings, folders: list[Path]) -> None:
    for folder in folders:
        while True:
            with suppress(PromotionRefused):  # the other one was faster
                put(folder, settings)
                break


def test_two_promotions_at_once_come_one_after_the_other(
    setup: Settings, make: Callable[[str], Path]
) -> None:
    fork = multiprocessing.get_context("fork")
    crowd = [
        fork.Process(target=_promote_in_turn, args=(setup, [make(f"m{n}-{k}") for k in range(4)]))
        for n in range(2)
    ]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join(30)
    assert [one.exitcode for one in crowd] == [0, 0]
    changes = history(setup)
    assert len(changes) == 8
    assert all(a.after == b.before for a, b in pairwise(changes))
    assert changes[-1].after == champion(setup)


def test_somebody_else_promoting_is_waited_for_and_told(
    setup: Settings, make: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(make("one"), setup)
    monkeypatch.setattr(registry, "LOCK_SECONDS", 0.05)
    with (
        registry._changing(setup),
        pytest.raises(PromotionRefused, match="Another promotion"),
    ):
        rollback(setup, **WHO)


# Going back ---------------------------------------------------------------------------------


def test_back_twice_is_back_two(setup: Settings, make: Callable[[str], Path]) -> None:
    for name in ("one", "two", "three"):
        put(make(name), setup)
    seen = []
    for _ in range(3):
        rollback(setup, by="bo", reason="too many alarms")
        seen.append(serves(setup))
    assert seen == ["two", "one", "shipped"]
    with pytest.raises(PromotionRefused, match="no promotion to take back"):
        rollback(setup, **WHO)
    assert serves(setup) == "shipped"
    last = history(setup)[-1]
    assert (last.kind, last.by, last.reason) == ("rollback", "bo", "too many alarms")
    assert last.before.name == "one"


def test_a_promotion_after_a_rollback_starts_from_where_it_led(
    setup: Settings, make: Callable[[str], Path]
) -> None:
    for name in ("one", "two"):
        put(make(name), setup)
    rollback(setup, **WHO)
    put(make("three"), setup)
    rollback(setup, **WHO)
    assert serves(setup) == "one"


def test_nothing_to_go_back_to(setup: Settings) -> None:
    with pytest.raises(PromotionRefused, match="no promotion to take back"):
        rollback(setup, **WHO)
    assert in_service(setup) == setup.model


@pytest.mark.parametrize(
    "harm",
    [
        shutil.rmtree,
        lambda folder: (folder / SEEN).write_bytes(b"rot"),
        lambda folder: tiny_model(folder, "other"),
    ],
)
def test_a_damaged_model_does_not_come_back(
    setup: Settings, make: Callable[[str], Path], harm: Callable[[Path], object]
) -> None:
    put(make("one"), setup)
    first = in_service(setup)
    put(make("two"), setup)
    harm(first)
    state = log(setup).read_bytes(), pointer(setup).read_bytes()
    with pytest.raises(ArtefactRefused, match=r"one .* can't be served"):
        rollback(setup, **WHO)
    assert (log(setup).read_bytes(), pointer(setup).read_bytes()) == state
    assert serves(setup) == "two"


MODELS = st.sampled_from("abc")


@given(st.lists(st.one_of(MODELS, st.none()), max_size=20))
def test_the_standing_models_are_a_stack(steps: list[str | None]) -> None:
    """`None` goes back. What is in service is the top; repeated promotions are none."""

    def model(name: str) -> Model:
        return Model(name, name, Path(name))

    stack, changes = ["base"], []
    for step in steps:
        if step == stack[-1] or (step is None and len(stack) == 1):
            continue
        before = stack[-1]
        if step is None:
            stack.pop()
        else:
            stack.append(step)
        kind = "rollback" if step is None else "promote"
        now = datetime.now(UTC)
        changes.append(Change(now, kind, model(before), model(stack[-1]), "x", ""))
        assert [one.name for one in standing(changes)] == stack


# Kills, full disks, tampering ---------------------------------------------------------------


def _killed(settings: Settings, folder: Path, module: Any, function: str) -> None:
    """Promotes in another process, which is killed when it comes to a function."""

    def run() -> None:
        setattr(module, function, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        put(folder, settings)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(20)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("module", "function"),
    [(shutil, "copytree"), (model_store, "_move"), (registry, "_prepare"), (promotions, "append")],
)
def test_a_kill_before_it_is_on_record_leaves_the_old_model(
    setup: Settings, make: Callable[[str], Path], module: Any, function: str
) -> None:
    put(make("one"), setup)
    _killed(setup, make("two"), module, function)
    assert serves(setup) == "one"
    assert len(history(setup)) == 1
    put(make("two"), setup)
    assert serves(setup) == "two"
    rollback(setup, **WHO)
    assert serves(setup) == "one"


def test_nothing_half_written_is_in_the_store(
    setup: Settings, make: Callable[[str], Path], home: Path
) -> None:
    _killed(setup, make("two"), shutil, "copytree")
    assert not list((home / "models").rglob("*"))


def test_a_kill_between_the_record_and_the_pointer_is_completed(
    setup: Settings, make: Callable[[str], Path]
) -> None:
    put(make("one"), setup)
    old = pointer(setup).read_bytes()
    put(make("two"), setup)
    pointer(setup).write_bytes(old)  # as if the kill had come just before
    assert serves(setup) == "one"
    assert put(make("two"), setup) is None
    assert serves(setup) == "two"
    pointer(setup).unlink()
    rollback(setup, **WHO)
    assert serves(setup) == "one"


@pytest.mark.parametrize("place", ["copyfile", "copytree"])
def test_a_full_disk_in_the_store_leaves_the_old_model(
    setup: Settings,
    make: Callable[[str], Path],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    mine = make("mine")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, place, full)
        with pytest.raises(PromotionRefused, match="No space left"):
            put(mine, setup)
    assert in_service(setup) == setup.model
    assert not list(home.rglob("*triage*"))
    put(mine, setup)
    assert serves(setup) == "mine"


@pytest.mark.parametrize("after_the_log", [False, True])
def test_a_full_disk_in_the_registry_leaves_the_old_model(
    setup: Settings,
    make: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    after_the_log: bool,
) -> None:
    put(make("one"), setup)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if after_the_log:
            patch.setattr("triage.safeguards.audit.append", full)
        else:
            patch.setattr(Path, "write_bytes", full)
        with pytest.raises((PromotionRefused, AuditFailed), match="No space left"):
            rollback(setup, **WHO)
    assert serves(setup) == "one"
    assert len(history(setup)) == 1


@pytest.mark.parametrize(
    "tamper",
    [
        lambda data: data.replace(b"more labels", b"many labels"),
        lambda data: data.split(b"\n", 1)[1],
        lambda data: data.replace(b"promote", b"Promote"),
        lambda data: data[:-40] + b"\n",
    ],
)
def test_a_log_that_was_changed_stops_every_change(
    setup: Settings, make: Callable[[str], Path], tamper: Callable[[bytes], bytes]
) -> None:
    for name in ("one", "two"):
        put(make(name), setup)
    log(setup).write_bytes(tamper(log(setup).read_bytes()))
    for change in (lambda: put(make("three"), setup), lambda: rollback(setup, **WHO)):
        with pytest.raises(AuditTampered, match=r"promotions\.jsonl"):
            change()
    assert serves(setup) == "two"


def test_an_entry_of_something_else_stops_every_change(
    setup: Settings, make: Callable[[str], Path]
) -> None:
    put(make("one"), setup)
    AuditLog(log(setup)).append("promote", {"after": "x"}, datetime.now(UTC))
    with pytest.raises(AuditTampered, match="no change of models"):
        rollback(setup, **WHO)


def test_a_torn_line_is_noted_and_skipped(setup: Settings, make: Callable[[str], Path]) -> None:
    put(make("one"), setup)
    with log(setup).open("ab") as file:
        file.write(b'{"at":"2026')
    put(make("two"), setup)
    assert [change.after.name for change in history(setup)] == ["one", "two"]
    assert verify(log(setup)).torn == 1
