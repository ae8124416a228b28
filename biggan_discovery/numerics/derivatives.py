"""First and second derivatives of images along a few axes, without forming the whole Jacobian.

Functions that take `images` differentiate a function from shifts (N, n) to flattened images (N, P) at shift 0; each
row of the output depends on one row of the input. `batch` limits how many rows are evaluated together; it changes
results only by rounding.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable

import torch
import torch.autograd.forward_ad as forward_ad
from jaxtyping import Float, Float64
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.generators.batching import Batch
from biggan_discovery.memory import is_out_of_memory
from biggan_discovery.numerics.arithmetic import in_float64

Images = Callable[[Float[Tensor, "N n"]], Float[Tensor, "N ..."]]
"""From shifts (N, n) to images; in this module they are flattened, (N, P)."""

_MOST_BYTES = 2**30  # of a whole Jacobian
_log = logging.getLogger(__name__)


class Derivative:
    """Directional derivatives by forward mode, or by central differences if a network does not support it.

    Costs two evaluations per row in both modes. The result is not differentiable.

    Example:
        >>> Derivative()(torch.sin, torch.zeros(1, 2), torch.eye(2)[:1])
        tensor([[1., 0.]])
    """

    def __init__(self) -> None:
        self._has_forward_mode = True

    @torch.no_grad()
    def __call__(
        self, G: Callable[[Tensor], Tensor], x: Float[Tensor, "N n"], vectors: Float[Tensor, "N n"]
    ) -> Float[Tensor, "N ..."]:
        """Directional derivative of G.

        Args:
            G: from (N, n) to (N, ...); row n of the output depends on row n of the input alone.
            x: (N, n), points.
            vectors: (N, n), one tangent for each point.

        Returns:
            (N, ...), in the shape of G(x).
        """
        if self._has_forward_mode:
            try:
                with forward_ad.dual_level(), warnings.catch_warnings():
                    # On the first dual tensor, torch registers decompositions through an API it has deprecated.
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
            _log.warning("using central differences instead of forward-mode derivatives: %s", reason)
        step = torch.finfo(x.dtype).eps ** (1 / 3)  # balances rounding and curvature
        return (G(x + step * vectors) - G(x - step * vectors)) / (2 * step)


class Products:
    """Products with JᵀJ, and their cost.

    Attributes:
        evaluations: evaluations so far. A forward pass, a backward pass and a forward-mode tangent of one image count
            1 each.

    Example:
        >>> products = Products()
        >>> products(lambda z: z * torch.tensor([1.0, 3.0]), torch.zeros(1, 2), torch.eye(2)[None])[0].diagonal()
        tensor([1., 9.], dtype=torch.float64)
        >>> products.evaluations
        7
    """

    def __init__(self) -> None:
        self.evaluations = 0
        self._derivative = Derivative()

    def __call__(
        self, G: Callable[[Tensor], Tensor], z: Float[Tensor, "N dim"], columns: Float[Tensor, "N dim b"]
    ) -> Float64[Tensor, "N dim b"]:
        """JᵀJ at each row of z, times the vectors of that row.

        Args:
            G: from (N, dim) to (N, ...); row n of the output depends on row n of the input alone.
            z: (N, dim), points at which J is evaluated.
            columns: (N, dim, b), vectors of length about 1.

        Returns:
            (N, dim, b) float64, on the CPU.

        Raises:
            UserError: If the output of G is not a differentiable function of z.
        """
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            output = G(z)
        if not output.requires_grad:
            raise UserError("the output of G is not a differentiable function of z; has it been detached?")
        self.evaluations += len(z)
        products = []
        for vectors in columns.to(z).unbind(-1):
            derivative = self._derivative(G, z, vectors)
            products.append(torch.autograd.grad(output, z, derivative, retain_graph=True)[0].cpu().double())
            self.evaluations += 3 * len(z)
        return torch.stack(products, dim=-1)


def jacobian_rows(
    images: Images, axes: Float[Tensor, "n n"], batch: Batch, derivative: Derivative
) -> tuple[Float[Tensor, "n P"], int]:
    """Rows of the transposed Jacobian of images with respect to the shift.

    Tangents at one point share the forward pass if `images` can be vectorised over them; this costs n evaluations plus
    one per batch, otherwise 2n.

    Args:
        images: from shifts (N, n) to flattened images (N, P).
        axes: (n, n) identity, with the dtype and device of the shifts.
        batch: limits the rows that are evaluated together.
        derivative: used if `images` cannot be vectorised.

    Returns:
        (n, P), the derivative along each axis; and the number of generator evaluations.

    Example:
        >>> jacobian_rows(torch.sin, torch.eye(2), Batch(8), Derivative())
        (tensor([[1., 0.],
                [0., 1.]]), 3)
    """
    origin = torch.zeros_like(axes[:1])

    def tangent(axis: Tensor) -> Tensor:
        return torch.func.jvp(images, (origin,), (axis[None],))[1][0]

    def vectorised(count: int) -> tuple[Tensor, int]:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as in Derivative
            rows = torch.func.vmap(tangent, chunk_size=count)(axes)
        return rows, len(axes) + math.ceil(len(axes) / count)

    try:
        return batch.attempt(vectorised, rows=len(axes))
    except (NotImplementedError, RuntimeError) as error:
        # A user's own function may use operations that vmap or forward mode does not support.
        if is_out_of_memory(error):
            raise
        _log.debug("tangents do not share forward passes: %s", " ".join(str(error).split())[:120])
    rows = batch.map(lambda part: derivative(images, torch.zeros_like(part), part), axes)
    return torch.cat(list(rows)), 2 * len(axes)


def weighted_grams(
    images: Images,
    axes: Float[Tensor, "n n"],
    weights: Float[Tensor, "K P"],
    batch: Batch,
    derivative: Derivative,
    *,
    most_bytes: int = _MOST_BYTES,
) -> tuple[Float64[Tensor, "K n n"], int]:
    """JᵀWJ for several diagonal W: inner products of the image changes along the axes, with pixels weighted.

    Where J fits into `most_bytes`, its rows are computed once, for n + 1 evaluations or 2n, see `jacobian_rows`.
    Otherwise J is never formed: each column of JᵀWJ is a Jacobian-vector product and K vector-Jacobian products, for
    n(2 + K) + 1 evaluations.

    Args:
        images: from shifts (N, n) to flattened images (N, P).
        axes: (n, n) identity, with the dtype and device of the shifts.
        weights: (K, P) weights of the pixels.
        batch: limits the rows that are evaluated together.
        derivative: used if `images` cannot be vectorised.
        most_bytes: memory that J may take.

    Returns:
        (K, n, n) float64, symmetric, on the CPU; and the number of generator evaluations.

    Example:
        >>> slopes = torch.tensor([[1.0, 0.0], [2.0, 1.0]])
        >>> weighted_grams(lambda x: x @ slopes.T, torch.eye(2), torch.tensor([[0.0, 1.0]]), Batch(8), Derivative())
        (tensor([[[4., 2.],
                 [2., 1.]]], dtype=torch.float64), 3)
    """
    if len(axes) * weights[0].nbytes <= most_bytes:
        rows, evaluations = jacobian_rows(images, axes, batch, derivative)
        return torch.stack([((rows * each) @ rows.T).cpu().double() for each in weights]), evaluations
    at = torch.zeros_like(axes[:1]).requires_grad_()
    with torch.enable_grad():
        output = images(at)
    grams = torch.zeros(len(weights), len(axes), len(axes), dtype=torch.float64)
    for column, axis in enumerate(axes):
        tangent = derivative(images, at.detach(), axis[None])
        for gram, each in zip(grams, weights, strict=True):
            gram[:, column] = torch.autograd.grad(output, at, each * tangent, retain_graph=True)[0][0].cpu()
    return (grams + grams.mT) / 2, len(axes) * (2 + len(weights)) + 1


@torch.no_grad()
def pixel_hessians(
    images: Images, probes: Float[Tensor, "m n"], epsilon: float, batch: Batch
) -> tuple[Float[Tensor, "entries P"], Float[Tensor, "n P"]]:
    """The Hessian of every pixel, from forward passes alone.

    For every probe v, the second difference [f(εv) + f(-εv) - 2f(0)]/ε² equals vᵀHv = Σᵢ vᵢ²Hᵢᵢ + 2 Σ_{i<j} vᵢvⱼHᵢⱼ up
    to O(ε²). These linear equations for the entries are solved by least squares. Probes of length √n, as in the
    Hessian Penalty, smooth over the kinks of a network as the penalty does, in any frame. Costs 2m + 1 evaluations.

    Args:
        images: from shifts (N, n) to flattened images (N, P).
        probes: (m, n), with the dtype and device of the shifts; m ≥ n(n+1)/2, in general position.
        epsilon: finite-difference step.
        batch: limits the rows that are evaluated together.

    Returns:
        (entries, P) with entries = n(n+1)/2: the diagonal, then √2 times the entries above it, row by row, so that the
        sum of squares of a column is that of the Hessian; and (n, P), the first derivatives.

    Example:
        >>> probes = torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.4, 0.0]], dtype=torch.float64)
        >>> entries, _ = pixel_hessians(lambda x: x.prod(dim=1, keepdim=True), probes, 0.1, Batch(8))
        >>> entries[2].round(decimals=3)  # √2 times the off-diagonal entry of H = [[0, 1], [1, 0]]
        tensor([1.4140], dtype=torch.float64)
    """
    n = probes.shape[1]
    first, second = torch.triu_indices(n, n, 1)
    [at_zero] = batch.map(images, torch.zeros_like(probes[:1]))
    # Subtracting the value at 0 before summing leaves small numbers, which reduces rounding errors.
    above, below = (
        torch.cat(list(batch.map(lambda part: images(part) - at_zero, shifts)))
        for shifts in (epsilon * probes, -epsilon * probes)
    )
    exact = in_float64(probes)
    equations = torch.cat((exact.square(), 2**0.5 * exact[:, first] * exact[:, second]), dim=1)
    entries = torch.linalg.pinv(equations).to(above) @ (above + below) / epsilon**2
    return entries, torch.linalg.pinv(exact).to(above) @ (above - below) / (2 * epsilon)


def sketched_hessians(
    images: Images,
    axes: Float[Tensor, "n n"],
    epsilon: float,
    batch: Batch,
    sketch: Callable[[int], Float[Tensor, "S P"]],
) -> tuple[Float[Tensor, "S n n"], Float[Tensor, "n P"]]:
    """Hessians of random linear combinations s·images, by central differences of gradients.

    For s ~ N(0, I/P) and orthonormal Q, E‖offdiag(Q H_s Qᵀ)‖² is the mean over pixels of the same quantity for their
    Hessians, so a few hundred combinations estimate the objective itself. All s share the forward passes.
    Costs 2n(1 + S) evaluations.

    Args:
        images: from shifts (N, n) to flattened images (N, P).
        axes: (n, n) identity, with the dtype and device of the shifts.
        epsilon: finite-difference step.
        batch: limits the rows that are evaluated together.
        sketch: from P to the combinations, (S, P).

    Returns:
        (S, n, n), symmetric; and (n, P), the first derivatives.

    Example:
        >>> axes = torch.eye(2, dtype=torch.float64)
        >>> hessians, _ = sketched_hessians(torch.exp, axes, 0.01, Batch(8), lambda P: torch.ones(1, P))
        >>> hessians.round(decimals=3)
        tensor([[[1., 0.],
                 [0., 1.]]], dtype=torch.float64)
    """
    parts = batch.map(lambda part: _both_sides(images, epsilon * part, sketch), axes, per_row=2)
    (above, below), (values_above, values_below) = (
        [torch.cat(side, dim=-2) for side in zip(*pairs, strict=True)] for pairs in zip(*parts, strict=True)
    )
    hessians = (above - below) / (2 * epsilon)
    return (hessians + hessians.mT) / 2, (values_above - values_below) / (2 * epsilon)


def _both_sides(
    images: Images, shifts: Float[Tensor, "N n"], sketch: Callable[[int], Float[Tensor, "S P"]]
) -> tuple[list[Float[Tensor, "S N n"]], list[Float[Tensor, "N P"]]]:
    """At shifts and at -shifts: gradients of every combination, (S, N, n), and images, (N, P)."""
    points = torch.cat((shifts, -shifts)).detach().requires_grad_()
    with torch.enable_grad():
        values = images(points)
    # Entries of order 1, so that gradients do not underflow in float16. A power of two is exact in wider types.
    scale = 2.0 ** round(math.log2(values.shape[1]) / 2)
    combinations = scale * sketch(values.shape[1]).to(values)
    gradients = [
        torch.autograd.grad(values, points, each.expand_as(values), retain_graph=index < len(combinations))[0]
        for index, each in enumerate(combinations, start=1)
    ]
    return list((torch.stack(gradients) / scale).chunk(2, dim=1)), list(values.detach().chunk(2))
