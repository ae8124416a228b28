"""Derivatives of simple edits of an image with respect to their amount: what a direction that makes the edit changes.

An edit is a function E(x, a) of images x with E(x, 0) = x; its tangent is ∂E/∂a at a = 0 (Jahanian et al. 2020, "On the
steerability of generative adversarial networks", section 3). Coordinates are measured in widths and heights of the
image, from its centre, to the right and down; derivatives of images are central differences, one-sided at the edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.errors import UserError, near_matches

_GREY = (0.299, 0.587, 0.114)  # Rec. 601 luma
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))  # of NTSC


@dataclass(frozen=True)
class ImageEdit:
    """A simple edit of images.

    Attributes:
        tangent: from images (N, C, H, W) to ∂E/∂a at a = 0, of the same shape.
        words: what percents or degrees are of, such as "of the width to the right".
        percent: 1 percent as an amount a; None for an edit whose amounts are degrees.
        factor: whether the edit multiplies, so that amounts are logarithms and percents say how much more there is.
        geometric: whether it moves pixels rather than changing their colours.
        coloured: whether it needs red, green and blue.
    """

    tangent: Callable[[Tensor], Tensor]
    words: str
    percent: float | None = 0.01
    factor: bool = False
    geometric: bool = False
    coloured: bool = False

    def amount(self, shown: float) -> float:
        """The amount a of so many percent or degrees; percents of a factor are above -100.

        Example:
            >>> EDITS["shift-x"].amount(20), round(EDITS["zoom"].amount(30), 3)
            (0.2, 0.262)
        """
        if self.percent is None:
            return shown
        return math.log1p(shown * self.percent) if self.factor else shown * self.percent

    def number(self, amount: float) -> str:
        """An amount a in percent or degrees, with its sign.

        Example:
            >>> EDITS["zoom"].number(0.262)
            '+30 %'
        """
        if self.percent is None:
            return f"{amount:+.3g}°"
        return f"{(math.expm1(amount) if self.factor else amount) / self.percent:+.3g} %"


def _slopes(images: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives along x per width and along y per height."""
    height, width = images.shape[-2:]
    along_y, along_x = torch.gradient(images, dim=(-2, -1))
    return along_x * width, along_y * height


def _places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of pixels, (W,) in widths and (H, 1) in heights."""
    height, width = images.shape[-2:]
    x, y = (torch.arange(side, device=images.device, dtype=images.dtype) for side in (width, height))
    return (x + 0.5) / width - 0.5, ((y + 0.5) / height - 0.5)[:, None]


def _zoom(images: Tensor) -> Tensor:
    (along_x, along_y), (x, y) = _slopes(images), _places(images)
    return -(x * along_x + y * along_y)


def _rotate(images: Tensor) -> Tensor:
    (along_x, along_y), (x, y) = _slopes(images), _places(images)
    aspect = images.shape[-1] / images.shape[-2]  # Turns are rigid in pixels.
    return math.pi / 180 * (x * aspect * along_y - y / aspect * along_x)


def _grey(images: Tensor) -> Tensor:
    return torch.einsum("c,nchw->nhw", images.new_tensor(_GREY), images)[:, None]


def _contrast(images: Tensor) -> Tensor:
    return images - images.mean(dim=(1, 2, 3), keepdim=True)


def _hue(images: Tensor) -> Tensor:
    to_yiq = images.new_tensor(_YIQ)
    turn = images.new_tensor(((0.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))
    return math.pi / 180 * torch.einsum("dc,nchw->ndhw", torch.linalg.inv(to_yiq) @ turn @ to_yiq, images)


def _warmer(images: Tensor) -> Tensor:
    return images.new_tensor((1.0, 0.0, -1.0))[:, None, None].expand_as(images)


EDITS: dict[str, ImageEdit] = {
    "zoom": ImageEdit(_zoom, "in size", factor=True, geometric=True),
    "shift-x": ImageEdit(lambda images: -_slopes(images)[0], "of the width to the right", geometric=True),
    "shift-y": ImageEdit(lambda images: -_slopes(images)[1], "of the height down", geometric=True),
    "rotate": ImageEdit(_rotate, "counter-clockwise", None, geometric=True),
    "brighter": ImageEdit(torch.ones_like, "of the range from black to white", 0.02),
    "contrast": ImageEdit(_contrast, "of contrast", factor=True),
    "saturation": ImageEdit(lambda images: images - _grey(images), "of saturation", factor=True, coloured=True),
    "hue": ImageEdit(_hue, "of hue", None, coloured=True),
    "warmer": ImageEdit(_warmer, "of the range, red up and blue down", 0.02, coloured=True),
}
"""Edits by name."""


def tangents(
    names: list[str], images: Float[Tensor, "N C H W"], weights: list[Float[Tensor, "H W"] | None] | None = None
) -> Float[Tensor, "N edits C H W"]:
    """Tangents of some edits at images.

    Args:
        names: keys of `EDITS`.
        images: (N, C, H, W) in [-1, 1].
        weights: for each edit the region that it is restricted to, (H, W), or None for the whole image. Defaults to
            the whole image.

    Returns:
        (N, edits, C, H, W), with the dtype and device of the images.

    Raises:
        UserError: for an unknown edit, or an edit of colours of images without three channels.

    Example:
        >>> tangents(["brighter"], torch.zeros(1, 3, 2, 2)).mean()
        tensor(1.)
    """
    found = []
    for name, region in zip(names, weights or [None] * len(names), strict=True):
        if name not in EDITS:
            raise UserError(f"no edit {name!r}{near_matches(name, EDITS)}; there are {', '.join(EDITS)}")
        if EDITS[name].coloured and images.shape[1] != 3:
            raise UserError(f"{name} needs red, green and blue; these images have {images.shape[1]} channels")
        tangent = EDITS[name].tangent(images)
        found.append(tangent if region is None else tangent * region.to(tangent))
    return torch.stack(found, dim=1)
