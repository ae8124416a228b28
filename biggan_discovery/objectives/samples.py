"""Samples for searches and evaluation: latents, classes, coefficients and probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Labels
from biggan_discovery.generators.labels import labels_of, placed
from biggan_discovery.generators.mixes import Class
from biggan_discovery.memory import check_room
from biggan_discovery.numerics.streams import random_numbers


@dataclass(frozen=True)
class Samples:
    """Samples of one step.

    Attributes:
        z: (N, z_dim) latents.
        y: (N,) int64 class indices, or class weights (N, num_classes) if a class is soft.
        w: (N, ndirs) coefficients.
        probes: (k, N, ndirs) Rademacher probes.
    """

    z: Float[Tensor, "N z_dim"]
    y: Labels
    w: Float[Tensor, "N ndirs"]
    probes: Float[Tensor, "k N ndirs"]

    def split(self, size: int) -> list[Samples]:
        """Split into parts of at most `size` samples."""
        parts = zip(*(t.split(size) for t in (self.z, self.y, self.w)), self.probes.split(size, dim=1), strict=True)
        return [Samples(*part) for part in parts]


def draw(
    generator: FrozenGenerator,
    classes: Sequence[Class],
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
    """Draw samples `first` to `first + count - 1` of one step.

    z follows the prior of the generator, y is uniform over `classes`, w is one-hot × U(-path_size, path_size) and
    probes are Rademacher (±1). All tensors have the device and (except indices y) the dtype of the generator.

    Args:
        generator: the frozen network.
        classes: class indices and soft classes to draw from.
        ndirs: number of directions.
        count: number of samples.
        first: index of the first sample.
        probes: number of probes per sample.
        path_size: η, at least 0.
        seed: random seed.
        stream: see `Stream`.
        step: index of the step.

    Example:
        >>> samples = draw(generator, [0], 4, count=8, probes=2, path_size=5, seed=0, stream=Stream.SEARCH, step=0)
        >>> samples.w.shape, samples.probes.shape
        (torch.Size([8, 4]), torch.Size([2, 8, 4]))
    """
    check_room_for_samples(generator, count, probes, ndirs, "the number of samples")
    rows = [
        random_numbers(seed, stream, step=step, sample=index).random(generator.latent_size + 3 + probes * ndirs)
        for index in range(first, first + count)
    ]
    uniform = torch.from_numpy(np.stack(rows))
    z_uniform, choice, amount, which, signs = uniform.split([generator.latent_size, 1, 1, 1, probes * ndirs], dim=1)
    w = torch.zeros(count, ndirs, dtype=torch.float64)
    w.scatter_(1, (choice * ndirs).long(), (2 * amount - 1) * path_size)
    y = labels_of(classes, generator.num_classes)[(which[:, 0] * len(classes)).long()]
    v = torch.where(signs < 0.5, -1.0, 1.0).view(count, probes, ndirs).transpose(0, 1)
    place = {"device": generator.device, "dtype": generator.dtype}
    return Samples(
        generator.latents(z_uniform.clamp(min=2.0**-54)).to(**place),
        placed(y, generator),
        w.to(**place),
        v.to(**place),
    )


def draw_latents(
    generator: FrozenGenerator, classes: Sequence[Class] | None, *, count: int, seed: int, stream: int, step: int = 0
) -> tuple[Float[Tensor, "count z_dim"], Labels]:
    """Draw z and y of the first samples of one step alone, as `draw` does.

    Args:
        generator: the frozen network.
        classes: class indices and soft classes to draw from. Defaults to all.
        count: number of samples.
        seed: random seed.
        stream: see `Stream`.
        step: index of the step.

    Example:
        >>> z, y = draw_latents(generator, None, count=8, seed=0, stream=Stream.ACTIVITY)
    """
    of_all = list(range(generator.num_classes)) if classes is None else classes
    drawn = draw(generator, of_all, 1, count=count, probes=0, path_size=0.0, seed=seed, stream=stream, step=step)
    return drawn.z, drawn.y


def check_room_for_samples(generator: FrozenGenerator, count: int, probes: int, ndirs: int, option: str) -> None:
    """Check that samples fit in memory.

    Args:
        generator: the frozen network.
        count: number of samples.
        probes: number of probes per sample.
        ndirs: number of directions.
        option: what to lower.

    Raises:
        OutOfMemoryError: they do not fit.
    """
    numbers = generator.z_dim + (1 + probes) * ndirs
    # In float64 twice, as they are drawn one by one, and in the generator's dtype.
    check_room((2 * 8 + 4) * count * numbers, f"{count:,} samples", f"lower {option}")
