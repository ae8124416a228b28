"""First and second derivatives of images along a few axes.

All functions here take `images`, a function from shifts (N, n) to flat images (N, P), row by row, and differentiate it
at shift 0. `batch` is how many rows go through it together; results depend on it by rounding only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from tqdm import tqdm

Images = Callable[[Tensor], Tensor]


class Derivative:
    """Directional derivatives by forward mode, or by central differences where a user's own network does not know it.

    Costs two evaluations a row either way. Not differentiable itself.
    """

    def __init__(self) -> None:
        self._has_forward_mode = True

    @torch.no_grad()
    def __call__(self, G: Images, x: Tensor, vectors: Tensor) -> Tensor:
        """G's derivative at every row of x (N, n) along its row of vectors (N, n), in the shape of G(x)."""
        if self._has_forward_mode:
            try:
                with forward_ad.dual_level():
                    tangent = forward_ad.unpack_dual(G(forward_ad.make_dual(x, vectors))).tangent
                if tangent is not None:
                    return tangent
                reason = "the output has no tangent"
            except (NotImplementedError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:120]
            self._has_forward_mode = False
            tqdm.write(f"central differences replace forward-mode derivatives: {reason}", file=sys.stderr)
        step = torch.finfo(x.dtype).eps ** (1 / 3)  # balances rounding and curvature
        return (G(x + step * vectors) - G(x - step * vectors)) / (2 * step)


def jacobian_rows(images: Images, axes: Tensor, batch: int, derivative: Derivative) -> Tensor:
    """∂images/∂shift, (n, P); `axes` is the identity (n, n). Costs 2n evaluations."""
    return torch.cat([derivative(images, torch.zeros_like(part), part) for part in axes.split(batch)])


@torch.no_grad()
def pixel_hessians(images: Images, axes: Tensor, epsilon: float, batch: int) -> tuple[Tensor, Tensor]:
    """The Hessian of every pixel by itself, from forward passes alone.

    H_ii = [f(εeᵢ) + f(-εeᵢ) - 2f(0)]/ε² and H_ij = [f(εeᵢ+εeⱼ) + f(-εeᵢ-εeⱼ) - f(±εeᵢ) - f(±εeⱼ) + 2f(0)]/2ε².
    Costs n² + n + 1 evaluations.

    Args:
        images: see above.
        axes: the identity (n, n) in the type and on the device of the shifts.
        epsilon: finite-difference step.
        batch: see above.

    Returns:
        (n(n+1)/2, P): the diagonal, then √2 times the entries above it in rows, so that a column's sum of squares is
        that of the Hessian; and (n, P), the first derivatives.
    """
    n = len(axes)
    first, second = torch.triu_indices(n, n, 1, device=axes.device)
    pairs = axes[first] + axes[second]
    shifts = epsilon * torch.cat((torch.zeros_like(axes[:1]), axes, -axes, pairs, -pairs))
    values = torch.cat([images(part) for part in shifts.split(batch)])
    # Taken off before anything is added up, the value at 0 leaves small numbers that lose less to rounding.
    _, above, below, both_above, both_below = (values - values[:1]).split([1, n, n, len(pairs), len(pairs)])
    sums = above + below
    mixed = (both_above + both_below - sums[first] - sums[second]) / (2 * epsilon**2)
    return torch.cat((sums / epsilon**2, 2**0.5 * mixed)), (above - below) / (2 * epsilon)


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
        (S, n, n), symmetric; and (n, n), the mean of ggᵀ over all gradients g, whose expectation is JᵀJ/P.
    """
    shifts = epsilon * torch.cat((axes, -axes))
    parts = [_gradients(images, part, sketch) for part in shifts.split(batch)]
    gradients = torch.cat(parts, dim=1)  # (S, 2n, n)
    n = len(axes)
    hessians = (gradients[:, :n] - gradients[:, n:]) / (2 * epsilon)
    flat = gradients.flatten(0, 1).double()
    return (hessians + hessians.mT) / 2, flat.T @ flat / len(flat)


def _gradients(images: Images, shifts: Tensor, sketch: Callable[[int], Tensor]) -> Tensor:
    """Gradients of every combination at every shift (N, n): (S, N, n)."""
    shifts = shifts.detach().requires_grad_()
    with torch.enable_grad():
        values = images(shifts)
    combinations = sketch(values.shape[1]).to(values)
    return torch.stack(list(_backward(values, shifts, combinations)))


def _backward(values: Tensor, shifts: Tensor, combinations: Tensor) -> Iterator[Tensor]:
    for index, each in enumerate(combinations):
        keep = index + 1 < len(combinations)
        yield torch.autograd.grad(values, shifts, each.expand_as(values), retain_graph=keep)[0]
