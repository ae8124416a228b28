"""What every scene gives: images with eight known, independent factors, each driven by one number in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

RESOLUTION = 64
NUM_FACTORS = 8


@dataclass(frozen=True)
class Scene:
    """A renderer with known factors, and the network that is fitted to it.

    Attributes:
        checkpoint: name of the generator that is fitted to it.
        classes: names of its classes.
        factors: names of its eight factors.
        render: from factors (N, 8) in [0, 1] and classes y (N,) to images (N, 3, 64, 64) in [-1, 1].
        channel_width: of the network.
        settings: search settings that suit the generator.
    """

    checkpoint: str
    classes: tuple[str, ...]
    factors: tuple[str, ...]
    render: Callable[[Tensor, Tensor], Tensor]
    channel_width: int
    settings: dict[str, int | float]

    def images(self, u: Tensor, y: Tensor) -> Tensor:
        """What a network should show of coordinates u (N, 8), standard normal where z is: render(Φ(u), class)."""
        return self.render(torch.special.ndtr(u), y)


def check_scenes(factors: Tensor, y: Tensor, num_classes: int) -> None:
    """Refuse what cannot be rendered.

    Raises:
        ValueError: where shapes do not agree, a factor leaves [0, 1] or a class does not exist.
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
