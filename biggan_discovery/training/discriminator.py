"""The projection discriminator of BigGAN, in the layout of BigGAN-PyTorch."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from biggan_discovery.training.architecture import Architecture
from biggan_discovery.training.layers import Attention, Convolution, Embedding, Linear


class ProjectionDiscriminator(nn.Module):
    """The score of an image as its class: ψ(h) + ⟨embedding of y, h⟩, with h the sum of features over pixels.

    Attributes:
        first: what images pass first.
        blocks: lists of modules that follow one another.
        linear, embed: ψ and the embedding of classes.
    """

    first: nn.Module
    blocks: nn.ModuleList
    linear: Linear
    embed: Embedding

    def forward(self, images: Tensor, y: Tensor) -> Tensor:
        """Scores (N,), float32, of images (N, 3, R, R) in [-1, 1] and classes (N,)."""
        x = self.first(images.contiguous(memory_format=torch.channels_last))
        for parts in self.blocks:
            for part in parts:  # pyright: ignore[reportGeneralTypeIssues]
                x = part(x)
        with torch.autocast(x.device.type, enabled=False):
            features = F.relu(x).float().sum(dim=(2, 3))
            return self.linear(features)[:, 0] + (self.embed(y) * features).sum(dim=1)


class Discriminator(ProjectionDiscriminator):
    """A residual network with a projection of the class (Miyato & Koyama 2018).

    Example:
        >>> network = Discriminator(Architecture(32, 16, 80, 10, 128, True, 0))
        >>> network(torch.zeros(4, 3, 32, 32), torch.arange(4)).shape
        torch.Size([4])
    """

    def __init__(self, architecture: Architecture):
        super().__init__()
        widths = architecture.discriminator_widths
        self.first, self.blocks = nn.Identity(), nn.ModuleList()
        for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            parts: list[nn.Module] = [_Block(inputs, outputs, halve=index < architecture.halved, first=index == 0)]
            if index == architecture.discriminator_attention:
                parts.append(Attention(outputs))
            self.blocks.append(nn.ModuleList(parts))
        self.linear = Linear(1, widths[-1])
        self.embed = Embedding(architecture.classes, widths[-1])


class _Block(nn.Module):
    """A residual block; the first one has no activation before its first convolution."""

    def __init__(self, inputs: int, outputs: int, *, halve: bool, first: bool):
        super().__init__()
        self.conv1, self.conv2 = Convolution(outputs, inputs, 3), Convolution(outputs, outputs, 3)
        self.conv_sc = Convolution(outputs, inputs, 1) if halve or inputs != outputs else None
        self.halve, self.first = halve, first

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.halve:  # Pooling commutes with a 1 × 1 convolution, which then has less to do.
            inner, x = F.avg_pool2d(inner, 2), F.avg_pool2d(x, 2)
        return inner + (x if self.conv_sc is None else self.conv_sc(x))
