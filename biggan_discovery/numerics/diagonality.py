"""How diagonal symmetric matrices are in a frame, relative to random frames.

Matrices come in groups, one for each latent: all Hessians of a latent, or its JᵀJ. Groups are compared and averaged as
ratios to random frames, so that a few latents with large matrices do not decide alone.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor


def random_off_diagonal(matrices: Float[Tensor, "L m n n"]) -> Float64[Tensor, " L"]:
    """Expected off-diagonal sum of squares of each group over uniformly random orthonormal frames.

    For a symmetric H and a random unit vector q, E(qᵀHq)² = (2‖H‖² + tr(H)²) / n(n + 2), so a frame leaves
    ‖H‖² - (2‖H‖² + tr(H)²) / (n + 2) off the diagonal on average.

    Example:
        >>> random_off_diagonal(torch.diag(torch.tensor([1.0, -1.0]))[None, None])
        tensor([1.], dtype=torch.float64)
    """
    n = matrices.shape[-1]
    squares = matrices.square().sum(dim=(-1, -2), dtype=torch.float64)
    traces = matrices.diagonal(dim1=-2, dim2=-1).sum(dim=-1, dtype=torch.float64)
    # Rounding leaves something of multiples of the identity, which every frame diagonalizes.
    expected = squares - (2 * squares + traces.square()) / (n + 2)
    return expected.where(expected > 1e-10 * squares, 0).sum(dim=1)


def ratios_to_random(matrices: Float[Tensor, "L m n n"], Q: Float[Tensor, "k n"]) -> Float64[Tensor, " L"]:
    """Off-diagonal sum of squares of each group in a frame, relative to random frames with as many rows.

    Args:
        matrices: (L, m, n, n), symmetric; L groups.
        Q: (k, n), orthonormal rows.

    Returns:
        (L,): 0 for a frame that diagonalizes the group, 1 on average for random ones, nan for groups that are diagonal
        in every frame, as all are if k is 1.

    Example:
        >>> matrices = torch.diag(torch.tensor([1.0, -1.0]))[None, None]
        >>> ratios_to_random(matrices, torch.eye(2))
        tensor([0.], dtype=torch.float64)
    """
    k, n = Q.shape
    if k < 2:
        return torch.full((len(matrices),), torch.nan, dtype=torch.float64)
    expected = random_off_diagonal(matrices) * (k * (k - 1) / (n * (n - 1)))
    rows = Q.to(matrices)
    found = torch.stack([_off_diagonal(rows @ group @ rows.T) for group in matrices])
    return torch.where(expected > 0, found / expected, torch.nan)


def scaled(matrices: Float[Tensor, "L m n n"]) -> Float[Tensor, "L m n n"]:
    """Each group divided by the square root of `random_off_diagonal`, so that all have the same weight.

    Groups that are diagonal in every frame become 0.
    """
    expected = random_off_diagonal(matrices)
    factors = torch.where(expected > 0, expected.rsqrt(), 0.0)
    return matrices * factors.to(matrices)[:, None, None, None]


def _off_diagonal(matrices: Float[Tensor, "m k k"]) -> Float64[Tensor, ""]:
    squares = matrices.square()
    diagonal = squares.diagonal(dim1=-2, dim2=-1).sum(dtype=torch.float64)
    return squares.sum(dtype=torch.float64) - diagonal
