"""Amounts of an edit in its own unit: how far along a direction named zoom the image is 30 % larger."""

from __future__ import annotations

import logging
import math
import re
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.region import image_size
from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.regional_edits import WELL, RegionalEdit, edit_of_name
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.base import Labels
from biggan_discovery.generators.layer_range import LayerRange
from biggan_discovery.numerics.arithmetic import arithmetic, in_float64
from biggan_discovery.numerics.tangents import EDITS, tangents
from biggan_discovery.progress import Progress
from biggan_discovery.rendering.captions import amount_text, direction_title
from biggan_discovery.rendering.motion import traversal

_MEASURED = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*(%|°|deg)\s*")
_STEPS = 16  # to each side, up to the length of the latents
_SAMPLES = 8
_log = logging.getLogger(__name__)


class MeasuredEdit(NamedTuple):
    """A step along a direction that is named after an edit, with its amount in the unit of the edit.

    Attributes:
        direction: row of the directions, or a name, or the beginning of a name.
        amount: in percent or degrees, such as "30%" or "-15°".
        layers: layers of the generator that it reaches. Defaults to the direction's own.
    """

    direction: int | str
    amount: str
    layers: LayerRange | str | None = None


def is_measured(amount: str) -> bool:
    """Whether a text is an amount in the unit of an edit.

    Example:
        >>> is_measured("30%"), is_measured("-15°"), is_measured("-15deg"), is_measured("2")
        (True, True, True, False)
    """
    return _MEASURED.fullmatch(amount) is not None


@torch.no_grad()
@arithmetic("float32")
def calibrated(
    generator: FrozenGenerator,
    directions: Directions,
    z: Tensor,
    y: Labels,
    row: int,
    amount: str,
    layers: LayerRange | str,
    *,
    quiet: bool = False,
) -> float:
    """How far along a direction the edit that it is named after has an amount, on average over samples.

    Along the way to both sides, up to the mean length of the latents, the change from each image to the next is fitted
    by the edit's tangent at these images, by least squares over all samples; the sum of these amounts is the amount so
    far. It is the calibration of Plumerault et al. (2020, "Controlling generative models with continuous factors of
    variations", section 2.3), measured on the images themselves instead of a detected object.

    Args:
        generator: the generator.
        directions: the directions.
        z: (N, z_dim) or (N, num_layers, z_dim) latents. Of more than 8, 8 are measured.
        y: (N,) class indices, or class weights.
        row: the direction, named after an edit such as "zoom" or "hue@upper".
        amount: such as "30%" or "-15°".
        layers: layers that the direction reaches.
        quiet: show no progress.

    Returns:
        The amount in units of z.

    Raises:
        UserError: the direction is not named after an edit, the unit is not the edit's, or the edit does not get that
            far; the message says how far it gets.
    """
    title = direction_title(row, directions.names[row])
    wanted = edit_of_name(directions.names[row])
    if wanted is None:
        raise UserError(
            f"direction {title} is to change by {amount}; a change is measured for directions that are named after an "
            f"edit ({', '.join(EDITS)}); give a number, or name it"
        )
    goal = _goal(amount, wanted)
    chosen = torch.linspace(0, len(z) - 1, min(len(z), _SAMPLES)).round().long().unique()
    z, y = z[chosen.to(z.device)], y[chosen.to(y.device)]
    farthest = z.norm(dim=-1).mean().item()
    steps = torch.linspace(-farthest, farthest, 2 * _STEPS + 1, dtype=torch.float64)
    with Progress(len(steps) * len(z), f"measuring {wanted.title}", unit="image", quiet=quiet) as progress:
        reached, cosine = _amounts(generator, directions, z, y, row, steps, wanted, layers, progress)
    found = _nearest_crossing(steps, reached, goal)
    if found is None:
        least, most = (EDITS[wanted.edit].number(each.item()) for each in (reached.min(), reached.max()))
        raise UserError(
            f"{title} by {amount.strip()}: on these samples it gets from {least} to {most} (at most ±{farthest:.3g}, "
            "as far as latents are long)"
        )
    _log.info("%s by %s is %s along the direction", title, amount.strip(), amount_text(found))
    if not abs(cosine) >= WELL:
        _log.warning("%s: the change has a cosine of %.2f with the wanted one, which is little", title, cosine)
    return found


def _goal(amount: str, wanted: RegionalEdit) -> float:
    """The amount as the edit's tangent measures it."""
    measured, edit = _MEASURED.fullmatch(amount), EDITS[wanted.edit]
    if measured is None or (measured[2] == "%") != (edit.percent is not None):
        right = "degrees, such as 15°" if edit.percent is None else "percents, such as 30%"
        raise UserError(f"the amount of {wanted.title} is {amount!r}; it should be in {right}, or a plain number")
    if edit.factor and float(measured[1]) <= -100:
        raise UserError(f"the amount of {wanted.title} is {amount!r}; it should be above -100%, where nothing is left")
    return edit.amount(float(measured[1]))


def _amounts(
    generator: FrozenGenerator,
    directions: Directions,
    z: Tensor,
    y: Labels,
    row: int,
    steps: Float64[Tensor, " S"],
    wanted: RegionalEdit,
    layers: LayerRange | str,
    progress: Progress,
) -> tuple[Float64[Tensor, " S"], float]:
    """Amount of the edit at each step, 0 in the middle; and the cosine between the wanted and the given change."""
    region = wanted.weights(image_size(generator))
    before: tuple[Tensor, Tensor] | None = None
    gained, product, wished, given = [0.0], 0.0, 0.0, 0.0
    for images in traversal(generator, directions, z, y, row, steps.tolist(), layers=layers):
        here = in_float64(images)
        tangent = tangents([wanted.edit], here, [region])[:, 0]
        if before is not None:
            change, along = here - before[0], (tangent + before[1]) / 2
            of_step, square = (change * along).sum().item(), along.square().sum().item()
            gained.append(of_step / square if square else 0.0)
            product, wished, given = product + of_step, wished + square, given + change.square().sum().item()
        before = here, tangent
        progress.advance(len(images))
    total = torch.tensor(gained, dtype=torch.float64).cumsum(0)
    return total - total[len(total) // 2], product / math.sqrt(wished * given) if wished * given else 0.0


def _nearest_crossing(steps: Float64[Tensor, " S"], reached: Float64[Tensor, " S"], goal: float) -> float | None:
    """The smallest step at which a polygon reaches a goal; None if it does nowhere."""
    crossings = []
    for index in range(len(steps) - 1):
        (a, b), (low, high) = steps[index : index + 2].tolist(), reached[index : index + 2].tolist()
        if low != high and min(low, high) <= goal <= max(low, high):
            crossings.append(a + (b - a) * (goal - low) / (high - low))
    return min(crossings, key=abs, default=None)
