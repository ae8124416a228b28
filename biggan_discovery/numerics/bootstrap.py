"""How well the latents that matrices were measured at determine their joint diagonalizer: bootstrap (Efron 1979)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from biggan_discovery.numerics.jacobi_angles import leg
from biggan_discovery.numerics.symmetric import compressed

_LEGS = 2  # of ten steps each, which bring a frame to that of a resample
_FREE = (
    1e-6  # Relative change of sums of squares below which a rotation does nothing: float32 derivatives are no finer.
)
_SAME = 1 - 1e-12  # |cos| from which rows are equal but for rounding


class Kind(NamedTuple):
    """Matrices of one kind and their weight in the fit.

    Attributes:
        matrices: (L, m, n, n), symmetric; m of each of L latents.
        weight: at least 0.
    """

    matrices: Float[Tensor, "L m n n"]
    weight: float


def stacked(kinds: Sequence[Kind], counts: Float[Tensor, " L"] | None = None) -> Float[Tensor, "M n n"]:
    """All matrices to diagonalize together, each latent as often as `counts` says. Defaults to once."""
    parts = []
    for matrices, weight in kinds:
        factors = torch.full((len(matrices),), weight) if counts is None else weight * counts
        used = factors > 0
        parts.append((matrices[used] * factors[used].sqrt().to(matrices)[:, None, None, None]).flatten(0, 1))
    return compressed(torch.cat(parts))


def error_angles(
    kinds: Sequence[Kind], Q: Float[Tensor, "n n"], *, resamples: int = 12, seed: int = 0
) -> Float64[Tensor, " n"]:
    """Angle within which each row of a joint diagonalizer is determined by the latents.

    A resample draws as many latents with replacement, and the frame is fitted to it, starting from Q. The error angle
    of a row is the root mean square, over resamples, of the angle to its partner, matched one to one.

    Args:
        kinds: what Q was fitted to, of the same L latents each.
        Q: (n, n), the joint diagonalizer of `stacked(kinds)`.
        resamples: number of resamples.
        seed: random seed of the resamples.

    Returns:
        (n,), in degrees, 0 to 90; 90 for rows that may rotate freely with another one, and for all if there are fewer
        than two latents.

    Example:
        >>> kind = Kind(torch.diag(torch.tensor([1.0, 2.0, 4.0])).expand(5, 1, 3, 3), 1.0)
        >>> error_angles([kind], torch.eye(3))
        tensor([0., 0., 0.], dtype=torch.float64)
    """
    Q = Q.double()
    count = len(kinds[0].matrices)
    if count < 2:
        return torch.full((len(Q),), 90.0, dtype=torch.float64)
    from scipy.optimize import linear_sum_assignment  # slow to import

    random = torch.Generator().manual_seed(seed)
    squares = torch.zeros(len(Q), dtype=torch.float64)
    for _ in range(resamples):
        counts = torch.bincount(torch.randint(count, (count,), generator=random), minlength=count).float()
        matrices, frame = stacked(kinds, counts), Q
        for _ in range(_LEGS):
            frame = leg(matrices, frame).Q
        cosines = (Q @ frame.T).abs().clamp(max=1)
        rows, partners = map(torch.from_numpy, linear_sum_assignment(-cosines.numpy()))
        matched = cosines[rows, partners]
        squares[rows] += torch.where(matched < _SAME, matched, 1.0).acos().square()
    angles = (squares / resamples).sqrt().rad2deg()
    return torch.where(_rotate_freely(stacked(kinds), Q), 90.0, angles)


def _rotate_freely(matrices: Float[Tensor, "M n n"], Q: Float64[Tensor, "n n"]) -> Bool[Tensor, " n"]:
    """The rows that can be rotated with another one without any change of the matrices."""
    rows = Q.to(matrices)
    rotated = rows @ matrices @ rows.T
    diagonal = rotated.diagonal(dim1=1, dim2=2)
    apart = (diagonal[:, :, None] - diagonal[:, None]).square().sum(dim=0, dtype=torch.float64)
    changes = apart + 4 * rotated.square().sum(dim=0, dtype=torch.float64)
    changes.fill_diagonal_(torch.inf)
    largest = apart.max()
    return (changes <= _FREE * largest).any(dim=1)
