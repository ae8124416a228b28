"""Approximate joint diagonalization: the orthonormal frame in which a set of symmetric matrices is most diagonal.

The angle by which a pair of axes should be rotated for all matrices together has a closed form, the Jacobi angle
(Cardoso & Souloumiac 1996). Rotating pair after pair reads all matrices n times a sweep. Here all pairs are rotated at
once along a conjugate direction (Polak & Ribière 1969) of their angles, which are the gradient divided by the curvature
of each pair. A step is two matrix products: 20 steps take less time than one sweep.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from biggan_discovery.errors import UserError

STEPS = 10  # After this many steps the conjugate direction starts afresh, so that a frame is all there is to save.
_LEGS = 100
TOLERANCE = 1e-3  # of what is off the diagonal; unseen matrices of real generators gain nothing from smaller ones.
_DIAGONAL = 1e-12  # Share of squared entries off the diagonal below which matrices are diagonal.
_APART = 1e-2  # Relative difference of off-diagonal shares above which starts disagree.
_SHORTEST = 1e-3  # Shortest part of a direction that is tried.


class JointDiagonalizer(NamedTuple):
    """Result of joint diagonalization.

    Attributes:
        Q: (D, D) float64, orthonormal rows.
        off_diagonal: share of the squared entries of the matrices that is left off the diagonal, in [0, 1].
    """

    Q: Float64[Tensor, "D D"]
    off_diagonal: float


def jointly_diagonalize(
    matrices: Float[Tensor, "n D D"],
    *,
    start: Float[Tensor, "D D"] | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> JointDiagonalizer:
    """Minimise Σ ‖offdiag(Q H Qᵀ)‖² over orthonormal Q.

    There may be local minima. Without a given start, two are tried: the eigenvectors of the mean square of the
    matrices, and a random frame; if their off-diagonal shares end more than 1 % apart, two more random frames are. The
    best is returned.

    Args:
        matrices: (n, D, D), symmetric, finite; computed in their own dtype.
        start: (D, D), orthonormal rows, the only initial frame.
        tolerance: stop when ten steps lower the off-diagonal share by less than this part of it.
        seed: random seed of the random initial frames.
        device: device to compute on.

    Returns:
        The frame, on the CPU, and the off-diagonal share. The order and the signs of rows are arbitrary.

    Raises:
        UserError: If the matrices have the wrong shape or are not finite.

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
    matrices = matrices.detach().to(device)

    def descend(frame: Tensor) -> JointDiagonalizer:
        found = leg(matrices, frame)
        for _ in range(_LEGS):
            before, found = found, leg(matrices, found.Q)
            if converged(before.off_diagonal, found.off_diagonal, tolerance):
                break
        return found

    if start is not None:
        return descend(start)
    tried = [descend(start_frame(matrices, seed, index)) for index in (0, 1)]
    if disagree(*(each.off_diagonal for each in tried)):
        tried += [descend(start_frame(matrices, seed, index)) for index in (2, 3)]
    return min(tried, key=lambda found: found.off_diagonal)


def start_frame(matrices: Float[Tensor, "n D D"], seed: int, index: int) -> Float64[Tensor, "D D"]:
    """An initial frame, on the CPU: eigenvectors of the mean square of the matrices at index 0, then random ones."""
    if index == 0:
        squares = torch.einsum("nij,njk->ik", matrices, matrices).cpu().double()
        return torch.linalg.eigh(squares).eigenvectors.T.contiguous()
    size = matrices.shape[-1]
    random = torch.Generator().manual_seed(seed)
    frames = torch.randn(index, size, size, dtype=torch.float64, generator=random)
    return torch.linalg.qr(frames[-1]).Q


def disagree(one: float, other: float) -> bool:
    """Whether two starts ended so far apart that one of them is in a local minimum."""
    return abs(one - other) > _APART * min(one, other) and max(one, other) > _DIAGONAL


def converged(before: float, after: float, tolerance: float = TOLERANCE) -> bool:
    """Whether steps that changed the off-diagonal share from `before` to `after` are the last."""
    return after <= _DIAGONAL or before - after < tolerance * after


def leg(matrices: Float[Tensor, "n D D"], frame: Float[Tensor, "D D"]) -> JointDiagonalizer:
    """Take ten steps from a frame. A function of the frame alone, so that a search resumes to the last bit.

    Args:
        matrices: (n, D, D), symmetric.
        frame: (D, D), orthonormal rows, on any device.
    """
    here = _Place(matrices, frame.double().to(matrices.device))
    direction, last_angles, last_slope = (torch.zeros_like(here.frame) for _ in range(3))
    length = 0.5
    for _ in range(STEPS if len(frame) > 1 else 0):
        before, angles = here, here.angles()
        conjugacy = (here.slope * (angles - last_angles)).sum() / (last_slope * last_angles).sum()  # nan at first
        direction = angles + conjugacy.nan_to_num(0.0, 0.0, 0.0).clamp(min=0) * direction
        if not (here.slope * direction).sum() > 0:
            direction = angles
        last_angles, last_slope = angles, here.slope
        length = min(1.5 * length, 1.0)
        here = _Place(matrices, torch.linalg.matrix_exp(length * direction) @ before.frame)
        while not here.off < before.off and length > _SHORTEST:
            length /= 2
            here = _Place(matrices, torch.linalg.matrix_exp(length * direction) @ before.frame)
        if not here.off < before.off:
            here = before
            break
    # The nearest orthogonal matrix: products of many rotations are off by rounding.
    left, _, right = torch.linalg.svd(here.frame)
    return JointDiagonalizer((left @ right).cpu(), here.off)


class _Place:
    """A frame, the off-diagonal share of the matrices in it, and what tells the best rotation of each pair of axes.

    Rotating axes p and q by θ changes the sum of squares off the diagonal by -(A (cos 4θ - 1) + B sin 4θ) / 4, with A =
    Σ (H_pp - H_qq)² - 4 H_pq² and B = 4 Σ (H_pp - H_qq) H_pq.
    """

    def __init__(self, matrices: Tensor, frame: Tensor):
        self.frame = frame
        rows = frame.to(matrices)
        rotated = rows @ matrices @ rows.T
        diagonal = rotated.diagonal(dim1=1, dim2=2)
        squares = rotated.square().sum(dim=0, dtype=torch.float64)
        on = squares.diagonal()
        off = squares - torch.diag(on)
        total = squares.sum().clamp(min=torch.finfo(torch.float64).tiny)
        self.off = (off.sum() / total).item()
        products = torch.einsum("np,npq->pq", diagonal, rotated).double()
        self.slope = 4 * (products - products.T)
        gram = (diagonal.T @ diagonal).double()
        self.curvature = gram.diagonal()[:, None] + gram.diagonal() - 2 * gram - 4 * squares

    def angles(self) -> Float64[Tensor, "D D"]:
        """The Jacobi angle of each pair, antisymmetric."""
        upper = torch.triu(torch.atan2(self.slope, self.curvature) / 4, 1)
        return upper - upper.T
