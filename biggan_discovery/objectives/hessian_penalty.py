"""The Hessian Penalty (Peebles et al. 2020): the portable function, and the objective of a search."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics.derivatives import Images, pixel_hessians, sketched_hessians
from biggan_discovery.objectives.checks import check_activations
from biggan_discovery.objectives.objective import Matrices, Measured, Objective, flat, off_diagonal, product
from biggan_discovery.objectives.passes import activations, checked_steps
from biggan_discovery.objectives.samples import Samples

_EQUATIONS = 1.25  # for each entry of a Hessian, so that the least squares are well conditioned


def hessian_penalty(
    G: Callable[..., Tensor | Sequence[Tensor]],
    z: Tensor,
    k: int = 2,
    epsilon: float = 0.1,
    reduction: Callable[[Tensor], Tensor] = torch.max,
    return_separately: bool = False,
    G_z: object = None,  # noqa: ARG001
    *,
    probes: Tensor | None = None,
    generator: torch.Generator | None = None,
    **G_kwargs: Any,
) -> Tensor | list[Tensor]:
    """How far the Hessian of G with respect to z is from diagonal, estimated by finite differences.

    For every element of every activation, the unbiased variance over k Rademacher probes v of the second directional
    derivative [G(z + εv) - 2G(z) + G(z - εv)] / ε², then `reduction` over each activation's elements. For exact
    second derivatives the expected variance is 2·Σ_{i≠j} H_ij² (Peebles et al. 2020, "The Hessian Penalty", eq. 5 and
    theorem 1). The call is that of the authors' portable function; the two keyword arguments after `G_z` are additions.

    The result is differentiable with respect to z and to anything inside G. The global random state is not touched.

    Args:
        G: called as G(z, **G_kwargs); returns a floating tensor of any shape or a list or tuple of such tensors.
        z: the input to differentiate by, any shape (N, ...), any floating type, any device.
        k: number of probes, 2 or more; each costs two passes of G. Not used where `probes` are given.
        epsilon: finite-difference step, above 0. The bias of the estimate is O(ε²).
        reduction: from the tensor of variances, in the shape of one activation, to what is returned for it.
        return_separately: return a list with one value per activation instead of their sum.
        G_z: not used. G(z) is the same for all probes and a variance does not change with a constant shift, so the
            pass for G(z) is not needed; accepted so that code written for the authors' function runs as it is.
        probes: the probes themselves, (k, *z.shape), entries ±1, instead of drawing them.
        generator: draws the probes; a fresh one with a random seed where None.
        G_kwargs: handed to G.

    Returns:
        The sum over activations of the reduced variances, or the list of them.

    Raises:
        UserError: for k < 2, an epsilon that is not above 0 and finite, a z or activation that is not a floating
            tensor, probes of the wrong shape or not ±1, or activations that change shape between passes.
    """
    steps = checked_steps(z, k, epsilon, reduction, probes, generator)
    sums = [_sum_of_both_sides(G, z, step, G_kwargs) for step in steps]
    for later in sums[1:]:
        check_activations(later, sums[0])
    over_probes = [variance_over_probes(torch.stack(each), epsilon) for each in zip(*sums, strict=True)]
    penalties = [reduction(variances) for variances in over_probes]
    return penalties if return_separately else sum(penalties[1:], start=penalties[0])


def _sum_of_both_sides(G: Callable[..., Any], z: Tensor, step: Tensor, G_kwargs: dict[str, Any]) -> list[Tensor]:
    """G(z + εv) + G(z - εv), per activation."""
    above, below = activations(G(z + step, **G_kwargs)), activations(G(z - step, **G_kwargs))
    check_activations(below, above)
    return [one + other for one, other in zip(above, below, strict=True)]


def variance_over_probes(sums: Tensor, epsilon: float) -> Tensor:
    """Unbiased variance over probes (k, ...) of the second derivatives, which are `sums` / ε² up to a shift."""
    # Between probes G(z + εv) + G(z - εv) differs by O(ε²) only. Without a shift the rounding of its mean in float32
    # outweighs that, and it enters the gradient multiplied by first derivatives of G: for a small tanh network the
    # gradient is wrong by 0.4 % at ε = 0.1 and by a factor of 50 at ε = 0.01. Taking off the first probe's sum is as
    # accurate as the textbook's 2G(z) and spares a pass; no gradient flows through a shift that changes nothing.
    seconds = (sums - sums[0].detach()) / epsilon**2
    # What torch.var over a first axis this short computes, at a fiftieth of its time.
    return (seconds - seconds.mean(dim=0)).square().sum(dim=0) / (len(seconds) - 1)


def _both_sides(samples: Samples, epsilon: float) -> Tensor:
    steps = epsilon * samples.probes
    return torch.cat((samples.w + steps, samples.w - steps))


def _variance_of_curvature(images: Tensor, epsilon: float) -> Tensor:
    above, below = images.chunk(2)
    return variance_over_probes(above + below, epsilon).flatten(1).mean(dim=1)


class _Hessians(Matrices):
    """Hessians of all pixels by themselves, as second moments; or of a few random combinations of pixels."""

    settings = ("epsilon", "sketches")

    @staticmethod
    def default_samples(axes: int) -> int:
        return 16 if axes <= EXACT_DIMENSIONS else 96  # Fewer where all pixels tell of each.

    @staticmethod
    def kept(sketches: int) -> int:
        return sketches

    def measure(
        self,
        images: Images,
        axes: Tensor,
        *,
        epsilon: float,
        sketches: int,
        random: np.random.Generator,
        batch: Batch,
    ) -> Measured:
        measure = _sketches if sketches else _all_pixels
        return measure(flat(images), axes, epsilon, sketches, random, batch)


def _all_pixels(
    images: Images, axes: Tensor, epsilon: float, _: int, random: np.random.Generator, batch: Batch
) -> Measured:
    n = len(axes)
    count = math.ceil(_EQUATIONS * n * (n + 1) / 2)
    gaussian = torch.from_numpy(random.standard_normal((count, n)))
    probes = n**0.5 * torch.nn.functional.normalize(gaussian).to(axes)
    entries, rows = pixel_hessians(images, probes, epsilon, batch)
    moments = product(entries)
    return Measured(2 * moments.diagonal()[n:].sum().item(), 2 * count + 1, product(rows), moments)


def _sketches(
    images: Images, axes: Tensor, epsilon: float, count: int, random: np.random.Generator, batch: Batch
) -> Measured:
    combinations: list[Tensor] = []  # the same in every part of a batch

    def sketch(elements: int) -> Tensor:
        if not combinations:
            combinations.append(torch.from_numpy(random.standard_normal((count, elements)) / elements**0.5))
        return combinations[0]

    hessians, rows = sketched_hessians(images, axes, epsilon, batch, sketch)
    value = 2 * off_diagonal(hessians.double()) / count
    return Measured(value, 2 * len(axes) * (1 + count), product(rows), hessians.cpu())


EXACT_DIMENSIONS = 24
"""Up to here every pixel by itself costs no more than some twenty random combinations of pixels."""

HESSIAN_PENALTY = Objective(
    title="Hessian Penalty",
    description="Hessian Penalty of the image, reduction mean",
    meaning="Off-diagonal second derivatives of every pixel.",
    paper="Peebles et al. 2020",
    evaluations=_both_sides,
    of_images=_variance_of_curvature,
    matrices=_Hessians,
)
"""For each sample, the mean over channels and pixels of the unbiased variance over the probes of the second directional
derivative (Peebles et al. 2020, section 4.3)."""
