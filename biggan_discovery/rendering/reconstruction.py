"""A photo beside the nearest image of a generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.rendering.output import Target
from biggan_discovery.rendering.sheet import Label, Sheet, to_uint8

_HEADER = ("photo", "nearest image", "difference")
_COMFORTABLE = 256  # pixels


def draw_reconstruction(
    target: Target,
    photo: Float[Tensor, "1 C R R"],
    image: Float[Tensor, "1 C R R"],
    *,
    caption: str,
    settings: Mapping[str, Any],
    scale: int | None = None,
) -> str:
    """Write a .png with a photo, an image and half of their difference, which is grey where they agree.

    Args:
        target: the file.
        photo: (1, C, R, R) in [-1, 1].
        image: (1, C, R, R), compared within [-1, 1].
        caption: a line above.
        settings: kept in the file, see `settings_of`.
        scale: enlarge by this integer. Defaults to enlarging small pictures to about 256 pixels.

    Returns:
        The file and its size, in words.

    Raises:
        UserError: images that are not as wide as high, or of neither 1 nor 3 channels.
        OSError: if writing fails; no partial file is left.
    """
    sheet = Sheet(
        [Label()],
        tile=photo.shape[-1],
        columns=len(_HEADER),
        header=_HEADER,
        above=True,
        scale=scale,
        caption=caption,
        comfortable=_COMFORTABLE,
        limits=target.limits,
    )
    difference = (image.clamp(-1, 1) - photo) / 2
    tiles = to_uint8(torch.cat((photo, image, difference)))
    return target.write([sheet.draw(tiles)], 1, None, settings)
