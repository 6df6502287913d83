"""Export a sentence encoder from safetensors to the int8 ONNX file that is served.

Needs the `[train]` extra (torch, transformers, onnx); nothing at serving time imports it.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triage.errors import BadSetting
from triage.text import TextEncoder
from triage.training.examples import framed
from triage.weights import MINILM_L6

VERBS = ("play", "call", "find", "stop", "describe", "remember")
THINGS = ("the song from yesterday", "my sister", "a doctor near me", "all alarms now")
LINES = tuple(f"{verb} {thing}".split() for verb in VERBS for thing in THINGS)


@dataclass(frozen=True, slots=True)
class Parity:
    """How near the int8 encoder's vectors are to the float one's.

    Attributes:
        lowest, mean: Cosine similarity over the texts that were compared.
    """

    lowest: float
    mean: float


def export_text_encoder(source: Path, out: Path, texts: Sequence[Sequence[str]] = LINES) -> Parity:
    """Writes `out/encoder.onnx` (int8) and `out/tokenizer.json`.

    The graph takes `input_ids` and `attention_mask`, both int64 of shape (batch, tokens), and
    gives `tokens`, float32 of shape (batch, tokens, width): the last hidden state, not yet
    pooled, since the explanation needs the tokens one by one. Weights are quantised per channel
    to int8 after attention, layer norm and GELU have been fused.

    Args:
        source: Folder of a BERT-shaped encoder in safetensors with `tokenizer.json`.
        out: Folder to write to; made if it isn't there.
        texts: What the two encoders are compared on, each as its `spoken_words`.

    Returns:
        The parity of the int8 file, as it is served, with the float model.

    Raises:
        BadSetting: The `[train]` extra is missing.
    """
    need_extra("torch", "transformers", "onnx", "onnxscript")
    import torch
    from transformers import AutoModel

    out.mkdir(parents=True, exist_ok=True)
    model = AutoModel.from_pretrained(
        source, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()
    dynamic = {0: "batch", 1: "tokens"}
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        ids = torch.ones((2, 8), dtype=torch.int64)  # any: the shapes are left open
        torch.onnx.export(
            _LastHiddenState(model),
            (ids, torch.ones_like(ids)),
            plain,
            input_names=["input_ids", "attention_mask"],
            output_names=["tokens"],
            dynamic_axes=dict.fromkeys(("input_ids", "attention_mask", "tokens"), dynamic),
            opset_version=17,
            dynamo=False,
        )
        _quantise(plain, out / "encoder.onnx", model.config)
    (out / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    spoken = [words for words in texts if words] or LINES
    return parity(source, TextEncoder(out), spoken, model)


def need_extra(*modules: str) -> None:
    """Makes sure that what the `[train]` extra brings is there.

    Raises:
        BadSetting: One of these modules isn't; says how to install it.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise BadSetting(
            f"A text encoder can't be made without {' and '.join(missing)}. Install the [train] "
            f"extra (pip install 'triage[train]' and pip install {MINILM_L6.install}), or "
            "train from a base without fine-tuning."
        )


def _LastHiddenState(model: Any) -> Any:  # noqa: N802 - a module factory, torch stays lazy
    import torch

    class LastHiddenState(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    return LastHiddenState().eval()


def _quantise(plain: Path, out: Path, config: Any) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.optimizer import optimize_model

    fused = plain.with_name("fused.onnx")
    optimize_model(
        str(plain),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
    ).save_model_to_file(str(fused))
    quantize_dynamic(
        fused,
        out,
        per_channel=True,
        reduce_range=True,  # exact on processors without VNNI, where int8 sums would saturate
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": 1},  # FLOAT; shapes aren't inferred through fusion
    )


def parity(source: Path, served: TextEncoder, texts: Sequence[Sequence[str]], model: Any) -> Parity:
    """The cosine of each text's vector as it is served with the float model's.

    Args:
        source: Folder with the float model's `tokenizer.json`.
        served: The int8 encoder.
        texts: Each as its `spoken_words`, of one word at least.
        model: The float model.
    """
    import torch

    cosines = []
    for ids, ours in zip(framed(source, texts), served.pooled(texts), strict=True):
        with torch.inference_mode():
            states = model(input_ids=torch.from_numpy(ids[None])).last_hidden_state
        theirs = states[0].mean(dim=0).numpy()
        cosines.append(float(ours @ theirs / np.linalg.norm(theirs)))
    return Parity(min(cosines), float(np.mean(cosines)))
