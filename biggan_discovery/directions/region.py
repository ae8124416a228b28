"""Regions of images: a box in relative units, or a mask from a picture file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from biggan_discovery.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from biggan_discovery.generators import FrozenGenerator

    Box = tuple[float, float, float, float]

_NAMED: dict[str, Box] = {
    "upper": (0.0, 0.0, 1.0, 1 / 3),
    "lower": (0.0, 2 / 3, 1.0, 1.0),
    "left": (0.0, 0.0, 1 / 3, 1.0),
    "right": (2 / 3, 0.0, 1.0, 1.0),
    "centre": (1 / 3, 1 / 3, 2 / 3, 2 / 3),
}
NAMED_REGIONS = tuple(_NAMED)
"""Regions that have a name: the outer thirds, and the middle ninth."""


class Region(NamedTuple):
    """A region of a generator's images.

    Attributes:
        text: the box or the file of the mask, for reports.
        weights: (H, W), see `region_weights`.
    """

    text: str
    weights: Float[Tensor, "H W"]


def region_of(
    generator: FrozenGenerator, region: str | None = None, mask: str | os.PathLike[str] | None = None
) -> Region:
    """The region of a generator's images that a box or a mask describes, see `region_weights`."""
    return Region(region or os.fspath(mask or ""), region_weights(image_size(generator), region, mask))


def parse_box(text: str) -> Box:
    """A box (x0, y0, x1, y1) in relative units, from the upper left corner of the image.

    Args:
        text: one of `NAMED_REGIONS`, or four numbers in [0, 1] separated by commas.

    Raises:
        UserError: if it is neither, or the box is empty.

    Example:
        >>> parse_box("0,0,1,0.25")
        (0.0, 0.0, 1.0, 0.25)
    """
    if text in _NAMED:
        return _NAMED[text]
    try:
        x0, y0, x1, y1 = map(float, text.split(","))
    except ValueError as error:
        names = ", ".join(_NAMED)
        raise UserError(f"region is {text[:60]!r}; write x0,y0,x1,y1 such as 0,0,1,0.33, or one of {names}") from error
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise UserError(f"region is {text[:60]!r}; it should be x0,y0,x1,y1 with 0 ≤ x0 < x1 ≤ 1 and 0 ≤ y0 < y1 ≤ 1")
    return x0, y0, x1, y1


def region_weights(
    size: tuple[int, int], region: str | None = None, mask: str | os.PathLike[str] | None = None
) -> Float[Tensor, "H W"]:
    """How far each pixel belongs to a region.

    Args:
        size: height and width of the images.
        region: a box, see `parse_box`; pixels at its edges count with the part that it covers.
        mask: a picture file instead, of any size: white is inside, black outside. It is averaged to the size of the
            images.

    Returns:
        (H, W) float64 in [0, 1] on the CPU.

    Raises:
        UserError: if the region or the mask is invalid, both or neither are given, or the region covers no pixel or
            all of them.

    Example:
        >>> region_weights((2, 4), "0,0,0.5,1")
        tensor([[1., 1., 0., 0.],
                [1., 1., 0., 0.]], dtype=torch.float64)
    """
    import torch

    if (region is None) == (mask is None):
        raise UserError("give a region or a mask, one of them")
    if region is not None:
        x0, y0, x1, y1 = parse_box(region)
        height, width = size
        weights = torch.outer(_covered(height, y0, y1), _covered(width, x0, x1))
    else:
        from biggan_discovery.reading.pictures import read_picture

        assert mask is not None
        levels = torch.tensor(read_picture(mask, "L"), dtype=torch.float64)[None, None] / 255
        weights = torch.nn.functional.interpolate(levels, size=size, mode="area")[0, 0]
    if not weights.any() or bool((weights == 1).all()):
        covers = "every pixel" if weights.any() else "no pixel"
        raise UserError(f"{region or mask} covers {covers} of {size[0]} × {size[1]}; a region is a part of the image")
    return weights


def image_size(generator: FrozenGenerator) -> tuple[int, int]:
    """Height and width of a generator's images, from one image; a user's own network may give any."""
    import torch

    z = torch.zeros(1, generator.z_dim, dtype=generator.dtype, device=generator.device)
    with torch.no_grad():
        height, width = generator(z, torch.zeros(1, dtype=torch.int64, device=z.device)).shape[2:]
    return height, width


def _covered(count: int, start: float, end: float) -> Float[Tensor, " count"]:
    """The share of each of `count` pixels in [0, 1] that lies between two places."""
    import torch

    edges = torch.linspace(0, 1, count + 1, dtype=torch.float64).clamp(start, end)
    return (edges.diff() * count).clamp(0, 1)
