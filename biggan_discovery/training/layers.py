"""Layers of BigGAN in training: spectral norms, class-conditional batch norms, attention.

Names, shapes and buffers are those of BigGAN-PyTorch, so that a state dict is a checkpoint in its layout. One thing
differs: the power iteration of the spectral norms is a step of its own, `power_iteration`, which the loop takes once
per optimizer step. A forward pass therefore changes nothing, and finite differences of a network in training are those
of one function.
"""

from __future__ import annotations

import abc
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

BN_EPS, SN_EPS = 1e-5, 1e-6
_STD = 0.02  # of initial weights, "N02" in BigGAN-PyTorch


class Normalized(nn.Module, abc.ABC):
    """Base of layers whose weight is divided by its spectral norm (Miyato et al. 2018)."""

    @abc.abstractmethod
    def normalized(self) -> Tensor:
        """W/σ; the vectors that estimate σ carry no gradient."""

    @abc.abstractmethod
    def power_iteration(self) -> None:
        """Improve the estimate of σ by one step."""


class Spectral(Normalized):
    """A weight with its left singular vector, as BigGAN-PyTorch keeps it.

    Args:
        shape: of the weight; rows are outputs.
        bias: whether there is one, initially 0.
    """

    u0: Tensor
    sv0: Tensor

    def __init__(self, *shape: int, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))
        nn.init.normal_(self.weight, std=_STD)
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None
        self.register_buffer("u0", torch.randn(1, shape[0]))
        self.register_buffer("sv0", torch.ones(1))

    def normalized(self) -> Tensor:
        """W/σ with σ = v Wᵀu', where v = uW/|uW| and u' = vWᵀ/|vWᵀ|."""
        with torch.autocast(self.weight.device.type, enabled=False):
            with torch.no_grad():
                left, right = self._vectors()
            return self.weight / (right @ self.weight.flatten(1).T * left).sum()

    @torch.no_grad()
    def power_iteration(self) -> None:
        """Replace u by u'."""
        left, right = self._vectors()
        self.sv0.copy_((right @ self.weight.flatten(1).T * left).sum())
        self.u0.copy_(left)

    def _vectors(self) -> tuple[Tensor, Tensor]:
        matrix = self.weight.flatten(1)
        right = F.normalize(self.u0 @ matrix, eps=SN_EPS)
        return F.normalize(right @ matrix.T, eps=SN_EPS), right


class Linear(Spectral):
    """A linear layer, or a convolution whose kernel is as wide as it is padded for."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        return F.linear(x, self.normalized(), self.bias)


class Convolution(Spectral):
    """A convolution that keeps height and width."""

    def __init__(self, outputs: int, inputs: int, kernel: int, *, bias: bool = True):
        super().__init__(outputs, inputs, kernel, kernel, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        return F.conv2d(x, self.normalized(), self.bias, padding=self.weight.shape[-1] // 2)


class Embedding(Spectral):
    """A vector for each class."""

    def __init__(self, classes: int, size: int):
        super().__init__(classes, size, bias=False)

    def forward(self, y: Tensor) -> Tensor:
        """(N,) to (N, size)."""
        return self.normalized()[y]


class BatchNorm(nn.Module, abc.ABC):
    """Statistics of a batch norm: those of the batch in training, standing ones otherwise; see `standing`.

    Attributes:
        eps: added to variances.
        gathered: batches whose statistics are averaged; None unless they are being gathered.
        row: of the truncation whose statistics are used.
    """

    eps = BN_EPS

    def __init__(self) -> None:
        super().__init__()
        self.gathered: int | None = None
        self.row = -1

    @abc.abstractmethod
    def stored(self) -> tuple[Tensor, Tensor]:
        """Mean and variance (channels,) of the row, in the memory of the buffers."""

    def normalized(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) with mean 0 and variance 1 over the batch, or by standing statistics."""
        if self.training:
            return F.batch_norm(x, None, None, training=True, eps=self.eps)
        mean, variance = self.stored()
        if self.gathered is not None:
            self.gathered += 1
            of_batch = torch.var_mean(x.float(), dim=(0, 2, 3))
            for average, value in zip((variance, mean), of_batch, strict=True):
                average.lerp_(value, 1 / self.gathered)
        return F.batch_norm(x, mean, variance, eps=self.eps)


class _Norm(BatchNorm):
    """A batch norm with one row of statistics."""

    stored_mean: Tensor
    stored_var: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))

    def stored(self) -> tuple[Tensor, Tensor]:
        """See `BatchNorm.stored`."""
        return self.stored_mean, self.stored_var


class ConditionalNorm(_Norm):
    """A batch norm whose gain and bias depend on the class and a chunk of z.

    Args:
        channels: of its input.
        condition: size of the condition; None for a gain and a bias of each class.
        classes: number of classes.
    """

    def __init__(self, channels: int, condition: int | None, classes: int):
        super().__init__(channels)
        if condition is None:
            self.gain, self.bias = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
            for embedding in (self.gain, self.bias):
                nn.init.normal_(embedding.weight, std=_STD)
        else:
            self.gain, self.bias = (Linear(channels, condition, bias=False) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (N, channels, H, W) and condition (N, size), or classes (N,)."""
        gain, bias = (part(condition).to(x.dtype)[:, :, None, None] for part in (self.gain, self.bias))
        return self.normalized(x) * (1 + gain) + bias


class OutputNorm(_Norm):
    """A batch norm with one gain and one bias per channel."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.gain, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        gain, bias = (part.to(x.dtype)[:, None, None] for part in (self.gain, self.bias))
        return self.normalized(x) * gain + bias


class Attention(nn.Module):
    """Self-attention whose keys and values are pooled (Zhang et al. 2019, as in BigGAN); initially the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.theta, self.phi = (Convolution(channels // 8, channels, 1, bias=False) for _ in range(2))
        self.g = Convolution(channels // 2, channels, 1, bias=False)
        self.o = Convolution(channels, channels // 2, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        attended = attend(self.theta(x), self.phi(x), self.g(x))
        return x + self.gamma.to(x.dtype) * self.o(attended)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Values by attention weights, (N, channels, H, W); keys and values are pooled first."""
    shape = queries.shape[2:]
    queries = queries.flatten(2)
    keys, values = (F.max_pool2d(each, 2).flatten(2) for each in (keys, values))
    attention_weights = torch.bmm(queries.transpose(1, 2), keys).softmax(dim=-1)
    return torch.bmm(values, attention_weights.to(values.dtype).transpose(1, 2)).unflatten(2, shape)


def power_iteration(network: nn.Module) -> None:
    """One step of the power iteration for all spectral norms of a network."""
    for module in network.modules():
        if isinstance(module, Normalized):
            module.power_iteration()


def norms(network: nn.Module) -> list[BatchNorm]:
    """The batch norms of a network."""
    return [cast(BatchNorm, module) for module in network.modules() if isinstance(module, BatchNorm)]
