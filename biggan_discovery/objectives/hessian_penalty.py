"""The Hessian Penalty (Peebles et al. 2020): the portable function, and the objective of a search."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics.arithmetic import in_float64
from biggan_discovery.numerics.derivatives import Images, pixel_hessians, sketched_hessians
from biggan_discovery.objectives.checks import check_activations
from biggan_discovery.objectives.objective import Matrices, Measured, Objective, flat, off_diagonal, product
from biggan_discovery.objectives.passes import activations, checked_steps
from biggan_discovery.objectives.samples import Samples

_EQUATIONS = 1.25  # per entry of a Hessian, so that the least-squares problem is well conditioned


def hessian_penalty(
    G: Callable[..., Tensor | Sequence[Tensor]],
    z: Float[Tensor, "*shape"],
    k: int = 2,
    epsilon: float = 0.1,
    reduction: Callable[[Tensor], Tensor] = torch.max,
    return_separately: bool = False,
    G_z: object = None,  # noqa: ARG001
    *,
    probes: Num[Tensor, " k *shape"] | None = None,
    generator: torch.Generator | None = None,
    **G_kwargs: Any,
) -> Tensor | list[Tensor]:
    """Hessian Penalty: off-diagonal entries of the Hessian of G with respect to z, estimated by finite differences.

    For every element of every activation, the unbiased variance over k Rademacher probes v of the second directional
    derivative [G(z + εv) - 2G(z) + G(z - εv)] / ε², followed by `reduction` over the elements of each activation. For
    exact second derivatives, the expected variance is 2·Σ_{i≠j} H_ij² (Peebles et al. 2020, "The Hessian Penalty",
    eq. 5 and theorem 1). The signature is that of the authors' portable function, with two additional keyword arguments
    after `G_z`.

    The result is differentiable with respect to z and everything inside G. The global random state is left unchanged.

    Args:
        G: called as G(z, **G_kwargs); returns a floating-point tensor of any shape, or a list or tuple of tensors.
        z: (N, ...), the input to differentiate with respect to; any floating-point dtype, any device.
        k: number of probes, at least 2; each costs two passes of G. Ignored if `probes` is given.
        epsilon: finite-difference step, above 0. The bias of the estimate is O(ε²).
        reduction: from the variances, in the shape of one activation, to the value returned for that activation.
        return_separately: return a list with one value per activation instead of their sum.
        G_z: ignored. G(z) is the same for all probes and a variance is invariant to a constant shift, so the pass for
            G(z) is not needed. Accepted so that code written for the authors' function runs unchanged.
        probes: (k, *z.shape), entries ±1. Defaults to random probes.
        generator: random number generator of the probes. Defaults to a new one with a random seed.
        G_kwargs: keyword arguments passed to G.

    Returns:
        The sum over activations of the reduced variances, or a list of them.

    Raises:
        UserError: If k < 2, epsilon is not finite and above 0, z or an activation is not a floating-point tensor,
            probes have the wrong shape or entries other than ±1, or activations change shape between passes.

    Example:
        >>> G = lambda z: z[:, 0] * z[:, 1]  # H = [[0, 1], [1, 0]]
        >>> probes = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]])
        >>> hessian_penalty(G, torch.zeros(1, 2), probes=probes).round()  # variance of 2 and -2
        tensor(8.)
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


def variance_over_probes(sums: Float[Tensor, " k *shape"], epsilon: float) -> Float[Tensor, "*shape"]:
    """Unbiased variance over probes of the second derivatives, which are `sums` / ε² up to a constant shift."""
    # Between probes, G(z + εv) + G(z - εv) differs by O(ε²) only. Without a shift, the rounding error of its mean in
    # float32 exceeds that, and it enters the gradient multiplied by first derivatives of G: for a small tanh network
    # the gradient is wrong by 0.4 % at ε = 0.1 and by a factor of 50 at ε = 0.01. Subtracting the sum of the first
    # probe is as accurate as subtracting 2G(z) and saves a pass. The shift does not change the value, so no gradient
    # needs to flow through it.
    seconds = (sums - sums[0].detach()) / epsilon**2
    # Equals torch.var over the first axis, which is fifty times slower for an axis this short.
    return (seconds - seconds.mean(dim=0)).square().sum(dim=0) / (len(seconds) - 1)


def _both_sides(samples: Samples, epsilon: float) -> Float[Tensor, "M N ndirs"]:
    steps = epsilon * samples.probes
    return torch.cat((samples.w + steps, samples.w - steps))


def _variance_of_curvature(images: Float[Tensor, "M N C H W"], epsilon: float) -> Float[Tensor, " N"]:
    above, below = images.chunk(2)
    return variance_over_probes(above + below, epsilon).flatten(1).mean(dim=1)


class _Hessians(Matrices):
    """Hessians of all pixels, as second moments; or of a few random linear combinations of pixels."""

    settings = ("epsilon", "sketches")

    @staticmethod
    def default_samples(axes: int) -> int:
        return 16

    @staticmethod
    def kept(sketches: int | None) -> int:
        return sketches or 0

    def measure(
        self,
        images: Images,
        axes: Float[Tensor, "n n"],
        *,
        epsilon: float | None,
        sketches: int | None,
        random: np.random.Generator,
        batch: Batch,
    ) -> Measured:
        assert epsilon is not None  # as it is in `settings`
        if sketches:
            return sketched(images, axes, epsilon, sketches, random, batch)
        return _all_pixels(flat(images), axes, epsilon, random, batch)


def _all_pixels(
    images: Images, axes: Float[Tensor, "n n"], epsilon: float, random: np.random.Generator, batch: Batch
) -> Measured:
    n = len(axes)
    count = math.ceil(_EQUATIONS * n * (n + 1) / 2)
    gaussian = torch.from_numpy(random.standard_normal((count, n)))
    probes = n**0.5 * torch.nn.functional.normalize(gaussian).to(axes)
    entries, rows = pixel_hessians(images, probes, epsilon, batch)
    moments = product(entries)
    return Measured(2 * moments.diagonal()[n:].sum().item(), 2 * count + 1, product(rows), moments)


def sketched(
    images: Images, axes: Float[Tensor, "n n"], epsilon: float, count: int, random: np.random.Generator, batch: Batch
) -> Measured:
    """Hessians of `count` random combinations of pixels and JᵀJ at one latent; see `Matrices.measure`."""
    combinations: list[Tensor] = []  # shared by all parts of a batch

    def sketch(elements: int) -> Float[Tensor, "S P"]:
        if not combinations:
            combinations.append(torch.from_numpy(random.standard_normal((count, elements)) / elements**0.5))
        return combinations[0]

    hessians, rows = sketched_hessians(flat(images), axes, epsilon, batch, sketch)
    value = 2 * off_diagonal(in_float64(hessians)) / count
    return Measured(value, 2 * len(axes) * (1 + count), product(rows), hessians.cpu())


EXACT_DIMENSIONS = 24
"""Up to this number of axes, exact Hessians cost no more than about twenty random combinations of pixels."""

HESSIAN_PENALTY = Objective(
    title="Hessian Penalty",
    description="Hessian Penalty of the image, reduction mean",
    meaning="Off-diagonal second derivatives of every pixel.",
    paper="Peebles et al. 2020",
    evaluations=_both_sides,
    of_images=_variance_of_curvature,
    matrices=_Hessians,
)
"""Mean over channels and pixels of the unbiased variance over probes of the second directional derivative, for each
sample (Peebles et al. 2020, section 4.3)."""
