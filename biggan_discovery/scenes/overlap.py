"""A relief under eight coloured lamps: factors whose changes of the image overlap.

Light is additive: the image is a dark base plus, for each lamp, a fixed pattern times the lamp's brightness. No pixel
has a mixed second derivative, so the Hessian is diagonal in the factors everywhere. But each lamp illuminates almost
the whole relief, so the patterns, which are the columns of the Jacobian, are far from orthogonal.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from biggan_discovery.scenes.scene import RESOLUTION, check_scenes

CLASSES = ("dome", "ring", "ripples", "star", "quilt")

FACTORS = (
    "red lamp",
    "orange lamp",
    "lime lamp",
    "green lamp",
    "cyan lamp",
    "blue lamp",
    "violet lamp",
    "pink lamp",
)

_DARK = -0.9
_RANGE = 1.8  # From all lamps off to the brightest channel of the brightest pixel with all lamps on.
_STAGES = 0.6  # 0 is linear; 1 has zero slope halfway.
_LAMP_DISTANCE = 2.4  # The relief spans [-1, 1].
_LAMP_ELEVATION = math.radians(28.0)
_SAMPLES = 4  # Per pixel and axis.


# Heights over the plane at coordinates x, y.
def _dome(x: Tensor, y: Tensor) -> Tensor:
    squared = x**2 + y**2
    return 0.55 * torch.exp(-((squared / 0.25) ** 2)) * (1 - squared / 0.72)


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return 0.32 * torch.exp(-(((_radius(x, y) - 0.56) / 0.2) ** 2))


def _ripples(x: Tensor, y: Tensor) -> Tensor:
    radius = _radius(x, y)
    return 0.075 * torch.cos(11 * radius) * torch.exp(-0.8 * radius**2)


def _star(x: Tensor, y: Tensor) -> Tensor:
    outline = 0.62 + 0.16 * torch.cos(5 * (torch.atan2(y, x) - math.pi / 2))
    return 0.30 * torch.sigmoid((0.95 - _radius(x, y) / outline) / 0.13)


def _quilt(x: Tensor, y: Tensor) -> Tensor:
    return 0.13 * torch.cos(1.75 * math.pi * x) * torch.cos(1.75 * math.pi * y)


_HEIGHTS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (_dome, _ring, _ripples, _star, _quilt)


def _radius(x: Tensor, y: Tensor) -> Tensor:
    return (x**2 + y**2 + 1e-9).sqrt()


def _surface(index: int) -> tuple[Tensor, Tensor]:
    """Points and unit normals (3, S, S) of a relief, seen from above."""
    ticks = (torch.arange(RESOLUTION * _SAMPLES, dtype=torch.float64) + 0.5) / (RESOLUTION * _SAMPLES) * 2 - 1
    y, x = (axis.requires_grad_() for axis in torch.meshgrid(-ticks, ticks, indexing="ij"))
    with torch.enable_grad():
        height = _HEIGHTS[index](x, y)
        slopes = torch.autograd.grad(height.sum(), (x, y))
    normal = torch.stack([-slopes[0], -slopes[1], torch.ones_like(x)])
    return torch.stack([x, y, height]).detach(), normal / normal.norm(dim=0)


def _lit(points: Tensor, normal: Tensor, lamp: Tensor) -> Tensor:
    """Brightness (S, S) of the relief under one lamp: diffuse and soft specular light, with falloff."""
    ray = lamp[:, None, None] - points
    far = ray.norm(dim=0)
    ray = ray / far
    facing = (normal * ray).sum(0)
    diffuse = 0.5 * (facing + (facing**2 + 0.02).sqrt())
    halfway = ray + ray.new_tensor([0.0, 0.0, 1.0])[:, None, None]
    gloss = ((normal * halfway).sum(0) / halfway.norm(dim=0)).clamp(min=0) ** 40
    return (diffuse + 0.35 * gloss) * (_LAMP_DISTANCE / far) ** 2


@functools.cache
def patterns(index: int) -> Tensor:
    """Contribution of each lamp at full brightness to the image of a class: (8, 3, 64, 64), float64, at least 0."""
    points, normal = _surface(index)
    turns = torch.arange(len(FACTORS), dtype=torch.float64) * (2 * math.pi / len(FACTORS))
    thirds = torch.arange(3, dtype=torch.float64) * (2 * math.pi / 3)
    colours = 0.5 + 0.5 * torch.cos(turns[:, None] - thirds)
    across, up = math.cos(_LAMP_ELEVATION), math.sin(_LAMP_ELEVATION)
    # The first lamp stands at the top of the image, the others follow clockwise.
    lamps = _LAMP_DISTANCE * torch.stack([across * turns.sin(), across * turns.cos(), torch.full_like(turns, up)], 1)
    light = torch.stack([_lit(points, normal, lamp) for lamp in lamps])
    light = light.unflatten(2, (RESOLUTION, _SAMPLES)).unflatten(1, (RESOLUTION, _SAMPLES)).mean(dim=(2, 4))
    added = light[:, None] * colours[:, :, None, None]
    # With all lamps on, every pixel comes close to the full range.
    total = added.sum(dim=0).amax(dim=0)
    added = added * (total.mean() / total) ** 0.85
    return _RANGE * added / added.sum(dim=0).max()


def brightness(factors: Tensor) -> Tensor:
    """Brightness in [0, 1] of lamps as a monotonic function of factors in [0, 1], rising in two stages.

    The stages add curvature that the Hessian measures, while the slope, and with it the overlap of the Jacobian's
    columns, varies little.
    """
    return factors + _STAGES / (2 * math.pi) * torch.sin(2 * math.pi * factors)


def render(factors: Tensor, y: Tensor) -> Tensor:
    """Render reliefs. Differentiable; computes in the dtype of `factors`.

    Args:
        factors: (N, 8) in [0, 1], in the order of `FACTORS`.
        y: (N,) int64 class indices into `CLASSES`.

    Returns:
        images (N, 3, 64, 64) in [-0.9, 0.9].

    Raises:
        ValueError: if shapes do not match, a factor is outside [0, 1], or a class does not exist.
    """
    check_scenes(factors, y, len(CLASSES))
    every = torch.stack([patterns(index) for index in range(len(CLASSES))]).to(factors)
    return _DARK + torch.einsum("ni,nichw->nchw", brightness(factors), every[y])
