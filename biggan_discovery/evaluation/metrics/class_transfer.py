"""Does a direction do the same to every class?"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from biggan_discovery.directions.activity import inactive
from biggan_discovery.directions.shifts import along_directions
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate, estimates
from biggan_discovery.evaluation.metric import Figure, Kind, Metric, Need, View
from biggan_discovery.evaluation.metrics.activeness import CHANGE
from biggan_discovery.evaluation.samples import judging_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import labels_of, placed
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic, in_float64
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.progress import Progress


def class_transfer_cost(ndirs: int, *, samples: int, classes: int) -> int:
    """Forward passes of one image that `class_transfer` takes."""
    return samples * classes * 2 * ndirs


@torch.no_grad()
@arithmetic("float32")
def class_transfer(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    *,
    classes: list[Class],
    path_size: float = 3.0,
    samples: int = 4,
    layers: LayerRange | str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Estimate]:
    """Correlation between classes of the image change G(z + ηq, y) - G(z - ηq, y), for each direction.

    Every sample z is shown as every class; the Pearson correlation over channels and pixels is averaged over pairs of
    different classes. 1: the direction changes every class in the same way; 0: in unrelated ways. Where a direction
    changes nothing, the correlation is 0.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        classes: class indices and soft classes to compare, at least 2.
        path_size: η.
        samples: number of latents.
        layers: layers of the generator that the directions reach.
        seed: random seed of the samples.
        progress: advanced by one per image.

    Returns:
        For each direction, mean and standard error over samples.

    Raises:
        UserError: for fewer than two samples or classes, or a Q that does not fit.
    """
    if len(set(classes)) < 2:
        raise UserError(f"transfer between classes {classes} cannot be judged; give at least two different ones")
    drawn = judging_samples(generator, Q, classes, samples=samples, seed=seed, stream=Stream.CLASS_TRANSFER)
    correlations = torch.zeros(samples, len(Q), dtype=torch.float64)
    sides = torch.tensor([path_size, -path_size])
    labels = placed(labels_of(classes, generator.num_classes), generator)
    for index, z in enumerate(drawn.z):
        walks = [along_directions(generator, Q, z, y, sides, layers) for y in labels]
        for direction, of_classes in enumerate(zip(*walks, strict=True)):
            changes = in_float64(torch.stack([(images[0] - images[1]).flatten() for images in of_classes]))
            unit = functional.normalize(changes - changes.mean(dim=1, keepdim=True))
            cosines = unit @ unit.T
            pairs = torch.triu_indices(len(classes), len(classes), offset=1)
            correlations[index, direction] = cosines[pairs[0], pairs[1]].mean()
        if progress is not None:
            progress.advance(len(classes) * 2 * len(Q))
    return estimates(correlations)


OF_EACH = Figure(
    "class transfer",
    "class transfer",
    "Correlation between classes of the image change along the direction.",
    "↑",
    Kind.DIRECTION,
)
OF_ACTIVE = Figure(
    "class transfer",
    "class transfer",
    "Correlation between classes of the image change, averaged over active directions.",
    "↑",
)


def compared_classes(view: View) -> list[Class]:
    """The classes to compare: those of the view, spread evenly; where that is one, others beside it."""
    classes, every = view.classes, range(view.generator.num_classes)
    known = classes if len(classes) > 1 else [*classes, *(y for y in every if y != classes[0])]
    count = min(view.sizes["classes"], len(known))
    return [known[index * len(known) // count] for index in range(count)]


def _measure(view: View) -> dict[Figure, Any]:
    scores = class_transfer(
        view.generator,
        view.Q,
        path_size=view.path_size,
        samples=view.sizes["samples"],
        **{**view.sampling, "classes": compared_classes(view)},
    )
    dead = set(inactive([change.mean for change in view.found[CHANGE]]))
    return {OF_EACH: scores, OF_ACTIVE: _over([each for index, each in enumerate(scores) if index not in dead])}


def _over(scores: list[Estimate]) -> Estimate:
    """Mean over directions; they share their samples, so its standard error is at most the mean of theirs.

    Of no directions there is none: nan.
    """
    return Estimate(*torch.tensor(scores, dtype=torch.float64).view(-1, 2).mean(dim=0).tolist())


CLASS_TRANSFER = Metric(
    "class transfer",
    figures=(OF_ACTIVE, OF_EACH),
    presets={"quick": {"samples": 2, "classes": 5}, "full": {"samples": 16, "classes": 10}},
    cost=lambda view: class_transfer_cost(
        len(view.Q), samples=view.sizes["samples"], classes=len(compared_classes(view))
    ),
    measure=_measure,
    needs=frozenset({Need.TWO_CLASSES}),
    after=("activeness",),
)
