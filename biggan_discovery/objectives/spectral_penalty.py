"""The spectral regularizer (Ramesh et al. 2018): the portable function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.objectives.checks import check_iteration, check_probes, check_rows
from biggan_discovery.objectives.passes import activations, check_latents, random_source


def spectral_penalty(
    G: Callable[..., Tensor | Sequence[Tensor]],
    z: Float[Tensor, " N *shape"],
    k: int = 2,
    iterations: int = 5,
    reduction: Callable[[Tensor], Tensor] = torch.mean,
    return_separately: bool = False,
    *,
    probes: Float[Tensor, "k N *shape"] | None = None,
    generator: torch.Generator | None = None,
    **G_kwargs: Any,
) -> Tensor | list[Tensor]:
    """Spectral regularizer: how far the leading right-singular vectors of the Jacobian of G are from coordinate axes.

    For every activation and every sample, let J be the Jacobian of the flattened activation with respect to the
    flattened latent. Orthogonal iteration estimates the k leading right-singular vectors of J: starting from random
    vectors, each iteration replaces every vector v by Jᵀ(Jv), a Jacobian-vector product followed by a vector-Jacobian
    product, and orthonormalizes the vectors in order. The penalty of the sample is the energy of the resulting unit
    vectors off their nearest axes, (1/k)·Σ_r (‖v_r‖² - max_i v_ri²): 0 if every vector lies on an axis, and at most
    1 - 1/dim. It does not depend on the scale of J. `reduction` over samples follows.

    Aligning the leading right-singular vectors with the axes, and finding them by power iteration, is the regularizer
    of Ramesh et al. 2018, "A Spectral Regularizer for Unsupervised Disentanglement". The measure of alignment above is
    this function's own: Ramesh et al. published no code that values could be compared with.

    The result is differentiable with respect to z and everything inside G. Its gradient is that of the last iteration,
    with the vectors that enter it held constant, as in spectral normalization: it stays finite where singular values
    coincide, and memory does not grow with `iterations`. With `iterations=1` it is the exact gradient. The global
    random state is left unchanged.

    Args:
        G: called once, as G(z, **G_kwargs); returns a floating-point tensor (N, ...), or a list or tuple of tensors.
            Each row depends on its row of z only, and autograd can differentiate it twice.
        z: (N, ...), the input to differentiate with respect to; any floating-point dtype, any device.
        k: number of singular vectors, at least 1; those beyond the rank of J count as 0. Ignored if `probes` is given.
        iterations: number of iterations, at least 1; each costs 2k backward passes of G. The error of the r-th vector
            falls as (σ_{r+1}/σ_r)^(2·iterations) with the singular values σ.
        reduction: from the penalties (N,) of one activation to the value returned for that activation.
        return_separately: return a list with one value per activation instead of their sum.
        probes: (k, *z.shape), where the iteration starts; linearly independent for each sample. Defaults to standard
            normal vectors.
        generator: random number generator of the probes. Defaults to a new one with a random seed.
        G_kwargs: keyword arguments passed to G.

    Returns:
        The sum over activations of the reduced penalties, or a list of them.

    Raises:
        UserError: If k is not between 1 and the number of coordinates of a latent, iterations < 1, z or an activation
            is not a floating-point tensor, probes have the wrong shape, or activations do not have N rows or do not
            depend on z.

    Example:
        >>> z, start = torch.zeros(1, 2), torch.ones(1, 1, 2)
        >>> G = lambda z: z @ torch.tensor([[2.0, 1.0], [1.0, 2.0]])  # the leading vector is (1, 1)/√2
        >>> round(spectral_penalty(G, z, probes=start).item(), 6)
        0.5
        >>> G = lambda z: z * torch.tensor([3.0, 1.0])  # the leading vector is the first axis
        >>> round(spectral_penalty(G, z, probes=start).item(), 6)
        0.0
    """
    check_latents(z)
    check_iteration(k if probes is None else len(probes), iterations, reduction, z[0].numel())
    if probes is None:
        source = random_source(generator)
        probes = torch.randn((k, *z.shape), generator=source, device=source.device, dtype=_wide(z))
    check_probes(probes, z, least=1)
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        z = z if z.requires_grad else z.detach().requires_grad_()
        outputs = activations(G(z, **G_kwargs))
        check_rows(outputs, z)
        off_axes = [_off_axes(_gram_product(each, z), probes.to(z), iterations) for each in outputs]
    penalties = [reduction(each if differentiable else each.detach()) for each in off_axes]
    return penalties if return_separately else sum(penalties[1:], start=penalties[0])


_Product = Callable[[Tensor, bool], Tensor]


def _gram_product(output: Tensor, z: Tensor) -> _Product:
    """From v in the shape of z, and whether the product is differentiated in turn, to Jᵀ(Jv)."""
    # Jv is the derivative of cᵀJ, which is linear in c: networks need no forward mode, and one pass of G is enough.
    cotangent = torch.zeros_like(output, requires_grad=True)
    pulled = None
    if output.requires_grad:
        (pulled,) = torch.autograd.grad(output, z, cotangent, create_graph=True, allow_unused=True)
    if pulled is None:
        raise UserError(
            "G returned an activation that has no gradient with respect to z: it does not depend on it, or is detached"
        )

    def product(v: Tensor, differentiable: bool) -> Tensor:
        graph = {"retain_graph": True, "create_graph": differentiable}
        (pushed,) = torch.autograd.grad(pulled, cotangent, v, **graph)
        (product,) = torch.autograd.grad(output, z, pushed, **graph)
        return product

    return product


def _off_axes(product: _Product, start: Tensor, iterations: int) -> Float[Tensor, " N"]:
    """Energy of the vectors off their nearest axes, mean over vectors."""
    vectors = _orthonormal(list(start.detach()))
    for left in reversed(range(iterations)):
        vectors = _orthonormal([product(each.view_as(start[0]).to(start), left == 0) for each in vectors])
    squares = torch.stack(vectors).square()
    return (squares.sum(dim=2) - squares.amax(dim=2)).mean(dim=0)


def _orthonormal(vectors: list[Tensor]) -> list[Float[Tensor, "N dim"]]:
    """Vectors (N, ...) as orthonormal rows (N, dim), in order; 0 for those within rounding error of those before."""
    rows = [each.flatten(1).to(_wide(each)) for each in vectors]
    rounding = rows[0].shape[1] * torch.finfo(rows[0].dtype).eps
    floor = rounding**2 * rows[0].detach().square().sum(dim=1, keepdim=True)
    found: list[Tensor] = []
    for row in rows:
        for before in found:
            row = row - (row * before).sum(dim=1, keepdim=True) * before
        energy = row.square().sum(dim=1, keepdim=True)
        lost = energy <= floor  # not so where it is NaN, which must not pass for alignment
        found.append(torch.where(lost, 0, row * torch.where(lost, 1, energy).rsqrt()))
    return found


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
