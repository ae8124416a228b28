"""How much each direction changes the image at all."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.directions.activity import (
    INACTIVE,
    inactive,
    random_strengths,
    random_strengths_cost,
    relative_changes,
    strengths,
    strengths_cost,
)
from biggan_discovery.directions.shifts import along_directions, moved_images
from biggan_discovery.evaluation.estimates import Estimate, estimates
from biggan_discovery.evaluation.metric import Figure, Kind, Metric, View
from biggan_discovery.evaluation.samples import judging_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.progress import Progress

_LATENTS = 16  # at which directions are compared with random ones, whatever the preset


def activeness_cost(ndirs: int, *, samples: int) -> int:
    """Forward passes of one image that `activeness` takes."""
    return samples * (2 * ndirs + 1)


@arithmetic("float32")
def activeness(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    *,
    classes: list[Class] | None = None,
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
        classes: class indices and soft classes to draw from. Defaults to all.
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


SCORES = Figure(
    "activeness",
    "activeness",
    "Mean variance of pixels over the steps -2, 0 and 2 along the direction.",
    kind=Kind.DIRECTION,
    paper="Peebles et al. 2020",
)
CHANGE = Figure(
    "relative change",
    "change / random",
    "Root-mean-square change of the image per unit step along the direction, over that of random directions in all of "
    f"z and all layers. A direction is inactive below {INACTIVE:g}.",
    kind=Kind.DIRECTION,
)
INACTIVE_DIRECTIONS = Figure(
    "inactive directions",
    "inactive directions",
    f"Number of directions that change the image less than {INACTIVE:g} times as much as random directions do. With i "
    "inactive ones of n, variation predictability, reconstructor accuracy and contrastive accuracy are capped at about "
    "(n - i + 1)/n, (n - i + 1)/n and (n - i)/n.",
)


def _changes(view: View) -> list[Estimate]:
    drawn = judging_samples(
        view.generator, view.Q, view.classes, samples=_LATENTS, seed=view.seed, stream=Stream.ACTIVENESS
    )
    of_each = strengths(view.generator, view.Q, drawn.z, drawn.y, layers=view.layers, progress=view.progress)
    of_random = random_strengths(view.generator, drawn.z, drawn.y, seed=view.seed, progress=view.progress)

    def relative(kept: Tensor) -> Tensor:
        return torch.tensor(relative_changes(of_each[kept].mean(dim=0).tolist(), of_random[kept].mean().item()))

    every = torch.arange(_LATENTS)
    without_one = torch.stack([relative(every[every != index]) for index in every])
    errors = (without_one.var(dim=0, correction=0) * (_LATENTS - 1)).sqrt()  # the jackknife
    return [Estimate(*pair) for pair in zip(relative(every).tolist(), errors.tolist(), strict=True)]


def _measure(view: View) -> dict[Figure, Any]:
    changes = _changes(view)
    return {
        SCORES: activeness(view.generator, view.Q, **view.sizes, **view.sampling),
        CHANGE: changes,
        INACTIVE_DIRECTIONS: Estimate(len(inactive([each.mean for each in changes]))),
    }


def _cost(view: View) -> int:
    ndirs = len(view.Q)
    of_changes = strengths_cost(ndirs, samples=_LATENTS) + random_strengths_cost(samples=_LATENTS)
    return activeness_cost(ndirs, **view.sizes) + of_changes


ACTIVENESS = Metric(
    "activeness",
    figures=(SCORES, CHANGE, INACTIVE_DIRECTIONS),
    presets={"quick": {"samples": 8}, "full": {"samples": 64}},
    cost=_cost,
    measure=_measure,
)
