"""The generator of BigGAN, to be trained, in the layout of BigGAN-PyTorch."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from biggan_discovery.generators.brock_files import WEIGHTS
from biggan_discovery.training.architecture import FIRST_SIZE, IMAGE, Architecture
from biggan_discovery.training.layers import (
    BN_EPS,
    SN_EPS,
    Attention,
    ConditionalNorm,
    Convolution,
    Linear,
    OutputNorm,
    norms,
)


class BaseGenerator(nn.Module, abc.ABC):
    """What the loop and the files need to know of a generator.

    Attributes:
        architecture: its sizes.
        truncations: of the rows of its standing statistics.
    """

    truncations: tuple[float, ...] = (1.0,)

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the activations: "linear", "block0" and so on, "image"."""
        return self.architecture.activations

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Images (N, 3, R, R) in [-1, 1], float32, of z (N, z_dim) and y (N,)."""
        (image,) = self.activations(z, y, (IMAGE,))
        return image

    def activations(self, z: Tensor, y: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Activations by their names, see `names`: each (N, channels, H, W), in the order asked for.

        Args:
            z: (N, z_dim).
            y: (N,) int64.
            names: which; layers behind the last of them are not computed.
        """
        found: dict[str, Tensor] = {}
        for name, activation in self._layers(z, y):
            found[name] = activation
            if all(each in found for each in names):
                break
        return [found[name] for name in names]

    @abc.abstractmethod
    def _layers(self, z: Tensor, y: Tensor) -> Iterable[tuple[str, Tensor]]:
        """The activations and their names, as they are computed."""

    @abc.abstractmethod
    def files(self) -> tuple[str, dict[str, Any]]:
        """Name of the file with the weights, and the content of config.json."""


class Generator(BaseGenerator):
    """A BigGAN generator (Brock et al. 2018, appendix B, figure 15).

    Example:
        >>> network = Generator(Architecture(32, 16, 80, 10, 128, True, 0))
        >>> network(torch.randn(4, 80), torch.arange(4)).shape
        torch.Size([4, 3, 32, 32])
    """

    def __init__(self, architecture: Architecture):
        super().__init__(architecture)
        sizes = architecture
        widths = sizes.generator_widths
        chunk = sizes.z_dim // sizes.layers
        condition = sizes.shared_dim + chunk * sizes.chunks if sizes.shared_dim else None
        self.linear = Linear(widths[0] * FIRST_SIZE**2, chunk)
        if sizes.shared_dim:
            self.shared = nn.Embedding(sizes.classes, sizes.shared_dim)
            nn.init.normal_(self.shared.weight, std=0.02)
        self.blocks = nn.ModuleList()
        for index, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            parts: list[nn.Module] = [_Block(inputs, outputs, condition, sizes.classes)]
            if index == sizes.generator_attention:
                parts.append(Attention(outputs))
            self.blocks.append(nn.ModuleList(parts))
        self.output_layer = nn.ModuleList(
            [OutputNorm(widths[-1]), nn.ReLU(), Convolution(3, widths[-1], 3)],
        )

    def files(self) -> tuple[str, dict[str, Any]]:
        """See `BaseGenerator.files`; the names are those of BigGAN-PyTorch."""
        sizes = self.architecture
        return WEIGHTS[0], {
            "resolution": sizes.resolution,
            "G_ch": sizes.width,
            "dim_z": sizes.z_dim,
            "n_classes": sizes.classes,
            "G_shared": sizes.shared_dim > 0,
            "shared_dim": sizes.shared_dim,
            "hier": sizes.chunks,
            "G_attn": str(sizes.attention),
            "BN_eps": BN_EPS,
            "SN_eps": SN_EPS,
        }

    def _layers(self, z: Tensor, y: Tensor) -> Iterable[tuple[str, Tensor]]:
        chunks = z.chunk(self.architecture.layers, dim=1)
        embedding = self.shared(y) if self.architecture.shared_dim else y
        conditions = [torch.cat((embedding, chunk), dim=1) for chunk in chunks[1:]] or [embedding] * len(self.blocks)
        x = (
            self.linear(chunks[0])
            .view(len(z), -1, FIRST_SIZE, FIRST_SIZE)
            .contiguous(memory_format=torch.channels_last)
        )
        yield "linear", x
        for index, (parts, condition) in enumerate(zip(self.blocks, conditions, strict=True)):
            block, *attention = parts  # pyright: ignore[reportGeneralTypeIssues]
            x = block(x, condition)
            for part in attention:
                x = part(x)
            yield f"block{index}", x
        norm, _, to_rgb = self.output_layer
        yield IMAGE, to_rgb(F.relu(norm(x))).float().tanh()


class _Block(nn.Module):
    """A residual block that doubles height and width."""

    def __init__(self, inputs: int, outputs: int, condition: int | None, classes: int):
        super().__init__()
        self.bn1 = ConditionalNorm(inputs, condition, classes)
        self.conv1 = Convolution(outputs, inputs, 3)
        self.bn2 = ConditionalNorm(outputs, condition, classes)
        self.conv2 = Convolution(outputs, outputs, 3)
        self.conv_sc = Convolution(outputs, inputs, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        inner = self.conv1(F.interpolate(F.relu(self.bn1(x, condition)), scale_factor=2))
        inner = self.conv2(F.relu(self.bn2(inner, condition)))
        # A 1 × 1 convolution gives the same before and after repeating pixels, and has less to do before.
        return inner + F.interpolate(self.conv_sc(x), scale_factor=2)


@contextmanager
def standing(network: BaseGenerator, row: int = -1) -> Iterator[None]:
    """Context manager in which forward passes in eval mode gather standing statistics: the mean of those of batches.

    Brock et al. 2018, section 4.1; a generator whose weights are averaged has none of its own.

    Args:
        network: in eval mode.
        row: index into `network.truncations`.
    """
    for norm in norms(network):
        norm.row, norm.gathered = row, 0
        for buffer in norm.stored():
            buffer.zero_()
    try:
        yield
    finally:
        for norm in norms(network):
            norm.row, norm.gathered = -1, None
