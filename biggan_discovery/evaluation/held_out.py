"""The Hessian Penalty on samples that no search has seen."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.objectives.samples import Purpose, draw
from biggan_discovery.objectives.through_directions import micro_batch, penalty_of_directions
from biggan_discovery.progress import Progress

HELD_OUT_SAMPLES = 32


class Estimate(NamedTuple):
    """A mean over samples and its standard error."""

    mean: float
    standard_error: float


@torch.no_grad()
def held_out_penalty(
    generator: FrozenGenerator,
    Q: Tensor,
    *,
    classes: list[int] | None = None,
    path_size: float = 5.0,
    epsilon: float = 0.1,
    probes: int = 12,
    samples: int = HELD_OUT_SAMPLES,
    layers: str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Hessian Penalty of directions on held-out samples, the same ones for every Q.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        classes: class indices to draw from; all where None.
        path_size: η, w is one-hot × U(-η, η).
        epsilon: finite-difference step in w.
        probes: k, Rademacher probes per sample.
        samples: how many z.
        layers: which layers of the generator the directions reach.
        seed: of the held-out samples; they never meet those of a search.
        progress: advanced by one for each sample.

    Returns:
        Mean and standard error over samples. Costs 2 · probes · samples images.
    """
    everything = draw(
        generator,
        list(range(generator.num_classes)) if classes is None else classes,
        len(Q),
        count=samples,
        probes=probes,
        path_size=path_size,
        seed=seed,
        purpose=Purpose.HELD_OUT,
        step=0,
    )
    Q = Q.to(generator.device, generator.dtype)
    values = []
    for part in everything.split(micro_batch(generator)):
        values.append(penalty_of_directions(generator, Q, part, epsilon, layers).double())
        if progress is not None:
            progress.advance(len(part.z))
    values = torch.cat(values)
    return Estimate(values.mean().item(), (values.std() / len(values) ** 0.5).item())
