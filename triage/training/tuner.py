"""The sentence encoder with a linear head on it, in torch: one step, scores, and its state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triage.errors import BadSetting
from triage.records import Doubles, Floats

WEIGHT_DECAY = 0.01
CLIP = 1.0  # norm of a step's gradient
HEAD = 130  # times as fast as the encoder: over unit vectors, weights have to reach ten and more
AT_ONCE = 64  # texts of one pass without gradients

Tensors = Mapping[str, Any]  # by the names that the encoder and the head give their parameters


class Tuner:
    """An encoder whose upper layers learn, and a head.

    Args:
        source: Folder of a BERT-shaped encoder in safetensors.
        names: How many the head scores.
        frozen_layers: Layers that don't learn, from the lowest; nor do the embeddings.

    Raises:
        BadSetting: No layer would be left to learn.
    """

    def __init__(self, source: Path, names: int, frozen_layers: int) -> None:
        import torch
        from transformers import AutoModel
        from transformers.utils import logging

        # Of reading the weights; it would break into our own. Untyped where transformers is there.
        logging.disable_progress_bar()  # type: ignore[no-untyped-call,unused-ignore]
        self.model = AutoModel.from_pretrained(source, dtype=torch.float32, local_files_only=True)
        layers = self.model.encoder.layer
        if not 0 <= frozen_layers < len(layers):
            raise BadSetting(
                f"{frozen_layers} frozen layers of {len(layers)} leave none to learn. Freeze 0 to "
                f"{len(layers) - 1}.",
                limit=len(layers) - 1,
            )
        self._frozen = (self.model.embeddings, *layers[:frozen_layers])
        self.model.requires_grad_(False)
        layers[frozen_layers:].requires_grad_(True)
        self.head = torch.nn.Linear(self.model.config.hidden_size, names)
        self._trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self._trained |= {f"head.{n}": p for n, p in self.head.named_parameters()}
        encoder = [one for one in self.model.parameters() if one.requires_grad]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": encoder, "times": 1, "weight_decay": WEIGHT_DECAY},
                {"params": self.head.parameters(), "times": HEAD, "weight_decay": 0},
            ]
        )

    def set_head(self, weights: Floats, bias: Floats) -> None:
        """Puts weights of shape (names, width) and biases of shape (names,) into the head."""
        import torch

        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weights))
            self.head.bias.copy_(torch.from_numpy(bias))

    def step(
        self, tokens: Sequence[NDArray[np.int64]], yes: Floats, no: Floats, rate: float
    ) -> None:
        """One step down the slope of the mean over texts of the cross-entropy.

        Args:
            tokens: Framed ids of each text.
            yes, no: What a text is worth as an example of either label, shape (texts, names); 0
                in both where the label is unknown.
            rate: The encoder's learning rate.
        """
        import torch
        from torch.nn.functional import softplus

        self.model.train()
        for part in self._frozen:
            part.eval()
        logits = self.head(self._pooled(tokens))
        each = torch.from_numpy(yes) * softplus(-logits) + torch.from_numpy(no) * softplus(logits)
        self._optimiser.zero_grad()
        (each.sum() / len(tokens)).backward()
        torch.nn.utils.clip_grad_norm_(self._trained.values(), CLIP)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["times"]
        self._optimiser.step()

    def vectors(self, texts: Sequence[NDArray[np.int64]]) -> Floats:
        """The texts as unit vectors, as `TextEncoder.pooled` makes them: shape (texts, width).

        Args:
            texts: Framed ids of each.
        """
        import torch

        self.model.eval()
        out = np.empty((len(texts), self.model.config.hidden_size), np.float32)
        order = np.argsort([len(ids) for ids in texts], kind="stable")
        for start in range(0, len(order), AT_ONCE):
            some = order[start : start + AT_ONCE]
            with torch.inference_mode():
                out[some] = self._pooled([texts[row] for row in some]).numpy()
        return out

    def logits(self, texts: Sequence[NDArray[np.int64]]) -> Doubles:
        """Log-odds, shape (texts, names)."""
        head = self.head.weight.detach().numpy(), self.head.bias.detach().numpy()
        scores: Doubles = (self.vectors(texts) @ head[0].T + head[1]).astype(np.float64)
        return scores

    def weights(self) -> dict[str, Any]:
        """A copy of all that learns."""
        return {name: one.detach().clone() for name, one in self._trained.items()}

    def set_weights(self, weights: Tensors) -> None:
        import torch

        with torch.no_grad():
            for name, one in self._trained.items():
                one.copy_(weights[name])

    def state(self) -> dict[str, Any]:
        """All that the next step depends on: weights, optimiser, and torch's chance."""
        import torch

        return {
            "weights": self.weights(),
            "optimiser": self._optimiser.state_dict(),
            "chance": torch.get_rng_state(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        import torch

        self.set_weights(state["weights"])
        self._optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["chance"])

    def save(self, file: Path) -> None:
        """Writes the encoder, without the head.

        Raises:
            OSError: The disk is full, say.
        """
        from safetensors.torch import save

        # By way of the memory: safetensors tells of a full disk with an error of its own.
        file.write_bytes(save(self.model.state_dict(), metadata={"format": "pt"}))

    def _pooled(self, texts: Sequence[NDArray[np.int64]]) -> Any:
        """The mean of each text's tokens at length 1; `TokenWindow.pooled` in torch."""
        import torch

        ids = torch.zeros((len(texts), max(map(len, texts))), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(texts):
            ids[row, : len(one)] = torch.from_numpy(one)
            mask[row, : len(one)] = 1
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean, dim=1, eps=1e-9)


def averaged(first: Tensors, second: Tensors, share: float) -> dict[str, Any]:
    """Weights between two, `share` of the way from the first to the second (WiSE-FT)."""
    return {name: (1 - share) * one + share * second[name] for name, one in first.items()}


def mean(several: Sequence[Tensors]) -> dict[str, Any]:
    """The mean of several sets of weights (model soups)."""
    return {name: sum(one[name] for one in several) / len(several) for name in several[0]}


def pace(step: int, steps: int, warm_up: float) -> float:
    """Share of the highest learning rate: rising in a line for the warm-up, then falling to 0."""
    rise = max(round(warm_up * steps), 1)
    return min((step + 1) / rise, (steps - step) / max(steps - rise, 1), 1.0)


@contextmanager
def repeatable(seed: int, threads: int) -> Iterator[None]:
    """Torch with this seed, these threads, and no algorithm that differs from run to run."""
    import torch

    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads or before[1])
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_num_threads(before[1])
