"""The projection discriminator of BigGAN-deep."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from biggan_discovery.training.deep_architecture import DeepArchitecture
from biggan_discovery.training.discriminator import ProjectionDiscriminator
from biggan_discovery.training.layers import Attention, Convolution, Embedding, Linear


class DeepDiscriminator(ProjectionDiscriminator):
    """As `Discriminator`, with the residual blocks of BigGAN-deep (Brock et al. 2018, figure 16, right)."""

    def __init__(self, architecture: DeepArchitecture):
        super().__init__()
        width = architecture.width
        self.first = Convolution(width, 3, 3)
        self.blocks = nn.ModuleList()
        for index, (halve, inputs, outputs) in enumerate(architecture.discriminator_layers):
            parts: list[nn.Module] = [_Block(width * inputs, width * outputs, halve=halve)]
            if index == architecture.discriminator_attention:
                parts.append(Attention(width * outputs))
            self.blocks.append(nn.ModuleList(parts))
        self.linear, self.embed = Linear(1, 16 * width), Embedding(architecture.classes, 16 * width)


class _Block(nn.Module):
    """A residual block whose skip gets further channels from a 1 × 1 convolution."""

    def __init__(self, inputs: int, outputs: int, *, halve: bool):
        super().__init__()
        inner = outputs // 4
        self.conv1, self.conv2 = Convolution(inner, inputs, 1), Convolution(inner, inner, 3)
        self.conv3, self.conv4 = Convolution(inner, inner, 3), Convolution(outputs, inner, 1)
        self.conv_sc = Convolution(outputs - inputs, inputs, 1) if outputs > inputs else None
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.conv3(F.relu(self.conv2(F.relu(self.conv1(F.relu(x)))))))
        if self.halve:
            inner, x = F.avg_pool2d(inner, 2), F.avg_pool2d(x, 2)
        if self.conv_sc is not None:
            x = torch.cat((x, self.conv_sc(x)), dim=1)
        return self.conv4(inner) + x
