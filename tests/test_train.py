"""Training end to end on a few made-up rows, and what a run that is stopped or refused leaves.

The words are colours and fruits, the sounds tones and noise. One run hears with the real encoder;
the others with a stand-in that is faster, and that counts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import wave
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triage.artefact import HEADS, load, seen, tuned
from triage.encoder import SAMPLES_PER_FRAME, Encoded
from triage.errors import ArtefactRefused, LabelsRefused, TriageError
from triage.manifest import MANIFEST, Manifest, Parent, read_manifest
from triage.pipeline import Triage
from triage.records import SAMPLE_RATE, Floats, Recording, Report, Scores
from triage.settings import Settings
from triage.text import TextEncoder
from triage.training import features
from triage.training.features import VARIANTS
from triage.training.plan import Plan
from triage.training.train import train
from triage.weights import sha256

pytestmark = pytest.mark.models

COLOURS = ("red", "green", "blue", "yellow", "purple", "white", "grey")
FRUITS = ("apple", "pear", "cherry", "melon", "banana", "plum", "grape")
LINES = ("i like {}", "is it {} or not", "show me {} please", "{} is on the list", "what about {}")
CLIPS = 32
Row = dict[str, Any]


class Listener:
    """Stands in for Whisper's encoder: level and roughness of each frame."""

    heard = 0
    width = 2

    def __init__(self, folder: Path, workers: int) -> None:
        pass

    def encode(self, samples: Floats) -> Encoded:
        type(self).heard += 1
        whole = len(samples) // SAMPLES_PER_FRAME
        cut = samples[: whole * SAMPLES_PER_FRAME].reshape(whole, -1)
        frames = np.stack((cut.std(axis=1), np.diff(cut, axis=1).std(axis=1)), axis=1)
        return Encoded(np.log(frames + 1e-4).astype(np.float32), None)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> type[Listener]:
    """The stand-in, in place of the encoder and its weights."""
    monkeypatch.setattr("triage.training.featured.SpeechEncoder", Listener)
    monkeypatch.setattr("triage.training.featured.resolve", lambda weights, place: Path())
    monkeypatch.setattr(Listener, "heard", 0)
    return Listener


@pytest.fixture
def unheard(listener: type[Listener], monkeypatch: pytest.MonkeyPatch) -> type[Listener]:
    """The stand-in, as wide as the encoder that a base was fitted on; it can't hear."""
    monkeypatch.setattr(Listener, "width", 384)
    return listener


def texts() -> list[Row]:
    """Every line with every word; each word is a group, the last of either kind to measure on."""
    number = count()
    return [
        {
            "id": f"t{next(number)}",
            "text": line.format(word),
            "labels": {"colour": label, "directed": 1}
            | ({"rare": label} if word in ("red", "apple") else {}),
            "source": "words",
            "licence": "CC0",
            "group": word,
            "split": "val" if word == words[-1] else "train",
        }
        for label, words in enumerate((FRUITS, COLOURS))
        for word in words
        for line in LINES
    ]


def clips(folder: Path) -> list[Row]:
    """Half tones, half noise, of half a second; every fourth to measure on."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    time = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    rows = []
    for n in range(CLIPS):
        tone = np.sin(2 * np.pi * rng.uniform(400, 900) * time)
        save(folder / f"{n}.wav", tone if n % 2 else rng.uniform(-1, 1, len(time)))
        rows.append(
            {
                "id": f"c{n}",
                "audio": f"{n}.wav",
                "events": {"siren": n % 2, "environment": 1 - n % 2},
                "source": "sounds",
                "licence": "CC0",
                "group": f"c{n}",
                "split": "val" if n % 8 in (3, 6) else "train",
            }
        )
    return rows


def save(file: Path, sound: Floats) -> None:
    with wave.open(str(file), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes((sound * 16000).astype("<i2").tobytes())


def write(file: Path, rows: Iterable[Row]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def planned(folder: Path, model: Path) -> Plan:
    """A plan over rows written to a folder, for a model beside them."""
    return Plan(
        data=(
            write(folder / "texts.jsonl", texts()),
            write(folder / "clips" / "clips.jsonl", clips(folder / "clips")),
        ),
        out=folder / "out" / "model",
        name="colours-1",
        base=model,
        anew=True,
        cache=folder / "cache",
    )


@pytest.fixture
def plan(tmp_path: Path, model: Path) -> Plan:
    return planned(tmp_path, model)


def rewritten(file: Path, changes: Mapping[str, Row]) -> None:
    """Changes rows of a file by their id."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    write(file, [row | changes.get(row["id"], {}) for row in rows])


def quiet(stage: str, done: int, total: int) -> None:
    pass


def run(plan: Plan, report: Report = quiet) -> Manifest:
    return train(plan, Settings(threads=2, state=plan.cache), report).manifest


def heads(plan: Plan) -> str:
    return sha256(plan.out / HEADS)


def left_over(plan: Plan) -> list[str]:
    """What stands beside the model and isn't the model."""
    return [one.name for one in plan.out.parent.iterdir() if one != plan.out]


# With the real encoder ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Plan, Manifest, list[Any]]:
    """A plan, the model that was made of it, and what was told meanwhile."""
    told: list[tuple[str, int, int]] = []
    plan = planned(tmp_path_factory.mktemp("real"), model)
    manifest = run(plan, lambda *progress: told.append(progress))
    return plan, manifest, told


def test_a_trained_model_loads_and_scores(real: tuple[Plan, Manifest, list[Any]]) -> None:
    plan, manifest, _ = real
    triage = Triage.load(Settings(model=plan.out, threads=2))
    assert triage.artefact.manifest == manifest

    def scored(line: str, clip: int) -> Scores:
        audio = plan.data[1].parent / f"{clip}.wav"
        scores = triage.score(Recording("a", audio, line.format("both")))
        assert scores.failures == {}
        return scores

    tone, noise = scored("i like turquoise", 3), scored("i like oranges", 6)
    assert (tone.model, tuple(tone.categories)) == ("colours-1", ("colour",))
    assert tone.categories["colour"] > noise.categories["colour"]
    assert tone.event_scores["siren"] > 0.5 > noise.event_scores["siren"]
    assert {event.event for event in tone.events} == {"siren"}


def test_the_manifest_says_what_the_model_was_made_from(
    real: tuple[Plan, Manifest, list[Any]], model: Path
) -> None:
    plan, manifest, _ = real
    base = read_manifest(model)
    assert read_manifest(plan.out) == manifest
    assert (manifest.categories, manifest.events) == (("colour",), ("siren", "environment"))
    assert set(manifest.event_thresholds) == {"siren"}
    assert manifest.encoders["text"] == base.encoders["text"]
    assert [(n.kind, n.source, n.licence, n.train, n.val) for n in manifest.lineage] == [
        ("text", "words", "CC0", 60, 10),
        ("audio", "sounds", "CC0", 24, 8),
    ]
    assert manifest.training["rows"] == 70 + CLIPS
    assert manifest.parent == Parent(name=base.name, digest=base.digest)
    assert len(seen(plan.out)) == 60 + 24
    assert manifest.training["too_few_labels"] == ["rare"]
    assert manifest.training["undecodable_clips"] == 0
    figures = {name: [row["name"] for row in rows] for name, rows in manifest.metrics.items()}
    assert figures == {"text, val": ["colour"], "sound, val": ["siren", "environment"]}
    (siren, _) = manifest.metrics["sound, val"]
    assert (siren["positives"], siren["negatives"]) == (4, 4)
    assert siren["auroc"]["value"] > 0.8
    assert manifest.name in (plan.out / "README.md").read_text()
    assert left_over(plan) == []


def test_progress_is_told_by_stage(real: tuple[Plan, Manifest, list[Any]]) -> None:
    _, _, told = real
    last = {stage: (done, total) for stage, done, total in told}
    assert last == {
        "reading the rows": (70 + CLIPS, 70 + CLIPS),
        "looking for leaks": (70 + CLIPS, 70 + CLIPS),
        "text features": (70, 70),
        "text heads": (1, 1),
        "sound features": (CLIPS, CLIPS),
        "sound heads": (2, 2),
    }


def test_recordings_labelled_as_a_whole_are_heard_and_the_fusion_is_fitted(
    tmp_path: Path, model: Path, samples: Path
) -> None:
    """No transcript comes with them, so their words are what the transcriber hears."""
    rows = [
        {
            "id": f"r{n}",
            "audio": str(samples / ("threat.mp3" if n % 2 else "timer.wav")),
            "labels": {"violence": n % 2},
            "source": "service",
            "split": "train",
        }
        for n in range(24)
    ]
    file = write(tmp_path / "recordings.jsonl", rows)
    told: set[str] = set()
    manifest = run(
        Plan((file,), tmp_path / "out" / "model", "heard-1", model, cache=tmp_path / "cache"),
        lambda stage, done, total: told.add(stage) if (done, total) == (24, 24) else None,
    )
    assert {"words in recordings", "sound features"} <= told
    assert manifest.training["fitted"] == ["violence"]
    assert manifest.training["fusion_fitted"] == ["violence"]
    before = read_manifest(model).strengths
    speaking = [event for event, row in before.items() if "violence" in row]
    assert any(manifest.strengths[e]["violence"] != before[e]["violence"] for e in speaking)
    assert manifest.strengths["cry"]["distress"] == before["cry"]["distress"]


# Again and again ---------------------------------------------------------------------------


def test_the_same_rows_and_seed_give_the_same_heads(plan: Plan, listener: type[Listener]) -> None:
    run(plan)
    again = replace(plan, out=plan.out.with_name("again"), cache=plan.cache.with_name("anew"))
    other = replace(plan, out=plan.out.with_name("other"), seed=1)
    run(again)
    run(other)
    assert heads(plan) == heads(again) != heads(other)
    one, two, three = (read_manifest(each.out) for each in (plan, again, other))
    assert one.digest == two.digest != three.digest
    assert listener.heard == 3 * CLIPS * VARIANTS


def test_a_run_that_was_stopped_goes_on_and_leaves_the_old_model(
    plan: Plan, listener: type[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "SOUND_BLOCK", 8)
    read: list[int] = []
    pooled = TextEncoder.pooled
    monkeypatch.setattr(
        TextEncoder, "pooled", lambda self, texts: read.append(len(texts)) or pooled(self, texts)
    )
    plan.out.mkdir(parents=True)
    (plan.out / MANIFEST).write_text("the old one")

    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("sound features", 16):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, stop)
    assert (plan.out / MANIFEST).read_text() == "the old one"
    assert left_over(plan) == []
    assert listener.heard == 16 * VARIANTS
    run(plan)
    assert load(plan.out).manifest.name == "colours-1"
    assert listener.heard == CLIPS * VARIANTS
    assert read == [70]
    assert left_over(plan) == []


@pytest.mark.parametrize("failing", [1, 2])
def test_when_the_new_model_cannot_take_its_place_the_old_one_stands(
    plan: Plan, listener: type[Listener], model: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model, plan.out)
    rename, calls = Path.rename, count(1)

    def fails_once(self: Path, target: Path) -> Path:
        if next(calls) == failing:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", fails_once)
        with pytest.raises(OSError, match="No space"):
            run(plan)
    assert load(plan.out).manifest == read_manifest(model)
    assert left_over(plan) == []


# What is left out --------------------------------------------------------------------------


def test_excluded_licences_are_not_in_the_lineage(plan: Plan, listener: type[Listener]) -> None:
    rewritten(
        plan.data[0], {f"t{n}": {"licence": "CC-BY-NC", "source": "barred"} for n in range(5)}
    )
    rewritten(plan.data[1], {"c1": {"licence": "CC-BY-NC", "audio": "gone.wav"}})
    kept = run(replace(plan, exclude_licences=("nc",)))
    assert [(note.kind, note.source, note.train) for note in kept.lineage] == [
        ("text", "words", 55),
        ("audio", "sounds", 23),
    ]
    assert kept.training["excluded_licences"] == ["nc"]
    assert listener.heard == (CLIPS - 1) * VARIANTS


def test_a_clip_that_does_not_decode_is_counted(plan: Plan, listener: type[Listener]) -> None:
    (plan.data[1].parent / "1.wav").write_bytes(b"no sound")
    assert run(plan).training["undecodable_clips"] == 1


def test_rows_that_cannot_be_used_are_told_and_the_others_are(
    plan: Plan, listener: type[Listener]
) -> None:
    (plan.data[1].parent / "9.wav").unlink()
    rewritten(plan.data[0], {"t3": {"labels": {"colour": 7}}})
    trained = train(plan, Settings(threads=2, state=plan.cache), quiet)
    assert [(one.file, one.row, one.field) for one in trained.problems] == [
        ("texts.jsonl", 4, "labels"),
        ("clips.jsonl", 10, "audio"),
    ]
    assert trained.manifest.training["bad_rows"] == 2
    assert trained.manifest.training["rows"] == 68 + CLIPS


def test_leaks_are_refused_or_left_out(plan: Plan, listener: type[Listener]) -> None:
    line = "somebody said that this is the very same line with a colour in it"
    rewritten(plan.data[0], {"t0": {"text": line}, "t69": {"text": line}})
    with pytest.raises(LabelsRefused, match="t69 like t0"):
        run(plan)
    assert listener.heard == 0
    told = run(replace(plan, drop_leaks=True)).training
    assert (told["leaking_rows_left_out"], told["rows"]) == (1, 69 + CLIPS)


def test_only_the_categories_that_are_asked_for(plan: Plan, listener: type[Listener]) -> None:
    rewritten(
        plan.data[0], {f"t{n}": {"labels": {"colour": n // 35, "size": n % 2}} for n in range(70)}
    )
    assert run(plan).categories == ("colour", "size")
    assert run(replace(plan, categories=("size",))).categories == ("size",)


# From a base -------------------------------------------------------------------------------


def test_what_the_rows_say_nothing_of_is_kept_from_the_base(
    plan: Plan, unheard: type[Listener], model: Path
) -> None:
    before = load(model)
    manifest = run(replace(plan, data=plan.data[:1], anew=False))
    after = load(plan.out)
    assert manifest.categories == (*before.manifest.categories, "colour")
    assert manifest.events == before.manifest.events
    assert manifest.event_thresholds == before.manifest.event_thresholds
    assert np.array_equal(after.sound.weights, before.sound.weights)
    assert np.array_equal(after.text.weights[:-1], before.text.weights)
    assert (manifest.training["heads"], manifest.training["fitted"]) == (
        "from the base's",
        ["colour"],
    )
    assert seen(model) < seen(plan.out)
    assert {note.source for note in manifest.lineage} > {"words"}
    assert unheard.heard == 0


def test_from_model_to_model_only_new_rows_are_fitted_on(
    plan: Plan, unheard: type[Listener]
) -> None:
    first = run(replace(plan, data=plan.data[:1], anew=False))
    with pytest.raises(LabelsRefused, match="all of these 60 rows already"):
        run(replace(plan, data=plan.data[:1], base=plan.out, anew=False))
    more = [row | {"id": f"n{row['id']}", "text": f"well {row['text']}"} for row in texts()]
    file = write(plan.data[0].with_name("more.jsonl"), more)
    out = plan.out.with_name("second")
    second = run(replace(plan, data=(*plan.data[:1], file), base=plan.out, out=out, anew=False))
    assert second.parent == Parent(name=first.name, digest=first.digest)
    counts = {n.source: n.train for n in second.lineage if n.kind == "text"}
    assert counts["words"] == 120
    assert len(seen(out)) == len(seen(plan.out)) + 60


def test_with_all_rows_of_the_base_the_heads_are_fitted_anew(
    plan: Plan, listener: type[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(plan)  # its base's rows are unknown, so this one has seen these rows and no others
    again = replace(plan, base=plan.out, out=plan.out.with_name("again"), anew=False)
    assert run(again).training["heads"] == "anew"
    assert heads(again) == heads(plan)


def test_a_licence_that_is_left_out_is_not_in_the_heads_of_the_base_either(
    plan: Plan, listener: type[Listener], tmp_path: Path
) -> None:
    assert plan.base is not None
    frozen = shutil.copytree(plan.base, tmp_path / "frozen")
    manifest = read_manifest(frozen)
    told = {**manifest.training, "text_encoder_tuned": False}
    changed = manifest.model_copy(update={"training": told})
    (frozen / MANIFEST).write_text(changed.model_dump_json())
    found = run(replace(plan, base=frozen, anew=False, exclude_licences=("NC",)))
    assert found.training["heads"] == "anew"
    assert found.categories == ("colour",)


def test_what_the_encoder_of_the_base_was_tuned_on_is_not_forgotten(
    plan: Plan, listener: type[Listener]
) -> None:
    assert plan.base is not None
    assert run(plan).training["text_encoder_tuned"] is True
    assert tuned(plan.out) == tuned(plan.base)
    assert len(tuned(plan.out)) > 100_000


def test_rows_that_the_encoder_was_tuned_on_dont_calibrate(
    plan: Plan, listener: type[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run(plan)
    rows = seen(plan.out)
    some = frozenset(sorted(rows)[: len(rows) // 2])
    monkeypatch.setattr("triage.training.encoders.artefact.tuned", lambda folder: some)
    after = run(replace(plan, out=plan.out.with_name("half")))
    assert after.files[HEADS] != before.files[HEADS]
    assert np.array_equal(
        load(plan.out).text.weights, load(plan.out.with_name("half")).text.weights
    )  # they are fitted on, and don't calibrate


def test_an_encoder_that_was_tuned_on_what_is_left_out_is_refused(
    plan: Plan, listener: type[Listener]
) -> None:
    with pytest.raises(LabelsRefused, match=r"tuned on rows that \['NC'\] leave out"):
        run(replace(plan, anew=False, exclude_licences=("NC",)))


def test_labels_too_few_for_anything_leave_nothing_to_train(
    plan: Plan, unheard: type[Listener]
) -> None:
    rewritten(plan.data[0], {f"t{n}": {"labels": {}} for n in range(9, 70)})
    with pytest.raises(LabelsRefused, match="colour has 0 positives in 0 groups and 9 negatives"):
        run(replace(plan, data=plan.data[:1], anew=False))


def test_a_full_disk_leaves_the_old_model(plan: Plan, model: Path, tmp_path: Path) -> None:
    """In a process of its own, whose files may not grow over 3 MB: the encoder alone has 22."""
    shutil.copytree(model, plan.out)
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))\n"
        "from triage.__main__ import main\n"
        "main()\n"
    )
    command = ["train", "--data", plan.data[0], "--base", model, "--name", "x", "--out", plan.out]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, command), "--cache", str(plan.cache)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TRIAGE_STATE": str(tmp_path / "state")},
    )
    assert (done.returncode, "disk is full" in done.stderr) == (1, True), done.stderr
    assert load(plan.out).manifest == read_manifest(model)
    assert left_over(plan) == []


def test_too_few_labels_of_everything_are_refused_with_numbers(
    plan: Plan, listener: type[Listener]
) -> None:
    rewritten(plan.data[0], {f"t{n}": {"labels": {}} for n in range(9, 70)})
    with pytest.raises(LabelsRefused, match="10 items of each label in 5 groups") as caught:
        run(plan)
    assert caught.value.limit == 10
    assert left_over(plan) == []


def test_without_rows_to_measure_on_there_are_no_figures(
    plan: Plan, listener: type[Listener]
) -> None:
    rewritten(plan.data[0], {f"t{n}": {"split": "train"} for n in range(70)})
    manifest = run(plan)
    (colour,) = manifest.metrics["text, val"]
    assert (colour["positives"], colour["negatives"], colour["auroc"]) == (0, 0, None)


def test_a_base_that_was_changed_is_refused(
    plan: Plan, listener: type[Listener], model: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(model, tmp_path / "base")
    with (base / HEADS).open("ab") as file:
        file.write(b"!")
    with pytest.raises(ArtefactRefused, match=HEADS):
        run(replace(plan, base=base))
    assert listener.heard == 0


def test_a_name_that_no_model_may_have_is_refused_at_once(
    plan: Plan, listener: type[Listener]
) -> None:
    with pytest.raises(TriageError):
        run(replace(plan, name="Not A Name"))
    assert listener.heard == 0
