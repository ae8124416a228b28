"""A smooth picture that is known everywhere, so that a moved one has a closed form."""

from __future__ import annotations

import torch

SIDE = 64
CENTRES = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE - 0.5
"""Centres of pixels along a side, in widths from the middle."""


def scene(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The picture (3, H, W) at places in widths and heights."""
    return torch.stack((torch.sin(3 * x + y), torch.cos(4 * y - 2 * x), x * y + 0.3 * x)) / 2
