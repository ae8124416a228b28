"""Approximate joint diagonalization: the orthonormal frame in which a set of symmetric matrices is most diagonal."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from biggan_discovery.errors import UserError

_SWEEPS = 200
_STILL = 1e-10  # Stop after a sweep that lowers the off-diagonal share by less than this.


class JointDiagonalizer(NamedTuple):
    """Result of joint diagonalization.

    Attributes:
        Q: (D, D) float64, orthonormal rows.
        off_diagonal: share of the squared entries of the matrices that is left off the diagonal, in [0, 1].
    """

    Q: Float64[Tensor, "D D"]
    off_diagonal: float


def jointly_diagonalize(
    matrices: Float[Tensor, "n D D"], *, starts: int = 3, seed: int = 0, device: torch.device | str = "cpu"
) -> JointDiagonalizer:
    """Minimise Σ ‖offdiag(Q H Qᵀ)‖² over orthonormal Q by Jacobi angles (Cardoso & Souloumiac 1996).

    Each pair of axes is rotated in turn by the angle that is optimal for all matrices, which has a closed form.
    Disjoint pairs are rotated together, in the order of a round-robin tournament. The objective may have local minima,
    so the best of several starts is returned; the first start is the eigenvectors of the mean square of the matrices.

    Args:
        matrices: (n, D, D), symmetric, finite; converted to float64.
        starts: number of initial frames.
        seed: random seed of the initial frames after the first.
        device: device to compute on, in float64. A GPU is faster for a million entries or more.

    Returns:
        The frame, on the CPU, and the off-diagonal share. The order and the signs of rows are arbitrary.

    Raises:
        UserError: If the matrices have the wrong shape or are not finite, or `starts` is less than 1.

    Example:
        >>> frame = torch.linalg.qr(torch.randn(4, 4)).Q
        >>> matrices = torch.stack([frame @ torch.diag(torch.randn(4)) @ frame.T for _ in range(10)])
        >>> jointly_diagonalize(matrices).off_diagonal < 1e-10
        True
    """
    if matrices.ndim != 3 or len(matrices) == 0 or matrices.shape[1] != matrices.shape[2]:
        raise UserError(f"matrices have shape {tuple(matrices.shape)}; they should be (n, D, D) with n at least 1")
    if not matrices.isfinite().all():
        raise UserError("matrices contain values that are not finite; try another epsilon")
    if starts < 1:
        raise UserError(f"starts is {starts}; it should be at least 1")
    matrices = matrices.detach().to(device, torch.float64)
    random = torch.Generator().manual_seed(seed)
    frames = [torch.linalg.eigh(torch.einsum("nij,njk->ik", matrices, matrices)).eigenvectors.T]
    while len(frames) < starts:
        frames.append(torch.linalg.qr(torch.randn(frames[0].shape, dtype=torch.float64, generator=random)).Q)
    return min((_descend(matrices, frame.to(device)) for frame in frames), key=lambda found: found.off_diagonal)


def _descend(matrices: Float64[Tensor, "n D D"], frame: Float64[Tensor, "D D"]) -> JointDiagonalizer:
    """Sweep over all pairs of axes until convergence."""
    # The matrices are the innermost dimension, so that selecting rows and columns copies contiguous memory.
    M = (frame @ matrices @ frame.T).permute(1, 2, 0).contiguous()
    Q = frame.clone()
    total = M.square().sum().clamp(min=torch.finfo(M.dtype).tiny)
    off = torch.inf
    rounds = [(p.to(M.device), q.to(M.device)) for p, q in _rounds(len(Q))]
    for _ in range(_SWEEPS):
        for p, q in rounds:
            _rotate(M, Q, p, q)
        before, off = off, (1 - M.diagonal().square().sum() / total).clamp(min=0).item()
        if before - off < _STILL:
            break
    # Project onto the orthogonal matrices, which removes the rounding errors of many rotations.
    left, _, right = torch.linalg.svd(Q)
    return JointDiagonalizer((left @ right).cpu(), off)


def _rotate(
    M: Float64[Tensor, "D D n"], Q: Float64[Tensor, "D D"], p: Int64[Tensor, " pairs"], q: Int64[Tensor, " pairs"]
) -> None:
    """Rotate each axis of p and its partner in q by the optimal angle, in place."""
    difference, twice_off = M[p, p] - M[q, q], 2 * M[p, q]
    angle = 0.25 * torch.atan2(2 * (difference * twice_off).sum(1), (difference.square() - twice_off.square()).sum(1))
    c, s = angle.cos(), angle.sin()
    for matrix, axis in ((M, 0), (M, 1), (Q, 0)):
        shape = [1] * matrix.ndim
        shape[axis] = -1
        cos, sin = c.view(shape), s.view(shape)
        one, other = matrix.index_select(axis, p), matrix.index_select(axis, q)
        matrix.index_copy_(axis, p, cos * one + sin * other)
        matrix.index_copy_(axis, q, cos * other - sin * one)


def _rounds(size: int) -> list[tuple[Int64[Tensor, " pairs"], Int64[Tensor, " pairs"]]]:
    """All pairs of axes in rounds of disjoint pairs: a round-robin tournament."""
    seats = list(range(size + size % 2))
    rounds = []
    for _ in range(len(seats) - 1):
        pairs = [
            (a, b)
            for a, b in zip(seats[: len(seats) // 2], reversed(seats[len(seats) // 2 :]), strict=True)
            if max(a, b) < size  # with an odd number, one sits out
        ]
        rounds.append(tuple(torch.tensor(side) for side in zip(*pairs, strict=True)))
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return [pair for pair in rounds if pair]
