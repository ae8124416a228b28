"""How diagonal the Hessian of every pixel is, from the Hessian itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from biggan_discovery.directions.shifts import moved_images
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.estimates import Estimate, estimate
from biggan_discovery.evaluation.metric import Figure, Kind, Metric, Need, View
from biggan_discovery.evaluation.samples import judging_samples
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Label
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic, in_float64
from biggan_discovery.numerics.streams import Stream, random_numbers
from biggan_discovery.progress import Progress

_TINY = 1e-8  # of the published ratio


class Diagonalness(NamedTuple):
    """Both figures with their standard errors, and the mean |H| over samples, channels and pixels (ndirs, ndirs).

    Entries of `magnitudes` whose pair was never drawn are nan.
    """

    largest_on_diagonal: Estimate
    diagonal_to_off_diagonal: Estimate
    magnitudes: Float64[Tensor, "ndirs ndirs"]


def diagonalness_cost(ndirs: int, *, samples: int, pairs: int | None = None) -> int:
    """Forward passes of one image that `diagonalness` takes."""
    return samples * (1 + 2 * ndirs + 2 * _number_of_pairs(ndirs, pairs))


@torch.no_grad()
@arithmetic("float32")
def diagonalness(
    generator: FrozenGenerator,
    Q: Float[Tensor, "ndirs z_dim"],
    *,
    classes: list[Class] | None = None,
    epsilon: float = 0.1,
    samples: int = 4,
    pairs: int | None = None,
    pixels: int | None = None,
    layers: LayerRange | str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> Diagonalness:
    """Two figures of the Hessians H of every channel and pixel of G(z + wQ, y) with respect to w, at w = 0.

    `largest_on_diagonal` is the share of (sample, channel, pixel) whose largest |H_ij| lies on the diagonal, and
    `diagonal_to_off_diagonal` the mean over them of mean |H_ii| / (mean over i≠j of |H_ij| + 1e-8), the two measures
    of Peebles et al. 2020, section 5.1.

    Central differences: H_ii = [G(+i) - 2G + G(-i)] / ε² and
    H_ij = [G(+i+j) + G(-i-j) - G(+i) - G(-i) - G(+j) - G(-j) + 2G] / 2ε², both off by O(ε²). Only the second
    differences along single directions are held; those along pairs go by as a stream. In float32 rounding puts a
    floor of about 1e-7·|G|/ε² under |H_ij|, which limits the ratio of a separable generator.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows, at least 2.
        classes: class indices and soft classes to draw from. Defaults to all.
        epsilon: finite-difference step in w.
        samples: number of latents.
        pairs: pairs i<j to draw for each sample; all where None. The share is then an upper bound, as a larger entry
            may not have been drawn, and the ratio a little too high, as it divides by a mean over fewer entries.
        pixels: (channel, pixel) positions to draw for each sample; all where None.
        layers: layers of the generator that the directions reach.
        seed: of samples, pairs and pixels.
        progress: advanced by one per image.

    Returns:
        The figures. Every sample draws its own pairs and pixels, so the standard errors over samples hold what the
        drawing adds.

    Raises:
        UserError: for fewer than two samples or directions, pairs or pixels below 1, or a Q that does not fit.
    """
    for name, value in (("pairs", pairs), ("pixels", pixels)):
        if value is not None and value < 1:
            raise UserError(f"{name} is {value}; it should be at least 1, or None for all")
    if len(Q) < 2:
        raise UserError(f"{len(Q)} direction has no off-diagonal Hessian; give at least 2")
    drawn = judging_samples(generator, Q, classes, samples=samples, seed=seed, stream=Stream.DIAGONALNESS)
    shares, ratios = [], []
    total, count = torch.zeros(2, len(Q), len(Q), dtype=torch.float64)
    for index, (z, y) in enumerate(zip(drawn.z, drawn.y, strict=True)):
        random = random_numbers(seed, Stream.DIAGONALNESS_CHOICES, sample=index)
        chosen = _draw_pairs(random, len(Q), pairs)
        hessian = _Hessian(generator, Q, z, y, epsilon, layers, _draw_pixels(random, generator, pixels))
        share, ratio = _figures(hessian, chosen, total, count)
        shares.append(share)
        ratios.append(ratio)
        if progress is not None:
            progress.advance(1 + 2 * len(Q) + 2 * len(chosen))
    return Diagonalness(estimate(torch.stack(shares)), estimate(torch.stack(ratios)), total / count)


def _figures(
    hessian: _Hessian,
    chosen: Int64[Tensor, "pairs 2"],
    total: Float64[Tensor, "ndirs ndirs"],
    count: Float64[Tensor, "ndirs ndirs"],
) -> tuple[Float64[Tensor, ""], Float64[Tensor, ""]]:
    """Both figures of one sample; adds its mean |H| to `total` and one to `count`, in place."""
    diagonal = hessian.diagonal().abs()
    total.diagonal().add_(in_float64(diagonal).mean(dim=1).cpu())
    count.diagonal().add_(1)
    largest, added = torch.zeros_like(diagonal[0]), torch.zeros_like(diagonal[0])
    for pair, entry in zip(chosen, hessian.off_diagonal(chosen), strict=True):
        torch.maximum(largest, entry.abs(), out=largest)
        added += entry.abs()
        rows, columns = torch.cat((pair, pair.flip(0))).view(2, 2)
        total[rows, columns] += in_float64(entry.abs()).mean().cpu()
        count[rows, columns] += 1
    share = in_float64(diagonal.amax(dim=0) >= largest).mean()
    ratio = in_float64(diagonal.mean(dim=0) / (added / len(chosen) + _TINY)).mean()
    return share, ratio


class _Hessian:
    """Entries of the Hessians of some pixels of one image: the diagonals at once, the others as a stream."""

    def __init__(
        self,
        generator: FrozenGenerator,
        Q: Float[Tensor, "ndirs z_dim"],
        z: Float[Tensor, " z_dim"],
        y: Label,
        epsilon: float,
        layers: LayerRange | str,
        pixels: Int64[Tensor, " pixels"] | None,
    ) -> None:
        self._place = (generator, Q, z, y)
        self._layers, self._epsilon, self._pixels = layers, epsilon, pixels
        self._identity = torch.eye(len(Q), dtype=generator.dtype, device=generator.device)
        self._centre = next(self._values(torch.zeros_like(self._identity[:1])))
        # G(+i) - 2G + G(-i): of order ε², so that nothing large is subtracted later.
        self._single = torch.stack(list(self._second_differences(self._identity)))

    def diagonal(self) -> Float[Tensor, "ndirs pixels"]:
        """H_ii, (ndirs, pixels)."""
        return self._single / self._epsilon**2

    def off_diagonal(self, pairs: Int64[Tensor, "M 2"]) -> Iterator[Float[Tensor, " pixels"]]:
        """H_ij, (pixels,), for each of `pairs` (M, 2)."""
        steps = self._identity[pairs[:, 0]] + self._identity[pairs[:, 1]]
        for (i, j), both in zip(pairs.tolist(), self._second_differences(steps), strict=True):
            yield (both - self._single[i] - self._single[j]) / (2 * self._epsilon**2)

    def _second_differences(self, steps: Float[Tensor, "M ndirs"]) -> Iterator[Float[Tensor, " pixels"]]:
        values = self._values(self._epsilon * torch.stack((steps, -steps), dim=1).flatten(0, 1))
        for above, below in zip(values, values, strict=True):
            yield (above - self._centre) + (below - self._centre)

    def _values(self, w: Float[Tensor, "M ndirs"]) -> Iterator[Float[Tensor, " pixels"]]:
        for images in moved_images(*self._place, w, self._layers):
            flat = images.flatten(1)
            yield from flat if self._pixels is None else flat[:, self._pixels]


def _number_of_pairs(ndirs: int, pairs: int | None) -> int:
    every = ndirs * (ndirs - 1) // 2
    return every if pairs is None else min(pairs, every)


def _draw_pairs(random: np.random.Generator, ndirs: int, pairs: int | None) -> Int64[Tensor, "pairs 2"]:
    every = torch.triu_indices(ndirs, ndirs, offset=1).T
    number = _number_of_pairs(ndirs, pairs)
    return every if number == len(every) else every[np.sort(random.choice(len(every), number, replace=False))]


def _draw_pixels(
    random: np.random.Generator, generator: FrozenGenerator, pixels: int | None
) -> Int64[Tensor, " pixels"] | None:
    every = generator.channels * generator.resolution**2
    if pixels is None or pixels >= every:
        return None
    return torch.from_numpy(np.sort(random.choice(every, pixels, replace=False))).to(generator.device)


LARGEST = Figure(
    "largest on diagonal",
    "largest second derivative on the diagonal",
    "Share of pixels whose Hessian H, the matrix of second derivatives along pairs of directions, has its largest "
    "entry on the diagonal.",
    "↑",
    paper="Peebles et al. 2020",
)
RATIO = Figure(
    "diagonal / off-diagonal",
    "diagonal / off-diagonal",
    "Mean size of the Hessian's entries on the diagonal over that of the others, averaged over pixels.",
    "↑",
)
MAGNITUDES = Figure("mean |H|", "mean |H|", "Mean |H| over samples, channels and pixels.", kind=Kind.MATRIX)


def _measure(view: View) -> dict[Figure, Any]:
    found = diagonalness(view.generator, view.Q, epsilon=view.epsilon, **view.sizes, **view.sampling)
    return {
        LARGEST: found.largest_on_diagonal,
        RATIO: found.diagonal_to_off_diagonal,
        MAGNITUDES: found.magnitudes,
    }


DIAGONALNESS = Metric(
    "diagonalness",
    figures=(LARGEST, RATIO, MAGNITUDES),
    presets={"quick": {"samples": 3, "pairs": 200}, "full": {"samples": 16, "pairs": None}},
    cost=lambda view: diagonalness_cost(len(view.Q), **view.sizes),
    measure=_measure,
    needs=frozenset({Need.TWO_DIRECTIONS}),
)
