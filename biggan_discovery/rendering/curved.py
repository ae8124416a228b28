"""Curved paths that follow a singular vector of the generator's Jacobian from point to point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from biggan_discovery.directions import Directions, pad
from biggan_discovery.directions.shifts import shifted_images
from biggan_discovery.directions.space import check_count
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import gradient_batch
from biggan_discovery.generators.labels import placed
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.derivatives import Products
from biggan_discovery.numerics.eigenvectors import leading_eigenvectors, nearest_eigenvectors
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.film import Walk

_STEP = 0.25  # In units of z, whose coordinates have a standard deviation of about 1.
_MOST_STEPS = 1000


@dataclass(frozen=True)
class Paths:
    """Paths of samples through the space of directions, and the straight lines with the same initial direction.

    Attributes:
        lines: (ndirs, N, coordinates), unit vectors, the initial direction of each path.
        points: (ndirs, N, 2·steps + 1, coordinates), shifts of z at equal distances along the path, from -path_size to
            +path_size; 0 in the middle.
        path_size: length of the path to each side.
        evaluations: cost in generator evaluations, see `Products`.
    """

    lines: Tensor
    points: Tensor
    path_size: float
    evaluations: int

    def straight(self, direction: int, amount: float) -> Tensor:
        """Shifts (N, coordinates) at `amount` along the straight line."""
        return amount * self.lines[direction]

    def curved(self, direction: int, amount: float) -> Tensor:
        """Shifts (N, coordinates) at `amount`, at most path_size, along the path: between its points, linear."""
        points = self.points[direction]
        last = points.shape[1] - 1
        place = (amount / self.path_size + 1) / 2 * last
        before = min(max(int(place), 0), last - 1)
        return torch.lerp(points[:, before], points[:, before + 1], place - before)


@arithmetic("float32")
def leading_directions(
    generator: FrozenGenerator, z: Tensor, y: Tensor, count: int, *, layers: LayerRange | str = "all"
) -> Tensor:
    """Leading right-singular vectors of the Jacobian of each sample's image separately (Ramesh et al. 2018).

    Args:
        generator: the generator.
        z: (N, z_dim) latents.
        y: (N,) int64 class indices.
        count: vectors per sample, 1 to the number of coordinates.
        layers: layers of the generator that a direction reaches.

    Returns:
        (count, N, coordinates of the search space), with signs aligned with those of the first sample.

    Raises:
        UserError: if count is out of range, the layers do not exist, or images are not differentiable in z.
    """
    space = generator.search_space(layers)
    width = space.stop - space.start
    check_count(count, width)
    start = torch.randn(width, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    products, found = Products(), []
    for z_part, y_part in _parts(generator, z, y):
        images, origin = shifted_images(generator, z_part, y_part, layers)
        first = start.expand(len(origin), -1, -1)
        found.append(leading_eigenvectors(lambda v, G=images, at=origin: products(G, at, v), first, count)[1])
    vectors = torch.cat(found).permute(2, 0, 1)
    turned = (vectors * vectors[:, :1]).sum(dim=-1, keepdim=True) < 0
    return torch.where(turned, -vectors, vectors).to(generator.device, generator.dtype)


def lines_of(
    generator: FrozenGenerator, directions: Directions, shown: Sequence[int], samples: int, *, layers: LayerRange | str
) -> Tensor:
    """Known directions as lines for `curved_paths`: (len(shown), samples, coordinates of the search space).

    Raises:
        UserError: if the layers do not see one of the directions, or do not exist.
    """
    rows = directions.Q[list(shown)][:, generator.search_space(layers)]
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    for row, length in zip(shown, lengths, strict=True):
        if not length:
            raise UserError(f"direction {row} does not reach the layers {layers}; choose others")
    return (rows / lengths)[:, None].expand(-1, samples, -1).to(generator.device, generator.dtype)


@arithmetic("float32")
def curved_paths(
    generator: FrozenGenerator,
    z: Tensor,
    y: Tensor,
    lines: Tensor,
    path_size: float,
    *,
    layers: LayerRange | str = "all",
    quiet: bool = False,
) -> Paths:
    """Follow, for each line and sample, the singular vector nearest to it (Ramesh et al. 2018, section 3).

    "A Spectral Regularizer for Unsupervised Disentanglement": at every point, the singular vectors of the Jacobian are
    recomputed, and the path continues by a quarter of a unit of z along the one with the smallest angle to the previous
    step, with matching sign. A vector thus keeps its identity and sign when the order of singular values changes.

    Args:
        generator: the generator.
        z: (N, z_dim) latents.
        y: (N,) int64 class indices.
        lines: (ndirs, N, coordinates of the search space), unit vectors, the initial directions.
        path_size: extent to each side.
        layers: layers of the generator that a direction reaches; the others always see z.
        quiet: show no progress.

    Raises:
        UserError: if the path size is not positive or above 250, the layers do not exist, or images are not
            differentiable in z.
    """
    longest = _STEP * _MOST_STEPS
    if not 0 < path_size <= longest:
        raise UserError(f"path size is {path_size:g}; for a curved path it should be above 0 and at most {longest:g}")
    z, lines = (each.to(generator.device, generator.dtype) for each in (z, lines))
    ndirs, samples, width = lines.shape
    steps = math.ceil(path_size / _STEP)
    # One track per line, sample and side; all are treated alike.
    headings = torch.cat((lines, -lines)).flatten(0, 1).cpu().double()
    parts = _parts(generator, z.repeat(2 * ndirs, 1), y.repeat(2 * ndirs, *[1] * (y.ndim - 1)))
    products, sides = Products(), []
    with Progress(steps * len(headings), "following paths", unit="step", quiet=quiet) as progress:
        for (z_part, y_part), heading in zip(parts, headings.split(len(parts[0][0])), strict=True):
            images, at = shifted_images(generator, z_part, y_part, layers)
            points = [at]
            for _ in range(steps):
                heading = nearest_eigenvectors(lambda v, G=images, at=at: products(G, at, v), heading)
                at = at + path_size / steps * heading.to(at)
                points.append(at)
                progress.advance(len(at))
            sides.append(torch.stack(points, dim=1).to(z))
    ahead, behind = torch.cat(sides).view(2, ndirs, samples, steps + 1, width)
    return Paths(lines, torch.cat((behind[:, :, 1:].flip(2), ahead), dim=2), path_size, products.evaluations)


@dataclass(frozen=True)
class CurvedFilm(Walk):
    """Draws samples as they move along paths and straight lines.

    Row 2i of a sheet is the straight line of direction i, row 2i + 1 its path.

    Attributes:
        generator: the generator.
        paths: of the samples.
        z: (N, z_dim) latents of the samples.
        y: (N,) int64 class indices of the samples.
        layers: which layers the paths are for.
        batch: images that are made at a time; see `generate`.
    """

    generator: FrozenGenerator
    paths: Paths
    z: Tensor
    y: Tensor
    layers: LayerRange | str = "all"
    batch: int | None = None

    def _moved(self, row: int, amount: float) -> Tensor:
        direction, curved = divmod(row, 2)
        delta = (self.paths.curved if curved else self.paths.straight)(direction, amount)
        space = self.generator.search_space(self.layers)
        return self.generator.shift(self.z.to(delta), pad(delta, space, self.generator.z_dim), self.layers)


def _parts(generator: FrozenGenerator, z: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Latents and classes on the generator's device, as many at a time as derivatives have memory for."""
    size = gradient_batch(generator).size
    z, y = z.to(generator.device, generator.dtype), placed(y, generator)
    return list(zip(z.split(size), y.split(size), strict=True))
