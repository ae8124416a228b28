"""Film strips of directions in memory, for records of a search."""

from __future__ import annotations

import numpy as np
import torch

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import classes_for, setting_for
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.rendering.film import Film
from biggan_discovery.rendering.latents import sample_classes, sample_latents
from biggan_discovery.rendering.motion import strip_amounts
from biggan_discovery.rendering.sheet import Label, Sheet

_MOST, _LENGTH = 10, 7


@torch.no_grad()
@arithmetic("float32")
def direction_strips(generator: FrozenGenerator, directions: Directions, *, seed: int = 0) -> np.ndarray:
    """One sample moved along the first ten directions, a row for each.

    Args:
        generator: the frozen network.
        directions: the directions.
        seed: random seed of the sample.

    Returns:
        (height, width, 3) uint8; 7 images for each direction, at amounts of up to the path size of the search.

    Example:
        >>> direction_strips(load_generator("scenes-64"), Directions.load("scenes-64")).dtype
        dtype('uint8')
    """
    rows = range(min(_MOST, len(directions)))
    amounts = strip_amounts(_LENGTH, setting_for(directions, generator, "path_size"))
    sheet = Sheet(
        [Label(str(row), directions.names[row]) for row in rows],
        tile=generator.resolution,
        rows=1,
        columns=_LENGTH,
        header=[f"{amount:+.3g}" if amount else "0" for amount in amounts],
        scale=max(1, 64 // generator.resolution),
    )
    y = sample_classes(classes_for(directions, generator), 1, generator.num_classes)
    film = Film(generator, directions, sample_latents(generator, 1, seed), y)
    [picture] = film.strip(rows, amounts, sheet)
    return picture
