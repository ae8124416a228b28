"""Real networks in plain PyTorch, built from the layers in their model cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

FOLDER = Path(__file__).parents[3] / "shared" / "fixtures" / "real"


class _Reshape(nn.Module):
    """(N, n) to (N, *shape), of n elements in all."""

    def __init__(self, *shape: int):
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)


_LAYERS: dict[str, Any] = {
    "convT": lambda i, o, kernel, stride, padding, bias: nn.ConvTranspose2d(i, o, kernel, stride, padding, bias=bias),
    "conv": lambda i, o, kernel, stride, padding, bias: nn.Conv2d(i, o, kernel, stride, padding, bias=bias),
    "bn": lambda channels, eps: nn.BatchNorm2d(channels, eps),
    "linear": nn.Linear,
    "reshape": _Reshape,
    "up2": lambda: nn.Upsample(scale_factor=2),
    "relu": nn.ReLU,
    "lrelu": nn.LeakyReLU,
    "tanh": nn.Tanh,
}


class Conditional(nn.Module):
    """Images of a latent concatenated with the embedding of its class."""

    def __init__(self, layers: nn.Sequential, embedding: Tensor):
        super().__init__()
        self.layers = layers
        self.embedding = nn.Embedding.from_pretrained(embedding)
        self.num_classes = len(embedding)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.layers(torch.cat((z, self.embedding(y)), dim=1))


def load(name: str) -> nn.Module:
    """The network of a model card with its weights, in train mode, with an attribute z_dim."""
    card = json.loads((FOLDER / name / "card.json").read_text())
    network: nn.Module = nn.Sequential(*(_LAYERS[kind](*sizes) for kind, *sizes in card["layers"]))
    state = load_file(FOLDER / name / "generator.safetensors")
    embedding = state.pop("embed.weight", None)
    # Files leave out how many batches a norm has seen.
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    if embedding is not None:
        network = Conditional(network, embedding)
    network.z_dim = int(card["z"].rpartition(", ")[2])  # pyright: ignore[reportArgumentType]
    return network
