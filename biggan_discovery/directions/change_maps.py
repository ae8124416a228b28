"""Where in the image directions change it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from biggan_discovery.directions.shifts import changes_along
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Labels
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.progress import Progress


@arithmetic("float32")
def change_maps(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    z: Float[Tensor, "N z_dim"],
    y: Labels,
    *,
    layers: LayerRange | str = "all",
    progress: Progress | None = None,
) -> Iterator[Float64[Tensor, "ndirs H W"]]:
    """Squared change of each pixel per unit step along each direction, a mean over channels, latent by latent.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows. Changes are those of rows scaled to length 1.
        z: (N, z_dim) latents.
        y: (N,) int64 class indices, or class weights (N, num_classes).
        layers: layers of the generator that the directions reach.
        progress: advanced by one per image, `change_maps_cost` in all.

    Yields:
        (ndirs, H, W) float64 on the CPU, for each latent.

    Example:
        >>> maps = torch.stack(list(change_maps(generator, found.Q, z, y))).mean(dim=0)
        >>> inside_shares(maps, region_weights((64, 64), "upper"))
    """
    for point, label in zip(z, y, strict=True):
        changes = changes_along(generator, Q, point, label, layers)
        yield torch.stack([change.square().mean(dim=0).cpu() for change in changes])
        if progress is not None:
            progress.advance(change_maps_cost(len(Q), samples=1))


def change_maps_cost(ndirs: int, *, samples: int) -> int:
    """Forward passes of one image that `change_maps` takes."""
    return 2 * ndirs * samples


def inside_shares(maps: Float64[Tensor, "*batch H W"], weights: Float64[Tensor, "H W"]) -> Float64[Tensor, "*batch"]:
    """The share of each map that lies inside a region, in [0, 1]; 0 for maps of zeros.

    Args:
        maps: (..., H, W), at least 0.
        weights: (H, W) of the region, see `region_weights`.

    Example:
        >>> inside_shares(torch.eye(2, dtype=torch.float64), torch.tensor([[1.0, 1.0], [0.0, 0.0]]).double())
        tensor(0.5000, dtype=torch.float64)
    """
    whole = maps.sum(dim=(-2, -1))
    return torch.where(whole > 0, (maps * weights).sum(dim=(-2, -1)) / whole, 0.0)


def best_f1(maps: Float64[Tensor, "ndirs H W"], weights: Float64[Tensor, "H W"]) -> Float64[Tensor, " ndirs"]:
    """F1 of each map as a detector of a region: the largest over all thresholds of the map.

    With the pixels above a threshold as the detected ones, F1 is the harmonic mean of the share of them that is inside
    the region and the share of the region that is among them.

    Args:
        maps: (ndirs, H, W).
        weights: (H, W) of the region in [0, 1].

    Returns:
        (ndirs,) in (0, 1]; 1 where some threshold separates the region exactly.

    Example:
        >>> best_f1(torch.tensor([[[3.0, 2.0], [1.0, 0.0]]]).double(), torch.tensor([[1.0, 1.0], [0.0, 0.0]]).double())
        tensor([1.], dtype=torch.float64)
    """
    order = maps.flatten(1).argsort(dim=1, descending=True)
    inside = weights.flatten()[order].cumsum(dim=1)
    detected = torch.arange(1, order.shape[1] + 1, dtype=torch.float64)
    return (2 * inside / (detected + weights.sum())).amax(dim=1)
