"""A procedural room with one object: images with eight known, independent factors.

Every image is a pure function of a class and eight numbers in [0, 1], so directions found in a generator fitted to
these images can be checked against the known factors. The object is sphere-traced through its signed distance function,
the room is intersected in closed form, shadows are soft, and every pixel is the tent-filtered mean of 64 samples, so
that images change smoothly with every factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from biggan_discovery.scenes.scene import RESOLUTION, check_scenes

CLASSES = ("cube", "sphere", "cylinder", "cone", "torus")

FACTORS = (
    "object hue",
    "wall hue",
    "floor hue",
    "object size",
    "camera azimuth",
    "camera height",
    "object position",
    "light direction",
)

# Ranges are chosen so that a unit step of each factor changes the image by a comparable amount
# (`python -m biggan_discovery.scenes strength` prints it). Angles are in degrees, lengths in room units.
_OBJECT_HUE = (-105.0, 145.0)
_WALL_HUE = (120.0, 340.0)
_FLOOR_HUE = (-20.0, 190.0)
_SIZE = (0.78, 1.34)
_AZIMUTH = (-27.0, 27.0)
_HEIGHT = (13.0, 43.0)
_POSITION = (-0.52, 0.52)
_LIGHT = (-75.0, 75.0)

_DISTANCE = 4.9
_TARGET_HEIGHT = 0.58
_HALF_FOV = math.radians(16.5)
_WALL_DISTANCE = 1.9
_LIGHT_ELEVATION = math.radians(48.0)
_SAMPLES = 4  # Per pixel and axis.


def _lerp(t: Tensor, limits: tuple[float, float]) -> Tensor:
    low, high = limits
    return low + (high - low) * t


def _oklch_to_linear(lightness: float, chroma: float, hue_degrees: Tensor) -> Tensor:
    """Linear sRGB (N, 3) of OKLCH colours: a hue circle of constant lightness (Ottosson 2020)."""
    hue = torch.deg2rad(hue_degrees)
    a, b = chroma * torch.cos(hue), chroma * torch.sin(hue)
    l_ = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    m_ = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    s_ = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    rgb = (
        4.0767416621 * l_ - 3.3077115913 * m_ + 0.2309699292 * s_,
        -1.2684380046 * l_ + 2.6097574011 * m_ - 0.3413193965 * s_,
        -0.0041960863 * l_ - 0.7034186147 * m_ + 1.7076147010 * s_,
    )
    return torch.stack(rgb, dim=-1).clamp(0.0, 1.0)


def _linear_to_srgb(linear: Tensor) -> Tensor:
    linear = linear.clamp(0.0, 1.0)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=1e-6) ** (1 / 2.4) - 0.055)


# Signed distances of unit objects that stand on y = 0, in object coordinates, which are (M,) tensors.
def _cube(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    half, rounding = 0.40, 0.07
    qx, qy, qz = (c.abs() - (half - rounding) for c in (x, y - half, z))
    outside = (qx.clamp(min=0) ** 2 + qy.clamp(min=0) ** 2 + qz.clamp(min=0) ** 2 + 1e-12).sqrt()
    return outside + torch.maximum(qx, torch.maximum(qy, qz)).clamp(max=0) - rounding


def _sphere(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return (x**2 + (y - 0.5) ** 2 + z**2).sqrt() - 0.5


def _cylinder(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    radius, half, rounding = 0.40, 0.45, 0.06
    qr = (x**2 + z**2 + 1e-12).sqrt() - (radius - rounding)
    qy = (y - half).abs() - (half - rounding)
    outside = (qr.clamp(min=0) ** 2 + qy.clamp(min=0) ** 2 + 1e-12).sqrt()
    return outside + torch.maximum(qr, qy).clamp(max=0) - rounding


def _cone(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    radius, height, rounding = 0.50, 1.0, 0.05
    r, h = (x**2 + z**2 + 1e-12).sqrt(), y - rounding
    # Distance to a triangle in the (r, h) half-plane: the slanted edge and the base.
    t = (((r - radius) * -radius + h * height) / (radius**2 + height**2)).clamp(0, 1)
    side = ((r - radius * (1 - t)) ** 2 + (h - height * t) ** 2 + 1e-12).sqrt()
    base = ((r - r.clamp(max=radius)) ** 2 + h**2 + 1e-12).sqrt()
    inside = (h > 0) & (r < radius * (1 - h / height))
    return torch.where(inside, -1.0, 1.0) * torch.minimum(side, base) - rounding


def _torus(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    major, minor = 0.36, 0.155
    ring = (x**2 + (y - major - minor) ** 2 + 1e-12).sqrt() - major
    return (ring**2 + z**2 + 1e-12).sqrt() - minor


_DISTANCES: tuple[Callable[[Tensor, Tensor, Tensor], Tensor], ...] = (_cube, _sphere, _cylinder, _cone, _torus)
_YAW = tuple(math.radians(a) for a in (32.0, 0.0, 0.0, 0.0, 14.0))
_BOUND = 0.78  # Radius of a ball around (0, 0.5, 0) that contains every unit object.


class _Object:
    """The object of N scenes, or of M points (see `at`); attributes broadcast against points (..., 3)."""

    def __init__(self, index: int, size: Tensor, position: Tensor, light: Tensor):
        self.index, self.size, self.position, self.light = index, size, position, light

    def at(self, sample: Tensor | tuple[slice | None, ...]) -> _Object:
        """The objects at an index of the samples, such as (M,), one per point."""
        return _Object(self.index, self.size[sample], self.position[sample], self.light[sample])

    def distance(self, points: Tensor) -> Tensor:
        """Signed distance (...) of points (..., 3)."""
        cos, sin = math.cos(_YAW[self.index]), math.sin(_YAW[self.index])
        x, y, z = points.unbind(-1)
        x, y, z = (x - self.position) / self.size, y / self.size, z / self.size
        return self.size * _DISTANCES[self.index](cos * x + sin * z, y, cos * z - sin * x)

    def normal(self, points: Tensor) -> Tensor:
        """Unit normals from finite differences at the corners of a tetrahedron."""
        corners = points.new_tensor([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]])
        slopes = torch.stack([c * self.distance(points + 1e-3 * c)[..., None] for c in corners])
        return functional.normalize(slopes.sum(dim=0), dim=-1)

    def trace(self, origins: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
        """Sphere tracing along unit rays (M, 3): (travelled (M,), hit (M,) bool)."""
        travelled = torch.full_like(rays[:, 0], _DISTANCE - 2.2)
        for _ in range(32):
            travelled = travelled + self.distance(origins + travelled[:, None] * rays)
        return travelled, self.distance(origins + travelled[:, None] * rays) < 4e-3

    def brightness(self, points: Tensor) -> Tensor:
        """Fraction of light that reaches points of the room: soft shadow times contact occlusion."""
        travelled = torch.full_like(points[..., 0], 0.02)
        clearance = torch.ones_like(travelled)
        for _ in range(20):
            distance = self.distance(points + travelled[..., None] * self.light)
            # The narrowest cone between the object and the ray, seen from the point: the visible part of a round lamp.
            clearance = torch.minimum(clearance, 0.5 + 3.0 * distance / travelled.clamp(min=0.1))
            travelled = travelled + distance.clamp(0.04, 0.22)
        clearance = clearance.clamp(0, 1)
        shadow = clearance * clearance * (3 - 2 * clearance)
        contact = (self.distance(points) / 0.45).clamp(0, 1)
        return (0.56 + 0.44 * shadow) * (0.72 + 0.28 * contact * (2 - contact))


def _light(factors: Tensor) -> Tensor:
    """Unit vectors (N, 3) towards the lamp."""
    angle = torch.deg2rad(_lerp(factors[:, 7], _LIGHT))
    across, up = math.cos(_LIGHT_ELEVATION), math.sin(_LIGHT_ELEVATION)
    return torch.stack([angle.sin() * across, torch.full_like(angle, up), angle.cos() * across], dim=-1)


def _camera(factors: Tensor) -> tuple[Tensor, Tensor]:
    """Camera positions (N, 3) and rotations (N, 3, 3) whose rows are right, up and forward."""
    azimuth = torch.deg2rad(_lerp(factors[:, 4], _AZIMUTH))
    height = torch.deg2rad(_lerp(factors[:, 5], _HEIGHT))
    sa, ca, sh, ch = azimuth.sin(), azimuth.cos(), height.sin(), height.cos()
    away = torch.stack([sa * ch, sh, ca * ch], dim=-1)
    right = torch.stack([ca, torch.zeros_like(ca), -sa], dim=-1)
    up = torch.linalg.cross(away, right)
    eye = _DISTANCE * away + away.new_tensor([0.0, _TARGET_HEIGHT, 0.0])
    return eye, torch.stack([right, up, -away], dim=1)


def _pixel_rays(rotation: Tensor, per_axis: int, margin: float) -> Tensor:
    """Unit rays (N, S, S, 3) through the image, widened by `margin` of its width on each side."""
    extent = math.tan(_HALF_FOV) * (1 + 2 * margin)
    ticks = (torch.arange(per_axis, dtype=rotation.dtype) + 0.5) / per_axis * 2 - 1
    x, y = (extent * ticks)[None, :], (extent * -ticks)[:, None]
    local = torch.stack(torch.broadcast_tensors(x, y, torch.ones(())), dim=-1)
    return functional.normalize(torch.einsum("abi,nij->nabj", local, rotation), dim=-1)


_WALL_NORMALS = ((math.sqrt(0.5), 0.0, math.sqrt(0.5)), (-math.sqrt(0.5), 0.0, math.sqrt(0.5)))


def _room(eye: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
    """First hit of rays (N, S, S, 3) with floor and walls: (distance (N, S, S), which surface 0, 1, 2)."""
    origin = eye[:, None, None, :]
    far = torch.full_like(rays[..., 0], 1e4)
    floor = torch.where(rays[..., 1] < -1e-6, -origin[..., 1] / rays[..., 1].clamp(max=-1e-6), far)
    hits = [floor]
    for wall in _WALL_NORMALS:
        normal = rays.new_tensor(wall)
        towards = rays @ normal
        gap = -_WALL_DISTANCE - origin @ normal
        hits.append(torch.where(towards < -1e-6, gap / towards.clamp(max=-1e-6), far))
    distance, surface = torch.stack(hits).min(dim=0)
    return distance, surface


def _room_colour(factors: Tensor, light: Tensor) -> Tensor:
    """Lit linear colour (N, 3 surfaces, 3) of floor, left wall and right wall before any shadow."""
    floor = _oklch_to_linear(0.80, 0.060, _lerp(factors[:, 2], _FLOOR_HUE))
    wall = _oklch_to_linear(0.86, 0.060, _lerp(factors[:, 1], _WALL_HUE))
    walls = [wall * (0.66 + 0.42 * (light @ light.new_tensor(n)).clamp(min=-0.3))[:, None] for n in _WALL_NORMALS]
    return torch.stack([floor * (0.66 + 0.34 * light[:, 1:2]), *walls], dim=1)


def _shade(scene: _Object, eye: Tensor, rotation: Tensor) -> Tensor:
    """Brightness (N, S, S) of the room at every sample; smooth enough for one ray per pixel."""
    rays = _pixel_rays(rotation, RESOLUTION + 2, 1.0 / RESOLUTION)
    points = eye[:, None, None] + _room(eye, rays)[0][..., None] * rays
    shade = scene.at((slice(None), None, None)).brightness(points)
    shade = functional.interpolate(shade[:, None], scale_factor=_SAMPLES, mode="bilinear", align_corners=False)
    cut = _SAMPLES // 2
    return shade[:, 0, cut:-cut, cut:-cut]


def _filter(linear: Tensor) -> Tensor:
    """Tent-filtered (N, 3, R, R) of samples (N, S, S, 3)."""
    offsets = (torch.arange(2 * _SAMPLES) + 0.5) / _SAMPLES - 1
    tent = (1 - offsets.abs()) / _SAMPLES
    rows = linear.unfold(1, 2 * _SAMPLES, _SAMPLES) @ tent
    return (rows.unfold(2, 2 * _SAMPLES, _SAMPLES) @ tent).permute(0, 3, 1, 2)


def _render_class(index: int, factors: Tensor) -> Tensor:
    scene = _Object(index, _lerp(factors[:, 3], _SIZE), _lerp(factors[:, 6], _POSITION), _light(factors))
    eye, rotation = _camera(factors)
    # Half a pixel of margin on every side, for the filter.
    rays = _pixel_rays(rotation, (RESOLUTION + 1) * _SAMPLES, 0.5 / RESOLUTION)
    distance, surface = _room(eye, rays)
    colours = _room_colour(factors, scene.light)
    linear = colours[torch.arange(len(factors))[:, None, None], surface]
    linear *= _shade(scene, eye, rotation)[..., None]

    # Only rays through the ball around the object are traced.
    centre = torch.stack([scene.position, 0.5 * scene.size, torch.zeros_like(scene.size)], dim=-1) - eye
    along = torch.einsum("nabi,ni->nab", rays, centre)
    off_axis = (centre**2).sum(-1)[:, None, None] - along**2
    near = torch.nonzero(off_axis < (_BOUND * scene.size[:, None, None]) ** 2)
    n, a, b = near.unbind(-1)
    travelled, hit = scene.at(n).trace(eye[n], rays[n, a, b])
    hit &= travelled < distance[n, a, b]
    n, a, b = near[hit].unbind(-1)
    albedo = _oklch_to_linear(0.70, 0.130, _lerp(factors[:, 0], _OBJECT_HUE))
    linear[n, a, b] = _lit(scene.at(n), eye[n], rays[n, a, b], travelled[hit], albedo[n])
    return _linear_to_srgb(_filter(linear)) * 2 - 1


def _lit(scene: _Object, eye: Tensor, rays: Tensor, travelled: Tensor, albedo: Tensor) -> Tensor:
    """Linear colour (M, 3) on the object: diffuse light, darker near the floor, and a soft highlight."""
    points = eye + travelled[:, None] * rays
    normal = scene.normal(points)
    wrapped = ((normal * scene.light).sum(-1) * 0.5 + 0.5).clamp(min=0)
    ground = 0.80 + 0.20 * (points[:, 1] / (0.5 * scene.size)).clamp(0, 1)
    gloss = (normal * functional.normalize(scene.light - rays, dim=-1)).sum(-1).clamp(min=0) ** 24
    return albedo * ((0.30 + 0.80 * wrapped**1.5) * ground)[:, None] + 0.22 * gloss[:, None]


@torch.no_grad()
def render(factors: Tensor, y: Tensor) -> Tensor:
    """Render scenes.

    Args:
        factors: (N, 8) in [0, 1], in the order of `FACTORS`.
        y: (N,) int64 class indices into `CLASSES`.

    Returns:
        images (N, 3, 64, 64), float32, in [-1, 1].

    Raises:
        ValueError: if shapes do not match, a factor is outside [0, 1], or a class does not exist.
    """
    check_scenes(factors, y, len(CLASSES))
    factors = factors.detach().to("cpu", torch.float32)
    images = torch.empty(len(y), 3, RESOLUTION, RESOLUTION)
    for index in range(len(CLASSES)):
        chosen = torch.nonzero(y.cpu() == index)[:, 0]
        for part in chosen.split(2):  # Small parts fit in the processor's cache.
            images[part] = _render_class(index, factors[part])
    return images
