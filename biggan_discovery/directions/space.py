"""Directions that have some coordinates of z only: the papers also search in the thirds of z."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def pad(rows: Tensor, space: slice, z_dim: int) -> Tensor:
    """Rows (ndirs, coordinates in the space) as rows (ndirs, z_dim) that are zero outside of the space."""
    return F.pad(rows, (space.start, z_dim - space.stop))
