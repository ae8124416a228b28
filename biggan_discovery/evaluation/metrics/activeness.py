"""How much each direction changes the image at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.directions.shifts import along_directions, moved_images
from biggan_discovery.evaluation.estimates import Estimate, estimates
from biggan_discovery.evaluation.metric import Figure, Kind, Metric, View
from biggan_discovery.evaluation.samples import judging_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.progress import Progress

INACTIVE = 0.02
"""A direction with less than this share of the activeness of the strongest is inactive: it changes the image by less
than a seventh of what the strongest does, which is hard to see beside it."""
_ROUNDING = 1e-10  # Variance of pixels in [-1, 1] that rounding in float32 alone can make.


def activeness_cost(ndirs: int, *, samples: int) -> int:
    """Forward passes of one image that `activeness` takes."""
    return samples * (2 * ndirs + 1)


@arithmetic("float32")
def activeness(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    *,
    classes: list[int] | None = None,
    extent: float = 2.0,
    samples: int = 16,
    layers: LayerRange | str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Estimate]:
    """Mean over channels and pixels of the unbiased variance of G(z + wQ, y) at w_i = -extent, 0, extent.

    The score of the Hessian Penalty's figure 6 (Peebles et al. 2020, section 5.1), for any directions: an image that
    changes linearly with slope s along a direction scores extent²·s².

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        classes: class indices to draw from. Defaults to all.
        extent: extent to both sides.
        samples: number of latents.
        layers: layers of the generator that the directions reach.
        seed: random seed of the samples.
        progress: advanced by one per image.

    Returns:
        For each direction, mean and standard error over samples.

    Raises:
        UserError: for fewer than two samples, or a Q that does not fit the generator.
    """
    drawn = judging_samples(generator, Q, classes, samples=samples, seed=seed, stream=Stream.ACTIVENESS)
    scores = torch.zeros(samples, len(Q), dtype=torch.float64)
    sides = torch.tensor([-extent, extent], dtype=generator.dtype, device=generator.device)
    for index, (z, y) in enumerate(zip(drawn.z, drawn.y, strict=True)):
        centre = next(moved_images(generator, Q, z, y, torch.zeros(1, len(Q)), layers))
        for direction, images in enumerate(along_directions(generator, Q, z, y, sides, layers)):
            scores[index, direction] = torch.cat((images, centre)).var(dim=0, unbiased=True).mean()
        if progress is not None:
            progress.advance(2 * len(Q) + 1)
    return estimates(scores)


def inactive(scores: Sequence[Estimate]) -> list[int]:
    """Inactive directions, see `INACTIVE`; all of them if none changes the image beyond rounding."""
    strongest = max(score.mean for score in scores)
    return [index for index, score in enumerate(scores) if score.mean <= max(INACTIVE * strongest, _ROUNDING)]


SCORES = Figure(
    "activeness",
    "activeness",
    "Mean variance of pixels over the steps -2, 0 and 2 along the direction.",
    kind=Kind.DIRECTION,
)
INACTIVE_DIRECTIONS = Figure(
    "inactive directions",
    "inactive",
    f"Directions with less than {INACTIVE:.0%} of the activeness of the strongest; with i inactive ones of n, VP, RCA "
    "and contrastive accuracy are capped at about (n - i + 1)/n, (n - i + 1)/n and (n - i)/n.",
)


def _measure(view: View) -> dict[Figure, Any]:
    scores = activeness(view.generator, view.Q, **view.sizes, **view.sampling)
    return {SCORES: scores, INACTIVE_DIRECTIONS: Estimate(len(inactive(scores)))}


ACTIVENESS = Metric(
    "activeness",
    figures=(SCORES, INACTIVE_DIRECTIONS),
    presets={"quick": {"samples": 8}, "full": {"samples": 64}},
    cost=lambda view: activeness_cost(len(view.Q), **view.sizes),
    measure=_measure,
)
