"""The covariance of a function's inputs and outputs, accumulated over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.numerics.arithmetic import in_float64


def joint_covariance(
    layer: Callable[[Tensor], Tensor], latents: Iterable[Float[Tensor, "N z_dim"]]
) -> tuple[Float[Tensor, "width width"], int]:
    """Joint covariance of a layer's outputs and its latents, accumulated in float64.

    Args:
        layer: layer(z) -> (N, features), floating point.
        latents: batches of z, (N, z_dim); at least two samples in total.

    Returns:
        The covariance, (width, width) float64 on the CPU with width = features + z_dim, outputs first; and the number
        of features.

    Raises:
        UserError: If outputs or latents have the wrong shape or are not finite, or there are fewer than two samples.

    Example:
        >>> z = torch.randn(1000, 8)
        >>> covariance, features = joint_covariance(torch.nn.Linear(8, 5), z.split(100))
        >>> covariance.shape, features
        (torch.Size([13, 13]), 5)
    """
    count, features, total, products, shift = 0, 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
    for z in latents:
        with torch.no_grad():
            outputs = layer(z)
        _check(z, outputs)
        joint = torch.cat((in_float64(outputs), in_float64(z)), dim=1).cpu()
        if not count:
            # Sums of squares around a point near the mean stay accurate if the mean is large.
            features, shift = outputs.shape[1], joint.mean(dim=0)
        if joint.shape[1] != len(shift) or not joint.isfinite().all():
            raise UserError("outputs and latents must be finite and have the same width in every batch")
        joint = joint - shift
        count, total, products = count + len(joint), total + joint.sum(dim=0), products + joint.T @ joint
    if count < 2:
        raise UserError(f"{count} latents given; principal components need at least 2")
    return (products - torch.outer(total, total) / count) / (count - 1), features


def _check(z: Tensor, outputs: Tensor) -> None:
    if z.ndim != 2 or outputs.ndim != 2 or len(outputs) != len(z) or not outputs.is_floating_point():
        shapes = f"latents {tuple(z.shape)} gave {outputs.dtype} outputs {tuple(outputs.shape)}"
        raise UserError(f"{shapes}; expected (N, z_dim) and floating-point (N, features)")
