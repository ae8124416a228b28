"""Weights of a frozen network as its fast form needs them, computed once when a network is loaded."""

from __future__ import annotations

import torch
from torch import Tensor


def norm_affine(scale: Tensor, offset: Tensor, mean: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and shift of a norm as one affine map of its condition c.

    (x - mean)·rate·(1 + scale·c) + offset·c = x·gain + shift, with gain and shift affine in c.

    Args:
        scale: (channels, condition).
        offset: (channels, condition).
        mean: (channels,).
        rate: (channels,), 1/√(var + eps).

    Returns:
        weight (2·channels, condition) and bias (2·channels,), gain above shift; see `Conditional`.
    """
    gain = scale * rate[:, None]
    return torch.cat((gain, offset - gain * mean[:, None])), torch.cat((rate, -mean * rate))


def conditional_weights(weight: Tensor, bias: Tensor) -> Tensor:
    """Undo what batch-norm statistics did in `norm_affine`.

    Args:
        weight: (2·channels, condition): scale·rate over offset - scale·rate·mean, where rate is 1/√(var + eps).
        bias: (2·channels,): rate over -rate·mean.

    Returns:
        (2·channels, condition), the weights of scale over those of offset.
    """
    (gain, shift), (rate, moved) = (each.cpu().double().chunk(2) for each in (weight, bias))
    scale = gain / rate[:, None]
    return torch.cat((scale, shift - scale * moved[:, None])).to(weight)


def upsampling_kernel(weight: Tensor) -> Tensor:
    """The kernel of a transposed convolution that equals nearest-neighbour upsampling and a convolution.

    Args:
        weight: (outputs, inputs, 3, 3), of a convolution with padding 1 after every pixel was repeated 2 × 2.

    Returns:
        (inputs, outputs, 4, 4), for stride 2 and padding 1. A pixel reaches, from each of its four copies, what the
        mirrored 3 × 3 kernel says.
    """
    mirrored = weight.transpose(0, 1).flip(2, 3)
    kernel = mirrored.new_zeros(*mirrored.shape[:2], 4, 4)
    for row in (0, 1):
        for column in (0, 1):
            kernel[:, :, row : row + 3, column : column + 3] += mirrored
    return kernel
