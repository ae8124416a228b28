"""Priors of latents, as maps from uniform numbers to latents of scale 1."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

Prior = Callable[[Float64[Tensor, "N z_dim"]], Float[Tensor, "N z_dim"]]
"""From float64 (N, z_dim) in (0, 1) to latents (N, z_dim)."""

_CUT = 2.0


def normal(uniform: Float64[Tensor, "N z_dim"]) -> Float64[Tensor, "N z_dim"]:
    """N(0, I), by the inverse distribution function."""
    return torch.special.ndtri(uniform)


def truncated_normal(uniform: Float64[Tensor, "N z_dim"]) -> Float64[Tensor, "N z_dim"]:
    """N(0, I) conditioned on every coordinate lying in [-2, 2] (Brock et al. 2018, section 3.1)."""
    low = torch.special.ndtr(torch.tensor(-_CUT, dtype=uniform.dtype, device=uniform.device))
    return torch.special.ndtri(low + uniform * (1 - 2 * low))


def symmetric_uniform(uniform: Float64[Tensor, "N z_dim"]) -> Float64[Tensor, "N z_dim"]:
    """U(-1, 1) in every coordinate."""
    return 2 * uniform - 1


def sphere(uniform: Float64[Tensor, "N z_dim"]) -> Float64[Tensor, "N z_dim"]:
    """Uniform on the sphere of radius √z_dim (White 2016; Karras et al. 2018): a normal latent, scaled to length."""
    direction = normal(uniform)
    norm = torch.linalg.vector_norm(direction, dim=1, keepdim=True)
    # If all numbers are 1/2, the vector is zero and has no direction; use a fixed one.
    direction = torch.where(norm > 0, direction / norm, torch.full_like(direction, uniform.shape[1] ** -0.5))
    return math.sqrt(uniform.shape[1]) * direction


PRIORS: dict[str, Prior] = {
    "normal": normal,
    "uniform": symmetric_uniform,
    "truncated": truncated_normal,
    "sphere": sphere,
}
