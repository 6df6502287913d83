"""Settings, read from the environment as `TRIAGE_…`; secrets never show in a repr."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from triage.errors import BadSetting

PROJECT = Path(__file__).resolve().parent.parent


def _shipped(name: str) -> Path:
    """A folder that ships beside the package in a checkout, or inside it in a wheel."""
    beside = PROJECT / name
    return beside if beside.is_dir() else Path(__file__).resolve().parent / name


class Settings(BaseSettings):
    """Everything that may differ from one installation to the next.

    Attributes:
        model: Folder of the model that scores.
        policy: The policy that decides.
        policy_keys: File of Ed25519 public keys (PEM) of which one must have signed the policy;
            none if it needn't be signed.
        whisper, text_encoder: Where pretrained weights are, if not in their wheel: a folder, or
            `owner/name@revision` of a model hub.
        key: The secret that pseudonyms are made with, 32 bytes or more. Empty: one is made at
            first use and kept, readable by its owner only, in `state`.
        state: Folder for what must outlive a process: the audit file, the key, and which model
            was promoted.
        store: URL of the database that keeps decisions with their scores, cases, and what is to
            be told of them, by pseudonym; empty for an SQLite file in `state`.
        labels: URL of the database that keeps labels and the words they are of; it may be the
            same. Empty for an SQLite file in `state`.
        roster: Who is reached and how: people, lines, targets. Without it nobody is told.
        escalate: Whether the service tells people and keeps the clocks; else `triage escalate run`
            has to.
        decision_days: Days until a decision is forgotten.
        case_days: Days from its end until a case is forgotten.
        sampling_cap: Share of all recordings that people may ever be shown to label.
        max_bytes, max_seconds, max_channels: Limits on one recording's audio.
        max_characters: Limit on one transcript.
        max_items: Limit on the recordings or texts of one request.
        threads: Threads for the models; 0 takes every core the process may use.
    """

    model_config = SettingsConfigDict(
        env_prefix="TRIAGE_", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    model: Path = Field(default_factory=lambda: _shipped("models") / "default")
    policy: Path = Path(__file__).resolve().parent / "policy" / "default.yaml"
    policy_keys: Path | None = None
    whisper: str = ""
    text_encoder: str = ""
    key: SecretStr = SecretStr("")
    state: Path = Path("var")
    store: str = Field(default="", repr=False)  # may hold a password
    labels: str = Field(default="", repr=False)  # likewise
    roster: Path | None = None
    escalate: bool = True
    decision_days: int = Field(default=30, gt=0)
    case_days: int = Field(default=365, gt=0)
    sampling_cap: float = Field(default=0.002, gt=0, le=1)
    max_bytes: int = Field(default=512 * 2**20, gt=0)
    max_seconds: float = Field(default=4 * 3600, gt=0)
    max_channels: int = Field(default=8, gt=0)
    max_characters: int = Field(default=200_000, gt=0)
    max_items: int = Field(default=1_000, gt=0)
    threads: int = Field(default=0, ge=0)

    @property
    def cores(self) -> int:
        """`threads`, with 0 worked out."""
        return self.threads or len(os.sched_getaffinity(0))

    @property
    def store_url(self) -> str:
        """`store`, or else an SQLite file in `state`."""
        return self.store or f"sqlite:///{self.state / 'triage.db'}"

    @property
    def labels_url(self) -> str:
        """`labels`, or else an SQLite file in `state`."""
        return self.labels or f"sqlite:///{self.state / 'labels.db'}"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        BadSetting: A `TRIAGE_…` variable can't be used; says which and why.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"TRIAGE_{'_'.join(str(part) for part in one['loc']).upper()}: {one['msg']}"
            for one in error.errors()
        )
        raise BadSetting(f"{wrong}. Correct it in the environment and start again.") from None
