"""The generator of BigGAN-deep, to be trained, in the layout of `pytorch_pretrained_biggan`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from biggan_discovery.generators.biggan_deep_files import WEIGHTS
from biggan_discovery.training.architecture import FIRST_SIZE, IMAGE
from biggan_discovery.training.deep_architecture import DeepArchitecture
from biggan_discovery.training.deep_layers import (
    EPS,
    N_STATS,
    DeepAttention,
    DeepConditionalNorm,
    DeepConvolution,
    DeepLinear,
    DeepOutputNorm,
)
from biggan_discovery.training.generator import BaseGenerator


class DeepGenerator(BaseGenerator):
    """A BigGAN-deep generator (Brock et al. 2018, appendix B, figure 16)."""

    truncations = tuple(row / (N_STATS - 1) for row in range(N_STATS))

    def __init__(self, architecture: DeepArchitecture):
        super().__init__(architecture)
        self.embeddings = nn.Linear(architecture.classes, architecture.z_dim, bias=False)
        nn.init.normal_(self.embeddings.weight, std=0.02)
        self.generator = _Body(architecture)

    def files(self) -> tuple[str, dict[str, Any]]:
        """See `BaseGenerator.files`; the names are those of the package."""
        sizes = cast(DeepArchitecture, self.architecture)
        attention = sizes.generator_attention
        return WEIGHTS, {
            "output_dim": sizes.resolution,
            "z_dim": sizes.z_dim,
            "class_embed_dim": sizes.shared_dim,
            "channel_width": sizes.width,
            "num_classes": sizes.classes,
            "layers": [list(layer) for layer in sizes.generator_layers],
            "attention_layer_position": -1 if attention is None else attention,
            "eps": EPS,
            "n_stats": N_STATS,
        }

    def _layers(self, z: Tensor, y: Tensor) -> Iterable[tuple[str, Tensor]]:
        condition = torch.cat((z, self.embeddings.weight.T[y]), dim=1)
        # The first layer's outputs are ordered as in TensorFlow: height, width, channels.
        x = self.generator.gen_z(condition).view(len(z), FIRST_SIZE, FIRST_SIZE, -1).permute(0, 3, 1, 2)
        yield "linear", x
        blocks = 0
        for layer in self.generator.layers:
            if isinstance(layer, _Block):
                x = layer(x, condition)
                yield f"block{blocks}", x
                blocks += 1
            else:
                x = layer(x)
        yield IMAGE, self.generator.to_images(x)


class _Body(nn.Module):
    def __init__(self, architecture: DeepArchitecture):
        super().__init__()
        width, condition = architecture.width, architecture.z_dim + architecture.shared_dim
        self.gen_z = DeepLinear(FIRST_SIZE**2 * 16 * width, condition)
        self.layers = nn.ModuleList()
        for index, (upsample, inputs, outputs) in enumerate(architecture.generator_layers):
            if index == architecture.generator_attention:
                self.layers.append(DeepAttention(width * inputs))
            self.layers.append(_Block(width * inputs, width * outputs, condition, upsample=upsample))
        self.bn = DeepOutputNorm(width)
        self.conv_to_rgb = DeepConvolution(width, width, 3)

    def to_images(self, x: Tensor) -> Tensor:
        # The package computes as many output channels as there are inputs, and keeps three.
        weight, bias = self.conv_to_rgb.normalized()[:3], cast(Tensor, self.conv_to_rgb.bias)[:3]
        return F.conv2d(F.relu(self.bn(x)), weight, bias, padding=1).float().tanh()


class _Block(nn.Module):
    """A residual block whose skip drops channels, and whose convolutions have a quarter of them."""

    def __init__(self, inputs: int, outputs: int, condition: int, *, upsample: bool):
        super().__init__()
        inner = inputs // 4
        self.bn_0, self.conv_0 = DeepConditionalNorm(inputs, condition), DeepConvolution(inner, inputs, 1)
        self.bn_1, self.conv_1 = DeepConditionalNorm(inner, condition), DeepConvolution(inner, inner, 3)
        self.bn_2, self.conv_2 = DeepConditionalNorm(inner, condition), DeepConvolution(inner, inner, 3)
        self.bn_3, self.conv_3 = DeepConditionalNorm(inner, condition), DeepConvolution(outputs, inner, 1)
        self.upsample, self.outputs = upsample, outputs

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        inner = F.relu(self.bn_1(self.conv_0(F.relu(self.bn_0(x, condition))), condition))
        if self.upsample:
            inner = F.interpolate(inner, scale_factor=2)
        inner = F.relu(self.bn_2(self.conv_1(inner), condition))
        inner = self.conv_3(F.relu(self.bn_3(self.conv_2(inner), condition)))
        skip = x[:, : self.outputs]
        return inner + (F.interpolate(skip, scale_factor=2) if self.upsample else skip)
