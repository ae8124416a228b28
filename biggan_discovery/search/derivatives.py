"""First and second derivatives of images along a few axes.

All functions here take `images`, a function from shifts (N, n) to flat images (N, P), row by row, and differentiate it
at shift 0. `batch` is how many rows go through it together; results depend on it by rounding only.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from biggan_discovery.directions.shifts import Derivative, Images


def jacobian_rows(images: Images, axes: Tensor, batch: int, derivative: Derivative) -> tuple[Tensor, int]:
    """∂images/∂shift along the rows of `axes`, the identity (n, n): (n, P); and generator evaluations.

    Tangents at one point share the forward pass where `images` can be vectorised over them; that takes n evaluations
    and one for each batch, otherwise 2n.
    """
    origin = torch.zeros_like(axes[:1])

    def along(axis: Tensor) -> Tensor:
        return torch.func.jvp(images, (origin,), (axis[None],))[1][0]

    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as in Derivative
            rows = torch.func.vmap(along, chunk_size=batch)(axes)
        return rows, len(axes) + math.ceil(len(axes) / batch)
    except (NotImplementedError, RuntimeError):  # a user's own function may do what vmap or forward mode cannot
        rows = torch.cat([derivative(images, torch.zeros_like(part), part) for part in axes.split(batch)])
        return rows, 2 * len(axes)


@torch.no_grad()
def pixel_hessians(images: Images, probes: Tensor, epsilon: float, batch: int) -> tuple[Tensor, Tensor]:
    """The Hessian of every pixel by itself, from forward passes alone.

    For every probe v the second difference [f(εv) + f(-εv) - 2f(0)]/ε² is vᵀHv = Σᵢ vᵢ²Hᵢᵢ + 2 Σ_{i<j} vᵢvⱼHᵢⱼ: a
    linear equation for the entries, solved by least squares. With probes as long as the Hessian Penalty's, √n, kinks
    of a network are smoothed over as by the penalty, whatever the frame. Costs 2m + 1 evaluations.

    Args:
        images: see above.
        probes: (m, n) in the type and on the device of the shifts; m of n(n+1)/2 or more, in general position.
        epsilon: finite-difference step.
        batch: see above.

    Returns:
        (n(n+1)/2, P): the diagonal, then √2 times the entries above it in rows, so that a column's sum of squares is
        that of the Hessian; and (n, P), the first derivatives.
    """
    n = probes.shape[1]
    first, second = torch.triu_indices(n, n, 1, device=probes.device)
    at_zero = images(torch.zeros_like(probes[:1]))
    # Taken off before anything is added up, the value at 0 leaves small numbers that lose less to rounding.
    above, below = (
        torch.cat([images(part) - at_zero for part in shifts.split(batch)])
        for shifts in (epsilon * probes, -epsilon * probes)
    )
    exact = probes.double()
    equations = torch.cat((exact.square(), 2**0.5 * exact[:, first] * exact[:, second]), dim=1)
    entries = torch.linalg.pinv(equations).to(above) @ (above + below) / epsilon**2
    return entries, torch.linalg.pinv(exact).to(above) @ (above - below) / (2 * epsilon)


def sketched_hessians(
    images: Images, axes: Tensor, epsilon: float, batch: int, sketch: Callable[[int], Tensor]
) -> tuple[Tensor, Tensor]:
    """Hessians of random combinations s·images, by central differences of gradients.

    For s ~ N(0, I/P), E‖offdiag(Q H_s Qᵀ)‖² over orthonormal Q is the mean over pixels of the same of their Hessians,
    so a few hundred combinations are a sample of the objective itself. All s share the forward passes.
    Costs 2n(1 + S) evaluations.

    Args:
        images: see above.
        axes: the identity (n, n) in the type and on the device of the shifts.
        epsilon: step of the differences.
        batch: see above.
        sketch: from P to the combinations (S, P).

    Returns:
        (S, n, n), symmetric; and (n, P), the first derivatives.
    """
    parts = [_both_sides(images, epsilon * part, sketch) for part in axes.split(max(1, batch // 2))]
    (above, below), (values_above, values_below) = (
        [torch.cat(side, dim=-2) for side in zip(*pairs, strict=True)] for pairs in zip(*parts, strict=True)
    )
    hessians = (above - below) / (2 * epsilon)
    return (hessians + hessians.mT) / 2, (values_above - values_below) / (2 * epsilon)


def _both_sides(images: Images, shifts: Tensor, sketch: Callable[[int], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """At shifts (N, n) and at their opposites: gradients of every combination, (S, N, n), and images, (N, P)."""
    points = torch.cat((shifts, -shifts)).detach().requires_grad_()
    with torch.enable_grad():
        values = images(points)
    combinations = sketch(values.shape[1]).to(values)
    gradients = [
        torch.autograd.grad(values, points, each.expand_as(values), retain_graph=index < len(combinations))[0]
        for index, each in enumerate(combinations, start=1)
    ]
    return list(torch.stack(gradients).chunk(2, dim=1)), list(values.detach().chunk(2))
