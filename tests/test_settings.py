"""Settings from the environment: what is wrong is named, and a secret or a value never told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

import triage.settings
from triage.errors import BadSetting
from triage.settings import Settings, settings

NUMBERS = ("max_bytes", "max_seconds", "max_channels", "max_characters", "max_items", "threads")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without our variables, and nothing read yet."""
    for name in [name for name in os.environ if name.upper().startswith("TRIAGE_")]:
        monkeypatch.delenv(name)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_what_ships_is_found_without_any_setting() -> None:
    shipped = settings()
    assert shipped.policy.is_file()
    assert shipped.model.parent.is_dir()
    assert shipped.model.name == "default"


def test_in_a_wheel_the_models_lie_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triage.settings, "PROJECT", tmp_path)
    package = Path(triage.settings.__file__).parent
    assert Settings().model == package / "models" / "default"
    (tmp_path / "models").mkdir()
    assert Settings().model == tmp_path / "models" / "default"


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_comes_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TRIAGE_{name.upper()}", "7")
    assert getattr(settings(), name) == 7


@pytest.mark.parametrize("name", ["model", "policy", "state", "whisper", "text_encoder"])
def test_a_place_comes_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TRIAGE_{name.upper()}", "some/where")
    assert str(getattr(settings(), name)) == "some/where"


@pytest.mark.parametrize("value", ["-1", "secret-word", "", "nan"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_bad_number_is_refused_by_name_and_not_told(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TRIAGE_{name.upper()}", value)
    with pytest.raises(BadSetting, match=f"^TRIAGE_{name.upper()}: .* Correct it") as refused:
        settings()
    assert "secret-word" not in refused.value.detail


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "threads"])
def test_a_limit_of_nothing_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TRIAGE_{name.upper()}", "0")
    with pytest.raises(BadSetting, match="greater than 0"):
        settings()


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_THREADS", "many")
    monkeypatch.setenv("TRIAGE_MAX_ITEMS", "few")
    with pytest.raises(BadSetting, match=r"TRIAGE_MAX_ITEMS: .*; TRIAGE_THREADS: "):
        settings()


def test_the_key_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_KEY", "canary")
    read = settings()
    assert read.key.get_secret_value() == "canary"
    for shown in (repr(read), str(read), read.model_dump_json(), str(read.model_dump())):
        assert "canary" not in shown


def test_a_name_that_is_no_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_byte"):
        Settings(max_byte=1)  # type: ignore[call-arg]


def test_a_bad_value_in_code_is_not_told_either() -> None:
    with pytest.raises(ValidationError, match="threads") as refused:
        Settings(threads="canary")
    assert "canary" not in str(refused.value)


def test_settings_do_not_change_once_read(monkeypatch: pytest.MonkeyPatch) -> None:
    first = settings()
    monkeypatch.setenv("TRIAGE_MAX_ITEMS", "7")
    assert settings() is first
    with pytest.raises(ValidationError, match="frozen"):
        first.max_items = 7  # type: ignore[misc]


def test_no_threads_given_means_every_core() -> None:
    assert Settings().cores == len(os.sched_getaffinity(0))
    assert Settings(threads=3).cores == 3
