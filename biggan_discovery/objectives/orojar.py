"""Orthogonal Jacobian Regularization (Wei et al. 2021): the portable function, and the objective of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics.derivatives import Derivative, Images, jacobian_rows
from biggan_discovery.objectives.checks import check_activations
from biggan_discovery.objectives.objective import Matrices, Measured, Objective, flat, off_diagonal, product
from biggan_discovery.objectives.passes import activations, checked_steps
from biggan_discovery.objectives.samples import Samples


def orojar(
    G: Callable[..., Tensor | Sequence[Tensor]],
    z: Tensor,
    k: int = 2,
    epsilon: float = 0.1,
    reduction: Callable[[Tensor], Tensor] = torch.mean,
    return_separately: bool = False,
    G_z: Tensor | Sequence[Tensor] | None = None,
    *,
    probes: Tensor | None = None,
    generator: torch.Generator | None = None,
    **G_kwargs: Any,
) -> Tensor | list[Tensor]:
    """How far the columns of the Jacobian of G with respect to z are from orthogonal, by finite differences.

    For every activation and every sample, the unbiased variance over k Rademacher probes v of
    s_v = ‖[G(z + εv) - G(z)] / ε‖², the norm over the whole activation, then `reduction` over samples. For exact first
    derivatives s_v = vᵀJᵀJv, and the expected variance is 2·Σ_{i≠j} (JᵢᵀJⱼ)² with Jᵢ the columns of J (Wei et al. 2021,
    "Orthogonal Jacobian Regularization for Unsupervised Disentanglement in Image Generation", section 3). The call is
    that of the authors' portable function and of `hessian_penalty`; the keyword arguments after `G_z` are additions.

    The result is differentiable with respect to z and to anything inside G. The global random state is not touched.

    Args:
        G: called as G(z, **G_kwargs); returns a floating tensor (N, ...) or a list or tuple of such tensors.
        z: the input to differentiate by, any shape (N, ...), any floating type, any device.
        k: number of probes, 2 or more; each costs one pass of G. Not used where `probes` are given.
        epsilon: finite-difference step, above 0. The bias of the expected variance is O(ε²).
        reduction: from the variances (N,) of one activation to what is returned for it.
        return_separately: return a list with one value per activation instead of their sum.
        G_z: what G(z, **G_kwargs) gives, where it is known already; it saves one of the k + 1 passes.
        probes: the probes themselves, (k, *z.shape), entries ±1, instead of drawing them.
        generator: draws the probes; a fresh one with a random seed where None.
        G_kwargs: handed to G.

    Returns:
        The sum over activations of the reduced variances, or the list of them.

    Raises:
        UserError: for k < 2, an epsilon that is not above 0 and finite, a z or activation that is not a floating
            tensor, probes of the wrong shape or not ±1, or activations that change shape between passes or do not have
            N rows.
    """
    steps = checked_steps(z, k, epsilon, reduction, probes, generator)
    centre = activations(G(z, **G_kwargs) if G_z is None else G_z)
    if any(each.shape[:1] != z.shape[:1] for each in centre):
        shapes = [tuple(each.shape) for each in centre]
        raise UserError(f"G returned shapes {shapes} for {len(z)} z; every activation needs a row for each z")
    over_probes = [_squared_derivatives(activations(G(z + step, **G_kwargs)), centre, epsilon) for step in steps]
    penalties = [reduction(torch.stack(each).var(dim=0, unbiased=True)) for each in zip(*over_probes, strict=True)]
    return penalties if return_separately else sum(penalties[1:], start=penalties[0])


def _squared_derivatives(moved: list[Tensor], centre: list[Tensor], epsilon: float) -> list[Tensor]:
    """s_v (N,) for each activation."""
    check_activations(moved, centre)
    return [squared_norm((one - other) / epsilon) for one, other in zip(moved, centre, strict=True)]


def squared_norm(derivative: Tensor) -> Tensor:
    """Over everything but the first axis: (N, ...) to (N,), in float32 at least."""
    # A sum over all pixels: in half precision it would overflow.
    wide = torch.promote_types(derivative.dtype, torch.float32)
    return derivative.reshape(len(derivative), -1).square().sum(dim=1, dtype=wide)


def _centre_and_one_side(samples: Samples, epsilon: float) -> Tensor:
    return torch.cat((samples.w[None], samples.w + epsilon * samples.probes))


def _variance_of_slope(images: Tensor, epsilon: float) -> Tensor:
    derivatives = (images[1:] - images[:1]) / epsilon
    return squared_norm(derivatives.flatten(0, 1)).view(derivatives.shape[:2]).var(dim=0, unbiased=True)


class _JacobianProducts(Matrices):
    """JᵀJ of each latent's image, divided by its number of elements."""

    settings = ()

    def __init__(self) -> None:
        self._derivative = Derivative()

    @staticmethod
    def default_samples(axes: int) -> int:
        return 32

    @staticmethod
    def kept(sketches: int) -> int:
        return 1

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
        rows, evaluations = jacobian_rows(flat(images), axes, batch, self._derivative)
        gram = product(rows)
        return Measured(2 * off_diagonal(gram * rows.shape[1]), evaluations, gram, gram[None].float())


OROJAR = Objective(
    title="OroJaR",
    description="OroJaR of the whole image",
    meaning="Inner products of the image changes of different directions.",
    paper="Wei et al. 2021",
    evaluations=_centre_and_one_side,
    of_images=_variance_of_slope,
    matrices=_JacobianProducts,
    defaults={"path_size": 0.0},  # as its authors search
    most_batch=32,
    zero_path_size=True,
)
"""For each sample, the unbiased variance over the probes of the squared norm of the image's derivative (Wei et al.
2021, section 3); see `orojar`."""
