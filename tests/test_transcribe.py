"""The real transcriber on the samples; and what must not be believed, planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from triage.audio import Limits, decode
from triage.encoder import Encoded, SpeechEncoder
from triage.records import SAMPLE_RATE, Floats, Span, Waveform
from triage.segment import speech_spans
from triage.text import spoken_words
from triage.transcribe import (
    LEAST_LOG_PROBABILITY,
    LEAST_TOKENS,
    MOST_COMPRESSION,
    SLACK,
    TOKENS_PER_SECOND,
    Heard,
    Transcriber,
    Utterance,
)
from triage.weights import WHISPER_TINY_EN, resolve

pytestmark = pytest.mark.models

LIMITS = Limits(10**6, 60, 2)
EVERYWHERE = (Span(0.0, 60.0),)
CLOSE = 0.6  # s; voice activity adds 0.2 s on either side
SURE = -0.1  # mean log-probability of a token
# Not all the words: on another processor, 8 bits round another way.
SAID = {
    "timer.wav": {"set", "timer", "minutes"},
    "lights.m4a": {"lights", "kitchen"},
    "clipped.flac": {"music", "down", "loud"},
    "collapse.wav": {"call", "ambulance", "father", "breathing"},
    "threat.mp3": {"where", "live", "kill", "you"},
}
NOT_SAID = ["siren.webm", "smoke-alarm.m4a", "music.m4a", "noise.wav", "scream.flac", "shots.wav"]


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    return SpeechEncoder(resolve(WHISPER_TINY_EN), workers=2)


@pytest.fixture(scope="module")
def transcriber(encoder: SpeechEncoder) -> Transcriber:
    return Transcriber(encoder)


@pytest.fixture
def timer(samples: Path) -> Waveform:
    return decode(samples / "timer.wav", LIMITS)


class Planted:
    """A decoder that writes what it is told to; all else is the real model's.

    Args:
        model: The real one.
        tokens: What it writes, as far as it is let.
        log_probability: How sure it says it is of each token.
    """

    def __init__(self, model: Any, tokens: Sequence[int], log_probability: float) -> None:
        self._model = model
        self._tokens = tokens
        self._log_probability = log_probability

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(
        self, _: object, prompts: Sequence[Sequence[int]], *, max_length: int, **__: object
    ) -> list[SimpleNamespace]:
        tokens = list(self._tokens[: max_length - len(prompts[0])])
        return [SimpleNamespace(sequences_ids=[tokens], scores=[self._log_probability])]


Plant = Callable[..., Heard]


@pytest.fixture
def plant(
    encoder: SpeechEncoder, transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch
) -> Plant:
    """Has a text written over some seconds of sound."""

    def planted(
        text: str,
        seconds: float = 10.0,
        log_probability: float = SURE,
        speech: Sequence[Span] = EVERYWHERE,
    ) -> Heard:
        encoded = encoder.encode(noise(seconds))
        tokens = encoder.whisper.hf_tokenizer.encode(" " + text, add_special_tokens=False).ids
        monkeypatch.setattr(
            encoder.whisper, "model", Planted(encoder.whisper.model, tokens, log_probability)
        )
        return write(transcriber, encoded, 0.0, speech)

    return planted


def write(
    transcriber: Transcriber, encoded: Encoded, start: float, speech: Sequence[Span]
) -> Heard:
    (heard,) = transcriber.transcribe([Utterance(encoded, start, speech)])
    return heard


def noise(seconds: float) -> Floats:
    count = round(seconds * SAMPLE_RATE)
    return np.random.default_rng(0).normal(0, 0.01, count).astype(np.float32)


# What is said --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAID)
def test_it_writes_what_is_said(
    encoder: SpeechEncoder, transcriber: Transcriber, samples: Path, name: str
) -> None:
    waveform = decode(samples / name, LIMITS)
    encoded = encoder.encode(waveform.samples)
    heard = write(transcriber, encoded, 0.0, speech_spans(waveform))
    words = {part for word in heard.words for part in spoken_words(word.text)}
    assert SAID[name] <= words
    assert heard.reliable


@pytest.mark.parametrize(("name", "end"), [("lights.m4a", 2.34), ("help-at-home.ogg", 1.31)])
def test_little_speech_with_no_pause_around_it_is_said_once(
    encoder: SpeechEncoder, transcriber: Transcriber, samples: Path, name: str, end: float
) -> None:
    # Followed by 4 s of silence and no more, both are written over and over.
    waveform = decode(samples / name, LIMITS)
    speech = waveform.samples[round(0.31 * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    heard = write(transcriber, encoder.encode(speech), 0.0, EVERYWHERE)
    words = [part for word in heard.words for part in spoken_words(word.text)]
    assert words
    assert words.count(words[-1]) == 1
    assert heard.reliable


def test_the_same_chunk_gives_the_same_words(
    encoder: SpeechEncoder, transcriber: Transcriber, timer: Waveform
) -> None:
    encoded = encoder.encode(timer.samples)
    first = write(transcriber, encoded, 0.0, EVERYWHERE)
    write(transcriber, encoder.encode(noise(3)), 0.0, EVERYWHERE)
    assert write(transcriber, encoded, 0.0, EVERYWHERE) == first


@pytest.mark.parametrize("name", ["timer.wav", "talk.ogg"])
def test_words_stand_in_order_where_somebody_speaks(
    encoder: SpeechEncoder, transcriber: Transcriber, samples: Path, name: str
) -> None:
    waveform = decode(samples / name, LIMITS)
    speech = speech_spans(waveform)
    words = write(transcriber, encoder.encode(waveform.samples), 0.0, speech).words
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[0] == pytest.approx(speech[0].start, abs=CLOSE)
    assert edges[-1] == pytest.approx(speech[-1].end, abs=CLOSE)
    assert all(0 < word.probability <= 1 for word in words)
    assert [word.text for word in words] == [word.text.strip() for word in words]


def test_times_are_those_of_the_recording_and_not_of_the_chunk(
    encoder: SpeechEncoder, transcriber: Transcriber, timer: Waveform
) -> None:
    encoded = encoder.encode(timer.samples)
    first = write(transcriber, encoded, 0.0, EVERYWHERE).words
    later = write(transcriber, encoded, 7.5, EVERYWHERE).words
    assert [word.text for word in later] == [word.text for word in first]
    assert [word.start for word in later] == pytest.approx([7.5 + word.start for word in first])
    assert [word.end for word in later] == pytest.approx([7.5 + word.end for word in first])


def test_a_chunk_cut_within_a_word_ends_its_words_with_it(
    encoder: SpeechEncoder, transcriber: Transcriber, timer: Waveform
) -> None:
    seconds = 1.5
    encoded = encoder.encode(timer.samples[: round(seconds * SAMPLE_RATE)])
    words = write(transcriber, encoded, 0.0, EVERYWHERE).words
    assert words
    assert max(word.end for word in words) <= seconds


# What isn't ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NOT_SAID)
def test_what_is_invented_over_a_sound_is_not_reliable(
    encoder: SpeechEncoder, transcriber: Transcriber, samples: Path, name: str
) -> None:
    encoded = encoder.encode(decode(samples / name, LIMITS).samples)
    heard = write(transcriber, encoded, 0.0, EVERYWHERE)
    # Near the limit it depends on the processor's int8: music.m4a is at -.99 without AVX-512 VNNI.
    assert not heard.reliable or heard.log_probability < LEAST_LOG_PROBABILITY + 0.05


@pytest.mark.parametrize("name", [*NOT_SAID, "silence.wav", "timer.wav"])
def test_there_are_no_words_where_nobody_speaks(
    encoder: SpeechEncoder, transcriber: Transcriber, samples: Path, name: str
) -> None:
    encoded = encoder.encode(decode(samples / name, LIMITS).samples)
    heard = write(transcriber, encoded, 0.0, speech=())
    assert heard.words == ()
    assert not heard.reliable


@pytest.mark.parametrize(("share", "reliable"), [(0.2, False), (0.6, True)])
def test_words_outside_of_speech_are_dropped_and_if_most_are_so_is_the_rest(
    encoder: SpeechEncoder,
    transcriber: Transcriber,
    timer: Waveform,
    share: float,
    reliable: bool,
) -> None:
    encoded = encoder.encode(timer.samples)
    every = write(transcriber, encoded, 0.0, EVERYWHERE).words
    kept = every[: round(share * len(every))]
    heard = write(transcriber, encoded, 0.0, [Span(0.0, kept[-1].end - SLACK)])
    assert heard.words == kept
    assert heard.reliable is reliable


def test_words_well_before_speech_are_none_of_it(
    encoder: SpeechEncoder, transcriber: Transcriber, timer: Waveform
) -> None:
    encoded = encoder.encode(timer.samples)
    last = write(transcriber, encoded, 0.0, EVERYWHERE).words[-1]
    assert write(transcriber, encoded, 0.0, [Span(last.end + 0.5, 60.0)]).words == ()


# What must not be believed, planted -----------------------------------------------------------

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"]
PLAIN = "please turn the music down in the kitchen and set a timer for ten minutes"


def test_a_plain_sentence_is_believed(plant: Plant) -> None:
    heard = plant(PLAIN)
    assert heard.reliable
    assert [word.text for word in heard.words] == PLAIN.split()


def test_a_loop_is_not(plant: Plant) -> None:
    heard = plant("thank you for watching " * 8)
    assert heard.compression > MOST_COMPRESSION
    assert not heard.reliable


def test_nor_is_a_guess(plant: Plant) -> None:
    heard = plant(PLAIN, log_probability=LEAST_LOG_PROBABILITY - 0.1)
    assert not heard.reliable


def test_nor_is_what_had_to_be_cut_off(plant: Plant) -> None:
    seconds = 0.5
    assert TOKENS_PER_SECOND * seconds < len(NUMBERS) < LEAST_TOKENS
    assert plant(" ".join(NUMBERS), seconds).reliable
    heard = plant(" ".join(a + " " + b for a in NUMBERS for b in NUMBERS), seconds)
    assert heard.compression <= MOST_COMPRESSION
    assert not heard.reliable


def test_the_end_of_the_text_counts_as_a_token_that_was_sure(plant: Plant) -> None:
    count = len(PLAIN.split())  # each a token
    assert plant(PLAIN, log_probability=-0.8).log_probability == -0.8 * count / (count + 1)


def test_nothing_written_is_no_words(plant: Plant) -> None:
    heard = plant("")
    assert heard.words == ()


def test_no_word_is_in_the_repr(plant: Plant) -> None:
    assert "music" not in repr(plant(PLAIN))
