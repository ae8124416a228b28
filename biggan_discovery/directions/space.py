"""Directions restricted to some coordinates of z, such as the thirds of z that the papers search."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.errors import UserError


def pad(rows: Float[Tensor, "ndirs n"], space: slice, z_dim: int) -> Float[Tensor, "ndirs z_dim"]:
    """Pad rows over the n coordinates of a search space with zeros to rows over all of z.

    Args:
        rows: (ndirs, n).
        space: coordinates of z, of length n.
        z_dim: size of a latent.

    Returns:
        (ndirs, z_dim).

    Example:
        >>> pad(torch.ones(1, 2), slice(1, 3), 4)
        tensor([[0., 1., 1., 0.]])
    """
    return F.pad(rows, (space.start, z_dim - space.stop))


def check_count(ndirs: int, width: int) -> None:
    """Check that a space of `width` coordinates has room for `ndirs` directions.

    Raises:
        UserError: If `ndirs` is not an integer from 1 to `width`.
    """
    if isinstance(ndirs, bool) or not isinstance(ndirs, int) or not 1 <= ndirs <= width:
        raise UserError(f"directions is {ndirs}; a space of {width} coordinates allows 1 to {width}")
