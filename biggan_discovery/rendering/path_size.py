"""How far to go along each direction for the same visible change."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions.shifts import along_directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.batching import forward_batch
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.generators.mixes import Class
from biggan_discovery.numerics.arithmetic import arithmetic, in_float64
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.objectives.samples import draw_latents
from biggan_discovery.progress import Progress

_GRID = (0.0, 0.0625, 0.125, 0.25, 0.5, 0.75, 1.0)  # of the path size; no direction goes further than the last
_LATENTS = 256  # that tell how long latents are
_PAIRS = 16  # of images that tell how much images differ


def usual_change_cost() -> int:
    """Forward passes of one image that `usual_change` takes."""
    return 2 * _PAIRS


@torch.no_grad()
@arithmetic("float32")
def usual_change(
    generator: FrozenGenerator,
    *,
    classes: list[Class] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> float:
    """The standard deviation of a generator's images: how much one image of a class differs from the class's mean.

    It is the root of half the mean squared difference of pixels between two images of the same class, over 16 pairs.

    Args:
        generator: the frozen network.
        classes: class indices and soft classes to draw from. Defaults to all.
        seed: of the samples.
        progress: advanced by one for each image.

    Returns:
        The RMS difference, of pixels in [-1, 1].

    Example:
        >>> 0 < usual_change(load_generator("scenes-64"), classes=[0]) < 1
        True
    """
    (one, y), (other, _) = (
        draw_latents(generator, classes, count=_PAIRS, seed=seed, stream=Stream.STEP_SIZE, step=step) for step in (1, 2)
    )
    images = forward_batch(generator).map(generator, torch.cat((one, other)), torch.cat((y, y)))
    first, second = torch.cat(list(map(in_float64, images))).chunk(2)
    if progress is not None:
        progress.advance(usual_change_cost())
    return (first - second).square().mean().div(2).sqrt().item()


def equal_path_sizes_cost(ndirs: int, *, samples: int) -> int:
    """Forward passes of one image that `equal_path_sizes` takes where it is told the change."""
    return samples * ndirs * (2 * len(_GRID) - 1)


@torch.no_grad()
@arithmetic("float32")
def equal_path_sizes(
    generator: FrozenGenerator,
    Q: Tensor,
    *,
    classes: list[Class] | None = None,
    path_size: float | None = None,
    change: float | None = None,
    centred: bool = False,
    samples: int = 4,
    layers: LayerRange | str = "all",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[float]:
    """A path size for each direction, such that all of them change the image by the same amount.

    The amount is the RMS difference of pixels between both ends of the walk and its middle, a mean over samples. It is
    measured at amounts up to `path_size` and read off in between; a direction that changes too little to get there
    gets `path_size`.

    Args:
        generator: the frozen network.
        Q: (ndirs, z_dim) rows.
        classes: class indices and soft classes to draw from. Defaults to all.
        path_size: the largest result. Defaults to half the root-mean-square length of the generator's latents: farther
            out, few samples of the prior are.
        change: the RMS difference to aim for, of pixels in [-1, 1]. Defaults to the standard deviation of the
            generator's images, see `usual_change`: no direction changes an image more than another sample would.
        centred: remove the sample's own component along the direction first, as `rendering.move`.
        samples: how many z, 2 or more.
        layers: which layers of the generator the directions reach.
        seed: of the samples.
        progress: advanced by one for each image.

    Returns:
        ndirs path sizes, in (0, path_size].

    Raises:
        UserError: fewer than two samples, a path size that is not positive, a negative change, or a Q that does not
            fit.

    Example:
        >>> generator = load_generator("scenes-64")
        >>> sizes = equal_path_sizes(generator, Directions.load("scenes-64").Q)
        >>> len(sizes)
        16
    """
    if path_size is not None and not 0 < path_size < float("inf"):
        raise UserError(f"path_size is {path_size}; it should be a positive number")
    if change is not None and not 0 <= change < float("inf"):
        raise UserError(f"change is {change}; it should be a number of at least 0")
    if samples < 2:
        raise UserError(f"samples is {samples}; it should be at least 2")
    if Q.ndim != 2 or not len(Q) or Q.shape[1] != generator.z_dim:
        raise UserError(f"Q has shape {tuple(Q.shape)}; directions for this generator are (ndirs, {generator.z_dim})")
    latents, labels = draw_latents(generator, classes, count=samples, seed=seed, stream=Stream.STEP_SIZE)
    sizes = (path_size or _half_length(generator, seed)) * torch.tensor(_GRID, dtype=torch.float64)
    amounts = torch.cat((sizes, -sizes[1:]))
    curves = torch.zeros(len(Q), len(sizes), dtype=torch.float64)
    exact = in_float64(Q.to(latents))
    own = (in_float64(latents) @ exact.T / exact.square().sum(dim=1)).cpu()
    for z, y, part in zip(latents, labels, own * centred, strict=True):
        for direction, images in enumerate(along_directions(generator, Q, z, y, amounts - part[:, None], layers)):
            changes = _rms(in_float64(images[1:]) - in_float64(images[:1])).view(2, -1).mean(dim=0)
            curves[direction, 1:] += changes.cpu() / samples
        if progress is not None:
            progress.advance(len(Q) * len(amounts))
    if change is None:
        change = usual_change(generator, classes=classes, seed=seed, progress=progress)
    return [_first_crossing(sizes.numpy(), curve.numpy(), change) for curve in curves]


def _half_length(generator: FrozenGenerator, seed: int) -> float:
    """Half the root-mean-square length of latents."""
    z, _ = draw_latents(generator, [0], count=_LATENTS, seed=seed, stream=Stream.STEP_SIZE, step=3)
    return in_float64(z).square().flatten(1).sum(dim=1).mean().sqrt().item() / 2


def _rms(difference: Tensor) -> Tensor:
    return difference.square().flatten(1).mean(dim=1).sqrt()


def _first_crossing(sizes: np.ndarray, curve: np.ndarray, change: float) -> float:
    """Where a curve that need not rise all the way first reaches a height, linearly between its points."""
    reached = np.flatnonzero(curve >= change)
    if not len(reached) or not change:
        return float(sizes[-1])
    after = reached[0]
    return float(np.interp(change, curve[after - 1 : after + 1], sizes[after - 1 : after + 1]))
