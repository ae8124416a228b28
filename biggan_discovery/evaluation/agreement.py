"""Agreement of two sets of directions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

from biggan_discovery.directions import random_frame
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate, estimate
from biggan_discovery.numerics.streams import Stream

_DRAWS = 20


class Agreement(NamedTuple):
    """Pairs (row of one, row of the other), their cosines, all |cos|, and principal angles in degrees, smallest first.

    Pairs are in the order of the first set, as many as the smaller set has rows.
    """

    partners: list[tuple[int, int]]
    cosines: list[float]
    matrix: Tensor
    angles: list[float]

    @property
    def mean(self) -> float:
        """Mean |cos| of the pairs; 1 where both are the same set but for order and signs."""
        return sum(map(abs, self.cosines)) / len(self.cosines)

    def weighted_mean(self, weights: Tensor) -> float:
        """Mean |cos| of the pairs, weighted by `weights` (rows of the first set,) ≥ 0; nan if all of them are 0."""
        each = torch.tensor([weights[row].item() for row, _ in self.partners], dtype=torch.float64)
        return ((each @ torch.tensor(self.cosines, dtype=torch.float64).abs()) / each.sum()).item()


def agreement(one: Tensor, other: Tensor) -> Agreement:
    """Match directions one to one so that the sum of |cos| is maximal (Hungarian method), and compare their spans.

    Args:
        one: (n, z_dim) rows of any length.
        other: (m, z_dim) rows of any length.

    Raises:
        UserError: where z_dim differs.
    """
    if one.shape[1] != other.shape[1]:
        raise UserError(f"directions for z_dim {one.shape[1]} and {other.shape[1]} cannot be compared")
    cosines = functional.normalize(one.double()) @ functional.normalize(other.double()).T
    rows, columns = linear_sum_assignment(cosines.abs().numpy(), maximize=True)
    angles = np.degrees(scipy.linalg.subspace_angles(one.double().T.numpy(), other.double().T.numpy()))
    pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    return Agreement(pairs, cosines[rows, columns].tolist(), cosines.abs(), sorted(angles.tolist()))


def chance_agreement(ndirs: int, others: int, width: int, *, seed: int = 0) -> Estimate:
    """Mean |cos| of matched pairs of two random orthonormal sets in a space of `width` coordinates.

    The standard error is that of the mean over 20 draws.
    """
    means = []
    for draw in range(_DRAWS):
        one, other = (
            random_frame(count, width, seed=seed, stream=Stream.CHANCE_FRAMES, index=2 * draw + side)
            for side, count in enumerate((ndirs, others))
        )
        means.append(agreement(one, other).mean)
    return estimate(torch.tensor(means, dtype=torch.float64))
