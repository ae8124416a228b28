"""Objectives of a search on samples that no search has seen."""

from __future__ import annotations

import torch
from torch import Tensor

from biggan_discovery.directions import pad, random_frame
from biggan_discovery.evaluation.estimates import Estimate, estimate
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.hessian_penalty import hessian_penalty
from biggan_discovery.objectives.samples import Samples, draw
from biggan_discovery.objectives.table import OBJECTIVES as NAMES
from biggan_discovery.objectives.table import objective_named
from biggan_discovery.progress import Progress

HELD_OUT_SAMPLES = 32

OBJECTIVES = {each.title: each for each in map(objective_named, NAMES)}


def held_out_cost(objective: str, *, samples: int, probes: int) -> int:
    """Forward passes of one image that `held_out_values` takes."""
    return samples * OBJECTIVES[objective].passes(probes)


@torch.no_grad()
def held_out_values(
    generator: FrozenGenerator,
    Q: Tensor,
    *,
    objective: str = "Hessian Penalty",
    classes: list[int] | None = None,
    path_size: float = 5.0,
    epsilon: float = 0.1,
    probes: int = 12,
    samples: int = HELD_OUT_SAMPLES,
    layers: str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    """An objective of directions on held-out samples, the same ones for every Q.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        objective: one of `OBJECTIVES`.
        classes: class indices to draw from; all where None.
        path_size: η, w is one-hot × U(-η, η).
        epsilon: finite-difference step in w.
        probes: k, Rademacher probes per sample.
        samples: how many z.
        layers: which layers of the generator the directions reach.
        seed: of the held-out samples; they never meet those of a search.
        progress: advanced by one for each sample.

    Returns:
        (samples,) float64. Means of different objectives and of different layers are of different orders, so compare
        them by `ratio` to random directions.
    """
    everything = draw(
        generator,
        list(range(generator.num_classes)) if classes is None else classes,
        len(Q),
        count=samples,
        probes=probes,
        path_size=path_size,
        seed=seed,
        stream=Stream.HELD_OUT,
        step=0,
    )
    Q = Q.to(generator.device, generator.dtype)
    values = []
    for part in everything.split(forward_batch(generator).size):
        values.append(OBJECTIVES[objective](generator, Q, part, epsilon, layers).double().cpu())
        if progress is not None:
            progress.advance(len(part.z))
    return torch.cat(values)


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
    """Mean and standard error over samples of the held-out Hessian Penalty; arguments as `held_out_values`.

    Costs 2 · probes · samples images.
    """
    values = held_out_values(
        generator,
        Q,
        classes=classes,
        path_size=path_size,
        epsilon=epsilon,
        probes=probes,
        samples=samples,
        layers=layers,
        seed=seed,
        progress=progress,
    )
    return estimate(values)


def random_frames(generator: FrozenGenerator, ndirs: int, *, layers: str, count: int, seed: int) -> list[Tensor]:
    """`count` random orthonormal sets of directions (ndirs, z_dim) in the space that the layers see."""
    space = generator.search_space(layers)
    width, stream = space.stop - space.start, Stream.REFERENCE_FRAMES
    frames = (random_frame(ndirs, width, seed=seed, stream=stream, index=index) for index in range(count))
    return [pad(frame, space, generator.z_dim) for frame in frames]


@torch.no_grad()
def penalty_map(generator: FrozenGenerator, Q: Tensor, samples: Samples, epsilon: float, layers: str = "all") -> Tensor:
    """Where in the image the Hessian Penalty lies.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        samples: where to evaluate, see `draw`; their number of probes decides how noisy the map is.
        epsilon: finite-difference step in w.
        layers: which layers of the generator see z + wQ.

    Returns:
        (N, H, W): for each pixel, the mean over channels of the unbiased variance over the probes.
    """
    Q = Q.to(generator.device, generator.dtype)
    maps = []
    for part in samples.split(forward_batch(generator).size):

        def images(w: Tensor, part: Samples = part) -> Tensor:
            return generator(generator.shift(part.z, w @ Q, layers), part.y)

        variances = hessian_penalty(images, part.w, epsilon=epsilon, reduction=lambda each: each, probes=part.probes)
        assert isinstance(variances, Tensor)  # one activation, one value
        maps.append(variances.mean(dim=1))
    return torch.cat(maps)
