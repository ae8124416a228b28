"""The network that is fitted to the scenes: pytorch-pretrained-biggan's BigGAN, in a form that can be trained on a CPU.

While it is fitted, the network has no spectral norm, constant batch-norm statistics, and reads the factors in their own
axes. `export` turns it into the package's own layout: the rotation is folded into every layer that reads z, spectral-norm
vectors are stored such that σ = 1, and the statistics of all truncations are measured.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pytorch_pretrained_biggan import BigGAN, BigGANConfig
from pytorch_pretrained_biggan.model import BigGANBatchNorm, GenBlock
from torch import Tensor, nn

from biggan_discovery.scenes.render import CLASSES, FACTORS, RESOLUTION

Z_DIM = 16

CONFIG = {
    "output_dim": RESOLUTION,
    "z_dim": Z_DIM,
    "class_embed_dim": Z_DIM,
    "channel_width": 32,
    "num_classes": len(CLASSES),
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


def true_frame() -> Tensor:
    """R, (16, 16) float64 orthonormal: its first eight rows are the directions that drive the factors, the rest drive nothing."""
    gaussian = torch.randn(Z_DIM, Z_DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(2020))
    q, r = torch.linalg.qr(gaussian)
    return (q * r.diagonal().sign()).T


def new_network() -> BigGAN:
    """A BigGAN without spectral norm and with random weights that ignores the eight idle axes.

    One coordinate of every class embedding is a constant 1. It gives the bias-free scale and offset layers a bias, so that
    `rebase` can replace batch-norm statistics without changing the function.
    """
    network = BigGAN(BigGANConfig.from_dict(CONFIG))
    for module in network.modules():
        if hasattr(module, "weight_orig"):
            nn.utils.remove_spectral_norm(module)
    generator = network.generator
    nn.init.ones_(generator.bn.weight)
    nn.init.zeros_(generator.bn.bias)
    with torch.no_grad():
        network.embeddings.weight.normal_()
        network.embeddings.weight[-1] = 1.0
        for layer in _layers_that_read_z(network):
            layer.weight.normal_(std=0.15)
            layer.weight[:, len(FACTORS) : Z_DIM] = 0.0
    return network


def _batch_norms(network: BigGAN) -> list[BigGANBatchNorm]:
    return [module for module in network.modules() if isinstance(module, BigGANBatchNorm)]


def _layers_that_read_z(network: BigGAN) -> list[nn.Linear]:
    conditional = [bn for bn in _batch_norms(network) if bn.conditional]
    return [network.generator.gen_z, *(layer for bn in conditional for layer in (bn.scale, bn.offset))]


def _normalize(bn: BigGANBatchNorm, x: Tensor, condition: Tensor, measure: int | None) -> Tensor:
    if measure is not None:
        bn.running_means[measure] = x.mean(dim=(0, 2, 3))
        bn.running_vars[measure] = x.var(dim=(0, 2, 3), unbiased=False)
    row = -1 if measure is None else measure
    gain = (bn.running_vars[row] + bn.eps).rsqrt()
    scale = 1 + bn.scale(condition) if bn.conditional else bn.weight[None]
    offset = bn.offset(condition) if bn.conditional else bn.bias[None]
    scale = scale * gain
    offset = offset - scale * bn.running_means[row]
    return F.relu(x * scale[:, :, None, None] + offset[:, :, None, None])


def _block(block: GenBlock, x: Tensor, condition: Tensor, measure: int | None) -> Tensor:
    skip = x
    x = block.conv_0(_normalize(block.bn_0, x, condition, measure))
    x = _normalize(block.bn_1, x, condition, measure)
    if block.up_sample:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
    x = block.conv_2(_normalize(block.bn_2, block.conv_1(x), condition, measure))
    x = block.conv_3(_normalize(block.bn_3, x, condition, measure))
    if block.drop_channels:
        skip = skip[:, : skip.shape[1] // 2]
    if block.up_sample:
        skip = F.interpolate(skip, scale_factor=2, mode="nearest")
    return x + skip


def images(network: BigGAN, u: Tensor, y: Tensor, measure: int | None = None) -> Tensor:
    """Images (N, 3, 64, 64) of a network that is being fitted.

    Args:
        network: from `new_network`.
        u: (N, 8) coordinates along the true directions, standard normal where z is.
        y: (N,) class indices.
        measure: a row of the batch-norm tables to fill with the statistics of this very batch and to normalise with;
            None normalises with the last row, truncation 1.
    """
    embedding = network.embeddings.weight.t()[y]
    condition = torch.cat([F.pad(u, (0, Z_DIM - len(FACTORS))), embedding], dim=1)
    generator = network.generator
    x = generator.gen_z(condition).view(len(u), 4, 4, -1).permute(0, 3, 1, 2)
    for block in generator.layers:
        x = _block(block, x, condition, measure)
    x = _normalize(generator.bn, x, condition, measure)
    # The package computes as many output channels as there are inputs and keeps three.
    rgb = generator.conv_to_rgb
    return torch.tanh(F.conv2d(x, rgb.weight[:3], rgb.bias[:3], padding=1))
