"""First and second derivatives of images along a few axes, without ever forming the whole Jacobian.

Functions that take `images` differentiate a function from shifts (N, n) to flat images (N, P), row by row, at shift 0.
`batch` says how many rows go through it together; results depend on it by rounding only.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.generators.batching import Batch, is_out_of_memory
from biggan_discovery.numerics.arithmetic import in_float64

Images = Callable[[Tensor], Tensor]

_log = logging.getLogger(__name__)


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
                with forward_ad.dual_level(), warnings.catch_warnings():
                    # The first dual makes torch register what it does in deprecated ways of its own.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    tangent = forward_ad.unpack_dual(G(forward_ad.make_dual(x, vectors))).tangent
                if tangent is not None:
                    return tangent
                reason = "the output has no tangent"
            except (NotImplementedError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise
                reason = " ".join(str(error).split())[:120]
            self._has_forward_mode = False
            _log.warning("central differences replace forward-mode derivatives: %s", reason)
        step = torch.finfo(x.dtype).eps ** (1 / 3)  # balances rounding and curvature
        return (G(x + step * vectors) - G(x - step * vectors)) / (2 * step)


class Products:
    """Products with JᵀJ, and what they cost.

    Attributes:
        evaluations: so far; a forward pass, a backward pass and a forward-mode tangent of one image count 1 each.
    """

    def __init__(self) -> None:
        self.evaluations = 0
        self._derivative = Derivative()

    def __call__(self, G: Images, z: Tensor, columns: Tensor) -> Tensor:
        """JᵀJ of every row of z times its own vectors, one vector after the other.

        Args:
            G: from (N, dim) to (N, ...); row n of its output depends on row n of its input alone.
            z: (N, dim), where to take J.
            columns: (N, dim, b), of lengths about 1.

        Returns:
            (N, dim, b) float64, on the CPU.

        Raises:
            UserError: G's output does not depend on z differentiably.
        """
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            output = G(z)
        if not output.requires_grad:
            raise UserError("the output of G does not depend on z differentiably; has it been detached?")
        self.evaluations += len(z)
        products = []
        for vectors in columns.to(z).unbind(-1):
            derivative = self._derivative(G, z, vectors)
            products.append(torch.autograd.grad(output, z, derivative, retain_graph=True)[0].cpu().double())
            self.evaluations += 3 * len(z)
        return torch.stack(products, dim=-1)


def jacobian_rows(images: Images, axes: Tensor, batch: Batch, derivative: Derivative) -> tuple[Tensor, int]:
    """∂images/∂shift along the rows of `axes`, the identity (n, n): (n, P); and generator evaluations.

    Tangents at one point share the forward pass where `images` can be vectorised over them; that takes n evaluations
    and one for each batch, otherwise 2n.
    """
    origin = torch.zeros_like(axes[:1])

    def along(axis: Tensor) -> Tensor:
        return torch.func.jvp(images, (origin,), (axis[None],))[1][0]

    def together(count: int) -> tuple[Tensor, int]:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as in Derivative
            rows = torch.func.vmap(along, chunk_size=count)(axes)
        return rows, len(axes) + math.ceil(len(axes) / count)

    try:
        return batch.attempt(together)
    except (NotImplementedError, RuntimeError) as error:
        # A user's own function may do what vmap or forward mode cannot.
        if is_out_of_memory(error):
            raise
    rows = batch.map(lambda part: derivative(images, torch.zeros_like(part), part), axes)
    return torch.cat(list(rows)), 2 * len(axes)


@torch.no_grad()
def pixel_hessians(images: Images, probes: Tensor, epsilon: float, batch: Batch) -> tuple[Tensor, Tensor]:
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
    first, second = torch.triu_indices(n, n, 1)
    at_zero = images(torch.zeros_like(probes[:1]))
    # Taken off before anything is added up, the value at 0 leaves small numbers that lose less to rounding.
    above, below = (
        torch.cat(list(batch.map(lambda part: images(part) - at_zero, shifts)))
        for shifts in (epsilon * probes, -epsilon * probes)
    )
    exact = in_float64(probes)
    equations = torch.cat((exact.square(), 2**0.5 * exact[:, first] * exact[:, second]), dim=1)
    entries = torch.linalg.pinv(equations).to(above) @ (above + below) / epsilon**2
    return entries, torch.linalg.pinv(exact).to(above) @ (above - below) / (2 * epsilon)


def sketched_hessians(
    images: Images, axes: Tensor, epsilon: float, batch: Batch, sketch: Callable[[int], Tensor]
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
    parts = batch.map(lambda part: _both_sides(images, epsilon * part, sketch), axes, per_row=2)
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
    # Entries of order 1, so that no gradient vanishes in float16; a power of two changes no digit of wider types.
    scale = 2.0 ** round(math.log2(values.shape[1]) / 2)
    combinations = scale * sketch(values.shape[1]).to(values)
    gradients = [
        torch.autograd.grad(values, points, each.expand_as(values), retain_graph=index < len(combinations))[0]
        for index, each in enumerate(combinations, start=1)
    ]
    return list((torch.stack(gradients) / scale).chunk(2, dim=1)), list(values.detach().chunk(2))
