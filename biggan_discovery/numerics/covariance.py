"""The covariance of a function's inputs and outputs, from batches that are not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.numerics.arithmetic import in_float64


def joint_covariance(layer: Callable[[Tensor], Tensor], latents: Iterable[Tensor]) -> tuple[Tensor, int]:
    """The covariance of a layer's outputs and its latents, summed up in float64.

    Args:
        layer: layer(z) -> (N, features), floating.
        latents: z (N, z_dim), batch by batch; in all more than one.

    Returns:
        (features + z_dim, features + z_dim) float64 on the CPU, outputs first; and the number of features.

    Raises:
        UserError: outputs or latents of another shape or not finite, or fewer than two samples.
    """
    count, features, total, products, near = 0, 0, torch.zeros(()), torch.zeros(()), torch.zeros(())
    for z in latents:
        with torch.no_grad():
            outputs = layer(z)
        _check(z, outputs)
        joint = torch.cat((in_float64(outputs), in_float64(z)), dim=1).cpu()
        if not count:
            # Sums of squares around a point near the mean lose nothing to rounding where the mean is large.
            features, near = outputs.shape[1], joint.mean(dim=0)
        if joint.shape[1] != len(near) or not joint.isfinite().all():
            raise UserError("outputs and latents should be finite, and as wide in every batch as in the first")
        joint = joint - near
        count, total, products = count + len(joint), total + joint.sum(dim=0), products + joint.T @ joint
    if count < 2:
        raise UserError(f"{count} latents given; principal components need 2 or more")
    return (products - torch.outer(total, total) / count) / (count - 1), features


def _check(z: Tensor, outputs: Tensor) -> None:
    if z.ndim != 2 or outputs.ndim != 2 or len(outputs) != len(z) or not outputs.is_floating_point():
        shapes = f"{tuple(z.shape)} gave {outputs.dtype} outputs {tuple(outputs.shape)}"
        raise UserError(f"latents {shapes}; they should be (N, z_dim) and floating (N, features)")
