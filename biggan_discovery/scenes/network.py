"""The network fitted to the scenes: the BigGAN of pytorch-pretrained-biggan, in a form that can be trained on a CPU.

During the fit, the network has no spectral norm, has constant batch-norm statistics, and reads the factors along
coordinate axes. For export to the package's layout, the rotation is folded into every layer that reads z, spectral-norm
vectors are chosen such that σ = 1, and the statistics of all truncations are measured.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from pytorch_pretrained_biggan import BigGAN, BigGANConfig
from pytorch_pretrained_biggan.model import BigGANBatchNorm
from torch import Tensor, nn
from torch.nn import functional

from biggan_discovery.scenes.scene import NUM_FACTORS, RESOLUTION, Scene

Z_DIM = 16


def config(scene: Scene) -> dict[str, Any]:
    """The package's configuration of the network fitted to a scene."""
    return {
        "output_dim": RESOLUTION,
        "z_dim": Z_DIM,
        "class_embed_dim": Z_DIM,
        "channel_width": scene.channel_width,
        "num_classes": len(scene.classes),
        "layers": [
            [False, 16, 8],
            [True, 8, 8],
            [False, 8, 8],
            [True, 8, 4],
            [False, 4, 4],
            [True, 4, 4],
            [False, 4, 4],
            [True, 4, 2],
            [False, 2, 2],
            [False, 2, 1],
        ],
        "attention_layer_position": -1,
        "eps": 1e-4,
        "n_stats": 51,
    }


def random_frame(seed: int = 2020) -> Tensor:
    """R, (16, 16), float64, orthonormal: its first eight rows drive the factors, the others have no effect."""
    gaussian = torch.randn(Z_DIM, Z_DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    q, r = torch.linalg.qr(gaussian)
    return (q * r.diagonal().sign()).T


def new_network(scene: Scene) -> BigGAN:
    """A BigGAN without spectral norm and with random weights that ignores the eight unused axes.

    One coordinate of every class embedding is a constant 1. It acts as a bias of the bias-free scale and offset layers,
    so that `rebase` can replace batch-norm statistics without changing the function.
    """
    network = BigGAN(BigGANConfig.from_dict(config(scene)))
    for module in network.modules():
        if hasattr(module, "weight_orig"):
            nn.utils.remove_spectral_norm(module)
    generator: Any = network.generator
    nn.init.ones_(generator.bn.weight)
    nn.init.zeros_(generator.bn.bias)
    with torch.no_grad():
        network.embeddings.weight.normal_()
        network.embeddings.weight[-1] = 1.0
        for layer in _layers_that_read_z(network):
            layer.weight.normal_(std=0.05)
            layer.weight[:, NUM_FACTORS:Z_DIM] = 0.0
        generator.gen_z.weight.mul_(3.0)
        # The first images are nearly uniform grey, as a saturated tanh has no gradient.
        generator.conv_to_rgb.weight.mul_(0.03)
        generator.conv_to_rgb.bias.zero_()
    return network


@torch.no_grad()
def restore(network: BigGAN, saved: dict[str, Tensor]) -> None:
    """Copy a state dict into a network; leftover spectral-norm hooks break `load_state_dict`."""
    for name, value in network.state_dict().items():
        value.copy_(saved[name])


Visit = Callable[[Any, Tensor], None]  # A batch norm and its input; the package has no type hints.


def _normalize(bn: Any, x: Tensor, condition: Tensor, row: int, visit: Visit | None) -> Tensor:
    if visit is not None:
        visit(bn, x)
    gain = (bn.running_vars[row] + bn.eps).rsqrt()
    scale = 1 + bn.scale(condition) if bn.conditional else bn.weight[None]
    offset = bn.offset(condition) if bn.conditional else bn.bias[None]
    scale = scale * gain
    offset = offset - scale * bn.running_means[row]
    return functional.relu(x * scale[:, :, None, None] + offset[:, :, None, None])


def _block(block: Any, x: Tensor, condition: Tensor, row: int, visit: Visit | None) -> Tensor:
    skip = x
    x = block.conv_0(_normalize(block.bn_0, x, condition, row, visit))
    x = _normalize(block.bn_1, x, condition, row, visit)
    if block.up_sample:
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
    x = block.conv_2(_normalize(block.bn_2, block.conv_1(x), condition, row, visit))
    x = block.conv_3(_normalize(block.bn_3, x, condition, row, visit))
    if block.drop_channels:
        skip = skip[:, : skip.shape[1] // 2]
    if block.up_sample:
        skip = functional.interpolate(skip, scale_factor=2, mode="nearest")
    return x + skip


def images(network: BigGAN, u: Tensor, y: Tensor, *, row: int = -1, visit: Visit | None = None) -> Tensor:
    """Images (N, 3, 64, 64) of a network during the fit.

    Args:
        network: from `new_network`.
        u: (N, 8), coordinates along the true directions, standard normal if z is.
        y: (N,) class indices.
        row: row of the batch-norm tables; the last is truncation 1.
        visit: called with each batch norm and its input, before normalization.
    """
    embedding = network.embeddings.weight.t()[y]
    condition = torch.cat([functional.pad(u, (0, Z_DIM - NUM_FACTORS)), embedding], dim=1)
    generator: Any = network.generator
    x = generator.gen_z(condition).view(len(u), 4, 4, -1).permute(0, 3, 1, 2)
    for block in generator.layers:
        x = _block(block, x, condition, row, visit)
    x = _normalize(generator.bn, x, condition, row, visit)
    # The package computes as many output channels as input channels and keeps three.
    rgb = generator.conv_to_rgb
    return torch.tanh(functional.conv2d(x, rgb.weight[:3], rgb.bias[:3], padding=1))


def measure(row: int) -> Visit:
    """A visitor that writes the statistics of its input to a row of the batch-norm tables."""

    def visit(bn: Any, x: Tensor) -> None:
        bn.running_means[row], bn.running_vars[row] = _statistics(x)

    return visit


def rebase(bn: Any, x: Tensor) -> None:
    """A visitor that sets the statistics of truncation 1 to those of its input without changing the function."""
    mean, variance = _statistics(x)
    old_gain = (bn.running_vars[-1] + bn.eps).rsqrt()
    ratio = (variance + bn.eps).sqrt() * old_gain
    shift = (mean - bn.running_means[-1]) * old_gain
    # scale' and offset' solve (x - mean)·gain·scale' + offset' = (x - old mean)·old gain·scale + offset.
    if bn.conditional:
        bn.offset.weight += shift[:, None] * bn.scale.weight
        bn.offset.weight[:, -1] += shift
        bn.scale.weight *= ratio[:, None]
        bn.scale.weight[:, -1] += ratio - 1
    else:
        bn.bias += shift * bn.weight
        bn.weight *= ratio
    bn.running_means[-1], bn.running_vars[-1] = mean, variance


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)


def _batch_norms(network: BigGAN) -> list[Any]:
    return [module for module in network.modules() if isinstance(module, BigGANBatchNorm)]


def _layers_that_read_z(network: BigGAN) -> list[Any]:
    conditional = [bn for bn in _batch_norms(network) if bn.conditional]
    generator: Any = network.generator
    return [generator.gen_z, *(layer for bn in conditional for layer in (bn.scale, bn.offset))]


def package_state(network: BigGAN, frame: Tensor) -> dict[str, Tensor]:
    """The state dict of the package's BigGAN with image(z) = images(network, (R z)[:, :8]).

    Args:
        network: fitted network with measured statistics.
        frame: R, (16, 16), orthonormal.
    """
    folded = copy.deepcopy(network)
    with torch.no_grad():
        for layer in _layers_that_read_z(folded):
            layer.weight[:, :Z_DIM] = (layer.weight[:, :Z_DIM].double() @ frame).float()
    plain = folded.state_dict()
    state: dict[str, Tensor] = {}
    for name, like in BigGAN(folded.config).state_dict().items():
        base, _, part = name.rpartition(".")
        if part == "weight_orig":
            weight = plain[f"{base}.weight"]
            # The package divides by σ = uᵀWv for the stored u and v; these give σ = 1.
            v = functional.normalize(torch.ones(weight[0].numel()), dim=0)
            u = weight.flatten(1) @ v
            state[name], state[f"{base}.weight_v"], state[f"{base}.weight_u"] = weight, v, u / u.square().sum()
        elif part not in ("weight_u", "weight_v"):
            state[name] = plain[name]
        assert name not in state or state[name].shape == like.shape
    return {name: value.contiguous().clone() for name, value in state.items()}
