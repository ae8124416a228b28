"""Objectives on samples held out from every search."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from biggan_discovery.directions import pad, random_frame
from biggan_discovery.evaluation.estimates import Estimate, Ratio, estimate, ratio
from biggan_discovery.evaluation.metric import Figure, Metric, View
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.hessian_penalty import hessian_penalty
from biggan_discovery.objectives.objective import Objective
from biggan_discovery.objectives.samples import Samples, draw
from biggan_discovery.objectives.table import objective_named
from biggan_discovery.progress import Progress

HELD_OUT_SAMPLES = 32

_FRAMES_AT_ONCE = 4
_FRAMES_SHARE = 0.5  # of the samples' part of the standard error; the frames then add less than an eighth to it


@torch.no_grad()
@arithmetic("float32")
def held_out_values(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    *,
    objective: Objective | str = "hessian",
    classes: list[Class] | None = None,
    path_size: float = 5.0,
    epsilon: float = 0.1,
    probes: int = 12,
    samples: int = HELD_OUT_SAMPLES,
    layers: LayerRange | str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> Float64[Tensor, " samples"]:
    """An objective of directions on held-out samples, the same ones for every Q.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        objective: objective to evaluate, or its name in `objectives.table`.
        classes: class indices and soft classes to draw from. Defaults to all.
        path_size: η, w is one-hot × U(-η, η).
        epsilon: finite-difference step in w.
        probes: k, Rademacher probes per sample.
        samples: number of latents.
        layers: layers of the generator that the directions reach.
        seed: random seed of the held-out samples.
        progress: advanced by one per sample.

    Returns:
        (samples,) float64. Means of different objectives and of different layers are of different orders, so compare
        them by `ratio` to random directions.
    """
    objective = objective_named(objective) if isinstance(objective, str) else objective
    drawn = draw(
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

    def of_part(z: Tensor, y: Tensor, w: Tensor, probes: Tensor) -> Tensor:
        return objective(generator, Q, Samples(z, y, w, probes.transpose(0, 1)), epsilon, layers).cpu().double()

    values = []
    for part in forward_batch(generator).map(of_part, drawn.z, drawn.y, drawn.w, drawn.probes.transpose(0, 1)):
        values.append(part)
        if progress is not None:
            progress.advance(len(part))
    return torch.cat(values)


def held_out_penalty(generator: FrozenGenerator, Q: Float[Tensor, "ndirs z_dim"], **settings: Any) -> Estimate:
    """Mean and standard error over samples of the held-out Hessian Penalty; arguments as in `held_out_values`.

    Costs 2 · probes · samples images.
    """
    return estimate(held_out_values(generator, Q, **settings))


def random_frames(
    generator: FrozenGenerator, ndirs: int, *, layers: LayerRange | str, count: int, seed: int, first: int = 0
) -> list[Float32[Tensor, "ndirs z_dim"]]:
    """Random orthonormal sets of directions in the space that some layers see, the reference of ratios.

    Args:
        generator: the frozen network.
        ndirs: directions per set.
        layers: layers of the generator that they reach.
        count: number of sets.
        seed: random seed.
        first: index of the first set; a set depends only on its index and the seed.

    Returns:
        `count` sets (ndirs, z_dim), float32 on the CPU.
    """
    space = generator.search_space(layers)
    width, stream = space.stop - space.start, Stream.REFERENCE_FRAMES
    frames = (random_frame(ndirs, width, seed=seed, stream=stream, index=first + index) for index in range(count))
    return [pad(frame, space, generator.z_dim) for frame in frames]


@torch.no_grad()
@arithmetic("float32")
def penalty_map(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    samples: Samples,
    epsilon: float,
    layers: LayerRange | str = "all",
) -> Float[Tensor, "N H W"]:
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

    def of_part(z: Tensor, y: Tensor, w: Tensor, probes: Tensor) -> Tensor:
        def images(w: Tensor) -> Tensor:
            return generator(generator.shift(z, w @ Q, layers), y)

        variances = hessian_penalty(
            images, w, epsilon=epsilon, reduction=lambda each: each, probes=probes.transpose(0, 1)
        )
        assert isinstance(variances, Tensor)  # one activation, one value
        return variances.mean(dim=1)

    rows = (samples.z, samples.y, samples.w, samples.probes.transpose(0, 1))
    return torch.cat(list(forward_batch(generator).map(of_part, *rows)))


def held_out_metric(objective: Objective) -> Metric:
    """An objective as a metric: on held-out samples, and over its value for random frames on the same samples."""
    meaning = objective.meaning and f"{objective.meaning.rstrip('.')}, on held-out samples."
    value = Figure(objective.title, objective.title, meaning, "↓", paper=objective.paper)
    relative = Figure(
        f"{objective.title} / random",
        f"{objective.title} / random",
        f"{objective.title} over that of random orthonormal directions; 1 is no better than chance. ± includes the "
        "spread over these.",
        "↓",
        paper=objective.paper,
    )

    def cost(view: View) -> int:
        return view.sizes["samples"] * objective.passes(view.sizes["probes"])

    def shared_cost(view: View) -> int:
        return max(0, view.sizes["frames"] - len(_known_frames(objective, view))) * cost(view)

    def measure(view: View) -> dict[Figure, Any]:
        values = _values(objective, view, view.Q)
        return {value: estimate(values), relative: _relative(objective, view, values)}

    return Metric(
        f"held-out {objective.title}",
        figures=(value, relative),
        presets={
            "quick": {"samples": 16, "probes": 8, "frames": 16},
            "full": {"samples": 128, "probes": 12, "frames": 32},
        },
        cost=cost,
        measure=measure,
        shared_cost=shared_cost,
        length=lambda view: (view.sizes["samples"] * (1 + view.sizes["frames"]), "sample"),
    )


def _values(objective: Objective, view: View, Q: Float[Tensor, "ndirs z_dim"]) -> Float64[Tensor, " samples"]:
    return held_out_values(
        view.generator,
        Q,
        objective=objective,
        path_size=view.path_size,
        epsilon=view.epsilon,
        probes=view.sizes["probes"],
        samples=view.sizes["samples"],
        **view.sampling,
    )


def _known_frames(objective: Objective, view: View) -> list[Tensor]:
    return view.references.setdefault((objective.title, len(view.Q), str(view.layers)), [])


def _relative(objective: Objective, view: View, values: Float64[Tensor, " samples"]) -> Ratio:
    """The ratio to as many random frames as make their part of the error small, or as many as the preset allows.

    Frames are added a few at a time until their part is at most half of the samples'. How many it takes depends on
    nothing but the set itself, so that it gets the same figure beside any other.
    """
    known = _known_frames(objective, view)
    count = 0
    while True:
        count = min(count + _FRAMES_AT_ONCE, view.sizes["frames"])
        for index in range(len(known), count):
            [frame] = random_frames(
                view.generator, len(view.Q), layers=view.layers, count=1, seed=view.seed, first=index
            )
            known.append(_values(objective, view, frame))
        found = ratio(values, torch.stack(known[:count]))
        if count == view.sizes["frames"] or not found.of_frames > _FRAMES_SHARE * found.of_samples:
            return found
