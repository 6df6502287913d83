"""Fine-tuning, on a random encoder of two layers and made-up words.

What needs torch is skipped without it; `make test-train` has it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triage.errors import ArtefactRefused, BadSetting, LabelsRefused
from triage.manifest import Manifest
from triage.pipeline import Triage
from triage.records import Recording
from triage.settings import Settings
from triage.text import WINDOW, TextEncoder, TokenWindow
from triage.training import copies, examples, finetune
from triage.training.checkpoint import Checkpoint, run_key
from triage.training.copies import Options
from triage.training.examples import CASES, FEWEST, Draw, fewer, framed, held_out, misheard, shares
from triage.training.finetune import FILES, SHARES, Tuned
from triage.training.plan import Plan
from triage.training.train import train
from triage.training.tuner import Tuner, averaged, pace
from triage.weights import MINILM_L6, WeightsNotFound, resolve

WORDS = [a + b for a in "bdfgklmnpr" for b in ("a", "e", "i", "o", "u")]
SOME = (WORDS[:2], WORDS[2:4])
ROWS = 160
OPTIONS = Options(
    copies=1,
    epochs=2,
    rows=120,
    batch=8,
    learning_rate=1e-3,
    frozen_layers=1,
    held_out=0.25,
    checkpoint_every=4,
    threads=1,
)


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="needs the [train] extra; make test-train has it")


@pytest.fixture(scope="module")
def tiny(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder of two layers, 32 wide, with a word for each piece."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = {piece: n for n, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(6)  # as the real one, it comes with a cut that is not ours
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def rows(count: int = ROWS) -> dict[str, Any]:
    """Pairs of words; labelled are one of them, and, for no linear head, one without the other."""
    chance = np.random.default_rng(3)
    texts = [
        [WORDS[n] for n in chance.integers(0, 10, chance.integers(1, 9))] for _ in range(count)
    ]
    one, other = (np.array([bool({*words} & {*some}) for words in texts]) for some in SOME)
    labels = np.stack([one, one != other], axis=1).astype(np.float32)
    labels[chance.random(labels.shape) < 0.1] = np.nan
    labels[labels[:, 0] == 1, 0] = 0.8
    return {
        "texts": texts,
        "labels": labels,
        "sources": chance.integers(0, 2, count),
        "groups": np.arange(count) // 2,
        "weights": np.ones(count, np.float32),
    }


def drawn(tuned: Tuned) -> int:
    """Rows of an epoch."""
    return min(OPTIONS.rows, len(tuned.tuned_on))


def quiet(stage: str, done: int, total: int) -> None:
    pass


def run(source: Path, folder: Path, options: Options = OPTIONS, **other: Any) -> Tuned:
    given_ = rows() | {"report": quiet} | other
    return finetune.finetune(
        source, out=folder / "out", options=options, work=folder / "work", **given_
    )


def weights(folder: Path) -> bytes:
    return (folder / "out" / "model.safetensors").read_bytes()


# What is tuned on --------------------------------------------------------------------------


@given(
    groups=st.lists(st.integers(0, 20), min_size=1, max_size=80),
    share=st.floats(0.05, 0.5),
    seed=st.integers(0, 9),
)
def test_whole_groups_are_held_out_with_both_labels_of_every_name(
    groups: list[int], share: float, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    of = np.array(groups)
    labels = chance.choice([0, 0, 0, 1, np.nan], (len(of), 3)).astype(np.float32)
    held = held_out(of, labels, share, np.random.default_rng(seed))
    assert set(of[held]) & set(of[~held]) == set()
    assert len(set(of[held])) >= round(share * len(set(groups)))
    for column in labels.T:
        for label in (0, 1):
            those = set(of[column == label])
            if len(those) > 1:
                assert len(those & set(of[held])) >= max(round(share * len(those)), 1)


def test_about_the_share_is_held_out() -> None:
    groups = np.repeat(np.arange(200), 3)
    labels = (np.arange(600) % 7 == 0).astype(np.float32)[:, None]
    assert 0.09 < held_out(groups, labels, 0.1, np.random.default_rng(0)).mean() < 0.12


def test_a_share_of_votes_is_an_example_of_both_labels_and_unknown_of_none() -> None:
    yes, no = shares(np.array([[1, 0, 0.25, np.nan]], np.float32))
    assert yes.tolist() == [[1, 0, 0.25, 0]]
    assert no.tolist() == [[0, 1, 0.75, 0]]


def test_a_source_is_drawn_by_the_square_root_of_its_size() -> None:
    sources = np.repeat([0, 1, 0, 1], [160, 40, 160, 40])
    labels = np.repeat([1.0, 0.0], 200).astype(np.float32)[:, None]
    drawn = Draw(labels, sources, np.ones(400, np.float32))(6000, np.random.default_rng(0))
    cases = labels[drawn, 0] == 1
    assert cases.mean() == pytest.approx(CASES)
    for label in (cases, ~cases):
        counts = np.bincount(sources[drawn[label]])
        assert counts[0] / counts[1] == pytest.approx(2, rel=0.15)


def test_a_rare_name_is_drawn_as_often_as_the_root_of_its_cases() -> None:
    labels = np.zeros((410, 2), np.float32)
    labels[:400, 0], labels[400:404, 1] = 1, 1
    draw = Draw(labels, np.zeros(410, np.int64), np.ones(410, np.float32))
    found = labels[draw(5000, np.random.default_rng(0))].sum(axis=0)
    assert found[0] / found[1] == pytest.approx(10, rel=0.25)


def test_a_row_that_weighs_nothing_is_never_drawn() -> None:
    labels = np.array([[1], [1], [0], [0]], np.float32)
    draw = Draw(labels, np.zeros(4, np.int64), np.array([1, 0, 1, 0], np.float32))
    assert set(draw(200, np.random.default_rng(0))) == {0, 2}


@pytest.mark.parametrize("label", [0, 1])
def test_rows_of_one_kind_are_all_that_is_drawn(label: int) -> None:
    labels = np.full((5, 1), label, np.float32)
    draw = Draw(labels, np.zeros(5, np.int64), np.ones(5, np.float32))
    assert len(draw(50, np.random.default_rng(0))) == 50


@given(count=st.integers(3, 60), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_misheard_text_keeps_its_frame_and_its_order(count: int, share: float, seed: int) -> None:
    ids = np.arange(count)
    heard = misheard(ids, share, np.random.default_rng(seed))
    assert heard[0] == 0
    assert heard[-1] == count - 1
    assert sorted(heard) == heard.tolist()
    if count - 2 <= FEWEST or share == 0:
        assert len(heard) == count


def test_pieces_are_dropped_by_their_share() -> None:
    heard = misheard(np.arange(2002), 0.1, np.random.default_rng(0))
    assert len(heard) == pytest.approx(1802, abs=40)


@given(lengths=st.lists(st.integers(2, 96), min_size=1, max_size=200), size=st.integers(1, 9))
def test_every_row_is_in_one_batch(lengths: list[int], size: int) -> None:
    cut = examples.batches(np.array(lengths), size, np.random.default_rng(0))
    assert sorted(np.concatenate(cut).tolist()) == list(range(len(lengths)))
    assert max(map(len, cut)) <= size
    assert len(cut) == -(-len(lengths) // size)


def test_batches_hold_texts_of_about_one_length_in_an_order_of_chance() -> None:
    lengths = np.random.default_rng(0).integers(2, 97, 400)
    cut = examples.batches(lengths, 8, np.random.default_rng(0))
    assert np.mean([np.ptp(lengths[one]) for one in cut]) < 6
    first = [lengths[one[0]] for one in cut]
    assert sorted(first) != first


def test_of_too_many_rows_positives_are_kept_first() -> None:
    labels = np.zeros((100, 1), np.float32)
    labels[::20] = 1
    kept = fewer(labels, 20, np.random.default_rng(0))
    assert len(kept) == 20
    assert set(np.arange(0, 100, 20)) < set(kept.tolist())
    assert len(fewer(labels, 200, np.random.default_rng(0))) == 100


def test_the_pace_rises_and_falls() -> None:
    paces = [pace(step, 100, 0.1) for step in range(100)]
    assert paces.index(max(paces)) in (9, 10)
    assert max(paces) == pytest.approx(1)
    assert paces[:10] == sorted(paces[:10])
    assert paces[10:] == sorted(paces[10:], reverse=True)
    assert 0 < paces[-1] < 0.05
    assert paces[0] > 0


def test_without_the_extra_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BadSetting, match=r"torch.*pip install 'triage\[train\]'"):
        run(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_known_by_all_that_it_depends_on() -> None:
    assert run_key([b"ab", b"c"]) != run_key([b"a", b"bc"]) != run_key([b"abc"])
    assert run_key([b"ab", b"c"]) == run_key(iter([b"ab", b"c"]))


# The encoder -------------------------------------------------------------------------------


def test_texts_are_cut_framed_and_pooled_as_in_service(torch: Any, tiny: Path) -> None:
    from transformers import BertModel

    texts = [WORDS[:3], WORDS[:40] * 3, WORDS[4:5]]
    tokens = framed(tiny, texts)
    assert [len(ids) for ids in tokens] == [5, WINDOW + 2, 3]
    assert {(ids[0], ids[-1]) for ids in tokens} == {(2, 3)}
    model = BertModel.from_pretrained(tiny).eval()
    with torch.no_grad():
        alone = [model(torch.tensor(ids[None])).last_hidden_state[0].numpy() for ids in tokens]
    expected = [TokenWindow(states, np.empty(0, np.int64)).pooled for states in alone]
    np.testing.assert_allclose(Tuner(tiny, 2, 1).vectors(tokens), expected, atol=1e-6)


@pytest.mark.models
def test_ids_are_those_of_service(torch: Any, text_encoder: TextEncoder) -> None:
    try:
        source = resolve(MINILM_L6)
    except WeightsNotFound:
        pytest.skip("needs the float encoder's weights")
    texts = [["i", "can't", "breathe"], ["supercalifragilistic"] * 40]
    for ours, words in zip(framed(source, texts), texts, strict=True):
        np.testing.assert_array_equal(ours, text_encoder._cut(words)[0][0])


def test_only_the_upper_layers_learn(torch: Any, tiny: Path) -> None:
    tuner = Tuner(tiny, 2, 1)
    before = {name: one.clone() for name, one in tuner.model.state_dict().items()}
    ones = np.ones((2, 2), np.float32)
    tuner.step(framed(tiny, [WORDS[:3], WORDS[3:5]]), ones, 0 * ones, 1e-2)
    changed = {n for n, one in tuner.model.state_dict().items() if not torch.equal(one, before[n])}
    assert changed == {n for n in before if n.startswith("encoder.layer.1.")}


def test_a_step_raises_what_is_yes_and_lowers_what_is_no(torch: Any, tiny: Path) -> None:
    tuner = Tuner(tiny, 2, 1)
    tokens = framed(tiny, [WORDS[:3]])
    before = tuner.logits(tokens)[0]
    for _ in range(10):
        tuner.step(tokens, np.float32([[1, 0]]), np.float32([[0, 1]]), 1e-2)
    after = tuner.logits(tokens)[0]
    assert after[0] > before[0] + 0.1
    assert after[1] < before[1] - 0.1


def test_an_average_lies_between() -> None:
    first, second = {"a": np.float32([0, 2])}, {"a": np.float32([4, 2])}
    assert [averaged(first, second, share)["a"].tolist() for share in (0.0, 0.25, 1.0)] == [
        [0, 2],
        [1, 2],
        [4, 2],
    ]


def test_with_every_layer_frozen_there_is_nothing_to_tune(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="2 frozen layers of 2"):
        run(tiny, tmp_path, replace(OPTIONS, frozen_layers=2))


# A whole run -------------------------------------------------------------------------------


def test_the_same_rows_and_seed_give_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, learning_rate=1e-2, epochs=6)
    one, two = (run(tiny, tmp_path / name, options) for name in "ab")
    run(tiny, tmp_path / "c", replace(options, seed=1))
    assert one == two
    assert not one.pretrained
    assert weights(tmp_path / "a") == weights(tmp_path / "b") != weights(tmp_path / "c")
    assert one.by_share[one.share] == max(one.by_share.values()) > one.by_share[0]
    assert tuple(one.by_share) == SHARES
    assert (len(one.tuned_on) + one.held_out, 1 <= one.epochs[0] <= 6) == (ROWS, True)
    assert sorted(file.name for file in (tmp_path / "a" / "out").iterdir()) == sorted(FILES)
    assert [one.name for one in (tmp_path / "a").iterdir() if one.name.startswith(".")] == []


def test_copies_are_averaged_and_hold_out_the_same_rows(
    torch: Any, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "SHARES", (0.0, 1.0))
    options, stages = replace(OPTIONS, learning_rate=1e-2, copies=2), dict[str, None]()
    one = run(tiny, tmp_path / "one", replace(options, copies=1))
    two = run(tiny, tmp_path / "two", options, report=lambda s, *_: stages.setdefault(s))
    assert list(stages) == [
        f"{stage}, copy {n}" for n in (1, 2) for stage in ("first head", "fine-tuning")
    ]
    assert len(two.epochs) == 2
    assert (two.held_out, list(two.tuned_on)) == (one.held_out, list(one.tuned_on))
    states = [torch.load(f, weights_only=True) for f in (tmp_path / "two" / "work").iterdir()]
    (alone,) = (torch.load(f, weights_only=True) for f in (tmp_path / "one" / "work").iterdir())
    best = [state["best_weights"] for state in states]
    written = Tuner(tmp_path / "two" / "out", 2, 1).weights()
    layers = [name for name in written if not name.startswith("head.")]
    assert any(not torch.equal(best[0][name], best[1][name]) for name in layers)
    assert all(torch.allclose(written[n], (best[0][n] + best[1][n]) / 2) for n in layers)
    assert any(all(torch.equal(alone["best_weights"][n], b[n]) for n in layers) for b in best)


def test_what_is_written_scored_what_is_told(
    torch: Any, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "SHARES", (0.0, 1.0))
    tuned = run(tiny, tmp_path, replace(OPTIONS, learning_rate=1e-2, epochs=6))
    (file,) = (tmp_path / "work").iterdir()
    state = torch.load(file, weights_only=True)
    best = Tuner(tmp_path / "out", 2, 1)
    written = {n: one for n, one in best.weights().items() if not n.startswith("head.")}
    assert all(torch.equal(one, state["best_weights"][n]) for n, one in written.items())
    assert tuned.by_share[1.0] == state["best"]


@pytest.mark.parametrize("rate", [0.0, 100.0])
def test_tuning_that_is_no_gain_gives_the_pretrained_encoder(
    tiny: Path, tmp_path: Path, rate: float
) -> None:
    # A copy of the row decides the first label, which the frozen encoder's head finds by itself.
    labels = rows()["labels"]
    labels[:, 1] = labels[:, 0]
    tuned = run(tiny, tmp_path, replace(OPTIONS, learning_rate=rate), labels=labels)
    assert tuned.pretrained
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (
        tiny / "model.safetensors"
    ).read_bytes()


def test_it_ends_early_without_gain(tiny: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    options = replace(OPTIONS, learning_rate=0.0, epochs=9, patience=2)
    tuned = run(tiny, tmp_path, options, report=lambda *progress: told.append(progress))
    assert tuned.epochs == (1,)
    stage, done, total = told[-1]
    assert (stage, done, total) == ("fine-tuning", 3 * drawn(tuned), 9 * drawn(tuned))


def test_rows_without_both_labels_are_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelsRefused, match="Of 2 names none"):
        run(tiny, tmp_path, labels=np.zeros((ROWS, 2), np.float32))


def test_what_is_said_stays_out_of_the_checkpoints_name(tiny: Path, tmp_path: Path) -> None:
    run(tiny, tmp_path)
    other: dict[str, Callable[[Any], Any]] = {
        "texts": lambda texts: [[*texts[0], "ba"], *texts[1:]],
        "labels": lambda labels: np.where(np.arange(ROWS)[:, None] == 5, 1, labels),
        "weights": lambda weights: weights * 2,
    }
    for name, change in other.items():
        run(tiny, tmp_path, **{name: change(rows()[name])})
    files = [file.name for file in (tmp_path / "work").iterdir()]
    assert len(files) == 4
    assert {len(name) for name in files} == {35}


# Stopped in the middle ---------------------------------------------------------------------


def killed(source: str, folder: str, at: int, *, writing: bool) -> None:
    """A run that kills itself at a checkpoint: after it, or while it is written."""
    save, write, count = Checkpoint.save, Path.write_bytes, iter(range(1, 1000))

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def saved(self: Checkpoint, state: dict[str, Any]) -> None:
        last = next(count) == at
        if last and writing:
            Path.write_bytes = lambda file, data: die(write(file, data[:1000]))  # type: ignore[assignment, method-assign]
        save(self, state)
        if last:
            die()

    Checkpoint.save = saved  # type: ignore[method-assign]
    run(Path(source), Path(folder))


@pytest.fixture(scope="module")
def unbroken(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    run(tiny, folder)
    return folder


# The first checkpoint is before the first step, the next three every four steps, the fifth ends
# the first epoch.
@pytest.mark.parametrize(
    ("at", "writing", "epochs", "steps"), [(3, True, 0, 4), (4, False, 0, 12), (5, False, 1, 0)]
)
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    tiny: Path, unbroken: Path, tmp_path: Path, at: int, writing: bool, epochs: int, steps: int
) -> None:
    told_to = f"{str(tiny)!r}, {str(tmp_path)!r}, {at}, writing={writing}"
    call = [sys.executable, "-c", f"import test_finetune; test_finetune.killed({told_to})"]
    done = subprocess.run(call, cwd=Path(__file__).parent, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    told: list[tuple[str, int, int]] = []
    tuned = run(tiny, tmp_path, report=lambda *progress: told.append(progress))
    assert weights(tmp_path) == weights(unbroken)
    first = epochs * drawn(tuned) + (steps + 1) * OPTIONS.batch
    assert told[0] == ("fine-tuning", first, OPTIONS.epochs * drawn(tuned))
    assert [file.suffix for file in (tmp_path / "work").iterdir()] == [".pt"]


def test_a_run_that_is_done_is_not_done_again(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    told: list[str] = []
    kept = weights(unbroken)
    run(tiny, unbroken, report=lambda stage, done, total: told.append(stage))
    assert told == []
    assert weights(unbroken) == kept


def test_a_full_disk_leaves_the_checkpoint_before(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    checkpoint.save({"step": 1})

    def full(file: Path, data: bytes) -> None:
        file.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            checkpoint.save({"step": 2})
    assert checkpoint.load() == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["key.pt"]


def test_ctrl_c_loses_not_one_step(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    steps: list[int] = []

    def pressed(stage: str, done: int, total: int) -> None:
        steps.append(done)
        if len(steps) == 6:  # of 4 are in the last checkpoint of its own
            raise KeyboardInterrupt

    told: list[tuple[str, int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        run(tiny, tmp_path, report=pressed)
    assert not (tmp_path / "out").exists()
    run(tiny, tmp_path, report=lambda *progress: told.append(progress))
    assert told[0][:2] == ("fine-tuning", steps[-1] + OPTIONS.batch)
    assert weights(tmp_path) == weights(unbroken)


def test_ctrl_c_within_a_step_waits_for_its_end(
    tiny: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, count = Tuner.step, iter(range(1, 1000))

    def halfway(self: Tuner, *args: Any) -> None:
        if next(count) == 6:
            signal.raise_signal(signal.SIGINT)
        step(self, *args)

    with monkeypatch.context() as pressed:
        pressed.setattr(Tuner, "step", halfway)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, tmp_path)
    told: list[int] = []
    run(tiny, tmp_path, report=lambda stage, done, total: told.append(done))
    assert told[0] == 7 * OPTIONS.batch
    assert weights(tmp_path) == weights(unbroken)


def test_the_first_head_is_not_begun_again(
    tiny: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "BLOCK", 32)
    whole = tmp_path / "whole"
    run(tiny, whole)  # blocks are padded otherwise, so the bytes may be others
    told: list[int] = []

    def pressed(stage: str, done: int, total: int) -> None:
        if done == 64:
            raise KeyboardInterrupt

    encoded: list[int] = []
    vectors = Tuner.vectors
    monkeypatch.setattr(
        Tuner, "vectors", lambda self, texts: encoded.append(len(texts)) or vectors(self, texts)
    )
    with pytest.raises(KeyboardInterrupt):
        run(tiny, tmp_path, report=pressed)
    assert encoded == [32, 32]
    tuned = run(tiny, tmp_path, report=lambda stage, done, total: told.append(done))
    assert told[:2] == [32, 64]
    assert encoded[2:4] == [32, len(tuned.tuned_on) - 96]
    assert weights(tmp_path) == weights(whole)
    assert [file.suffix for file in (tmp_path / "work").iterdir()] == [".pt"]


def test_a_damaged_checkpoint_is_named(torch: Any, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "key")
    checkpoint.save({"step": 1})
    for kept in (100, 0):
        (tmp_path / "key.pt").write_bytes((tmp_path / "key.pt").read_bytes()[:kept])
        with pytest.raises(ArtefactRefused, match=r"key\.pt is damaged"):
            checkpoint.load()


def test_a_full_disk_at_the_end_is_told_as_one(tiny: Path, tmp_path: Path) -> None:
    tuner = Tuner(tiny, 2, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            tuner.save(tmp_path / "model.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# End to end --------------------------------------------------------------------------------


@pytest.mark.models
def test_a_model_with_a_tuned_encoder_loads_and_scores(
    torch: Any, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_train import texts

    try:
        resolve(MINILM_L6)
    except WeightsNotFound:
        pytest.skip("needs the float encoder's weights")
    # The choice is made by a handful of rows here; what is tested is the way of a tuned one.
    monkeypatch.setattr(finetune, "SHARES", (1.0,))
    data = tmp_path / "texts.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in texts()))
    out, cache = tmp_path / "out" / "model", tmp_path / "cache"
    plan = Plan((data,), out, "tuned-1", base=model, finetune=True, cache=cache)
    manifest: Manifest = train(plan, Settings(threads=1, state=tmp_path), quiet).manifest
    assert manifest.encoders["text"].name == "all-MiniLM-L6-v2, 100% tuned, int8"
    assert manifest.training["text_encoder_tuned"] is True
    assert [one.name for one in out.parent.iterdir()] == ["model"]
    triage = Triage.load(Settings(model=out, threads=1))
    red, pear = (
        triage.score(Recording("a", transcript=f"i like {word}")).categories["colour"]
        for word in ("red", "pear")
    )
    assert red > pear
