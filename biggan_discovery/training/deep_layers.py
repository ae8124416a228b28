"""Layers of BigGAN-deep in training, with the names and buffers of `pytorch_pretrained_biggan`."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from biggan_discovery.training.layers import BatchNorm, Normalized, attend

EPS = 1e-4  # of batch norms and of spectral norms
N_STATS = 51
_STD = 0.02


class DeepSpectral(Normalized):
    """A weight with both of its singular vectors, as torch.nn.utils.spectral_norm keeps it: σ = uᵀWv."""

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, *shape: int, bias: bool = True):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None
        self.weight_orig = nn.Parameter(torch.empty(shape))
        nn.init.normal_(self.weight_orig, std=_STD)
        matrix = self.weight_orig.detach().flatten(1)
        self.register_buffer("weight_u", F.normalize(torch.randn(matrix.shape[0]), dim=0, eps=EPS))
        self.register_buffer("weight_v", F.normalize(matrix.T @ self.weight_u, dim=0, eps=EPS))

    def normalized(self) -> Tensor:
        """See `Normalized.normalized`."""
        with torch.autocast(self.weight_orig.device.type, enabled=False):
            return self.weight_orig / torch.dot(self.weight_u, torch.mv(self.weight_orig.flatten(1), self.weight_v))

    @torch.no_grad()
    def power_iteration(self) -> None:
        """See `Normalized.power_iteration`."""
        matrix = self.weight_orig.flatten(1)
        self.weight_v.copy_(F.normalize(torch.mv(matrix.T, self.weight_u), dim=0, eps=EPS))
        self.weight_u.copy_(F.normalize(torch.mv(matrix, self.weight_v), dim=0, eps=EPS))


class DeepLinear(DeepSpectral):
    """A linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) to (N, outputs)."""
        return F.linear(x, self.normalized(), self.bias)


class DeepConvolution(DeepSpectral):
    """A convolution that keeps height and width."""

    def __init__(self, outputs: int, inputs: int, kernel: int, *, bias: bool = True):
        super().__init__(outputs, inputs, kernel, kernel, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        return F.conv2d(x, self.normalized(), self.bias, padding=self.weight_orig.shape[-1] // 2)


class _DeepNorm(BatchNorm):
    """A batch norm with a row of statistics for each truncation 0, 0.02, ..., 1."""

    eps = EPS
    running_means: Tensor
    running_vars: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("running_means", torch.zeros(N_STATS, channels))
        self.register_buffer("running_vars", torch.ones(N_STATS, channels))

    def stored(self) -> tuple[Tensor, Tensor]:
        """See `BatchNorm.stored`."""
        return self.running_means[self.row], self.running_vars[self.row]


class DeepConditionalNorm(_DeepNorm):
    """A batch norm whose gain and bias depend on z and class."""

    def __init__(self, channels: int, condition: int):
        super().__init__(channels)
        self.scale, self.offset = (DeepLinear(channels, condition, bias=False) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (N, channels, H, W) and condition (N, size)."""
        gain, bias = (part(condition).to(x.dtype)[:, :, None, None] for part in (self.scale, self.offset))
        return self.normalized(x) * (1 + gain) + bias


class DeepOutputNorm(_DeepNorm):
    """A batch norm with one gain and one bias per channel."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        gain, bias = (part.to(x.dtype)[:, None, None] for part in (self.weight, self.bias))
        return self.normalized(x) * gain + bias


class DeepAttention(nn.Module):
    """Self-attention whose keys and values are pooled; initially the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.snconv1x1_theta, self.snconv1x1_phi = (
            DeepConvolution(channels // 8, channels, 1, bias=False) for _ in range(2)
        )
        self.snconv1x1_g = DeepConvolution(channels // 2, channels, 1, bias=False)
        self.snconv1x1_o_conv = DeepConvolution(channels, channels // 2, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        attended = attend(self.snconv1x1_theta(x), self.snconv1x1_phi(x), self.snconv1x1_g(x))
        return x + self.gamma.to(x.dtype) * self.snconv1x1_o_conv(attended)
