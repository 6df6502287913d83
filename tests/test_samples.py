"""The shipped samples: manifest, files and script agree, and every file is sound."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
from scripts import imported

FOLDER = Path(__file__).resolve().parents[1] / "data" / "samples"
MEGABYTES_AT_MOST = 1.5
SECONDS = (2.0, 8.5)
NOT_SOUND = {".py", ".md", ".jsonl"}

ROWS = [json.loads(line) for line in (FOLDER / "manifest.jsonl").read_text().splitlines()]
FILES = sorted(row["audio"] for row in ROWS if "audio" in row)


def decoded(name: str) -> tuple[np.ndarray, float]:
    """Samples, shape (channels, n), nominally in -1..1, and their length in seconds."""
    with av.open(FOLDER / name) as container:
        stream = container.streams.audio[0]
        to_float = av.AudioResampler("fltp", stream.layout, stream.rate)
        frames = [part for frame in container.decode(stream) for part in to_float.resample(frame)]
        samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
        return samples, samples.shape[1] / stream.rate


@pytest.fixture
def script() -> ModuleType:
    """`data/samples/make.py`."""
    return imported(FOLDER)


def test_manifest_names_every_file_once() -> None:
    present = sorted(
        path.name for path in FOLDER.iterdir() if path.is_file() and path.suffix not in NOT_SOUND
    )
    assert present == FILES


def test_every_row_has_an_id_of_its_own_and_something_to_score() -> None:
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert all(row["expected"] and ("audio" in row or "text" in row) for row in ROWS)


def test_rows_cover_each_way_of_bringing_a_transcript() -> None:
    ways = {("audio" in row, "text" in row) for row in ROWS}
    assert ways == {(True, False), (True, True), (False, True)}


def test_script_makes_what_the_manifest_says(script: ModuleType) -> None:
    assert [script.row(name, sample) for name, sample in script.SAMPLES.items()] == ROWS


def test_script_makes_the_same_sound_twice(script: ModuleType) -> None:
    once, again = (script.scream(np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(once, again)


@pytest.mark.parametrize("name", ["siren.wav", "siren.webm"])
def test_script_writes_the_same_file_twice(script: ModuleType, tmp_path: Path, name: str) -> None:
    codec = "pcm_mulaw" if name.endswith("wav") else "libopus"
    files = [tmp_path / folder / name for folder in ("once", "again")]
    for file in files:
        file.parent.mkdir()
        script.write(file, script.siren(np.random.default_rng(1)), codec, 8_000)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_file_decodes(name: str) -> None:
    samples, seconds = decoded(name)
    assert SECONDS[0] <= seconds <= SECONDS[1]
    assert np.isfinite(samples).all()
    assert (np.abs(samples).max() > 0.05) == (name != "silence.wav")


def test_silence_is_silent() -> None:
    samples, _ = decoded("silence.wav")
    assert not samples.any()


def test_clipped_is_clipped() -> None:
    samples, _ = decoded("clipped.flac")
    assert np.mean(np.abs(samples) > 0.99) > 0.01


def test_scream_stands_out_of_its_room() -> None:
    samples, seconds = decoded("scream.flac")
    loudness = [float(np.sqrt(np.mean(part**2))) for part in np.array_split(samples[0], 5)]
    assert seconds == pytest.approx(5)
    assert min(loudness[1:4]) > 20 * max(loudness[0], loudness[4])


def test_formats_are_as_various_as_they_are_meant_to_be() -> None:
    def codec(name: str) -> str:
        with av.open(FOLDER / name) as container:
            return container.streams.audio[0].codec_context.codec.canonical_name

    codecs = {codec(name) for name in FILES}
    assert {"pcm_s16le", "pcm_mulaw", "pcm_alaw", "flac", "opus", "mp3", "aac"} <= codecs


def test_folder_stays_small() -> None:
    size = sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file())
    assert size < MEGABYTES_AT_MOST * 1e6


def test_card_names_every_sample() -> None:
    card = (FOLDER / "README.md").read_text()
    assert [row["id"] for row in ROWS if f"| `{row['id']}` |" not in card] == []
