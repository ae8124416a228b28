"""Tiny random BigGANs in the real file layout, for tests that need any generator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pytorch_pretrained_biggan import BigGAN, BigGANConfig
from pytorch_pretrained_biggan.model import BigGANBatchNorm
from torch import Tensor, nn

CLASS_NAMES = ("cube", "sphere", "cylinder", "cone", "torus")

TINY = {
    "output_dim": 32,
    "z_dim": 16,
    "class_embed_dim": 16,
    "channel_width": 8,
    "num_classes": 5,
    "layers": [[False, 16, 8], [True, 8, 4], [True, 4, 2], [True, 2, 1]],
    "attention_layer_position": 2,
    "eps": 1e-4,
    "n_stats": 51,
}


def save_tiny_biggan(folder: str | Path, seed: int = 0, **config: Any) -> Path:
    """Save a random BigGAN (32 px, z_dim 16, five named classes unless `config` says otherwise); return the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    network = tiny_network(seed, **config)
    (folder / "config.json").write_text(network.config.to_json_string())
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    if network.config.num_classes == len(CLASS_NAMES):
        (folder / "classes.json").write_text(json.dumps(CLASS_NAMES))
    return folder


def tiny_network(seed: int = 0, **config: Any) -> BigGAN:
    """The package's own network with random weights, in eval mode: well-scaled activations in every layer."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        network = BigGAN(BigGANConfig(**{**TINY, **config}))
        network.embeddings.weight.normal_()
        network.generator.bn.weight.uniform_(0.8, 1.2)
        network.generator.bn.bias.normal_(std=0.1)
        for module in network.modules():
            if hasattr(module, "weight_orig"):
                _set_singular_vectors(module)
            if hasattr(module, "gamma"):
                module.gamma.fill_(0.5)
            if isinstance(module, BigGANBatchNorm):
                module.register_forward_pre_hook(_measure)
        for module in network.modules():
            if isinstance(module, BigGANBatchNorm) and module.conditional:
                # Weaker conditions than spectral norm 1 gives, so that the few features of a tiny network stay tame.
                module.scale.weight_u.mul_(4)
                module.offset.weight_u.mul_(4)
        z = torch.randn(64, network.config.z_dim)
        network.eval()
        network(z, torch.eye(network.config.num_classes)[torch.arange(64) % network.config.num_classes], 1.0)
        for module in network.modules():
            if isinstance(module, BigGANBatchNorm):
                module._forward_pre_hooks.clear()
    return network


def _set_singular_vectors(module: nn.Module) -> None:
    left, _, right = torch.linalg.svd(module.weight_orig.flatten(1), full_matrices=False)
    module.weight_u.copy_(left[:, 0])
    module.weight_v.copy_(right[0])


def _measure(norm: BigGANBatchNorm, inputs: tuple[Tensor, ...]) -> None:
    """Statistics of the input for truncation 1, with a smooth made-up dependence on lower truncations."""
    var, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
    truncation = torch.linspace(0, 1, len(norm.running_means))[:, None]
    norm.running_means.copy_(mean + 0.3 * var.sqrt() * torch.randn_like(mean) * (1 - truncation**2))
    norm.running_vars.copy_((var + 1e-3) * (0.7 + 0.3 * truncation**2))
