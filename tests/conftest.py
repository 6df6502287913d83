"""Fixtures that more than one file uses.

`model` and `real_processor` are the model that ships: its sentence encoder can't be made small
without the `train` extra, and it loads in a second. `fake_triage` stands in for it where only
the way around it is tested: pseudonyms, decisions and the audit are real there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
from postgres import Server, server

from triage.database.store import open_store
from triage.errors import NothingToScore, TooLarge, UnsupportedAudio
from triage.escalate.casebook import Casebook
from triage.escalate.roster import NOBODY
from triage.manifest import FORMAT, Manifest
from triage.policy.following import PolicyInService
from triage.policy.loading import load_policy
from triage.policy.model import Policy
from triage.process import Processor
from triage.records import Event, Evidence, Recording, Scores, Span, Transcript
from triage.safeguards.audit import AuditLog
from triage.safeguards.pseudonym import Pseudonymiser
from triage.settings import Settings
from triage.taxonomy import CATEGORIES, EVENTS
from triage.text import TextEncoder

PROJECT = Path(__file__).resolve().parent.parent
MAX_CHARACTERS = 100

# A deadline measures how busy the machine is, not whether a law holds.
hypothesis.settings.register_profile("triage", deadline=None)
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20)  # of make test
hypothesis.settings.load_profile("triage")

MANIFEST = Manifest.model_validate(
    {
        "format": FORMAT,
        "name": "triage-fake",
        "created": "2026-01-01T00:00:00Z",
        "code": "0",
        "files": {"heads.safetensors": "0" * 64},
        "encoders": {
            kind: {"name": "fake", "width": 8, "licence": "MIT", "files": {"a": "0" * 64}}
            for kind in ("speech", "text")
        },
        "categories": ["violence", "distress"],
        "events": ["scream", "speech"],
        "event_thresholds": {"scream": 0.5},
        "strengths": {"scream": {"distress": 0.9}},
        "lineage": [
            {"kind": "text", "source": "s", "licence": "MIT", "train": 1, "val": 1},
        ],
        "training": {"seed": 0},
        "metrics": {},
    }
)
NOTHING = dict.fromkeys(CATEGORIES, 0.0)
SILENCE = dict.fromkeys(EVENTS, 0.0)


# Files of many seconds. They are begun first, so that at the end no core waits for one of them, and
# in this order, so that no two start a cluster or a service at once.
LONG = (
    *("test_batch_cluster_here.py", "test_cli_batch_stopped.py", "test_cli_batch.py"),
    *("test_batch_cluster.py", "test_batch_run.py", "test_readme.py", "test_faults.py"),
    *("test_casework_service.py", "test_train.py", "test_end_to_end.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {name: n for n, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


@dataclass
class FakeTriage:
    """Scores by what a recording begins with: bytes "sound", words anything.

    Attributes:
        heard: Every recording that was scored, in the order of their scoring.
        followed: A policy's file, in place of the fixed policy.
        hold: While set, scoring waits until it is released.
    """

    fixed: Policy
    followed: PolicyInService | None = None
    heard: list[Recording] = field(default_factory=list)
    hold: threading.Event | None = None
    waiting: threading.Event = field(default_factory=threading.Event)
    artefact: Any = field(default_factory=lambda: SimpleNamespace(manifest=MANIFEST))

    def score(self, recording: Recording) -> Scores:
        self.heard.append(recording)
        if self.hold is not None:
            self.waiting.set()
            assert self.hold.wait(20)
        if recording.audio is None and not (recording.transcript or "").strip():
            raise NothingToScore("Neither audio nor transcript was given.")
        if len(recording.transcript or "") > MAX_CHARACTERS:
            raise TooLarge("The transcript is too long.", limit=MAX_CHARACTERS)
        if recording.audio is not None and not bytes(recording.audio).startswith(b"sound"):
            raise UnsupportedAudio("The bytes are not audio.")
        return self._scores(recording)

    @property
    def policy(self) -> Policy:
        return self.policies.current()

    @property
    def policies(self) -> PolicyInService:
        return self.followed or PolicyInService.fixed(self.fixed)

    def _scores(self, recording: Recording) -> Scores:
        screams = recording.audio is not None
        words = recording.transcript
        span = Span(0.0, 1.0)
        return Scores(
            model=MANIFEST.name,
            categories=NOTHING | {"violence": 0.1, "distress": 0.9 if screams else 0.2},
            applied={"violence": (), "distress": ("audio",) if screams else ()},
            seconds=1.0 if screams else None,
            event_scores=SILENCE | {"scream": 0.95, "speech": 0.1} if screams else {},
            events=(Event("scream", 0.0, 1.0, 0.95),) if screams else (),
            flags={"speech_absent": True} if screams else {},
            evidence=(Evidence("distress", "audio", "scream", 2.3, span),) if screams else (),
            transcript=None if words is None else Transcript(words),
            failures={"text": "RuntimeError"} if words == "this breaks a stage" else {},
        )


@pytest.fixture
def limits(tmp_path: Path) -> Settings:
    """Settings with small limits, and a state folder of the test's own."""
    return Settings(
        state=tmp_path / "state",
        key="a key of thirty-two bytes or more",  # type: ignore[arg-type]
        max_bytes=8_000_000,
        max_characters=MAX_CHARACTERS,
        max_items=5,
        threads=2,
    )


@pytest.fixture
def fake_triage() -> FakeTriage:
    return FakeTriage(load_policy(PROJECT / "triage" / "policy" / "default.yaml"))


@pytest.fixture
def audit_file(limits: Settings) -> Path:
    return limits.state / "audit.jsonl"


@pytest.fixture
def fake_processor(fake_triage: FakeTriage, limits: Settings, audit_file: Path) -> Processor:
    """The guarded way with real pseudonyms, decisions, store and audit around a fake model."""
    triage: Any = fake_triage
    audit = AuditLog(audit_file)
    return Processor(
        triage,
        Pseudonymiser(limits.key.get_secret_value().encode()),
        audit,
        Casebook(open_store(limits.store_url), triage.policies.current, lambda: NOBODY, audit),
        workers=2,
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; without one installed, what needs it is skipped (in CI it fails)."""
    with server() as running:
        if running is None:
            pytest.skip("no PostgreSQL is installed: apt-get install postgresql")
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of the test's own, of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'triage.db'}"
        return
    running: Server = request.getfixturevalue("postgres")
    url = running.database()
    yield url
    running.drop(url)


@pytest.fixture
def open_to_all() -> Iterator[None]:
    """A umask that keeps nothing from anybody."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of the project's own recordings."""
    return PROJECT / "data" / "samples"


@pytest.fixture(scope="session")
def model() -> Path:
    """The model that ships. Tests that use it are marked `models`."""
    return PROJECT / "models" / "default"


@pytest.fixture(scope="session")
def text_encoder(model: Path) -> TextEncoder:
    """The sentence encoder that ships. Tests that use it are marked `models`."""
    return TextEncoder(model / "text", threads=2)


@pytest.fixture(scope="session")
def real_processor(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Processor:
    """The guarded way with the model that ships."""
    return Processor.load(Settings(model=model, state=tmp_path_factory.mktemp("state")))


@pytest.fixture
def held(fake_triage: FakeTriage) -> Iterator[Callable[[], None]]:
    """Makes scoring wait, until what is given is called."""
    fake_triage.hold = threading.Event()
    yield fake_triage.hold.set
    fake_triage.hold.set()
