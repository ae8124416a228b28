"""Orthogonal Jacobian Regularization (Wei et al. 2021): the portable function, and the objective of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics.derivatives import Derivative, Images, jacobian_rows
from biggan_discovery.objectives.checks import check_activations, check_rows
from biggan_discovery.objectives.objective import Matrices, Measured, Objective, flat, off_diagonal, product
from biggan_discovery.objectives.passes import activations, checked_steps
from biggan_discovery.objectives.samples import Samples


def orojar(
    G: Callable[..., Tensor | Sequence[Tensor]],
    z: Float[Tensor, " N *shape"],
    k: int = 2,
    epsilon: float = 0.1,
    reduction: Callable[[Tensor], Tensor] = torch.mean,
    return_separately: bool = False,
    G_z: Tensor | Sequence[Tensor] | None = None,
    *,
    probes: Num[Tensor, "k N *shape"] | None = None,
    generator: torch.Generator | None = None,
    **G_kwargs: Any,
) -> Tensor | list[Tensor]:
    """OroJaR: inner products of the columns of the Jacobian of G with respect to z, estimated by finite differences.

    For every activation and every sample, the unbiased variance over k Rademacher probes v of
    s_v = ‖[G(z + εv) - G(z)] / ε‖², with the norm over the whole activation, followed by `reduction` over samples. For
    exact first derivatives, s_v = vᵀJᵀJv and the expected variance is 2·Σ_{i≠j} (JᵢᵀJⱼ)² with Jᵢ the columns of J
    (Wei et al. 2021, "Orthogonal Jacobian Regularization for Unsupervised Disentanglement in Image Generation",
    section 3). The signature is that of the authors' portable function and of `hessian_penalty`, with two additional
    keyword arguments after `G_z`.

    The result is differentiable with respect to z and everything inside G. The global random state is left unchanged.

    Args:
        G: called as G(z, **G_kwargs); returns a floating-point tensor (N, ...), or a list or tuple of tensors.
        z: (N, ...), the input to differentiate with respect to; any floating-point dtype, any device.
        k: number of probes, at least 2; each costs one pass of G. Ignored if `probes` is given.
        epsilon: finite-difference step, above 0. The bias of the expected variance is O(ε²).
        reduction: from the variances (N,) of one activation to the value returned for that activation.
        return_separately: return a list with one value per activation instead of their sum.
        G_z: the output of G(z, **G_kwargs), if already known; saves one of the k + 1 passes.
        probes: (k, *z.shape), entries ±1. Defaults to random probes.
        generator: random number generator of the probes. Defaults to a new one with a random seed.
        G_kwargs: keyword arguments passed to G.

    Returns:
        The sum over activations of the reduced variances, or a list of them.

    Raises:
        UserError: If k < 2, epsilon is not finite and above 0, z or an activation is not a floating-point tensor,
            probes have the wrong shape or entries other than ±1, or activations change shape between passes or do not
            have N rows.

    Example:
        >>> G = lambda z: z @ torch.tensor([[1.0, 1.0], [0.0, 1.0]])  # columns of J: (1, 1) and (0, 1)
        >>> probes = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]])
        >>> orojar(G, torch.zeros(1, 2), probes=probes).round()  # variance of 5 and 1
        tensor(8.)
    """
    steps = checked_steps(z, k, epsilon, reduction, probes, generator)
    centre = activations(G(z, **G_kwargs) if G_z is None else G_z)
    check_rows(centre, z)
    over_probes = [_squared_derivatives(activations(G(z + step, **G_kwargs)), centre, epsilon) for step in steps]
    penalties = [reduction(torch.stack(each).var(dim=0, unbiased=True)) for each in zip(*over_probes, strict=True)]
    return penalties if return_separately else sum(penalties[1:], start=penalties[0])


def _squared_derivatives(moved: list[Tensor], centre: list[Tensor], epsilon: float) -> list[Tensor]:
    """s_v (N,) for each activation."""
    check_activations(moved, centre)
    return [squared_norm((one - other) / epsilon) for one, other in zip(moved, centre, strict=True)]


def squared_norm(derivative: Float[Tensor, "N ..."]) -> Float[Tensor, " N"]:
    """Squared norm over all axes but the first, in float32 or wider."""
    # A sum over all pixels overflows in half precision.
    wide = torch.promote_types(derivative.dtype, torch.float32)
    return derivative.reshape(len(derivative), -1).square().sum(dim=1, dtype=wide)


def _centre_and_one_side(samples: Samples, epsilon: float) -> Float[Tensor, "M N ndirs"]:
    return torch.cat((samples.w[None], samples.w + epsilon * samples.probes))


def _variance_of_slope(images: Float[Tensor, "M N C H W"], epsilon: float) -> Float[Tensor, " N"]:
    derivatives = (images[1:] - images[:1]) / epsilon
    return squared_norm(derivatives.flatten(0, 1)).view(derivatives.shape[:2]).var(dim=0, unbiased=True)


class _JacobianProducts(Matrices):
    """JᵀJ of the image of each latent, divided by its number of elements."""

    settings = ()

    def __init__(self) -> None:
        self._derivative = Derivative()

    @staticmethod
    def default_samples(axes: int) -> int:
        return 32

    @staticmethod
    def kept(sketches: int | None) -> int:
        return 1

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
    defaults={"path_size": 0.0},  # as in the authors' code
    most_batch=32,
    zero_path_size=True,
)
"""Unbiased variance over probes of the squared norm of the directional derivative of the image, for each sample (Wei et
al. 2021, section 3); see `orojar`."""
