"""Features of labelled rows: what they are made of, and that a run that was stopped goes on."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triage.acoustic import pool
from triage.audio import Limits, decode
from triage.encoder import LONGEST_CHUNK, SAMPLES_PER_FRAME, Encoded
from triage.labels.rows import Labelled
from triage.records import SAMPLE_RATE, Floats, Report
from triage.segment import windows
from triage.training import features
from triage.training.cache import FeatureCache
from triage.training.features import (
    VARIANTS,
    Ears,
    SoundFeatures,
    add_heard,
    sound_features,
    text_features,
)

LIMITS = Limits(10**8, 3600, 8)
ROW = Labelled("row", "source", "MIT", "group", "train", {}, {})


@dataclass
class Reader:
    """Stands in for the sentence encoder: the vector is the number of words and of letters."""

    read: int = 0
    width: int = 2

    def pooled(self, texts: Sequence[Sequence[str]]) -> Floats:
        self.read += len(texts)
        return np.array([[len(words), len("".join(words))] for words in texts], np.float32)


@dataclass
class Listener:
    """Stands in for Whisper's encoder: frames hold the level and where they are."""

    heard: int = 0
    longest: int = 0
    width: int = 2

    def encode(self, samples: Floats) -> Encoded:
        self.heard += 1
        self.longest = max(self.longest, len(samples))
        whole = len(samples) // SAMPLES_PER_FRAME
        levels = np.abs(samples[: whole * SAMPLES_PER_FRAME]).reshape(whole, -1).mean(axis=1)
        frames = np.stack((levels, np.linspace(0, 1, whole)), axis=1).astype(np.float32)
        return Encoded(frames, None)


def texts(*said: str) -> list[Labelled]:
    return [replace(ROW, id=str(n), text=text) for n, text in enumerate(said)]


def clips(folder: Path, *seconds: float) -> list[Labelled]:
    """Tones, each louder than the one before."""
    rows = []
    for n, length in enumerate(seconds):
        time = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
        tone = np.sin(2 * np.pi * 440 * time) * 0.1 * (n + 1)
        file = folder / f"{n}.wav"
        with wave.open(str(file), "wb") as out:
            out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            out.writeframes((tone * 32767).astype("<i2").tobytes())
        rows.append(replace(ROW, id=str(n), audio=file))
    return rows


def read(rows: Sequence[Labelled], reader: Reader, cache: Path, digest: str = "d") -> Floats:
    kept = FeatureCache(cache)
    return text_features(rows, reader, digest, kept, lambda *_: None)  # type: ignore[arg-type]


def listen(
    rows: Sequence[Labelled],
    listener: Listener,
    cache: Path,
    report: Report = lambda *_: None,
    **changed: Any,
) -> SoundFeatures:
    ears = replace(Ears(listener, "d", LIMITS, 0), **changed)  # type: ignore[arg-type]
    return sound_features(rows, ears, FeatureCache(cache), report)


# Words --------------------------------------------------------------------------------------


def test_each_text_has_its_vector_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "TEXT_BLOCK", 2)
    told: list[tuple[str, int, int]] = []
    vectors = text_features(
        texts("red", "Red, green!", "a b c"),
        Reader(),  # type: ignore[arg-type]
        "d",
        FeatureCache(tmp_path),
        lambda *progress: told.append(progress),
    )
    assert vectors.tolist() == [[1, 3], [2, 8], [3, 3]]
    assert told == [("text features", 2, 3), ("text features", 3, 3)]


def test_a_text_is_read_once(tmp_path: Path) -> None:
    reader = Reader()
    first = read(texts("red", "green"), reader, tmp_path)
    again = read(texts("red", "green"), reader, tmp_path)
    assert np.array_equal(first, again)
    assert reader.read == 2


@pytest.mark.parametrize(
    ("rows", "digest", "anew"),
    [(texts("red", "blue"), "d", 1), (texts("redgreen"), "d", 1), (texts("red", "green"), "e", 2)],
)
def test_other_words_or_another_encoder_are_read_anew(
    tmp_path: Path, rows: list[Labelled], digest: str, anew: int
) -> None:
    reader = Reader()
    read(texts("red", "green"), reader, tmp_path)
    assert read(rows, reader, tmp_path, digest).shape == (len(rows), 2)
    assert reader.read == 2 + anew


# Sounds -------------------------------------------------------------------------------------


def test_a_clip_is_pooled_whole_and_in_windows_as_it_is_and_varied(tmp_path: Path) -> None:
    (row,) = rows = clips(tmp_path, 3.5)
    found = listen(rows, Listener(), tmp_path / "cache")
    assert row.audio is not None
    spans = windows(3.5)
    per_variant = 1 + len(spans)
    assert found.variant.tolist() == [n for n in range(VARIANTS) for _ in range(per_variant)]
    assert found.whole.tolist() == ([True] + [False] * len(spans)) * VARIANTS
    frames = Listener().encode(decode(row.audio, LIMITS).samples).frames
    plain = pool(frames, [features.Span(0, 3.5), *spans]).astype(np.float16)
    assert np.array_equal(found.vectors[:per_variant], plain)
    for variant in range(1, VARIANTS):
        assert not np.allclose(found.vectors[found.variant == variant], plain)


def test_a_silent_lead_belongs_to_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a lead of silence before it, the sound itself gives the rows that it gives without."""

    def after_silence(samples: Floats, rng: np.random.Generator) -> tuple[Floats, int]:
        lead = 3 * SAMPLE_RATE
        return np.concatenate((np.zeros(lead, np.float32), samples)), lead

    monkeypatch.setattr(features, "vary", after_silence)
    found = listen(clips(tmp_path, 3.0), Listener(), tmp_path / "cache")
    level = found.vectors[:, 0]  # mean of the frames' levels
    assert level[found.variant == 1] == pytest.approx(level[found.variant == 0], rel=1e-2)


def test_no_more_is_heard_than_the_encoder_takes(tmp_path: Path) -> None:
    listener = Listener()
    found = listen(clips(tmp_path, 40.0), listener, tmp_path / "cache")
    assert listener.longest == LONGEST_CHUNK * SAMPLE_RATE
    assert np.isfinite(found.vectors).all()


def test_a_clip_that_does_not_decode_has_no_rows_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "SOUND_BLOCK", 2)
    rows = clips(tmp_path, 1.0, 1.0, 1.0, 1.0)
    for broken in rows[0], rows[3]:
        assert broken.audio is not None
        broken.audio.write_bytes(b"no sound" * (1 + int(broken.id)))
    found = listen(rows, Listener(), tmp_path / "cache")
    assert found.failed == (0, 3)
    assert sorted(set(found.clip.tolist())) == [1, 2]
    assert found.vectors[found.clip == 1].mean() < found.vectors[found.clip == 2].mean()


def test_nothing_but_broken_clips_is_no_rows(tmp_path: Path) -> None:
    (row,) = rows = clips(tmp_path, 1.0)
    assert row.audio is not None
    row.audio.write_bytes(b"no sound")
    found = listen(rows, Listener(), tmp_path / "cache")
    assert (found.vectors.shape, found.failed) == ((0, 6), (0,))


# The cache ----------------------------------------------------------------------------------


def test_a_clip_is_heard_once(tmp_path: Path) -> None:
    rows, listener = clips(tmp_path, 1.0, 2.0), Listener()
    first = listen(rows, listener, tmp_path / "cache")
    heard = listener.heard
    again = listen(rows, listener, tmp_path / "cache")
    assert heard == listener.heard == VARIANTS * 2
    for name in ("vectors", "clip", "variant", "whole"):
        assert np.array_equal(getattr(first, name), getattr(again, name))


@pytest.mark.parametrize("changed", [{"seed": 1}, {"digest": "other"}])
def test_another_seed_or_encoder_hears_anew(tmp_path: Path, changed: dict[str, Any]) -> None:
    rows, listener = clips(tmp_path, 1.0), Listener()
    first = listen(rows, listener, tmp_path / "cache")
    second = listen(rows, listener, tmp_path / "cache", **changed)
    assert listener.heard == 2 * VARIANTS
    assert np.array_equal(first.vectors, second.vectors) == ("digest" in changed)


def test_content_counts_and_not_the_name(tmp_path: Path) -> None:
    (row,), listener = clips(tmp_path, 1.0), Listener()
    assert row.audio is not None
    listen([row], listener, tmp_path / "cache")
    moved = row.audio.rename(tmp_path / "moved.wav")
    listen([replace(row, audio=moved)], listener, tmp_path / "cache")
    assert listener.heard == VARIANTS
    (other,) = clips(tmp_path, 2.0)
    listen([other], listener, tmp_path / "cache")
    assert listener.heard == 2 * VARIANTS


def test_other_limits_are_not_answered_from_the_cache(tmp_path: Path) -> None:
    """What was refused as too long once must not stay refused when more is allowed."""
    rows, listener = clips(tmp_path, 2.0), Listener()
    short = listen(rows, listener, tmp_path / "cache", limits=replace(LIMITS, max_seconds=1))
    assert short.failed == (0,)
    assert listen(rows, listener, tmp_path / "cache").failed == ()


def test_chance_is_drawn_from_the_content_not_from_the_place(tmp_path: Path) -> None:
    rows = clips(tmp_path, 1.0, 1.5, 2.0)
    together = listen(rows, Listener(), tmp_path / "a")
    alone = listen(rows[2:], Listener(), tmp_path / "b")
    assert np.array_equal(together.vectors[together.clip == 2], alone.vectors)


def test_a_run_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "SOUND_BLOCK", 2)
    rows, listener = clips(tmp_path, *[0.5] * 6), Listener()

    def stop(stage: str, done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        listen(rows, listener, tmp_path / "cache", report=stop)
    assert listener.heard == 4 * VARIANTS
    found = listen(rows, listener, tmp_path / "cache")
    assert listener.heard == 6 * VARIANTS
    assert np.array_equal(found.vectors, listen(rows, Listener(), tmp_path / "new").vectors)
    assert np.array_equal(found.clip, listen(rows, Listener(), tmp_path / "new").clip)


def test_one_row_more_or_less_leaves_the_others_in_the_cache(tmp_path: Path) -> None:
    reader = Reader()
    read(texts("a", "b", "c", "d"), reader, tmp_path)
    vectors = read(texts("new one", "b", "d", "c"), reader, tmp_path)
    assert vectors[:, 1].tolist() == [6, 1, 1, 1]
    assert reader.read == 5


# Recordings without text ---------------------------------------------------------------------


def heard(rows: Sequence[Labelled], cache: Path, monkeypatch: pytest.MonkeyPatch) -> Floats:
    """Features where the transcriber writes the number of clips that it has heard."""
    said: list[str] = []

    def words(file: Path, ears: Ears, transcriber: object) -> list[str]:
        said.append("word")
        return said[:-1]

    monkeypatch.setattr(features, "_said", words)
    monkeypatch.setattr(features, "Transcriber", lambda encoder: None)
    ears = Ears(Listener(), "d", LIMITS, 0)  # type: ignore[arg-type]
    vectors = read(rows, Reader(), cache)
    add_heard(vectors, rows, ears, Reader(), "d", FeatureCache(cache), lambda *_: None)  # type: ignore[arg-type]
    return vectors


def test_a_recording_without_text_is_read_as_it_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*texts("red"), *clips(tmp_path, 0.5, 0.6, 0.7)]
    vectors = heard(rows, tmp_path / "cache", monkeypatch)
    assert vectors[0].tolist() == [1, 3]
    assert np.isnan(vectors[1]).all()  # nothing was said
    assert vectors[2:].tolist() == [[1, 4], [2, 8]]
    assert np.array_equal(heard(rows, tmp_path / "cache", monkeypatch), vectors, equal_nan=True)


def test_what_was_said_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard(clips(tmp_path, 0.5, 0.6), tmp_path / "cache", monkeypatch)
    read(texts("canary"), Reader(), tmp_path / "cache")
    for file in (tmp_path / "cache").iterdir():
        assert b"word" not in file.read_bytes()
        assert b"canary" not in file.read_bytes()
