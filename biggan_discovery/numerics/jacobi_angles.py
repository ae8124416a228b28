"""The orthonormal frame in which many symmetric matrices are as diagonal as they can be together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from biggan_discovery.errors import UserError

_SWEEPS = 200
_STILL = 1e-10  # A sweep that lowers the off-diagonal share by less than this part of all is the last.


class JointDiagonalizer(NamedTuple):
    """Q (D, D) float64, orthonormal rows, and the share of the matrices' squared entries left off the diagonal."""

    Q: Tensor
    off_diagonal: float


def jointly_diagonalize(
    matrices: Tensor, *, starts: int = 3, seed: int = 0, device: torch.device | str = "cpu"
) -> JointDiagonalizer:
    """Minimise Σ ‖offdiag(Q H Qᵀ)‖² over orthonormal Q by Jacobi angles (Cardoso & Souloumiac 1996).

    Every pair of axes in turn is rotated by the angle that is best for all matrices, which has a closed form. Pairs
    that share no axis are rotated together, in the order of a round-robin tournament. The objective may have local
    minima: the best of several starts is taken, of which the first are the eigenvectors of the matrices' mean square.

    Args:
        matrices: (n, D, D), symmetric, finite; taken as float64.
        starts: how many frames to start from.
        seed: of the random starts.
        device: where to compute, in float64; a GPU is faster for a million entries and more.

    Returns:
        The frame, on the CPU, and what it leaves. Rows have no order and no signs of their own.

    Raises:
        UserError: where the matrices are not so.
    """
    if matrices.ndim != 3 or len(matrices) == 0 or matrices.shape[1] != matrices.shape[2]:
        raise UserError(f"matrices have shape {tuple(matrices.shape)}; they should be (n, D, D) with n of 1 or more")
    if not matrices.isfinite().all():
        raise UserError("matrices hold values that are not finite; try another epsilon")
    if starts < 1:
        raise UserError(f"starts is {starts}; it should be at least 1")
    matrices = matrices.detach().to(device, torch.float64)
    random = torch.Generator().manual_seed(seed)
    frames = [torch.linalg.eigh(torch.einsum("nij,njk->ik", matrices, matrices)).eigenvectors.T]
    while len(frames) < starts:
        frames.append(torch.linalg.qr(torch.randn(frames[0].shape, dtype=torch.float64, generator=random)).Q)
    return min((_descend(matrices, frame.to(device)) for frame in frames), key=lambda found: found.off_diagonal)


def _descend(matrices: Tensor, frame: Tensor) -> JointDiagonalizer:
    """Sweep over all pairs of axes until nothing moves."""
    # The matrices lie innermost, so that taking rows and columns copies long runs of memory.
    M = (frame @ matrices @ frame.T).permute(1, 2, 0).contiguous()
    Q = frame.clone()
    everything = M.square().sum().clamp(min=torch.finfo(M.dtype).tiny)
    off = torch.inf
    rounds = [(p.to(M.device), q.to(M.device)) for p, q in _rounds(len(Q))]
    for _ in range(_SWEEPS):
        for p, q in rounds:
            _rotate(M, Q, p, q)
        before, off = off, (1 - M.diagonal().square().sum() / everything).clamp(min=0).item()
        if before - off < _STILL:
            break
    # Rounding of many rotations is taken out; the frame changes by no more than that.
    left, _, right = torch.linalg.svd(Q)
    return JointDiagonalizer((left @ right).cpu(), off)


def _rotate(M: Tensor, Q: Tensor, p: Tensor, q: Tensor) -> None:
    """Rotate each axis p against its q by the best angle, in place."""
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


def _rounds(size: int) -> list[tuple[Tensor, Tensor]]:
    """All pairs of axes, in rounds of pairs that share none: a tournament in which everyone meets everyone."""
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
