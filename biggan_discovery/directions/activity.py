"""Which directions are inactive, by one definition that files, lists, films and reports share.

The strength of a direction q is the mean over latents and pixels of (Jq)², where J is the Jacobian of the image with
respect to z: the squared change per unit step. Its root is compared with the root of the same mean over random
directions of the whole latent space, of the same length, that reach all layers. A direction that changes the image
less than a quarter as much is inactive: whatever part of z it moves, a step in any other direction shows more.

The comparison is with random directions, not with the strongest one, because one exceptional direction does not make
the others useless; and with those of the whole network, because a weak layer does not become strong by being searched
alone. A quarter lies between idle and live dimensions where these are known. Of the bundled generators' sixteen
dimensions, eight do nothing. Directions that an OroJaR search finds in them change the image by less than 0.001 of
random ones. Those of the Hessian Penalty keep a trace of the live dimensions, 0.25 or less of random ones, while the
live ones measure 0.7 and more; where live ones are mixed with each other (OroJaR on `scenes-overlap`), at least 0.31.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from biggan_discovery.directions.directions import Directions
from biggan_discovery.directions.shifts import changes_along
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Labels
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream, random_numbers
from biggan_discovery.progress import Progress

INACTIVE = 0.25
"""Directions that change the image by less than this share of what random directions do are inactive."""

_ROUNDING = 1e-10  # Strength that rounding in float32 alone can make, of pixels in [-1, 1].
_RANDOM = 8  # random directions for each latent


def relative_changes(strength: Sequence[float], of_random: float) -> list[float]:
    """Root-mean-square change of the image per unit step, relative to random directions.

    Args:
        strength: mean squared change per unit step of each direction.
        of_random: the same of random directions.

    Returns:
        One number for each direction, at least 0; 0 where the change is rounding.

    Example:
        >>> relative_changes([4.0, 1.0, 0.0], of_random=1.0)
        [2.0, 1.0, 0.0]
    """
    least = of_random if of_random > _ROUNDING else _ROUNDING  # nan is not greater
    return [(each / least) ** 0.5 if each > _ROUNDING else 0.0 for each in strength]


def inactive(changes: Sequence[float]) -> list[int]:
    """Indices of the inactive directions, from their `relative_changes`."""
    return [index for index, change in enumerate(changes) if not change >= INACTIVE]


def active_first(changes: Sequence[float]) -> list[int]:
    """Indices of all directions: the active ones in their order, and then the inactive ones in theirs.

    Example:
        >>> active_first([2.0, 0.1, 0.5])
        [0, 2, 1]
    """
    return sorted(range(len(changes)), key=lambda index: not changes[index] >= INACTIVE)


def stored_changes(directions: Directions) -> list[float] | None:
    """`relative_changes` of directions from the strengths in their metadata, without a generator.

    Files keep "strength" and, if a search measured it, "random_strength". Without the latter it is the mean strength
    of directions that span the whole latent space and reach all layers.

    Returns:
        One number for each direction; None if the metadata has no such strengths.
    """
    strength, of_random = (directions.metadata.get(key) for key in ("strength", "random_strength"))
    if strength is None:
        return None
    if of_random is None:
        if len(directions) < directions.z_dim or directions.layers != "all":
            return None
        of_random = sum(strength) / len(strength)
    return relative_changes(strength, of_random)


def strengths_cost(ndirs: int, *, samples: int) -> int:
    """Forward passes of one image that `strengths` takes."""
    return 2 * samples * ndirs


def random_strengths_cost(*, samples: int) -> int:
    """Forward passes of one image that `random_strengths` takes."""
    return strengths_cost(_RANDOM, samples=samples)


@arithmetic("float32")
def strengths(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    z: Float[Tensor, "N z_dim"],
    y: Labels,
    *,
    layers: LayerRange | str = "all",
    progress: Progress | None = None,
) -> Float64[Tensor, "N ndirs"]:
    """Strengths of directions at some latents: mean over pixels of the squared change of the image per unit step.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows. Strengths are those of rows scaled to length 1.
        z: (N, z_dim) latents.
        y: (N,) int64 class indices, or class weights; see `FrozenGenerator.forward`.
        layers: layers of the generator that the directions reach.
        progress: advanced by one per image.

    Returns:
        (N, ndirs) on the CPU, computed in float32 arithmetic.

    Example:
        >>> of_each = strengths(generator, found.Q, z, y).mean(dim=0)
        >>> of_random = random_strengths(generator, z, y).mean()
        >>> changes = relative_changes(of_each.tolist(), of_random.item())
    """
    return torch.stack(list(_by_latent(generator, (Q for _ in z), z, y, layers, progress)))


@arithmetic("float32")
def random_strengths(
    generator: FrozenGenerator,
    z: Float[Tensor, "N z_dim"],
    y: Labels,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Float64[Tensor, " N"]:
    """Mean strength of 8 random directions at each latent, in all of z and all layers.

    Args:
        generator: the frozen network.
        z: (N, z_dim) latents.
        y: (N,) int64 class indices, or class weights; see `FrozenGenerator.forward`.
        seed: random seed of the directions.
        progress: advanced by one per image.

    Returns:
        (N,) on the CPU.
    """
    shape = (_RANDOM, generator.z_dim)
    numbers = (random_numbers(seed, Stream.ACTIVITY, sample=index) for index in range(len(z)))
    rows = (torch.from_numpy(each.standard_normal(shape)) for each in numbers)
    return torch.stack(list(_by_latent(generator, rows, z, y, "all", progress))).mean(dim=1)


def _by_latent(
    generator: FrozenGenerator,
    rows: Iterable[Tensor],
    z: Tensor,
    y: Tensor,
    layers: LayerRange | str,
    progress: Progress | None,
) -> Iterator[Tensor]:
    """Strengths (ndirs,) of the rows of each latent."""
    for each, point, label in zip(rows, z, y, strict=False):
        changes = changes_along(generator, each, point, label, layers)
        yield torch.stack([change.square().mean().cpu() for change in changes])
        if progress is not None:
            progress.advance(strengths_cost(len(each), samples=1))
