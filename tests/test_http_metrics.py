"""What Prometheus is told of drift: of all workers, whatever state the service is in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from triage.drift import reference_of
from triage.errors import TriageError
from triage.http.metrics import exposition
from triage.http.problems import NotReady
from triage.live import Window
from triage.process import Processor
from triage.records import Recording

REFERENCE = reference_of(
    {"event scream": np.linspace(0, 0.5, 1_000), "event speech": np.linspace(0, 0.2, 1_000)}
)


@pytest.fixture
def processor(fake_processor: Processor, tmp_path: Path) -> Processor:
    return replace(fake_processor, live=Window(tmp_path / "live", REFERENCE))


def samples(exposed: bytes) -> dict[tuple[str, str], float]:
    """Values of the drift metrics by metric and name."""
    return {
        (one.name, one.labels.get("name", "")): one.value
        for family in text_string_to_metric_families(exposed.decode())
        for one in family.samples
        if one.name.startswith(("triage_drift", "triage_live"))
    }


def test_drift_of_all_workers_is_told(processor: Processor, tmp_path: Path) -> None:
    other = replace(processor, live=Window(tmp_path / "live", REFERENCE))
    for worker in (processor, other):
        worker.process([Recording("a", audio=b"sound")] * 150, "http")
        worker.live.flush()
    for worker in (processor, other):
        found = samples(exposition(lambda worker=worker: worker))
        assert found["triage_drift_rows", "event scream"] == 300
        assert found["triage_drift_psi", "event scream"] > 1
        assert 0 < found["triage_drift_psi_by_chance", "event scream"] < 0.1
        assert found["triage_live_write_failures_total", ""] == 0


def test_the_model_is_named_and_nobody_else(processor: Processor) -> None:
    processor.process([Recording("alice", audio=b"sound")], "http")
    processor.live.flush()
    exposed = exposition(lambda: processor)
    assert b'triage_drift_rows{model="triage-fake",name="event scream"} 1.0' in exposed
    assert b"alice" not in exposed


def test_a_write_that_failed_is_counted(fake_processor: Processor, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken = replace(fake_processor, live=Window(tmp_path / "file" / "live", REFERENCE))
    broken.process([Recording("a", audio=b"sound")], "http")
    broken.live.flush()
    assert samples(exposition(lambda: broken)) == {("triage_live_write_failures_total", ""): 1}


def test_a_model_without_a_reference_has_no_drift(fake_processor: Processor) -> None:
    fake_processor.process([Recording("a", audio=b"sound")], "http")
    found = samples(exposition(lambda: fake_processor))
    assert found == {("triage_live_write_failures_total", ""): 0}


@pytest.mark.parametrize("error", [NotReady("not yet"), TriageError("never")])
def test_the_rest_is_told_while_there_is_no_model(error: TriageError) -> None:
    def processor() -> Processor:
        raise error

    exposed = exposition(processor)
    assert b"triage_recordings" in exposed
    assert not samples(exposed)


def test_workers_side_by_side_tell_it_too(
    processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    processor.process([Recording("a", audio=b"sound")], "http")
    processor.live.flush()
    assert samples(exposition(lambda: processor))["triage_drift_rows", "event scream"] == 1
