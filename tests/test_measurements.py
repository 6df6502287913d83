"""What a recording is like, in numbers that are right and tell no words."""

from __future__ import annotations

import numpy as np
import pytest

from triage.measurements import distance, of_sound, of_windows, of_words
from triage.records import SAMPLE_RATE, Floats, Span, Transcript, Waveform, Word


def waveform(samples: Floats) -> Waveform:
    return Waveform(samples.astype(np.float32), SAMPLE_RATE, 1)


def noise(seconds: float, rms: float) -> Floats:
    rng = np.random.default_rng(0)
    return (rms * rng.normal(size=int(seconds * SAMPLE_RATE))).astype(np.float32)


def test_steady_noise() -> None:
    found = of_sound(waveform(noise(4, 0.1)), ())
    assert found["seconds"] == 4
    assert found["loudness"] == pytest.approx(-20, abs=0.1)
    assert found["level_range"] < 2
    assert found["speech_share"] == 0


def test_speech_over_quiet() -> None:
    samples = noise(4, 0.001)
    samples[SAMPLE_RATE : 2 * SAMPLE_RATE] += noise(1, 0.1)
    found = of_sound(waveform(samples), [Span(1.0, 1.5), Span(1.6, 2.1)])
    assert found["loudness"] == pytest.approx(-26, abs=0.1)  # a quarter of the power
    assert found["level_range"] == pytest.approx(40, abs=1)
    assert found["speech_share"] == pytest.approx(0.25)


def test_silence_and_a_single_sample() -> None:
    for samples in (np.zeros(SAMPLE_RATE), np.zeros(1)):
        found = of_sound(waveform(samples), [Span(0.0, 1.0)])
        assert found["loudness"] == pytest.approx(-100)
        assert found["level_range"] == 0
        assert found["speech_share"] == 1


def test_words() -> None:
    said = (Word("set", 0, 0.2, 0.9), Word("alarms", 0.2, 0.6, 0.5))
    heard = of_words(Transcript("set alarms", said, "transcriber"))
    assert heard == {"words": 2, "word_probability": pytest.approx(0.7)}
    assert of_words(Transcript(" set  two alarms ")) == {"words": 3}
    assert of_words(Transcript("")) == {"words": 0}
    assert of_words(None) == {}


def test_distance_is_one_for_what_was_fitted_on_and_more_for_the_rest() -> None:
    fitted = np.random.default_rng(0).normal(size=(50, 400)).astype(np.float32)
    assert distance(fitted) == pytest.approx(np.ones(50), abs=0.15)
    found = of_windows("sound", [distance(fitted), distance(3 * fitted)])
    assert found == {"sound_distance": pytest.approx(2, abs=0.05)}
    assert of_windows("text", []) == {}
