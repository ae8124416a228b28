"""Walks along directions, as images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Labels
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.generators.labels import placed
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.rendering.table import EASINGS


def easing_named(name: str) -> Callable[[float], float]:
    """An easing of `table.EASINGS`.

    Raises:
        UserError: another name, with those that are nearly the same.
    """
    if name not in EASINGS:
        raise UserError(f"no easing {name!r}{near_matches(name, EASINGS)}; there are {', '.join(EASINGS)}")
    return EASINGS[name]


def loop_amounts(frames: int, path_size: float, easing: str = "sine") -> list[float]:
    """Amounts along a direction for each frame of a loop: centre, +path_size, centre, -path_size, and again.

    The last frame is one step before the first, so that the loop has no jump. Both ends are reached exactly, by one
    frame each, for any number of frames; if it is a multiple of four, the way back repeats the same amounts.

    Raises:
        UserError: for fewer than four frames, a path size that is not positive, or an unknown easing.
    """
    ease = easing_named(easing)
    if frames < 4:
        raise UserError(f"a loop of {frames} frames cannot reach both ends; give at least 4")
    if not (path_size > 0 and math.isfinite(path_size)):
        raise UserError(f"path size {path_size} is not a positive number")
    quarter = (frames + 2) // 4
    between = frames - 2 * quarter  # frames from one end to the other

    def wave(frame: int) -> float:
        if frame > frames - quarter:
            return -ease((frames - frame) / quarter)
        if frame > quarter:
            sweep = 1 - 2 * (frame - quarter) / between
            return math.copysign(ease(abs(sweep)), sweep)
        return ease(frame / quarter)

    # Rounding makes amounts equal that differ by the last bit only, so that their frames are made once.
    return [path_size * round(wave(frame), 12) + 0.0 for frame in range(frames)]


def strip_amounts(columns: int, path_size: float) -> list[float]:
    """Evenly spaced amounts from -path_size to +path_size, for a still.

    Raises:
        UserError: for fewer than two columns.
    """
    if columns < 2:
        raise UserError(f"a strip of {columns} pictures cannot show both ends; give at least 2")
    return [path_size * (2 * column - columns + 1) / (columns - 1) for column in range(columns)]


def edit_shares(frames: int, easing: str = "cosine") -> list[float]:
    """How much of an edit each frame of a loop shows: from 0 to exactly 1 in the middle and back.

    Raises:
        UserError: for fewer than two frames, or an unknown easing.
    """
    ease = easing_named(easing)
    if frames < 2:
        raise UserError(f"a loop of {frames} frames cannot go there and back; give at least 2")
    half = frames // 2

    def share(frame: int) -> float:
        return ease(frame / half if frame <= half else (frames - frame) / (frames - half))

    return [round(share(frame), 12) for frame in range(frames)]


def move(
    generator: FrozenGenerator,
    directions: Directions,
    z: Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"],
    direction: int,
    amount: float,
    *,
    layers: LayerRange | str | None = None,
    centred: bool = False,
) -> Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"]:
    """Latents at `amount` along a direction, measured from the latent as it is: z + amount·q, with q the direction.

    Layers that the direction does not reach see z as it is.

    Args:
        generator: the generator.
        directions: the directions.
        z: (N, z_dim) or (N, num_layers, z_dim) latents, on any device.
        direction: row of `directions`.
        amount: in units of z.
        layers: which layers the direction reaches. Defaults to its own, see `Directions.layers_of`.
        centred: measure from the centre, as in the papers: remove the latent's own component along the direction first,
            z - (z·q/|q|²)q + amount·q, so that all samples move over the same stretch.

    Returns:
        Latents as `FrozenGenerator.shift` gives them, on the generator's device.
    """
    z = z.to(generator.device)
    row = directions.row(direction).to(z)
    own = z @ row / row.square().sum() if centred else 0
    amounts = z.new_full(z.shape[:-1], amount) - own
    return generator.shift(z, amounts[..., None] * row, layers or directions.layers_of(direction))


class Edit(NamedTuple):
    """A step along one direction.

    Attributes:
        direction: row of the directions; `edit` also accepts a name, or the beginning of a name.
        amount: distance in units of z.
        layers: layers of the generator that it reaches. Defaults to the direction's own.
    """

    direction: int | str
    amount: float
    layers: LayerRange | str | None = None


def edited(
    generator: FrozenGenerator,
    directions: Directions,
    z: Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"],
    edits: Sequence[Edit],
    share: float = 1.0,
) -> Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"]:
    """Latents moved along several directions at once: z + share · Σ amount·q, for each edit's layers.

    Args:
        generator: the generator.
        directions: the directions.
        z: (N, z_dim) or (N, num_layers, z_dim) latents, on any device.
        edits: the edits, which add up.
        share: fraction of the edit.

    Returns:
        Latents as `FrozenGenerator.shift` gives them, on the generator's device.
    """
    for direction, amount, layers in edits:
        row = direction if isinstance(direction, int) else directions.index(direction)
        z = move(generator, directions, z, row, share * amount, layers=layers)
    return z


def generate(
    generator: FrozenGenerator,
    z: Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"],
    y: Labels,
    *,
    batch: int | None = None,
) -> Iterator[Float[Tensor, "batch C R R"]]:
    """Images of latents, in batches of at most `batch`, so that only one batch is held.

    Args:
        generator: the generator.
        z: (N, z_dim) or (N, num_layers, z_dim) latents.
        y: (N,) int64 class indices, or class weights; see `FrozenGenerator.forward`.
        batch: images at a time. Defaults to `forward_batch`.

    Yields:
        (at most batch, C, R, R) images in [-1, 1], on the generator's device.
    """

    @torch.no_grad()
    def images(z: Tensor, y: Tensor) -> Tensor:
        return generator(z.to(generator.device, generator.dtype), placed(y, generator))

    yield from forward_batch(generator, batch).map(images, z, y)


def traversal(
    generator: FrozenGenerator,
    directions: Directions,
    z: Float[Tensor, "N z_dim"] | Float[Tensor, "N num_layers z_dim"],
    y: Labels,
    direction: int,
    amounts: Sequence[float],
    *,
    layers: LayerRange | str | None = None,
    centred: bool = False,
    batch: int | None = None,
) -> Iterator[Float[Tensor, "N C R R"]]:
    """Images along one direction, one amount after the other; see `move`.

    Args:
        generator: the generator.
        directions: the directions.
        z: (N, z_dim) latents.
        y: (N,) int64 class indices, or class weights; see `FrozenGenerator.forward`.
        direction: row of `directions`.
        amounts: distances, for example from `loop_amounts`.
        layers: which layers the direction reaches. Defaults to its own, see `Directions.layers_of`.
        centred: remove the latents' own component along the direction first, see `move`.
        batch: images that are made at a time; see `generate`.

    Yields:
        (N, C, R, R) images in [-1, 1], for each amount.
    """
    for amount in amounts:
        moved = move(generator, directions, z, direction, amount, layers=layers, centred=centred)
        yield torch.cat(list(generate(generator, moved, y, batch=batch)))
