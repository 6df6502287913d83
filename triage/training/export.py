"""Export a sentence encoder from safetensors to the int8 ONNX file that is served.

Needs the `[train]` extra (torch, transformers, onnx); nothing at serving time imports it.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from triage.errors import BadSetting
from triage.weights import MINILM_L6

WIDTH, HEADS = 384, 12  # of MiniLM-L6


def export_text_encoder(source: Path, out: Path) -> dict[str, float]:
    """Writes `out/encoder.onnx` (int8) and `out/tokenizer.json`.

    The graph takes `input_ids` and `attention_mask`, both int64 of shape (batch, tokens), and
    gives `tokens`, float32 of shape (batch, tokens, width): the last hidden state, not yet
    pooled, since the explanation needs the tokens one by one. Weights are quantised per channel
    to int8 after attention, layer norm and GELU have been fused.

    Args:
        source: Folder of a BERT-shaped encoder in safetensors with `tokenizer.json`.
        out: Folder to write to; made if it isn't there.

    Returns:
        The parity of the int8 file with the float model: lowest and mean cosine similarity of
        the mean-pooled vectors over a few dozen fixed lines.

    Raises:
        BadSetting: The `[train]` extra is missing.
    """
    need_extra("torch", "transformers", "onnx", "onnxscript")
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers.optimizer import optimize_model
    from transformers import AutoModel, AutoTokenizer

    out.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModel.from_pretrained(source, attn_implementation="eager").eval()
    example = tokenizer(["set a timer", "call my sister please"], padding=True, return_tensors="pt")
    dynamic = {0: "batch", 1: "tokens"}
    with tempfile.TemporaryDirectory() as folder:
        plain, fused = Path(folder) / "plain.onnx", Path(folder) / "fused.onnx"
        torch.onnx.export(
            _LastHiddenState(model),
            (example["input_ids"], example["attention_mask"]),
            plain,
            input_names=["input_ids", "attention_mask"],
            output_names=["tokens"],
            dynamic_axes=dict.fromkeys(("input_ids", "attention_mask", "tokens"), dynamic),
            opset_version=17,
            dynamo=False,
        )
        optimize_model(
            str(plain), model_type="bert", num_heads=HEADS, hidden_size=WIDTH
        ).save_model_to_file(str(fused))
        quantize_dynamic(
            fused,
            out / "encoder.onnx",
            per_channel=True,
            reduce_range=True,  # exact on processors without VNNI, where int8 sums would saturate
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": 1},  # FLOAT; shapes aren't inferred through fusion
        )
    (out / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    return _parity(model, tokenizer, out / "encoder.onnx")


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


def _parity(model: Any, tokenizer: Any, onnx_file: Path) -> dict[str, float]:
    import onnxruntime
    import torch

    verbs = ("play", "call", "find", "stop", "describe", "remember")
    things = ("the song from yesterday", "my sister", "a doctor near me", "all alarms now")
    lines = [f"{verb} {thing}" for verb in verbs for thing in things]
    batch = tokenizer(lines, padding=True, return_tensors="np")
    ids, mask = batch["input_ids"].astype(np.int64), batch["attention_mask"].astype(np.int64)
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    (ours,) = session.run(["tokens"], {"input_ids": ids, "attention_mask": mask})
    with torch.no_grad():
        theirs = model(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)
        ).last_hidden_state.numpy()
    pooled = [(tokens * mask[..., None]).sum(1) for tokens in (ours, theirs)]
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in pooled]
    cosine = (unit[0] * unit[1]).sum(1)
    return {"lowest": float(cosine.min()), "mean": float(cosine.mean())}
