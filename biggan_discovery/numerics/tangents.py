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
        unit: what amounts are measured in.
        geometric: whether it moves pixels rather than changing their colours.
        coloured: whether it needs red, green and blue.
    """

    tangent: Callable[[Tensor], Tensor]
    unit: str
    geometric: bool = False
    coloured: bool = False


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
    "zoom": ImageEdit(_zoom, "logarithms of the magnification", geometric=True),
    "shift-x": ImageEdit(lambda images: -_slopes(images)[0], "widths to the right", geometric=True),
    "shift-y": ImageEdit(lambda images: -_slopes(images)[1], "heights down", geometric=True),
    "rotate": ImageEdit(_rotate, "degrees counter-clockwise", geometric=True),
    "brighter": ImageEdit(torch.ones_like, "halves of the range from black to white"),
    "contrast": ImageEdit(lambda images: images - images.mean(dim=(1, 2, 3), keepdim=True), "doublings of contrast"),
    "saturation": ImageEdit(lambda images: images - _grey(images), "doublings of saturation", coloured=True),
    "hue": ImageEdit(_hue, "degrees of hue", coloured=True),
    "warmer": ImageEdit(_warmer, "halves of the range, red up and blue down", coloured=True),
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
