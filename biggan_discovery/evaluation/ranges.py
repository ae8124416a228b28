"""How far along a direction its edit holds."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import check_fits
from biggan_discovery.directions.shifts import along_directions
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.numerics.arithmetic import arithmetic, in_float64
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw_latents
from biggan_discovery.progress import Progress

_STEPS = 8  # to each side
_LATENTS = 8
_OTHERS = 128  # samples that tell which statistics are usual
_SATURATED = 0.25  # of the first step's change
_MOST_UNUSUAL = 0.25  # of the latents


def ranges_cost(directions: Directions) -> int:
    """Forward passes of one image that `recommend_ranges` takes."""
    return _OTHERS + _LATENTS * len(directions) * (2 * _STEPS + 1)


@torch.no_grad()
@arithmetic("float32")
def recommend_ranges(
    directions: Directions, generator: FrozenGenerator, *, seed: int = 0, progress: Progress | None = None
) -> None:
    """Measure how far the edit of each direction holds, and recommend that range in place; of any generator.

    Images of 8 latents are made at 8 steps to each side, up to the root-mean-square length of z. The range ends before
    the step at which the image moves back towards where it came from, adds less than a quarter of what the first step
    changed, or has, at more than a quarter of the latents, a brightness, contrast or colour spread beyond those of 128
    other samples. Each side is at least one step.

    Args:
        directions: the directions; existing ranges are replaced.
        generator: the generator that they are for.
        seed: random seed of the latents.
        progress: advanced by one per image, `ranges_cost` in all.

    Raises:
        UserError: the directions do not fit.

    Example:
        >>> found = Directions.load("scenes-64")
        >>> recommend_ranges(found, load_generator("scenes-64"))
        >>> low, high = found.recommended_ranges[0]
    """
    check_fits(directions, generator)
    classes = directions.metadata.get("classes")
    draws = {"seed": seed, "stream": Stream.RANGES}
    z, y = draw_latents(generator, classes, count=_LATENTS, **draws)
    others, labels = draw_latents(generator, classes, count=_OTHERS, step=1, **draws)
    usual = torch.cat([_statistics(images) for images in forward_batch(generator).map(generator, others, labels)])
    low, high = usual.amin(dim=0), usual.amax(dim=0)
    if progress is not None:
        progress.advance(_OTHERS)
    length = in_float64(others).square().sum(dim=1).mean().sqrt().item()
    side = torch.linspace(0, length, _STEPS + 1, dtype=torch.float64)
    amounts = torch.cat((side, -side[1:])).to(z)
    moved = torch.zeros(len(directions), len(amounts), dtype=torch.float64)
    unusual = torch.zeros_like(moved)
    for layers, rows in directions.layer_groups.items():
        for point, label in zip(z, y, strict=True):
            along = along_directions(generator, directions.Q[rows], point, label, amounts, layers)
            for row, images in zip(rows, along, strict=True):
                exact, figures = in_float64(images), _statistics(images)
                moved[row] += (exact - exact[:1]).square().flatten(1).mean(dim=1).sqrt().cpu() / _LATENTS
                beyond = ((figures < low) | (figures > high)).any(dim=1)
                unusual[row] += (beyond & ~beyond[:1]).double().cpu() / _LATENTS
                if progress is not None:
                    progress.advance(len(amounts))
    for row in range(len(directions)):
        up = _reach(moved[row, : _STEPS + 1], unusual[row, : _STEPS + 1])
        down = _reach(*(torch.cat((each[row, :1], each[row, _STEPS + 1 :])) for each in (moved, unusual)))
        directions.recommend(row, (-side[down].item(), side[up].item()))


def _statistics(images: Float[Tensor, "N C H W"]) -> Float64[Tensor, "N 3"]:
    """Brightness, contrast and spread of colours of each image."""
    exact = in_float64(images).cpu()
    grey = exact.mean(dim=1)
    return torch.stack(
        (grey.mean(dim=(1, 2)), grey.flatten(1).std(dim=1), exact.std(dim=1, correction=0).mean(dim=(1, 2))), dim=1
    )


def _reach(moved: Float64[Tensor, " steps"], unusual: Float64[Tensor, " steps"]) -> int:
    """The last step, at least 1, up to which the image moves on and stays usual."""
    added = moved.diff()
    holds = (added > 0) & (added >= _SATURATED * added[0]) & (unusual[1:] <= _MOST_UNUSUAL)
    return max(1, int(holds.long().cumprod(dim=0).sum()))
