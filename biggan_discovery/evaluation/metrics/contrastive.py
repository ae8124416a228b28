"""LatentCLR's contrastive accuracy: do image changes of one direction resemble each other more than others'?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from biggan_discovery.directions.shifts import along_directions
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate, estimate
from biggan_discovery.evaluation.metric import Figure, Metric, Need
from biggan_discovery.evaluation.samples import judging_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic, in_float64
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.progress import Progress

_LARGEST_SIDE = 32


def small_images(images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N F"]:
    """Images (N, C, H, W) averaged down to at most 32 pixels a side, flattened: the default features."""
    factor = -(-max(images.shape[2:]) // _LARGEST_SIDE)
    return functional.avg_pool2d(images, factor, ceil_mode=True).flatten(1) if factor > 1 else images.flatten(1)


def contrastive_accuracy_cost(ndirs: int, *, samples: int) -> int:
    """Forward passes of one image that `contrastive_accuracy` takes."""
    return samples * 2 * ndirs


@torch.no_grad()
@arithmetic("float32")
def contrastive_accuracy(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    *,
    classes: list[Class] | None = None,
    path_size: float = 3.0,
    temperature: float = 0.5,
    samples: int = 16,
    features: Callable[[Float[Tensor, "N C H W"]], Float[Tensor, "N F"]] = small_images,
    layers: LayerRange | str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> Estimate:
    """Share of image changes that resemble those of the same direction more than those of the others.

    With f the normalized change of features F(G(z + path_size·q)) - F(G(z - path_size·q)), a change counts as correct
    if the mean of exp(|f·f'| / temperature) over the same direction of other samples is larger than over all other
    directions of all samples: the accuracy that LatentCLR reports beside its loss (Yüksel et al. 2021, section 3.1).
    There the change is from z itself; both sides and |f·f'| give a direction and its opposite the same figure. 1/2 is
    chance for changes without any structure. An unchanged image counts as wrong.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows, at least 2.
        classes: class indices and soft classes to draw from. Defaults to all.
        path_size: extent to both sides.
        temperature: temperature of the similarity.
        samples: number of latents.
        features: function from images (N, C, H, W) to features (N, F).
        layers: layers of the generator that the directions reach.
        seed: random seed of the samples.
        progress: advanced by one per image.

    Returns:
        The accuracy and its standard error over samples.

    Raises:
        UserError: for fewer than two samples or directions, or a Q that does not fit.
    """
    if len(Q) < 2:
        raise UserError(f"{len(Q)} direction cannot be compared with others; give at least 2")
    drawn = judging_samples(generator, Q, classes, samples=samples, seed=seed, stream=Stream.CONTRASTIVE)
    changes, sides = [], torch.tensor([path_size, -path_size])
    for z, y in zip(drawn.z, drawn.y, strict=True):
        ends = map(features, along_directions(generator, Q, z, y, sides, layers))
        changes.append(in_float64(torch.stack([above - below for above, below in ends])))
        if progress is not None:
            progress.advance(2 * len(Q))
    return estimate(_right(torch.stack(changes), temperature).mean(dim=1))


def _right(changes: Float[Tensor, "samples ndirs F"], temperature: float) -> Float64[Tensor, "samples ndirs"]:
    """Whether each change (samples, ndirs, F) is nearer to its own kind, (samples, ndirs) float64."""
    samples, ndirs, _ = changes.shape
    unit = functional.normalize(changes, dim=2).flatten(0, 1)
    similarity = ((unit @ unit.T).abs() / temperature).exp().view(samples, ndirs, samples, ndirs)
    per_sample = similarity.sum(dim=3)
    same = similarity.diagonal(dim1=1, dim2=3).movedim(2, 1)  # (samples, ndirs, other samples)
    others = (per_sample - same).sum(dim=2) / (samples * (ndirs - 1))
    own = (same.sum(dim=2) - same.diagonal(dim1=0, dim2=2).T) / (samples - 1)
    return (own > others * (1 + 1e-12)).double()


ACCURACY = Figure(
    "contrastive accuracy",
    "contrastive accuracy",
    "Share of image changes that resemble those of the same direction more than those of others; chance is 0.5.",
    "↑",
)
CONTRASTIVE_ACCURACY = Metric(
    "contrastive accuracy",
    figures=(ACCURACY,),
    presets={"quick": {"samples": 8}, "full": {"samples": 32}},
    cost=lambda view: contrastive_accuracy_cost(len(view.Q), **view.sizes),
    measure=lambda view: {
        ACCURACY: contrastive_accuracy(view.generator, view.Q, path_size=view.path_size, **view.sizes, **view.sampling)
    },
    needs=frozenset({Need.TWO_DIRECTIONS}),
)
