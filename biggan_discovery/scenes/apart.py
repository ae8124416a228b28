"""Eight small pictures on a wall: factors that share no pixel.

Each factor changes only its own picture. No pixel has a mixed second derivative, so the Hessian is diagonal in the
factors everywhere, and the columns of the Jacobian are orthogonal as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from biggan_discovery.scenes.scene import RESOLUTION, check_scenes

CLASSES = ("dawn", "garden", "harbour", "candy", "night")

FACTORS = (
    "fan angle",
    "sun height",
    "lamp glow",
    "tide",
    "moon phase",
    "stripe width",
    "ball position",
    "window hue",
)

_CONTRAST = 0.85  # images stay within ±this
_SOFTNESS = 0.7  # standard deviation, in pixels, of the blur of an edge


class _Colours(NamedTuple):
    """The colours of a class, each (N, 3, 1, 1) in [-1, 1]."""

    frame: Tensor
    deep: Tensor
    soft: Tensor
    pale: Tensor
    main: Tensor
    warm: Tensor


_PALETTES = (
    "f3e9dc 3d405b 81b29a f4f1de e07a5f f2cc8f",
    "283618 606c38 a3b18a fefae0 bc6c25 dda15e",
    "e8eef2 1d3557 457b9d f1faee e63946 a8dadc",
    "fff4f8 5f4b8b 8ecae6 fff1e6 ff6b8b ffd166",
    "14162b 2b2d5b 3a506b e0e1dd e4846a f6bd60",
)


def _colours(y: Tensor, like: Tensor) -> _Colours:
    palettes = torch.tensor([[list(bytes.fromhex(colour)) for colour in palette.split()] for palette in _PALETTES])
    chosen = (palettes.to(like) / 127.5 - 1)[y]
    return _Colours(*chosen[..., None, None].unbind(1))


def _inside(distance: Tensor) -> Tensor:
    """Coverage of a pixel by a shape, given its signed distance to the boundary (in pixels, negative outside)."""
    return torch.special.ndtr(distance / _SOFTNESS)


def _radius(x: Tensor, y: Tensor) -> Tensor:
    return (x**2 + y**2 + 1e-9).sqrt()


def _between(t: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * t


# Each picture maps a factor t (N, 1, 1, 1), colours, and pixel coordinates from its centre, x (w,) to the right
# and y (h, 1) upwards, to (N, 3, h, w). Ranges are chosen so that a unit step of each factor changes the image by a
# comparable amount (`python -m biggan_discovery.scenes strength --scene apart` prints it).
def _fan(t: Tensor, colour: _Colours, x: Tensor, y: Tensor) -> Tensor:
    radius = _radius(x, y + 6)
    beyond = _between(t, math.radians(22), math.radians(84)) - torch.atan2(x, y + 6).abs()
    paper = _inside(12.2 - radius) * _inside(radius - 3.0) * _inside(radius * beyond)
    return torch.lerp(torch.lerp(colour.soft, colour.main, paper), colour.pale, _inside(2.2 - radius))


def _sun(t: Tensor, colour: _Colours, x: Tensor, y: Tensor) -> Tensor:
    sky = torch.lerp(colour.soft, colour.deep, torch.sigmoid((y + 4) / 7))
    shown = torch.lerp(sky, colour.warm, _inside(4.9 - _radius(x, y - _between(t, -1.5, 7.0))))
    return torch.lerp(shown, colour.main, _inside(1.2 * torch.cos(0.45 * x) - 7 - y))


def _lamp(t: Tensor, colour: _Colours, x: Tensor, y: Tensor) -> Tensor:
    radius = _radius(x, y - 4)
    glow = torch.sigmoid((_between(t, 0.0, 16.0) - radius) / 1.8)
    post = _inside(0.8 - x.abs()) * _inside(5 - y) * _inside(y + 13)
    shade = _inside(2.2 + 0.55 * (9.5 - y) - x.abs()) * _inside(y - 5) * _inside(9.5 - y)
    shown = torch.lerp(torch.lerp(colour.deep, colour.warm, glow), colour.frame, post)
    return torch.lerp(shown, colour.main, shade)


def _tide(t: Tensor, colour: _Colours, x: Tensor, y: Tensor) -> Tensor:
    depth = _between(t, -5.0, 3.0) - y
    near = _inside(depth - 5.5 + torch.sin(0.7 * x + 2))
    return torch.lerp(torch.lerp(colour.pale, colour.soft, _inside(depth + torch.sin(0.7 * x))), colour.deep, near)


def _moon(t: Tensor, colour: _Colours, x: Tensor, y: Tensor) -> Tensor:
    away = _between(t, 1.5, 9.0)
    moon = _inside(5.4 - _radius(x, y - 1)) * (1 - _inside(5.2 - _radius(x - away, y - 1 - 0.35 * away)))
    places = ((-4.0, 10.5), (3.0, 12.0), (4.5, -8.0), (-3.0, -11.0), (1.0, -6.5))
    stars = torch.stack([torch.exp(-((x - a) ** 2 + (y - b) ** 2) / 0.9) for a, b in places]).sum(dim=0)
    return torch.lerp(torch.lerp(colour.deep, colour.pale, moon), colour.pale, 0.8 * stars)


def _stripes(t: Tensor, colour: _Colours, x: Tensor, y: Tensor) -> Tensor:
    wave = torch.cos(0.71 * (x + y))
    return torch.lerp(colour.pale, colour.main, torch.sigmoid(4.5 * (wave + _between(t, -1.1, 1.1))))


def _ball(t: Tensor, colour: _Colours, x: Tensor, y: Tensor) -> Tensor:
    room = torch.lerp(colour.soft, colour.deep, _inside(-4 - y))
    return torch.lerp(room, colour.warm, _inside(4.2 - _radius(x - _between(t, -5.5, 5.5), y + 0.4)))


def _window(t: Tensor, colour: _Colours, x: Tensor, y: Tensor) -> Tensor:
    thirds = torch.arange(3).to(t).view(3, 1, 1) * (2 * math.pi / 3)
    return 0.12 + 0.5 * torch.cos(_between(t, -1.9, 1.9) + 0.02 * x - thirds) + 0 * (y + colour.frame)


_UNIT = 16  # Pixels; each picture is at (row, column) units and has (height, width) units.
_PICTURES: tuple[tuple[Callable[[Tensor, _Colours, Tensor, Tensor], Tensor], tuple[int, int], tuple[int, int]], ...] = (
    (_fan, (0, 0), (1, 2)),
    (_sun, (0, 2), (2, 1)),
    (_lamp, (0, 3), (2, 1)),
    (_tide, (1, 0), (2, 1)),
    (_moon, (1, 1), (2, 1)),
    (_stripes, (2, 2), (1, 2)),
    (_ball, (3, 0), (1, 2)),
    (_window, (3, 2), (1, 2)),
)


def _frame(x: Tensor, y: Tensor) -> Tensor:
    """Coverage of each pixel (h, w) by the picture, inside a frame one pixel wide with rounded corners."""
    rounding = 2.5
    inner_x, inner_y = (axis.abs() - (axis.max() - 0.5 - rounding) for axis in (x, y))
    outside = _radius(inner_x.clamp(min=0), inner_y.clamp(min=0)) - rounding
    return _inside(-outside - torch.maximum(inner_x, inner_y).clamp(max=0))


def part(index: int) -> tuple[slice, slice]:
    """Rows and columns of the image that a factor changes; no other factor does."""
    _, (row, column), (height, width) = _PICTURES[index]
    return slice(_UNIT * row, _UNIT * (row + height)), slice(_UNIT * column, _UNIT * (column + width))


def render(factors: Tensor, y: Tensor) -> Tensor:
    """Render walls of pictures. Differentiable; computes in the dtype of `factors`.

    Args:
        factors: (N, 8) in [0, 1], in the order of `FACTORS`.
        y: (N,) int64 class indices into `CLASSES`.

    Returns:
        images (N, 3, 64, 64) in [-0.85, 0.85].

    Raises:
        ValueError: if shapes do not match, a factor is outside [0, 1], or a class does not exist.
    """
    check_scenes(factors, y, len(CLASSES))
    colours = _colours(y, factors)
    images = factors.new_empty(len(y), 3, RESOLUTION, RESOLUTION)
    for index, (picture, _, size) in enumerate(_PICTURES):
        down, right = (torch.arange(_UNIT * units).to(factors) + 0.5 - _UNIT * units / 2 for units in size)
        up = -down[:, None]
        shown = picture(factors[:, index, None, None, None], colours, right, up)
        images[:, :, *part(index)] = torch.lerp(colours.frame, shown, _frame(right, up))
    return _CONTRAST * images
