"""Layers of the fast form, with frozen weights; see the package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from biggan_discovery.generators.fast.attention import attend
from biggan_discovery.generators.fast.axes import channels_first, channels_last
from biggan_discovery.generators.fast.dispatch import on_gpu
from biggan_discovery.generators.fast.folding import upsampling_kernel
from biggan_discovery.generators.fast.functions import (
    Affine,
    Map,
    apply_linear,
    linear_by_row,
    map_of_relu,
    product,
    product_plus_skip,
)

SMALL = 16
"""Height of activations up to which layers compute faster for many images at once: weights are most of what is read."""


class Network(nn.Module):
    """A network in two parts: the layers up to `SMALL`, and the rest; see `FrozenGenerator.begin`.

    One that has no such parts leaves everything to `finish`.
    """

    def begin(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Tensors with a row for each image, for `finish`."""
        return inputs

    def finish(self, *state: Tensor) -> Tensor:
        """Images (N, 3, height, width)."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Tensor:
        """All of it."""
        return self.finish(*self.begin(*inputs))


class Linear(nn.Module):
    """`linear_by_row` with its weights."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        return linear_by_row(x, self.weight, self.bias)


class Conditional(Linear):
    """Gain and shift from a condition (N, condition); weights of `norm_affine`."""

    def forward(self, x: Tensor) -> Affine:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See above."""
        return _gain_and_shift(super().forward(x))


class ByClass(nn.Module):
    """Gain and shift from a table (classes, 2·channels), gain before shift."""

    def __init__(self, table: Tensor):
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, y: Tensor) -> Affine:
        """y (N,) class indices, or class weights (N, classes)."""
        return _gain_and_shift(rows_of(self.table, y))


class Embedding(nn.Module):
    """The embeddings of classes from a table (classes, size)."""

    def __init__(self, table: Tensor):
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, y: Tensor) -> Tensor:
        """y (N,) class indices, or class weights (..., classes), to (N, size) or (..., size)."""
        return rows_of(self.table, y)


class Pointwise(nn.Module):
    """A 1 × 1 convolution without bias, by its weight (outputs, inputs, 1, 1) or (outputs, inputs)."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = nn.Parameter(weight.flatten(1).T.contiguous())

    def forward(self, x: Tensor, plus: Tensor | None = None, *, upsample: bool = False) -> Tensor:
        """(N, height, width, inputs) to (N, height, width, outputs), added to `plus` of that shape.

        With `upsample`, plus has half the height and width, and every pixel of it is repeated 2 × 2.
        """
        x = x.to(self.weight.dtype)
        if plus is None:
            return product(x, self.weight)
        return product_plus_skip(x, self.weight, plus.to(self.weight.dtype), upsample=upsample)


class Convolution(nn.Module):
    """A 3 × 3 convolution with padding 1, without bias, by its weight (outputs, inputs, 3, 3).

    Args:
        weight: see above.
        upsample: whether every pixel is repeated 2 × 2 first.
    """

    def __init__(self, weight: Tensor, *, upsample: bool = False):
        super().__init__()
        kernel = upsampling_kernel(weight) if upsample else weight
        self.weight = nn.Parameter(kernel.contiguous(memory_format=torch.channels_last))
        self.upsample = upsample

    def forward(self, x: Tensor) -> Tensor:
        """(N, height, width, inputs) to (N, height, width, outputs), or twice the height and width."""
        return channels_last(apply_linear(channels_first(x.to(self.weight.dtype)), *self.maps()))

    def maps(self) -> tuple[Map, Map]:
        """The convolution and its adjoint, with torch's order of axes."""
        sizes = {"weight": self.weight, "stride": 1 + self.upsample, "padding": 1}
        down, up = partial(F.conv2d, **sizes), partial(F.conv_transpose2d, **sizes)
        return (up, down) if self.upsample else (down, up)


class Attention(nn.Module):
    """Every position looks at a quarter of the positions (Zhang et al. 2018, as BigGAN has it).

    Args:
        theta: queries, (channels/8, channels, 1, 1).
        phi: keys, of the same shape.
        g: values, (channels/2, channels, 1, 1).
        o: from values to channels, (channels, channels/2, 1, 1), gamma worked in.
        bias: (channels,), what x lacks because no convolution before has added its bias; the result has it.
    """

    def __init__(self, theta: Tensor, phi: Tensor, g: Tensor, o: Tensor, bias: Tensor):
        super().__init__()
        self.theta, self.phi, self.g, self.o = (Pointwise(weight) for weight in (theta, phi, g, o))
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, height, width, channels), even height and width, to the same."""
        x = x + self.bias.to(x.dtype)
        queries = self.theta(x).flatten(1, 2)
        keys, values = (each.flatten(1, 2) for each in self._keys_and_values(x))
        attended = attend(queries, keys, values).unflatten(1, x.shape[1:3])
        return self.o(attended, plus=x)

    def _keys_and_values(self, x: Tensor) -> Sequence[Tensor]:
        layers = self.phi, self.g
        if not on_gpu(x):
            return [_pooled(each(x)) for each in layers]
        # One product reads x once, and its adjoint writes one gradient.
        weights: list[Tensor] = [each.weight for each in layers]
        both = product(x.to(weights[0].dtype), torch.cat(weights, dim=1))
        return _pooled(both).split([weight.shape[1] for weight in weights], dim=-1)


class ToImages(nn.Module):
    """The last norm, whose gain and shift (channels,) are known, a 3 × 3 convolution to 3 channels, and tanh."""

    def __init__(self, gain: Tensor, shift: Tensor, weight: Tensor, bias: Tensor):
        super().__init__()
        self.gain = nn.Parameter(gain)
        self.shift = nn.Parameter(shift)
        self.convolution = Convolution(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, height, width, channels) to images (N, 3, height, width)."""
        x = x.to(self.convolution.weight.dtype)
        x = map_of_relu(x, self.gain, self.shift, *self.convolution.maps())
        return (x + self.bias[:, None, None]).tanh().contiguous()


def rows_of(table: Tensor, y: Tensor) -> Tensor:
    """The rows of a table (classes, size) for indices y (N,), or their sums by weights y (..., classes).

    Sums are computed in float64, on the CPU if the device has none, so that neither TF32 nor the batch shows in them,
    and a one-hot row gives the table's own row bit for bit.
    """
    if not y.is_floating_point():
        return table[y]
    exact = _exact(table)
    sums = linear_by_row(y.flatten(0, -2).to(exact), exact.T, exact.new_zeros(exact.shape[1]))
    return sums.to(table).unflatten(0, y.shape[:-1])


def _exact(table: Tensor) -> Tensor:
    """The table in float64, but in ONNX files, as browsers' GPUs have none."""
    if torch.onnx.is_in_onnx_export():
        return table
    return (table if _has_float64(table.device) else table.cpu()).double()


def _has_float64(device: torch.device) -> bool:
    if device.type in ("cpu", "cuda"):
        return True
    try:
        torch.ones(1, dtype=torch.float64, device=device).add(1)
    except (RuntimeError, TypeError):
        return False
    return True


def to_half_precision(network: nn.Module, dtype: torch.dtype) -> bool:
    """Give convolutions and products of matrices, in place, weights of a 16-bit type; whether there were any."""
    layers = [layer for layer in network.modules() if isinstance(layer, Convolution | Pointwise)]
    for layer in layers:
        layer.to(dtype)
    return bool(layers)


def _gain_and_shift(affine: Tensor) -> Affine:
    gain, shift = affine[:, None, None].chunk(2, dim=-1)
    return gain, shift


def _pooled(x: Tensor) -> Tensor:
    return channels_last(F.max_pool2d(channels_first(x), 2))
