"""Directions that have some coordinates of z only: the papers also search in the thirds of z."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from biggan_discovery.errors import UserError


def pad(rows: Tensor, space: slice, z_dim: int) -> Tensor:
    """Rows (ndirs, coordinates in the space) as rows (ndirs, z_dim) that are zero outside of the space."""
    return F.pad(rows, (space.start, z_dim - space.stop))


def check_count(ndirs: int, width: int) -> None:
    """Refuse a number of directions that a space of `width` coordinates does not have.

    Raises:
        UserError: where it is not 1 to `width`.
    """
    if isinstance(ndirs, bool) or not isinstance(ndirs, int) or not 1 <= ndirs <= width:
        raise UserError(f"{ndirs} directions asked for; in a space of {width} coordinates there are 1 to {width}")
