"""The two orders of an activation's axes; neither function moves anything in memory."""

from __future__ import annotations

from torch import Tensor


def channels_first(x: Tensor) -> Tensor:
    """(N, height, width, channels) in torch's order, (N, channels, height, width)."""
    return x.permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """(N, channels, height, width) in the order of activations here, (N, height, width, channels)."""
    return x.permute(0, 2, 3, 1)
