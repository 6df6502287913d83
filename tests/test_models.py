"""The models that ship: whole, small, told by their cards, and made of what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage.artefact import ENCODER, load
from triage.card import model_card
from triage.pipeline import Triage
from triage.records import Recording
from triage.settings import Settings
from triage.training.gather import permitted

pytestmark = pytest.mark.models

MODELS = sorted(
    file.parent for file in (Path(__file__).parent.parent / "models").glob("*/manifest.json")
)
LARGEST = 30_000_000  # bytes of the text encoder
NOT_COMMERCIAL = ("NC", "unknown", "SA", "GPL", "ODbL")


@pytest.fixture(scope="module", params=MODELS, ids=lambda folder: folder.name)
def triage(request: pytest.FixtureRequest) -> Triage:
    return Triage.load(Settings(model=request.param))


def test_there_are_two_builds() -> None:
    assert [folder.name for folder in MODELS] == ["commercial", "default"]


def test_the_card_is_that_of_the_manifest(triage: Triage) -> None:
    artefact = triage.artefact
    assert (artefact.folder / "README.md").read_text() == model_card(artefact.manifest)


def test_the_text_encoder_is_small(triage: Triage) -> None:
    assert (triage.artefact.folder / ENCODER).stat().st_size < LARGEST


def test_it_finds_a_scream_and_a_call_for_help_and_lets_a_timer_be(
    triage: Triage, samples: Path
) -> None:
    scream = triage.score(Recording("a", samples / "scream.flac"))
    assert scream.categories["distress"] > 0.5
    line = "please send an ambulance my husband has collapsed and he is not breathing"
    assert triage.score(Recording("b", None, line)).categories["medical_emergency"] > 0.5
    timer = triage.score(Recording("c", None, "set a timer for ten minutes"))
    assert max(timer.categories.values()) < 0.05


def test_the_commercial_build_has_seen_nothing_that_bars_it() -> None:
    manifest = load(next(one for one in MODELS if one.name == "commercial")).manifest
    assert all(permitted(note.licence, NOT_COMMERCIAL) for note in manifest.lineage)
    # A base's sources are in the lineage too, so what it began from is held to the same.
    assert manifest.parent is None or manifest.parent.name.startswith("triage-commercial-")
    assert manifest.training["excluded_licences"] == list(NOT_COMMERCIAL)
