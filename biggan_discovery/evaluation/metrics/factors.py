"""Effect of directions on known factors, measured in latents and in images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from biggan_discovery.directions.shifts import along_directions
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate
from biggan_discovery.evaluation.metric import Figure, Kind, Metric, Need, View, no_images
from biggan_discovery.evaluation.samples import judging_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.progress import Progress


@dataclass(frozen=True)
class Response:
    """How much each direction moves each factor.

    Attributes:
        changes: (samples, ndirs, factors), |change| of each factor, which lies in [0, 1].
    """

    changes: Float64[Tensor, "samples ndirs factors"]

    @property
    def matrix(self) -> Float64[Tensor, "ndirs factors"]:
        """Mean |change|, (ndirs, factors)."""
        return self.changes.mean(dim=0)

    @property
    def standard_error(self) -> Float64[Tensor, "ndirs factors"]:
        """Of the mean, (ndirs, factors)."""
        return self.changes.std(dim=0) / len(self.changes) ** 0.5

    @property
    def leakage(self) -> Estimate:
        """`leakage` of all directions, and its jackknife standard error over samples."""
        count = len(self.changes)
        rest = (self.changes.sum(dim=0) - each for each in self.changes)
        without_one = torch.stack([leakage(others)[1] for others in rest])
        spread = (without_one - without_one.mean()).square().sum() * (count - 1) / count
        return Estimate(leakage(self.matrix)[1].item(), spread.sqrt().item())


def factor_values(z: Float[Tensor, "N z_dim"], true_directions: Float[Tensor, "n z_dim"]) -> Float64[Tensor, "N n"]:
    """Factors (N, n) in [0, 1] that latents z (N, z_dim) stand for: Φ of their true coordinates.

    Φ is the normal distribution function, so factors are uniform for a normal z and unit true directions (n, z_dim).
    """
    return torch.special.ndtr(z.cpu().double() @ true_directions.double().T)


def response_of_latents(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    *,
    path_size: float = 1.0,
    samples: int = 256,
    seed: int = 0,
) -> Response:
    """Response to z ± path_size·q, computed from the true latents; takes no images, and holds for shifts of all layers.

    Args:
        generator: a generator with known true directions.
        Q: (ndirs, z_dim) rows.
        path_size: extent to both sides.
        samples: number of latents.
        seed: random seed of the samples.

    Raises:
        UserError: for fewer than two samples, a Q that does not fit, or a generator whose true directions are unknown.
    """
    truth = true_directions(generator)
    drawn = judging_samples(generator, Q, None, samples=samples, seed=seed, stream=Stream.RESPONSE)
    z, rows = drawn.z.cpu().double(), Q.cpu().double()
    ends = [factor_values((z[:, None] + side * rows).flatten(0, 1), truth) for side in (path_size, -path_size)]
    return Response((ends[0] - ends[1]).abs().view(samples, len(Q), -1))


def response_of_images_cost(ndirs: int, *, samples: int) -> int:
    """Forward passes of one image that `response_of_images` takes."""
    return samples * 2 * ndirs


@torch.no_grad()
@arithmetic("float32")
def response_of_images(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    predictor: Callable[[Float[Tensor, "N C H W"]], Float[Tensor, "N n"]],
    *,
    classes: list[Class] | None = None,
    path_size: float = 1.0,
    samples: int = 8,
    layers: LayerRange | str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> Response:
    """Response to z ± path_size·q, predicted from images by a network fitted only to renders.

    Args:
        generator: any generator.
        Q: (ndirs, z_dim) rows.
        predictor: function from images (N, C, H, W) to factors (N, n), such as a `FactorPredictor`.
        classes: class indices and soft classes to draw from. Defaults to all.
        path_size: extent to both sides.
        samples: number of latents.
        layers: layers of the generator that the directions reach.
        seed: random seed of the samples; the first z are those of `response_of_latents`.
        progress: advanced by one per image.

    Raises:
        UserError: for fewer than two samples, or a Q that does not fit the generator.
    """
    drawn = judging_samples(generator, Q, classes, samples=samples, seed=seed, stream=Stream.RESPONSE)
    sides, changes = torch.tensor([path_size, -path_size]), []
    for z, y in zip(drawn.z, drawn.y, strict=True):
        ends = torch.stack([predictor(images) for images in along_directions(generator, Q, z, y, sides, layers)])
        changes.append((ends[:, 0] - ends[:, 1]).abs().cpu().double())
        if progress is not None:
            progress.advance(2 * len(Q))
    return Response(torch.stack(changes))


def leakage(matrix: Float[Tensor, "ndirs factors"]) -> tuple[Float[Tensor, " ndirs"], Float[Tensor, ""]]:
    """Fraction of each direction's response (ndirs, factors) outside its strongest factor.

    Returns:
        (ndirs,) fractions, 0 for a direction that moves a single factor and for an inactive one; and () their mean,
        weighted by the total response of each direction, so that inactive directions do not count.
    """
    total, first = matrix.sum(dim=1), matrix.amax(dim=1)
    of_each = torch.where(total > 0, 1 - first / total.clamp_min(1e-30), 0)
    return of_each, 1 - first.sum() / total.sum().clamp_min(1e-30)


def codes_and_factors(
    generator: FrozenGenerator, Q: Float[Tensor, "ndirs z_dim"], *, samples: int, seed: int = 0
) -> tuple[Float64[Tensor, "samples ndirs"], Float64[Tensor, "samples n"]]:
    """Codes (samples, ndirs), the components of latents along directions, and the true coordinates (samples, n).

    Raises:
        UserError: for a generator whose true directions are unknown, or a Q that does not fit.
    """
    truth = true_directions(generator)
    z = judging_samples(generator, Q, None, samples=samples, seed=seed, stream=Stream.CODES).z.cpu().double()
    return z @ Q.cpu().double().T, z @ truth.double().T


def codes_and_predictions_cost(*, samples: int) -> int:
    """Forward passes of one image that `codes_and_predictions` takes."""
    return samples


@torch.no_grad()
@arithmetic("float32")
def codes_and_predictions(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    predictor: Callable[[Float[Tensor, "N C H W"]], Float[Tensor, "N n"]],
    *,
    classes: list[Class] | None = None,
    samples: int = 400,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Float64[Tensor, "samples ndirs"], Float64[Tensor, "samples n"]]:
    """As `codes_and_factors`, but with what a predictor reads off the images: Φ⁻¹ of its factors, cut to [-2.3, 2.3].

    Raises:
        UserError: for a Q that does not fit.
    """
    drawn = judging_samples(generator, Q, classes, samples=samples, seed=seed, stream=Stream.CODES)
    read = []
    for factors in forward_batch(generator).map(lambda z, y: predictor(generator(z, y)), drawn.z, drawn.y):
        read.append(torch.special.ndtri(factors.cpu().double().clamp(0.01, 0.99)))
        if progress is not None:
            progress.advance(len(factors))
    return drawn.z.cpu().double() @ Q.cpu().double().T, torch.cat(read)


def true_directions(generator: FrozenGenerator) -> Float32[Tensor, "n z_dim"]:
    """The known true directions (n, z_dim).

    Raises:
        UserError: if they are unknown.
    """
    if generator.true_directions is None:
        raise UserError(f"the true factors of {generator.name} are unknown, so directions cannot be compared with them")
    return generator.true_directions


RESPONSE = Figure(
    "response of latents",
    "by the true latents",
    "Mean |change| of each true factor, by the true latents, from -1 to +1 along the direction.",
    kind=Kind.MATRIX,
)
OF_LATENTS = Figure(
    "leakage",
    "leakage",
    "Share of a direction's effect on true factors that goes to other factors than its first one.",
    "↓",
)
RESPONSE_IN_IMAGES = Figure(
    "response of images",
    "read off the images",
    "Mean |change| of each true factor, read off images by a predictor, from -1 to +1 along the direction.",
    kind=Kind.MATRIX,
)
OF_IMAGES = Figure(
    "leakage in images", "leakage (images)", "Leakage, with the factors read off images by a predictor.", "↓"
)


def _by_latents(view: View) -> dict[Figure, Any]:
    found = response_of_latents(view.generator, view.Q, **view.sizes, seed=view.seed)
    return {RESPONSE: found.matrix, OF_LATENTS: found.leakage}


def _by_images(view: View) -> dict[Figure, Any]:
    assert view.predictor is not None  # a need
    found = response_of_images(view.generator, view.Q, view.predictor, **view.sizes, **view.sampling)
    return {RESPONSE_IN_IMAGES: found.matrix, OF_IMAGES: found.leakage}


LEAKAGE = Metric(
    "leakage",
    figures=(OF_LATENTS, RESPONSE),
    presets={"quick": {"samples": 256}, "full": {"samples": 256}},
    cost=no_images,
    measure=_by_latents,
    needs=frozenset({Need.TRUE_DIRECTIONS, Need.ALL_LAYERS}),
    length=lambda _: (1, "step"),
)
LEAKAGE_IN_IMAGES = Metric(
    "leakage in images",
    figures=(OF_IMAGES, RESPONSE_IN_IMAGES),
    presets={"quick": {"samples": 8}, "full": {"samples": 64}},
    cost=lambda view: response_of_images_cost(len(view.Q), **view.sizes),
    measure=_by_images,
    needs=frozenset({Need.TRUE_DIRECTIONS, Need.PREDICTOR}),
)
