"""The Hessian Penalty in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from biggan_discovery.objectives.checks import check_activations
from biggan_discovery.objectives.passes import activations, checked_steps


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
