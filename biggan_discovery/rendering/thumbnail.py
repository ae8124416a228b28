"""A small picture of directions inside of their file, so that they can be shown without their generator."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import classes_for
from biggan_discovery.directions.metadata import THUMBNAIL
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.rendering.latents import sample_classes, sample_latents
from biggan_discovery.rendering.motion import generate, move
from biggan_discovery.rendering.sheet import to_uint8

ROWS, COLUMNS, SIDE = 6, 5, 32
"""At most 6 directions at 5 amounts each, in tiles of 32 pixels."""
_QUALITIES = (80, 60, 40, 20, 5)
_MOST_BYTES = 7_400  # 9,868 letters of base64


@torch.no_grad()
@arithmetic("float32")
def add_thumbnail(directions: Directions, generator: FrozenGenerator, reach: Mapping[int, float]) -> None:
    """Draw a thumbnail into the metadata of directions: one sample along the first directions of `reach`.

    Args:
        directions: the directions, changed in place.
        generator: their generator.
        reach: for each direction to show, how far it goes to both sides.
    """
    z = sample_latents(generator, 1, 0)
    y = sample_classes(classes_for(directions, generator), 1, generator.num_classes)
    rows = []
    for row, end in list(reach.items())[:ROWS]:
        moved = torch.cat([move(generator, directions, z, row, amount) for amount in np.linspace(-end, end, COLUMNS)])
        images = [to_uint8(each) for each in generate(generator, moved, torch.cat([y] * COLUMNS))]
        rows.append(np.concatenate([_tile(each) for each in np.concatenate(images)], axis=1))
    picture = Image.fromarray(np.concatenate(rows))
    fitting = (each for each in (_webp(picture, quality) for quality in _QUALITIES) if len(each) <= _MOST_BYTES)
    if content := next(fitting, None):  # Noise does not fit.
        directions.metadata[THUMBNAIL] = base64.b64encode(content).decode()


def read_thumbnail(directions: Directions) -> np.ndarray | None:
    """The thumbnail of directions as pixels (height, width, 3) uint8; None if they have none.

    Raises:
        UserError: it is not a small still picture.
    """
    content = directions.thumbnail
    if content is None:
        return None
    try:
        with Image.open(io.BytesIO(content), formats=("WEBP",)) as picture:
            if picture.width > COLUMNS * SIDE or picture.height > ROWS * SIDE or getattr(picture, "n_frames", 1) > 1:
                raise UserError(f"{directions.source} has a thumbnail of {picture.width:,} × {picture.height:,} pixels")
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"the thumbnail in {directions.source} is damaged ({error})") from error


def thumbnail_png(directions: Directions, scale: int) -> bytes | None:
    """The thumbnail of directions as a PNG, enlarged by an integer; None if they have none.

    Raises:
        UserError: see `read_thumbnail`.
    """
    pixels = read_thumbnail(directions)
    if pixels is None:
        return None
    picture, buffer = Image.fromarray(pixels), io.BytesIO()
    picture.resize((scale * picture.width, scale * picture.height)).save(buffer, "png")
    return buffer.getvalue()


def _tile(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX))


def _webp(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "webp", quality=quality, method=6)
    return buffer.getvalue()
