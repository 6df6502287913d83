"""Somebody who begins runs over archives, with a model, a policy and a store that are real."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from policies import rule, written
from pydantic import SecretStr

from triage.artefact import load
from triage.batch import begin
from triage.batch.begin import Asked, Opened, open_run
from triage.batch.journal import PLAN, Journal
from triage.manifest import MANIFEST
from triage.safeguards.audit import verify
from triage.settings import Settings

KEY = "a key of thirty-two bytes or more"
DISTRESS = rule("distress", "E3", ["queue:on-call"], "scores.distress >= 0.5")
HATE = rule("hate", "E2", ["queue:some"], "scores.hate >= 0.5")
LINE = '{{"id": "{}", "text": "set a timer"}}\n'

loaded = cache(load)


def look_once(patch: pytest.MonkeyPatch, *, weights: bool = True) -> None:
    """A model's hundred megabytes are hashed once, not for every run that is begun."""
    patch.setattr(begin, "load_artefact", loaded)
    if weights:
        patch.setattr(begin, "resolve", lambda *_: None)


class Desk:
    """Who begins runs: a source, a folder for what comes of it, and the settings."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        self.source = folder / "archive.jsonl"
        self.source.write_text("".join(map(LINE.format, "abc")))
        self.policy = folder / "policy.yaml"
        self.policy.write_bytes(written(DISTRESS))
        self.settings = Settings(
            model=model, policy=self.policy, state=folder / "state", key=SecretStr(KEY)
        )
        self.asked = Asked(str(self.source), "ann", "a test")

    def open(self, **asked: Any) -> Opened:
        journal = Journal(self.run)
        with journal.hold():
            return open_run(replace(self.asked, **asked), journal, self.settings)

    def set(self, **changes: Any) -> None:
        given = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        self.settings = Settings(**given | changes)

    def kept(self) -> str:
        return (self.run / PLAN).read_text()

    @property
    def audit(self) -> Path:
        return self.settings.state / "audit.jsonl"

    def audited(self, kind: str = "run") -> list[dict[str, Any]]:
        if not self.audit.exists():
            return []
        verify(self.audit)
        entries = [json.loads(line) for line in self.audit.read_bytes().splitlines()]
        return [one["body"] for one in entries if one["kind"] == kind]


def renamed(model: Path, folder: Path) -> Path:
    """A model of the same heads by another name."""
    shutil.copytree(model, folder, copy_function=os.symlink)
    (folder / MANIFEST).unlink()
    about = json.loads((model / MANIFEST).read_text()) | {"name": "another"}
    (folder / MANIFEST).write_text(json.dumps(about))
    return folder
