"""What directions do, in terms of simple edits of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import normalize

from biggan_discovery.directions.region import image_size
from biggan_discovery.directions.shifts import changes_along, moved_images
from biggan_discovery.evaluation.regional_edits import RegionalEdit
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Labels
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import arithmetic, in_float64
from biggan_discovery.numerics.tangents import tangents
from biggan_discovery.progress import Progress


class Effects(NamedTuple):
    """Changes along directions, compared with tangents of edits.

    Attributes:
        cosines: (N, ndirs, edits) between the change of the image and the tangent at each latent; 0 where either is 0.
        slopes: (ndirs, edits) amount of each edit per unit step, by least squares over all latents.
    """

    cosines: Float64[Tensor, "N ndirs edits"]
    slopes: Float64[Tensor, "ndirs edits"]


def effects_cost(ndirs: int, *, samples: int) -> int:
    """Forward passes of one image that `effects` takes."""
    return samples * (2 * ndirs + 1)


@torch.no_grad()
@arithmetic("float32")
def effects(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    edits: Sequence[RegionalEdit],
    z: Float[Tensor, "N z_dim"],
    y: Labels,
    *,
    layers: LayerRange | str = "all",
    progress: Progress | None = None,
) -> Effects:
    """Compare the change along each direction with the tangents of edits.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows. Changes are those of rows scaled to length 1.
        edits: the edits.
        z: (N, z_dim) latents.
        y: (N,) int64 class indices, or class weights (N, num_classes).
        layers: layers of the generator that the directions reach.
        progress: advanced by one per image.
    """
    size = image_size(generator)
    names, weights = [each.edit for each in edits], [each.weights(size) for each in edits]
    rows = normalize(Q.double(), dim=1)
    cosines, products, squares = [], torch.zeros(()), torch.zeros(())
    for point, label in zip(z, y, strict=True):
        centre = next(moved_images(generator, rows, point, label, torch.zeros(1, len(rows)), layers))
        wished = in_float64(tangents(names, centre, weights)[0]).flatten(1)
        changes = torch.stack([each.flatten() for each in changes_along(generator, Q, point, label, layers)])
        product = changes @ wished.T
        lengths = changes.norm(dim=1)[:, None] * wished.norm(dim=1)
        cosines.append(torch.where(lengths > 0, product / lengths.clamp(min=1e-300), 0.0).cpu())
        products, squares = products + product.cpu(), squares + wished.square().sum(dim=1).cpu()
        if progress is not None:
            progress.advance(effects_cost(len(Q), samples=1))
    return Effects(torch.stack(cosines), products / squares.clamp(min=1e-300))
