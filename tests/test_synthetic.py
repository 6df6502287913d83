"""Sounds made by rule: what they are labelled with, and that they are what they are called."""

from __future__ import annotations

from pathlib import Path
from shutil import which
from types import ModuleType

import numpy as np
import pytest
from scripts import imported

from triage.audio import Limits, decode
from triage.labels.read import read_labels
from triage.records import SAMPLE_RATE, Doubles
from triage.taxonomy import EVENTS, EVIDENCE_EVENTS

SYNTHETIC = Path(__file__).parent.parent / "data" / "synthetic"
NAMES = ("scream", "sobbing", "baby", "gunshot", "explosion", "glass", "siren", "alarm", "laughing")
NAMES += ("singing", "playing", "animal", "melody", "knocking", "dishes", "shrill", "hum")
SEVERAL = range(6)
needs_a_voice = pytest.mark.skipif(not which("espeak-ng"), reason="needs Debian's espeak-ng")


@pytest.fixture(scope="module")
def make() -> ModuleType:
    return imported(SYNTHETIC)


def centre(sound: Doubles) -> float:
    """Where half of the power lies below, Hz."""
    power = np.cumsum(np.abs(np.fft.rfft(sound)) ** 2)
    return float(np.searchsorted(power, power[-1] / 2) / len(sound) * SAMPLE_RATE)


def median_centre(make: ModuleType, name: str) -> float:
    return float(np.median([centre(make.made(name, n)) for n in SEVERAL]))


def test_every_kind_is_here(make: ModuleType) -> None:
    assert tuple(make.MAKERS) == (*NAMES, *(f"{name}-over-speech" for name in make.OVER_SPEECH))
    made = {maker.event for maker in make.MAKERS.values()}
    assert set(EVIDENCE_EVENTS) - made == {"shout"}  # only speech could tell it


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_is_the_same_again_and_unlike_its_neighbours(make: ModuleType, name: str) -> None:
    sounds = [make.made(name, n) for n in SEVERAL]
    for sound in sounds:
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() == pytest.approx(make.PEAK)
        assert 0.1 < len(sound) / SAMPLE_RATE <= make.LONGEST
        assert np.mean(np.abs(sound) > make.PEAK / 1000) > 0.05
    assert len({sound.tobytes() for sound in sounds}) == len(sounds)
    assert np.array_equal(make.made(name, 0), sounds[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_row_holds_one_event_and_leaves_open_what_could_be_heard_too(
    make: ModuleType, name: str
) -> None:
    maker, row = make.MAKERS[name], make.row(name, 3)
    assert [event for event, label in row["events"].items() if label] == [maker.event]
    assert set(EVENTS) - set(row["events"]) == set(maker.unknown)
    assert row["licence"] == "CC0-1.0"


def test_one_in_ten_is_to_measure_on(make: ModuleType) -> None:
    rows = [make.row(name, n) for name, one in make.MAKERS.items() for n in range(one.count)]
    assert len({row["id"] for row in rows}) == len(rows) > 2700
    assert np.mean([row["split"] == "val" for row in rows]) == pytest.approx(0.1, abs=0.02)


def test_a_row_over_speech_holds_both(make: ModuleType) -> None:
    row, alone = make.row("singing-over-speech", 3), make.row("singing", 3)
    assert row["events"] == alone["events"] | {"speech": 1}
    assert row["id"] != alone["id"]


def test_a_sound_over_speech_is_louder_or_a_little_softer_than_it(make: ModuleType) -> None:
    near, heard = np.sin(np.arange(16_000.0)), np.cos(np.arange(4_000.0) / 3)

    def said(text: str, _: np.random.Generator) -> Doubles:
        assert len(text) >= make.speech.LEAST
        return heard

    over, above = make.speech.over(lambda _: near), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make.speech, "said", said)
        for n in range(50):
            far = over(np.random.default_rng(n)) - near
            above.append(10 * np.log10(np.square(near).mean() / np.square(far).mean()))
    assert min(above) == pytest.approx(make.speech.ABOVE[0], abs=1)
    assert max(above) == pytest.approx(make.speech.ABOVE[1], abs=1)


@needs_a_voice
def test_a_scream_over_speech_is_the_same_again(make: ModuleType) -> None:
    one, other = (make.made("scream-over-speech", n) for n in (0, 1))
    assert np.array_equal(make.made("scream-over-speech", 0), one)
    assert not np.array_equal(one[:1000], other[:1000])


def test_screams_are_higher_than_sobs_and_shots_than_explosions(make: ModuleType) -> None:
    assert median_centre(make, "scream") > 1.5 * median_centre(make, "sobbing")
    assert median_centre(make, "glass") > 3 * median_centre(make, "knocking")
    assert median_centre(make, "explosion") < 300 < median_centre(make, "gunshot")


def test_screams_are_rough_and_songs_are_not(make: ModuleType) -> None:
    """Share of the loudness that trembles at 30 to 150 Hz, in the loud parts."""

    def rough(name: str) -> float:
        found = []
        for n in SEVERAL:
            sound = make.made(name, n)
            steps = np.sqrt(np.square(sound[: len(sound) // 32 * 32]).reshape(-1, 32).mean(1))
            loud = steps[steps > steps.max() / 5]
            power = np.abs(np.fft.rfft(loud - loud.mean())) ** 2
            at = np.fft.rfftfreq(len(loud), 32 / SAMPLE_RATE)
            found.append(np.sqrt(power[(at > 30) & (at < 150)].sum()) / len(loud) / loud.mean())
        return float(np.median(found))

    assert rough("scream") > 2 * rough("singing")


def test_what_is_written_is_read_as_rows_with_sound(
    make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: make.MAKERS[name]._replace(count=1) for name in ("scream", "hum")}
    monkeypatch.setattr(make, "MAKERS", few)
    make.main(tmp_path)
    reading = read_labels([tmp_path])
    assert not reading.problems
    for row in reading.rows:
        assert row.audio is not None
        heard = decode(row.audio, Limits(10**7, 60, 2)).samples
        sound = make.made(row.id.split("-")[1], 0)
        assert len(heard) == pytest.approx(len(sound), abs=SAMPLE_RATE // 10)
        assert np.abs(heard).max() == pytest.approx(make.PEAK, rel=0.4)
