"""A model on disk: what was written comes back, and whatever was changed is refused."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import load as tensors_from
from safetensors.numpy import save as tensors_to

import triage.artefact
import triage.manifest
from triage.artefact import (
    ENCODER,
    FILES,
    HEADS,
    SEEN,
    TOKENIZER,
    Artefact,
    heads_to_bytes,
    load,
    seen,
    seen_to_bytes,
    tuned,
)
from triage.calibrate import Calibrator
from triage.classifier import Head, Scaling
from triage.errors import ArtefactRefused
from triage.manifest import FORMAT, MANIFEST, Manifest, read_manifest
from triage.taxonomy import CATEGORIES, EVENTS
from triage.text import TextEncoder
from triage.weights import WHISPER_TINY_EN

SPEECH_WIDTH, TEXT_WIDTH = 2, 5
NAMES = ("violence", "self_harm"), ("scream", "speech", "siren")

Change = Callable[[dict[str, Any]], object]
Write = Callable[..., Path]


def head(names: tuple[str, ...], width: int, seed: int) -> Head:
    rng = np.random.default_rng(seed)
    knots = [np.sort(rng.normal(size=(2, 4)), axis=1) for _ in names]
    return Head(
        names,
        rng.normal(size=(len(names), width)).astype(np.float32),
        rng.normal(size=len(names)).astype(np.float32),
        tuple(Calibrator(x, y) for x, y in knots),
    )


def scaling(width: int, seed: int) -> Scaling:
    rng = np.random.default_rng(seed)
    mean, scale = rng.normal(size=width), rng.uniform(0.5, 2, size=width)
    return Scaling(mean.astype(np.float32), scale.astype(np.float32))


TEXT, SOUND = head(NAMES[0], TEXT_WIDTH, 0), head(NAMES[1], 3 * SPEECH_WIDTH, 1)
SCALED_TEXT = TEXT, scaling(TEXT_WIDTH, 2)
SCALED_SOUND = SOUND, scaling(3 * SPEECH_WIDTH, 3)
TENSORS = tensors_from(heads_to_bytes(SCALED_TEXT, SCALED_SOUND))


def encoder(width: int) -> dict[str, Any]:
    return {"name": "seeded", "width": width, "licence": "MIT", "files": {"a": "0" * 64}}


def manifest(folder: Path) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": "triage-test-1.0",
        "created": "2026-01-01T00:00:00+00:00",
        "code": "0.1.0",
        "files": {name: sha256((folder / name).read_bytes()).hexdigest() for name in FILES},
        "encoders": {"speech": encoder(SPEECH_WIDTH), "text": encoder(TEXT_WIDTH)},
        "categories": list(NAMES[0]),
        "events": list(NAMES[1]),
        "event_thresholds": {"scream": 0.5},
        "strengths": {"scream": {"violence": 0.2}},
        "lineage": [{"kind": "text", "source": "s", "licence": "MIT", "train": 1, "val": 1}],
        "training": {"seed": 0},
        "metrics": {},
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a small model of which only the heads are real, changed as a test wants it."""

    def make(change: Change = lambda raw: None, **files: bytes) -> Path:
        folder = tmp_path / "canary"
        (folder / "text").mkdir(parents=True, exist_ok=True)
        (folder / HEADS).write_bytes(files.get("heads", tensors_to(TENSORS)))
        (folder / ENCODER).write_bytes(b"a graph")
        (folder / TOKENIZER).write_bytes(b"{}")
        (folder / SEEN).write_bytes(files.get("seen", seen_to_bytes([3, 1, 2**64 - 1])))
        raw = manifest(folder)
        change(raw)
        (folder / MANIFEST).write_text(json.dumps(raw))
        return folder

    return make


def refused(folder: Path, match: str) -> ArtefactRefused:
    """The refusal, which never tells where the model lies."""
    with pytest.raises(ArtefactRefused, match=match) as caught:
        load(folder)
    assert "canary" not in caught.value.detail
    return caught.value


def changed_heads(**changes: np.ndarray[Any, Any] | None) -> bytes:
    """The heads with some tensors put in, or left out for None; `__` stands for a dot."""
    tensors = dict(TENSORS)
    for key, array in changes.items():
        tensors.pop(name := key.replace("__", "."), None)
        if array is not None:
            tensors[name] = np.ascontiguousarray(array)
    return tensors_to(tensors)


# There and back -----------------------------------------------------------------------------


def same(one: Head, other: Head) -> bool:
    return (
        one.names == other.names
        and np.array_equal(one.weights, other.weights)
        and np.array_equal(one.bias, other.bias)
        and all(
            np.array_equal(a.x, b.x) and np.array_equal(a.y, b.y)
            for a, b in zip(one.calibrators, other.calibrators, strict=True)
        )
    )


def test_what_was_written_comes_back(write: Write) -> None:
    loaded = load(folder := write())
    assert same(loaded.text, TEXT)
    assert same(loaded.sound, SOUND)
    assert loaded.folder == folder
    assert loaded.manifest == read_manifest(folder)
    assert loaded.fusion.categories == NAMES[0]
    assert loaded.fusion.strengths == {"scream": {"violence": 0.2}}
    vectors = np.random.default_rng(2).normal(size=(3, TEXT_WIDTH)).astype(np.float32)
    scores = TEXT.calibrated(TEXT.logits(vectors))
    assert np.array_equal(loaded.text.calibrated(loaded.text.logits(vectors)), scores)


def test_the_same_heads_are_the_same_bytes(write: Write) -> None:
    loaded = load(write())
    written = heads_to_bytes(
        (loaded.text, loaded.text_scaling), (loaded.sound, loaded.sound_scaling)
    )
    assert written == heads_to_bytes(SCALED_TEXT, SCALED_SOUND)


def test_heads_that_are_views_come_back_as_they_look(write: Write) -> None:
    turned = Head(TEXT.names, np.asfortranarray(TEXT.weights), TEXT.bias, TEXT.calibrators)
    assert same(
        load(write(heads=heads_to_bytes((turned, SCALED_TEXT[1]), SCALED_SOUND))).text, TEXT
    )


def test_the_manifest_comes_back(write: Write, tmp_path: Path) -> None:
    read = read_manifest(write())
    (tmp_path / MANIFEST).write_text(read.model_dump_json(indent=2))
    assert read_manifest(tmp_path) == read


# Files --------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.sampled_from(sorted(FILES)), st.integers(0), st.integers(1, 255))
def test_any_changed_byte_is_refused(write: Write, name: str, at: int, flip: int) -> None:
    folder = write()
    content = bytearray((folder / name).read_bytes())
    content[at % len(content)] ^= flip
    (folder / name).write_bytes(content)
    error = refused(folder, f"^{name} has SHA-256 [0-9a-f]{{12}}…, its manifest says")
    assert sha256(content).hexdigest()[:12] in error.detail


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_was_cut_or_grew_or_is_gone_is_refused(write: Write, name: str) -> None:
    folder = write()
    whole = (folder / name).read_bytes()
    for content in (whole[:-1], whole + b"\0", b""):
        (folder / name).write_bytes(content)
        refused(folder, f"^{name} has SHA-256")
    (folder / name).unlink()
    refused(folder, f"^{name} is missing")
    (folder / name).mkdir()
    refused(folder, f"^{name} is missing")


@pytest.mark.parametrize("name", ["model.pkl", "heads.joblib", "../outside", "/etc/hostname"])
def test_a_file_more_is_refused_before_any_is_opened(
    write: Write, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triage.artefact, "sha256", lambda file: pytest.fail("a file was opened"))
    refused(write(lambda raw: raw["files"].update({name: "0" * 64})), "no more and no less")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_that_the_manifest_leaves_out_is_refused(write: Write, name: str) -> None:
    refused(write(lambda raw: raw["files"].pop(name)), "no more and no less")


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("content", [pickle.dumps(Trap()), b"", b"\0" * 64])
def test_heads_that_are_no_safetensors_are_refused(write: Write, content: bytes) -> None:
    refused(write(heads=content), "is not a safetensors file")


# Arrays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "sound"])
@pytest.mark.parametrize(
    "change",
    [
        lambda weights, bias: (weights[:, :-1], bias),
        lambda weights, bias: (weights[:-1], bias),
        lambda weights, bias: (weights[:-1], bias[:-1]),
        lambda weights, bias: (weights, bias[:-1]),
        lambda weights, bias: (weights.T, bias),
        lambda weights, bias: (weights.ravel(), bias),
        lambda weights, bias: (weights, bias[:, None]),
    ],
)
def test_another_shape_is_refused(
    write: Write, kind: str, change: Callable[..., tuple[np.ndarray[Any, Any], ...]]
) -> None:
    weights, bias = change(TENSORS[f"{kind}.weights"], TENSORS[f"{kind}.bias"])
    folder = write(heads=changed_heads(**{f"{kind}__weights": weights, f"{kind}__bias": bias}))
    refused(folder, rf"^The {kind} head is \(.* another encoder")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["text.weights", "text.bias", "sound.weights", "sound.bias"])
def test_values_that_are_no_numbers_are_refused(write: Write, name: str, value: float) -> None:
    array = TENSORS[name].copy()
    array.flat[-1] = value
    heads = changed_heads(**{name: array})
    refused(write(heads=heads), f"^The {name.split('.')[0]} head holds values that are no numbers")


@pytest.mark.parametrize("name", sorted(TENSORS))
def test_no_tensor_may_be_missing(write: Write, name: str) -> None:
    refused(write(heads=changed_heads(**{name: None})), "missing|has no")


@pytest.mark.parametrize(
    "knots", [[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, np.nan, 2.0], [0.0], [[0.0, 1.0]]]
)
@pytest.mark.parametrize("name", ["text.calibrator.violence", "sound.calibrator.siren"])
def test_a_calibration_that_does_not_rise_is_refused(
    write: Write, name: str, knots: list[Any]
) -> None:
    refused(write(heads=changed_heads(**{f"{name}.y": np.array(knots)})), "knot")


def test_a_calibration_that_is_refused_is_named(write: Write) -> None:
    name = "text.calibrator.self_harm.y"
    refused(write(heads=changed_heads(**{name: -TENSORS[name]})), "self_harm")


def with_kind(kind: str, size: int) -> bytes:
    """A valid safetensors file whose one tensor is of a kind that numpy lacks."""
    shape = [len(NAMES[0]), TEXT_WIDTH]
    end = size * shape[0] * shape[1]
    entry = {"dtype": kind, "shape": shape, "data_offsets": [0, end]}
    header = json.dumps({"text.weights": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(end)


@pytest.mark.parametrize(("kind", "size"), [("BF16", 2), ("F8_E4M3", 1)])
def test_numbers_that_numpy_lacks_are_refused(write: Write, kind: str, size: int) -> None:
    refused(write(heads=with_kind(kind, size)), HEADS)


@pytest.mark.parametrize("kind", [bool, np.int64, np.float16, np.float64])
def test_numbers_of_another_kind_are_refused(write: Write, kind: type) -> None:
    heads = changed_heads(text__weights=np.ones((len(NAMES[0]), TEXT_WIDTH), kind))
    refused(write(heads=heads), "^The text head")


# The manifest -------------------------------------------------------------------------------


def test_a_folder_without_a_manifest_is_no_model(tmp_path: Path) -> None:
    refused(tmp_path, "There is no manifest.json")
    refused(tmp_path / "canary", "Point TRIAGE_MODEL at a model")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\0", b"format: 1"])
def test_a_manifest_that_is_no_json_is_refused(write: Write, content: bytes) -> None:
    folder = write()
    (folder / MANIFEST).write_bytes(content)
    refused(folder, "isn't JSON")


def test_a_manifest_nested_beyond_reason_is_refused(write: Write) -> None:
    folder = write()
    (folder / MANIFEST).write_text("[" * 100_000)
    refused(folder, "isn't JSON")


def test_a_manifest_larger_than_any_is_not_read(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write()
    size = (folder / MANIFEST).stat().st_size
    monkeypatch.setattr(triage.manifest, "LARGEST_MANIFEST", size)
    load(folder)
    monkeypatch.setattr(triage.manifest, "LARGEST_MANIFEST", size - 1)
    assert refused(folder, "larger than any").limit == size - 1


@pytest.mark.parametrize("format", [FORMAT + 1, FORMAT - 1, str(FORMAT), None, [FORMAT]])
def test_another_format_is_refused(write: Write, format: object) -> None:
    error = refused(write(lambda raw: raw.update(format=format)), f"reads format {FORMAT}")
    assert repr(format) in error.detail
    assert error.limit == FORMAT


@pytest.mark.parametrize("raw", ["[]", "1", '"x"', "null", "{}"])
def test_a_manifest_of_no_format_is_refused(write: Write, raw: str) -> None:
    folder = write()
    (folder / MANIFEST).write_text(raw)
    refused(folder, "format None")


def test_the_format_is_looked_at_before_anything_else(write: Write) -> None:
    folder = write()
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT + 1, "heads": "by other means"}))
    refused(folder, f"is of format {FORMAT + 1}")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Canary"),
        ("name", ""),
        ("name", "a" * 65),
        ("name", "../canary"),
        ("categories", []),
        ("events", []),
        ("event_thresholds", {"scream": 1.5}),
        ("event_thresholds", {"scream": float("nan")}),
        ("strengths", {"scream": {"violence": -0.1}}),
        ("encoders", {"speech": {**encoder(0)}, "text": encoder(TEXT_WIDTH)}),
        ("lineage", [{"source": "canary"}]),
        ("unknown", "canary"),
    ],
)
def test_a_bad_field_is_refused_by_name_and_not_told(
    write: Write, field: str, value: object
) -> None:
    refused(write(lambda raw: raw.update({field: value})), f"doesn't hold together: {field}")


@pytest.mark.parametrize(
    "field",
    [n for n, one in Manifest.model_fields.items() if one.is_required() and n != "format"],
)
def test_no_field_may_be_missing(write: Write, field: str) -> None:
    refused(write(lambda raw: raw.pop(field)), f"doesn't hold together: {field}: Field required")


@pytest.mark.parametrize(
    "change",
    [
        {"encoders": {"text": encoder(TEXT_WIDTH)}},
        {"encoders": {"speech": encoder(SPEECH_WIDTH)}},
        {"categories": ["violence", "violence"]},
        {"event_thresholds": {"thunder": 0.5}},
        {"media_from": 0.5},
        {"strengths": {"thunder": {"violence": 0.5}}},
        {"strengths": {"scream": {"thunder": 0.5}}},
    ],
    ids=["no speech", "no text", "twice", "threshold", "media", "strength of", "strength for"],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    write: Write, change: Mapping[str, Any]
) -> None:
    refused(write(lambda raw: raw.update(change)), "doesn't hold together")


def test_a_contradiction_is_told_in_a_whole_sentence(write: Write) -> None:
    folder = write(lambda raw: raw.update(categories=["hate", "hate"]))
    assert ": :" not in refused(folder, "hold together").detail


def test_a_format_of_any_length_is_told_in_short(write: Write) -> None:
    assert len(refused(write(lambda raw: raw.update(format="x" * 10_000)), "xxx").detail) < 1000


def test_a_bad_field_in_code_is_not_told_either() -> None:
    with pytest.raises(ValidationError, match="categories") as caught:
        Manifest.model_validate({"categories": "canary"})
    assert "canary" not in str(caught.value)


# The one that ships -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped(model: Path) -> Artefact:
    return load(model)


@pytest.mark.models
def test_the_model_that_ships_belongs_to_the_encoders_that_ship(
    shipped: Artefact, text_encoder: TextEncoder
) -> None:
    encoders = shipped.manifest.encoders
    assert encoders["speech"].name == WHISPER_TINY_EN.name
    assert encoders["speech"].files == WHISPER_TINY_EN.files
    assert encoders["text"].width == text_encoder.width
    for name in (ENCODER, TOKENIZER):
        assert encoders["text"].files[name] == shipped.manifest.files[name]


@pytest.mark.models
def test_the_model_that_ships_scores_what_the_taxonomy_names(shipped: Artefact) -> None:
    scored = shipped.manifest
    assert set(scored.categories) <= set(CATEGORIES)
    assert set(scored.events) <= set(EVENTS)
    assert set(scored.event_thresholds) <= set(scored.events)
    assert {c for row in scored.strengths.values() for c in row} <= set(scored.categories)


@pytest.mark.models
def test_the_model_that_ships_is_small_and_holds_no_pickle(model: Path) -> None:
    files = [file for file in model.rglob("*") if file.is_file()]
    assert {str(file.relative_to(model)) for file in files} <= FILES | {MANIFEST, "README.md"}
    assert sum(file.stat().st_size for file in files) < 60e6


# What it has seen, and what its vectors were scaled by ----------------------------------------


def test_the_rows_that_its_encoder_was_tuned_on_come_back(write: Write) -> None:
    assert tuned(write(seen=seen_to_bytes([3], [7, 5]))) == {5, 7}


def test_a_model_of_before_says_of_no_row_that_its_encoder_was_tuned_on_it(write: Write) -> None:
    assert tuned(write(seen=tensors_to({"rows": np.array([3], np.uint64)}))) == set()


def test_the_rows_that_it_has_seen_come_back(write: Write) -> None:
    assert seen(write()) == {1, 3, 2**64 - 1}


@pytest.mark.parametrize("content", [b"", b"no tensors", tensors_to({"other": np.zeros(1)})])
def test_seen_rows_that_cannot_be_read_are_refused(write: Write, content: bytes) -> None:
    with pytest.raises(ArtefactRefused, match=SEEN):
        seen(write(seen=content))


@pytest.mark.parametrize("kind", ["text", "sound"])
@pytest.mark.parametrize(
    "change",
    [
        lambda array: None,
        lambda array: array[:-1],
        lambda array: array.astype(np.float64),
        lambda array: np.full_like(array, np.nan),
        lambda array: np.zeros_like(array),
    ],
)
def test_a_scaling_that_cannot_be_used_is_refused(write: Write, kind: str, change: Any) -> None:
    name = f"{kind}.scale"
    refused(write(heads=changed_heads(**{f"{kind}__scale": change(TENSORS[name])})), "deviation")


def test_the_digest_is_of_everything_but_the_time(write: Write) -> None:
    def digest(change: Change = lambda raw: None) -> str:
        return load(write(change)).manifest.digest

    first = digest()
    assert digest(lambda raw: raw.update(created="2027-01-01T00:00:00+00:00")) == first
    others = [
        digest(lambda raw: raw.update(name="triage-test-2")),
        digest(lambda raw: raw.update(event_thresholds={"scream": 0.4})),
        digest(lambda raw: raw.update(parent={"name": "p", "digest": "0"})),
        digest(lambda raw: raw.update(positives={"violence": 3})),
    ]
    assert len({first, *others}) == 5


@pytest.mark.parametrize(
    "histogram",
    [
        {"edges": [], "counts": [1]},
        {"edges": [0.5], "counts": [1]},
        {"edges": [0.5, 0.5], "counts": [1, 2, 3]},
        {"edges": [0.5], "counts": [1, -1]},
    ],
)
def test_a_reference_that_does_not_hold_together_is_refused(
    write: Write, histogram: dict[str, Any]
) -> None:
    refused(write(lambda raw: raw.update(reference={"category violence": histogram})), "reference")
