"""How diagonal Hessians and JᵀJ are at latents that no search has seen, measured and not estimated from probes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from biggan_discovery.evaluation.estimates import Estimate, estimate
from biggan_discovery.evaluation.metric import Figure, Metric, Need, View, no_images
from biggan_discovery.evaluation.samples import judging_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import gradient_batch
from biggan_discovery.generators.layer_range import LayerRange, to_layer_range
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.diagonality import ratios_to_random
from biggan_discovery.numerics.streams import Stream, random_numbers
from biggan_discovery.objectives.around import images_around
from biggan_discovery.objectives.hessian_penalty import sketched
from biggan_discovery.progress import Progress


class UnseenMatrices(NamedTuple):
    """Matrices at latents of their own, along the coordinates that some layers see.

    Attributes:
        hessians: (L, S, n, n), of S random combinations of pixels at each of L latents.
        products: (L, 1, n, n), JᵀJ.
        space: the coordinates of z.
    """

    hessians: Float[Tensor, "L S n n"]
    products: Float[Tensor, "L 1 n n"]
    space: slice

    def ratios(self, Q: Float[Tensor, "ndirs z_dim"]) -> dict[str, Float64[Tensor, " L"]]:
        """Off-diagonal sums of squares in the frame Q relative to random ones, by kind; nan where nothing curves."""
        rows = torch.linalg.qr(Q[:, self.space].double().T).Q.T
        return {"hessian": ratios_to_random(self.hessians, rows), "orojar": ratios_to_random(self.products, rows)}


def unseen_cost(generator: FrozenGenerator, *, layers: LayerRange | str, samples: int, sketches: int) -> int:
    """Generator evaluations of `unseen_matrices`."""
    space = generator.search_space(layers)
    return samples * 2 * (space.stop - space.start) * (1 + sketches)


@arithmetic("float32")
def unseen_matrices(
    generator: FrozenGenerator,
    *,
    classes: list[Class] | None = None,
    samples: int = 12,
    sketches: int = 2,
    path_size: float = 5.0,
    epsilon: float = 0.1,
    layers: LayerRange | str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> UnseenMatrices:
    """Measure Hessians of random combinations of pixels, and JᵀJ, at latents that no search sees.

    They serve every set of directions of these layers, and need no random frames to compare with.

    Args:
        generator: the frozen network.
        classes: class indices and soft classes to draw from. Defaults to all.
        samples: number of latents, at least 2.
        sketches: combinations of pixels for each latent.
        path_size: η, the points are z plus a step U(-η, η) along one coordinate.
        epsilon: finite-difference step.
        layers: layers of the generator that directions reach.
        seed: random seed of the latents.
        progress: advanced by the evaluations.

    Raises:
        UserError: for fewer than two samples.
    """
    reached = to_layer_range(layers, generator.num_layers)
    space = generator.search_space(reached)
    rows = torch.eye(space.stop - space.start, device=generator.device, dtype=generator.dtype)
    axes = torch.eye(generator.z_dim)[space]
    drawn = judging_samples(
        generator,
        axes,
        classes,
        samples=samples,
        seed=seed,
        stream=Stream.OFF_DIAGONAL,
        path_size=path_size,
        probes=1,
    )
    hessians, products = [], []
    for index, sample in enumerate(drawn.split(1)):
        measured = sketched(
            images_around(generator, rows, sample, reached, jitter=epsilon),
            rows,
            epsilon,
            sketches,
            random_numbers(seed, Stream.OFF_DIAGONAL_SKETCHES, sample=index),
            gradient_batch(generator),
        )
        hessians.append(measured.matrices)
        products.append(measured.gram[None])
        if progress is not None:
            progress.advance(measured.evaluations)
    return UnseenMatrices(torch.stack(hessians), torch.stack(products), space)


def mean_ratio(ratios: Float64[Tensor, " L"]) -> Estimate | None:
    """Mean and standard error over the latents around which the function curves; None if these are fewer than two."""
    known = ratios[~ratios.isnan()]
    return estimate(known) if len(known) > 1 else None


_MEANING = "off-diagonal sum of squares at unseen latents, relative to random frames of as many directions."
HESSIANS = Figure("off-diagonal Hessian / random", "off-diag Hessian / random", f"Hessians' {_MEANING}", "↓")
PRODUCTS = Figure("off-diagonal JᵀJ / random", "off-diag JᵀJ / random", f"JᵀJ's {_MEANING}", "↓")


def _shared_cost(view: View) -> int:
    known = _known(view)
    return 0 if known else unseen_cost(view.generator, layers=view.layers, **view.sizes)


def _known(view: View) -> list[Tensor]:
    return view.references.setdefault(("off-diagonal", 0, str(view.layers)), [])


def _measure(view: View) -> dict[Figure, Any]:
    known = _known(view)
    if not known:
        found = unseen_matrices(
            view.generator, path_size=view.path_size, epsilon=view.epsilon, **view.sizes, **view.sampling
        )
        known.extend((found.hessians, found.products))
    hessians, products = known
    matrices = UnseenMatrices(hessians, products, view.generator.search_space(view.layers))
    means = {kind: mean_ratio(ratios) for kind, ratios in matrices.ratios(view.Q).items()}
    figures = {HESSIANS: means["hessian"], PRODUCTS: means["orojar"]}
    return {figure: value for figure, value in figures.items() if value is not None}


OFF_DIAGONAL = Metric(
    "off-diagonal at unseen latents",
    figures=(HESSIANS, PRODUCTS),
    presets={"quick": {"samples": 8, "sketches": 1}, "full": {"samples": 32, "sketches": 2}},
    cost=no_images,
    shared_cost=_shared_cost,
    measure=_measure,
    needs=frozenset({Need.TWO_DIRECTIONS}),
)
