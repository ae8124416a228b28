"""Generators with images, derivatives and factors in closed form; all in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from biggan_discovery.generators import FunctionGenerator

Z_DIM, SHAPE = 6, (3, 4, 4)
PIXELS = 48


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frame(ndirs: int = Z_DIM, seed: int = 7) -> Tensor:
    return torch.linalg.qr(random(Z_DIM, Z_DIM, seed=seed))[0].T[:ndirs]


SLOPES = random(PIXELS, Z_DIM, seed=1)


def generator(fn: Callable[..., Tensor], **settings: int) -> FunctionGenerator:
    return FunctionGenerator(fn, z_dim=Z_DIM, resolution=SHAPE[1], channels=SHAPE[0], **settings).double()


def linear(slopes: Tensor = SLOPES) -> FunctionGenerator:
    """Every pixel is a linear function of z."""
    return generator(lambda z: (z @ slopes.T).view(-1, *SHAPE))


def quadratic(hessians: Tensor) -> FunctionGenerator:
    """Pixel p is zᵀ hessians[p] z / 2 and a linear part; hessians (PIXELS, Z_DIM, Z_DIM), symmetric."""
    return generator(lambda z: (torch.einsum("ni,pij,nj->np", z, hessians, z) / 2 + z @ SLOPES.T).view(-1, *SHAPE))


def separable(rotation: Tensor | None = None) -> FunctionGenerator:
    """Every pixel is a sum of functions of one coordinate each, of z or of a rotated z."""

    def images(z: Tensor) -> Tensor:
        u = z if rotation is None else z @ rotation.T
        return ((torch.sin(u) + u**2) @ SLOPES.T).view(-1, *SHAPE)

    return generator(images)


def dead(living: int = 3) -> FunctionGenerator:
    """Linear, and independent of all but the first coordinates of z."""
    return linear(torch.cat((SLOPES[:, :living], torch.zeros(PIXELS, Z_DIM - living, dtype=torch.float64)), dim=1))


def curved() -> FunctionGenerator:
    """Smooth, bounded and without any structure."""
    mixing = random(PIXELS, Z_DIM, seed=2)
    return generator(lambda z: torch.tanh(z @ SLOPES.T / 2 + torch.sin(z @ mixing.T)).view(-1, *SHAPE))


class Counted:
    """A generator that counts its images."""

    def __init__(self, images: FunctionGenerator, **settings: int):
        self.count = 0

        def counting(z: Tensor, y: Tensor) -> Tensor:
            self.count += len(z)
            return images(z, torch.zeros_like(y))

        self.generator = generator(counting, **settings)
