"""How fast the image changes along each direction: perceptual path length, and step size in readable units."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.directions.shifts import along_directions
from biggan_discovery.evaluation.estimates import Estimate, estimates
from biggan_discovery.evaluation.lpips_distance import Distance, lpips_distance
from biggan_discovery.evaluation.metric import Figure, Kind, Metric, View
from biggan_discovery.evaluation.samples import judging_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic, in_float64
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.progress import Progress


def squared_error(one: Float[Tensor, "N C H W"], other: Float[Tensor, "N C H W"]) -> Float[Tensor, " N"]:
    """Mean squared difference (N,) of images (N, C, H, W): the default distance."""
    return (one - other).square().flatten(1).mean(dim=1)


class PathLength(NamedTuple):
    """For each direction: path length (squared distance per squared unit) and RMS image change per unit step."""

    length: list[Estimate]
    change_per_unit: list[Estimate]


def path_length_cost(ndirs: int, *, samples: int) -> int:
    """Forward passes of one image that `path_length` takes."""
    return samples * 4 * ndirs


@torch.no_grad()
@arithmetic("float32")
def path_length(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    *,
    classes: list[Class] | None = None,
    path_size: float = 5.0,
    step: float = 0.1,
    samples: int = 8,
    distance: Distance = squared_error,
    layers: LayerRange | str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> PathLength:
    """Perceptual path length of each direction: mean of d(G(z + wq), G(z + (w+step)q)) / step², w ~ U(-η, η).

    As in Karras et al. 2019, section 4.1, but along one direction at a time. d is a distance that grows quadratically
    for small changes, such as LPIPS (`lpips_distance`) or the mean squared difference. The change per unit is the root
    mean squared difference of pixels (in [-1, 1]), divided by the step. Both w and -w are taken, so that a direction
    and its opposite have the same figures.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        classes: class indices and soft classes to draw from. Defaults to all.
        path_size: η.
        step: in units of w.
        samples: number of latents.
        distance: from two batches of images (N, C, H, W) to (N,).
        layers: layers of the generator that the directions reach.
        seed: of z and w.
        progress: advanced by one per image.

    Returns:
        For each direction, means and standard errors over samples.

    Raises:
        UserError: for fewer than two samples, or a Q that does not fit the generator.
    """
    drawn = judging_samples(
        generator, Q, classes, samples=samples, seed=seed, stream=Stream.PATH_LENGTH, path_size=path_size
    )
    lengths, changes = torch.zeros(2, samples, len(Q), dtype=torch.float64)
    for index, (z, y, place) in enumerate(zip(drawn.z, drawn.y, drawn.w.sum(dim=1), strict=True)):
        middle = torch.stack((place, -place))
        amounts = torch.stack((middle - step / 2, middle + step / 2)).flatten()
        for direction, images in enumerate(along_directions(generator, Q, z, y, amounts, layers)):
            before, after = in_float64(images).split(2) if distance is squared_error else images.split(2)
            lengths[index, direction] = distance(before, after).mean() / step**2
            changes[index, direction] = squared_error(before, after).sqrt().mean() / step
        if progress is not None:
            progress.advance(4 * len(Q))
    return PathLength(estimates(lengths), estimates(changes))


LENGTH = Figure(
    "path length",
    "path length",
    "Perceptual path length along the direction, with the mean squared error of pixels as the distance.",
    kind=Kind.DIRECTION,
    paper="Karras et al. 2019",
)
LENGTH_LPIPS = Figure(
    "path length (LPIPS)",
    "path length (LPIPS)",
    "Perceptual path length along the direction, with LPIPS, the learned perceptual image patch similarity, as the "
    "distance.",
    kind=Kind.DIRECTION,
    paper="Zhang et al. 2018",
)
CHANGE = Figure(
    "change per unit",
    "change per unit step",
    "Root mean squared change of pixels in [-1, 1] per unit step.",
    kind=Kind.DIRECTION,
)


def _measure(view: View) -> dict[Figure, Any]:
    perceptual = lpips_distance(view.generator)
    found = path_length(
        view.generator,
        view.Q,
        path_size=view.path_size,
        distance=perceptual or squared_error,
        **view.sizes,
        **view.sampling,
    )
    return {LENGTH_LPIPS if perceptual else LENGTH: found.length, CHANGE: found.change_per_unit}


PATH_LENGTH = Metric(
    "path length",
    figures=(CHANGE, LENGTH, LENGTH_LPIPS),
    presets={"quick": {"samples": 6}, "full": {"samples": 48}},
    cost=lambda view: path_length_cost(len(view.Q), **view.sizes),
    measure=_measure,
)
