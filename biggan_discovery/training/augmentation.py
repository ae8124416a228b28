"""Differentiable augmentation of the discriminator's inputs (Zhao et al. 2020, "DiffAugment").

Real and generated images are changed alike, at random, so that a discriminator cannot learn few images by heart, and
the generator gets its gradient through the change. Nothing is read back from the device, and shifts are products with
matrices of zeros and ones, so that a step can be recorded and is the same each time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

COLOUR, TRANSLATION, CUTOUT = "colour", "translation", "cutout"
NAMES = (COLOUR, TRANSLATION, CUTOUT)
_SHIFT = 1 / 8  # largest shift, of the side of the image
_CUTOUT = 1 / 2  # side of the grey square, of the side of the image


def augment(images: Tensor, names: Sequence[str], generator: torch.Generator) -> Tensor:
    """Images changed at random, each in its own way.

    Args:
        images: (N, 3, R, R), float32.
        names: of `NAMES`, applied in this order.
        generator: random numbers, on the device of the images.

    Returns:
        (N, 3, R, R). Colours may leave [-1, 1].

    Example:
        >>> augment(torch.zeros(2, 3, 8, 8), ["cutout"], torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 8, 8])
    """
    functions = {COLOUR: colour, TRANSLATION: translation, CUTOUT: cutout}
    for name in names:
        images = functions[name](images, generator)
    return images


def colour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness by up to ±0.5, saturation by a factor up to 2, contrast by a factor from 0.5 to 1.5."""
    brightness, saturation, contrast = _uniform(images, generator, 3)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + 2 * saturation * (images - grey)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (0.5 + contrast) * (images - mean)


def translation(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shifts by whole pixels, up to an eighth of the side each way; what is shifted in is grey."""
    size = images.shape[-1]
    most = round(size * _SHIFT)
    place = torch.arange(size, device=images.device)
    shifts = ((2 * most + 1) * _uniform(images, generator, 2)).floor().flatten(1) - most
    rows, columns = (place[:, None] + shifts[:, :, None, None] == place).to(images.dtype)
    return rows[:, None] @ images @ columns[:, None].transpose(2, 3)


def cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """A grey square of half the side, whose centre is anywhere."""
    size = images.shape[-1]
    half = size * _CUTOUT / 2
    place = torch.arange(size, device=images.device) + 0.5
    across, down = ((place - size * centre).abs() < half for centre in _uniform(images, generator, 2)[:, :, 0, 0])
    return images * ~(down[:, None, :, None] & across[:, None, None, :])


def _uniform(images: Tensor, generator: torch.Generator, count: int) -> Tensor:
    """(count, N, 1, 1, 1) in [0, 1)."""
    return torch.rand(count, len(images), 1, 1, 1, device=images.device, generator=generator)
