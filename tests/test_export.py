"""Exporting a random encoder of two layers to int8. What needs torch is skipped without it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triage.errors import BadSetting
from triage.text import WINDOW, TextEncoder
from triage.training import export
from triage.training.examples import framed
from triage.training.export import LINES, Parity, export_text_encoder, parity

WORDS = sorted({word for line in LINES for word in line})


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="needs the [train] extra; make test-train has it")


def encoder(folder: Path, torch: Any, seed: int) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    folder.mkdir()
    vocabulary = {piece: n for n, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def source(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder(tmp_path_factory.mktemp("float") / "encoder", torch, 0)


@pytest.fixture(scope="module")
def exported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Parity]:
    out = tmp_path_factory.mktemp("int8") / "text"
    return out, export_text_encoder(source, out)


def model_of(source: Path) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(source).eval()


def test_what_is_exported_is_what_the_service_loads(
    source: Path, exported: tuple[Path, Parity]
) -> None:
    out, _ = exported
    assert sorted(file.name for file in out.iterdir()) == ["encoder.onnx", "tokenizer.json"]
    served = TextEncoder(out)
    assert served.width == 32
    (window, last) = served.windows([["call"] * (WINDOW + 1)])[0]
    assert (len(window.vectors), len(last.vectors)) == (WINDOW + 2, WINDOW - 47 + 1 + 2)
    assert (out / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


def test_the_int8_encoder_says_what_the_float_one_does(
    torch: Any, source: Path, exported: tuple[Path, Parity]
) -> None:
    out, found = exported
    assert 0.99 < found.lowest <= found.mean <= 1 + 1e-6
    model, cosines = model_of(source), []
    for ids, ours in zip(framed(source, LINES), TextEncoder(out).pooled(LINES), strict=True):
        with torch.no_grad():
            theirs = model(torch.from_numpy(ids[None])).last_hidden_state[0].mean(0).numpy()
        cosines.append(ours @ theirs / np.linalg.norm(theirs))
    assert found.lowest == pytest.approx(min(cosines), abs=1e-4)
    assert found.mean == pytest.approx(np.mean(cosines), abs=1e-4)


def test_no_weights_are_left_in_float_and_attention_is_fused(
    torch: Any, exported: tuple[Path, Parity]
) -> None:
    import onnx

    model = onnx.load(exported[0] / "encoder.onnx")
    stored = {one.data_type for one in model.graph.initializer if np.prod(one.dims) >= 32 * 32}
    assert stored == {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}  # layers and embeddings
    assert sum(node.op_type == "QAttention" for node in model.graph.node) == 2


def test_parity_with_another_encoder_is_low(
    torch: Any, exported: tuple[Path, Parity], tmp_path: Path
) -> None:
    other = encoder(tmp_path / "other", torch, 1)
    found = parity(other, TextEncoder(exported[0]), LINES, model_of(other))
    assert found.lowest <= found.mean < 0.95


@pytest.mark.parametrize(
    ("texts", "compared"),
    [([[], ["call"], ["stop", "now"]], [["call"], ["stop", "now"]]), ([[]], LINES)],
)
def test_the_texts_that_are_given_are_compared(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: Any, compared: Any
) -> None:
    asked: list[Any] = []

    def told(_: Path, served: TextEncoder, texts: Any, __: Any) -> Parity:
        asked.append(texts)
        return Parity(0.9, 0.95)

    monkeypatch.setattr(export, "parity", told)
    assert export_text_encoder(source, tmp_path / "out", texts) == Parity(0.9, 0.95)
    assert asked == [compared]


def test_without_the_extra_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadSetting, match=r"onnx.*pip install 'triage\[train\]'"):
        export_text_encoder(tmp_path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
