"""Samples to search and to judge directions on: latents, classes, coefficients and probes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.numerics.streams import random_numbers


@dataclass(frozen=True)
class Samples:
    """What one step looks at: z (N, z_dim), y (N,), w (N, ndirs) and probes (k, N, ndirs)."""

    z: Tensor
    y: Tensor
    w: Tensor
    probes: Tensor

    def split(self, size: int) -> list[Samples]:
        """Parts of at most `size` samples."""
        parts = zip(*(t.split(size) for t in (self.z, self.y, self.w)), self.probes.split(size, dim=1), strict=True)
        return [Samples(*part) for part in parts]


def draw(
    generator: FrozenGenerator,
    classes: list[int],
    ndirs: int,
    *,
    count: int,
    first: int = 0,
    probes: int,
    path_size: float,
    seed: int,
    stream: int,
    step: int,
) -> Samples:
    """Samples `first` to `first + count - 1` of one step.

    z comes from the generator's prior, y is uniform over `classes`, w is one-hot × U(-path_size, path_size) and the
    probes are Rademacher (±1). Everything lies on the generator's device, in its dtype.
    """
    rows = [
        random_numbers(seed, stream, step=step, sample=index).random(generator.z_dim + 3 + probes * ndirs)
        for index in range(first, first + count)
    ]
    uniform = torch.from_numpy(np.stack(rows))
    z_uniform, choice, amount, which, signs = uniform.split([generator.z_dim, 1, 1, 1, probes * ndirs], dim=1)
    w = torch.zeros(count, ndirs, dtype=torch.float64)
    w.scatter_(1, (choice * ndirs).long(), (2 * amount - 1) * path_size)
    y = torch.tensor(classes)[(which[:, 0] * len(classes)).long()]
    v = torch.where(signs < 0.5, -1.0, 1.0).view(count, probes, ndirs).transpose(0, 1)
    place = {"device": generator.device, "dtype": generator.dtype}
    return Samples(
        generator.latents(z_uniform.clamp(min=2.0**-54)).to(**place),
        y.to(generator.device),
        w.to(**place),
        v.to(**place),
    )
