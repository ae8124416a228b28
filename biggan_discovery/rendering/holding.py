"""Keeping the effect of some directions fixed while others move: conditional walks in the space of images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from biggan_discovery.numerics.arithmetic import arithmetic, in_float64, widest

SUBSTEPS = 3
_STEP = 0.05  # in units of z, of the differences that measure effects

Position = Callable[[float], Tensor]
"""Latents (N, ...) at a share of the way, from 0 to 1 and a little beyond."""


def images_per_frame(held: int) -> int:
    """Images that `held_amounts` makes for each latent."""
    return SUBSTEPS * 2 * (2 + 2 * held)


@torch.no_grad()
@arithmetic("float32")
def held_amounts(
    images: Callable[[Tensor], Tensor],
    position: Position,
    plus: Callable[[Tensor, Tensor], Tensor],
    held: int,
    farthest: float,
) -> Tensor:
    """Amounts along held directions that cancel what a movement does to their effects.

    The effect of a held direction is the image change per unit, J qₕ, at the place where the latent is. The amounts b
    are followed along the way such that the image never moves along these: Eᵀ(dx/ds + E db/ds) = 0, with x the image
    and E the matrix of the effects. They depend on the latent and the amount alone, so that a loop closes.

    Args:
        images: function from latents (N, ...) to images (N, C, H, W).
        position: see `Position`; at 0, the latents that do not move.
        plus: function from latents and amounts (N, held) to latents with these added.
        held: number of held directions.
        farthest: the largest amount of the movement, in units of z.

    Returns:
        (N, held) amounts at the end of the way.
    """
    start = position(0.0)
    amounts = torch.zeros(len(start), held, dtype=torch.float64, device=widest(start.device))
    share = _STEP / max(farthest, _STEP)

    def slope(at: float, b: Tensor) -> Tensor:
        ahead, behind = (_rows(images(plus(position(at + sign * share), b))) for sign in (1, -1))
        change = (ahead - behind) / (2 * share)
        here, effects = position(at), []
        for direction in range(held):
            step = torch.zeros_like(b)
            step[:, direction] = _STEP
            ahead, behind = (_rows(images(plus(here, b + sign * step))) for sign in (1, -1))
            effects.append((ahead - behind) / (2 * _STEP))
        matrix = torch.stack(effects, dim=2)
        # Directions without any effect need no amount.
        inverse = torch.linalg.pinv(matrix.mT @ matrix, rtol=1e-9, hermitian=True)
        return -(inverse @ (matrix.mT @ change[..., None]))[..., 0]

    for step in range(SUBSTEPS):  # The midpoint method.
        at = step / SUBSTEPS
        middle = amounts + slope(at, amounts) / (2 * SUBSTEPS)
        amounts = amounts + slope(at + 1 / (2 * SUBSTEPS), middle) / SUBSTEPS
    return amounts


def _rows(images: Tensor) -> Tensor:
    return in_float64(images).flatten(1)
