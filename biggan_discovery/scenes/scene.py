"""The interface of scenes: images with eight known, independent factors, each a number in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

RESOLUTION = 64
NUM_FACTORS = 8


@dataclass(frozen=True)
class Scene:
    """A renderer with known factors, and the size of the network fitted to it.

    Attributes:
        checkpoint: name of the generator fitted to the scene.
        classes: names of the classes.
        factors: names of the eight factors.
        render: function from factors (N, 8) in [0, 1] and classes y (N,) to images (N, 3, 64, 64) in [-1, 1].
        channel_width: channel width of the network.
        settings: default search settings of the generator.
    """

    checkpoint: str
    classes: tuple[str, ...]
    factors: tuple[str, ...]
    render: Callable[[Tensor, Tensor], Tensor]
    channel_width: int
    settings: dict[str, int | float]

    def images(self, u: Tensor, y: Tensor) -> Tensor:
        """Target images for coordinates u (N, 8), which are standard normal if z is: render(Φ(u), y)."""
        return self.render(torch.special.ndtr(u), y)


def check_scenes(factors: Tensor, y: Tensor, num_classes: int) -> None:
    """Check the arguments of a renderer.

    Raises:
        ValueError: if shapes do not match, a factor is outside [0, 1], or a class does not exist.
    """
    if factors.ndim != 2 or factors.shape[1] != NUM_FACTORS or y.shape != factors.shape[:1]:
        raise ValueError(
            f"factors must be (N, {NUM_FACTORS}) and y (N,), not {tuple(factors.shape)} and {tuple(y.shape)}"
        )
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        raise ValueError(f"classes must be 0 to {num_classes - 1}, not {int(y.min())} to {int(y.max())}")
    factors = factors.detach()
    if len(y) and not 0 <= float(factors.min()) <= float(factors.max()) <= 1:
        raise ValueError(f"factors must lie in [0, 1], not {float(factors.min()):g} to {float(factors.max()):g}")
