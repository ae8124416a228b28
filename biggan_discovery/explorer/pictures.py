"""Views as pixels."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from biggan_discovery.explorer.sources import Shown
from biggan_discovery.explorer.view import View
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.rendering.motion import edited, generate
from biggan_discovery.rendering.sheet import to_uint8

DRAFT_SECONDS = 0.1
"""What a picture may take while a slider is dragged."""
_DRAFT_SIDE = 256  # pixels
_ENOUGH, _LATELY = 4, 12  # measurements, of which the fastest counts: the others waited for other programs
_seconds: WeakKeyDictionary[FrozenGenerator, deque[float]] = WeakKeyDictionary()


class Drawn(NamedTuple):
    """Pictures of a view.

    Attributes:
        pixels: (N, height, width, 3) uint8.
        numbers: of all samples of the view, of which the first N are drawn.
        names: of their classes.
    """

    pixels: np.ndarray
    numbers: list[int]
    names: list[str]


@torch.no_grad()
def seconds_per_image(generator: FrozenGenerator) -> float:
    """What an image took lately. If that is not known well, a few are drawn, as the first of all is slow."""
    z, y = torch.zeros(1, generator.z_dim), torch.zeros(1, dtype=torch.int64)
    while len(_seconds.get(generator, ())) < _ENOUGH and (
        generator not in _seconds or min(_seconds[generator]) > DRAFT_SECONDS
    ):
        _timed(generator, z, y)
    return min(_seconds[generator])


def _timed(generator: FrozenGenerator, z: Tensor, y: Tensor) -> np.ndarray:
    start = time.perf_counter()
    pixels = np.concatenate([to_uint8(images) for images in generate(generator, z, y)])
    _seconds.setdefault(generator, deque(maxlen=_LATELY)).append((time.perf_counter() - start) / len(z))
    return pixels


@torch.no_grad()
def draw(source: Shown, view: View, *, draft: bool = False, side: int | None = None) -> Drawn:
    """Draw a view.

    A BigGAN has no smaller form of itself, so a draft of several samples is of the first ones, as many as can be had in
    a tenth of a second, but at least one. Its pictures have at most 256 pixels a side, which saves the network.

    Args:
        source: the directions.
        view: the view.
        draft: see above.
        side: pixels of a side at most. Defaults to those of the generator.

    Raises:
        UserError: directions, layers, classes or samples that do not exist.
    """
    generator, samples = source.generator(view.truncation), source.samples(view)
    count = len(samples)
    if draft and count > 1:
        count = min(count, max(1, int(DRAFT_SECONDS / seconds_per_image(generator))))
    z = edited(generator, source.directions, samples.z[:count], view.edits)
    pixels = _timed(generator, z, samples.y[:count])
    most = min(side or pixels.shape[1], _DRAFT_SIDE if draft else pixels.shape[1])
    return Drawn(smaller(pixels, most), samples.numbers, samples.names)


def smaller(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pictures (N, height, width, 3) uint8 with at most `side` pixels a side."""
    height, width = pixels.shape[1:3]
    if max(height, width) <= side:
        return pixels
    size = (max(1, side * width // max(height, width)), max(1, side * height // max(height, width)))
    return np.stack([np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BOX)) for each in pixels])
