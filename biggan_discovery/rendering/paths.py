"""Ways through z: between latents, and around the sphere on which they lie."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.numerics.arithmetic import in_float64

_PARALLEL = 1e-4  # radians; closer latents are interpolated in a straight line, which is the same to float32's accuracy


def lerp(
    start: Float[Tensor, "*batch n"], end: Float[Tensor, "*batch n"], share: Float[Tensor, " *batch"]
) -> Float[Tensor, "*batch n"]:
    """The point at a share of the straight line, 0 for the start and 1 for the end."""
    return torch.lerp(start, end, share[..., None])


def slerp(
    start: Float[Tensor, "*batch n"], end: Float[Tensor, "*batch n"], share: Float[Tensor, " *batch"]
) -> Float[Tensor, "*batch n"]:
    """The point at a share of the arc between two latents (White 2016, "Sampling Generative Networks").

    The direction turns at constant speed, and the norm changes linearly, so that latents in between are about as long
    as samples of a normal distribution are; on a straight line they are shorter.

    Args:
        start: (..., n).
        end: (..., n).
        share: (...), from 0, exactly the start, to 1, exactly the end.

    Raises:
        UserError: the two are opposite, so that there is no shortest arc.

    Example:
        >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor(0.5))
        tensor([0.7071, 0.7071])
    """
    a, b, t = in_float64(start), in_float64(end), in_float64(share)[..., None]
    lengths = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    units = [each / length.clamp(min=1e-300) for each, length in zip((a, b), lengths, strict=True)]
    # Of two unit vectors, accurate for all angles.
    apart, sum_of = ((units[0] + sign * units[1]).norm(dim=-1, keepdim=True) for sign in (-1, 1))
    angle = 2 * torch.atan2(apart, sum_of)
    if (torch.pi - angle < _PARALLEL).any():
        raise UserError("two keyframes are opposite latents, between which there is no shortest arc; use lerp")
    sine = angle.sin().clamp(min=1e-300)
    turned = ((1 - t) * angle).sin() / sine * units[0] + (t * angle).sin() / sine * units[1]
    arc = torch.lerp(*lengths, t) * turned
    straight = (angle < _PARALLEL) | (lengths[0] == 0) | (lengths[1] == 0)
    points = torch.where(straight, torch.lerp(a, b, t), arc).to(start)
    return torch.where(share[..., None] == 0, start, torch.where(share[..., None] == 1, end, points))


def great_circle(
    z: Float[Tensor, "*batch n"], q: Float[Tensor, " n"], amount: Float[Tensor, " *batch"]
) -> Float[Tensor, "*batch n"]:
    """Move a latent along the great circle through it and a direction, which keeps its norm.

    Spingarn-Eliezer et al. 2021, "GAN Steerability without optimization", section 4: |z| (cos θ z⊥/|z⊥| + sin θ q),
    with z⊥ the part of z that is orthogonal to q. θ begins at the latent, which the amount 0 gives.

    Args:
        z: (..., n) latents.
        q: (n,) direction, of any length.
        amount: (...), length of the arc in units of z; a quarter of the circle leads to q itself or less far.

    Example:
        >>> great_circle(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor(3 * torch.pi / 2))
        tensor([-1.3113e-07,  3.0000e+00])
    """
    x, unit, arc = in_float64(z), torch.nn.functional.normalize(in_float64(q), dim=0), in_float64(amount)[..., None]
    along = (x @ unit)[..., None]
    rest = x - along * unit
    length, across = x.norm(dim=-1, keepdim=True), rest.norm(dim=-1, keepdim=True)
    angle = torch.atan2(along, across) + arc / length.clamp(min=1e-300)
    moved = length * (angle.cos() * rest / across.clamp(min=1e-300) + angle.sin() * unit)
    return torch.where((arc == 0) | (across == 0), x, moved).to(z)


def small_circle(
    z: Float[Tensor, "*batch n"],
    q: Float[Tensor, " n"],
    reference: Float[Tensor, " n"],
    amount: Float[Tensor, " *batch"],
) -> Float[Tensor, "*batch n"]:
    """Turn a latent in the plane of two directions, which keeps its norm and all other coordinates.

    Spingarn-Eliezer et al. 2021, section 4: with a reference direction that hardly changes the image, only the effect
    of q is seen. The circle's radius is the length of z in the plane.

    Args:
        z: (..., n) latents.
        q: (n,) direction, of any length.
        reference: (n,) direction that gives way; its part that is orthogonal to q counts.
        amount: (...), length of the arc in units of z.

    Raises:
        UserError: the two directions are parallel.
    """
    x, arc = in_float64(z), in_float64(amount)[..., None]
    unit, other = torch.nn.functional.normalize(in_float64(q), dim=0), in_float64(reference)
    across = other - (other @ unit) * unit
    if across.norm() <= 1e-6 * other.norm():
        raise UserError("a small circle needs two directions that are not parallel; choose another reference")
    across = across / across.norm()
    along, beside = (x @ unit)[..., None], (x @ across)[..., None]
    radius = torch.hypot(along, beside)
    angle = torch.atan2(along, beside) + arc / radius.clamp(min=1e-300)
    moved = x + (radius * angle.sin() - along) * unit + (radius * angle.cos() - beside) * across
    return torch.where((arc == 0) | (radius == 0), x, moved).to(z)
