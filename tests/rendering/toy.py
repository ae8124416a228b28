"""A generator with closed-form images: channel c is the constant tanh(z[c])."""

from __future__ import annotations

import torch
from torch import Tensor

from biggan_discovery.generators import FunctionGenerator

Z_DIM, RESOLUTION = 5, 8


def levels(z: Tensor) -> Tensor:
    return torch.tanh(z[:, :3])[:, :, None, None].expand(-1, -1, RESOLUTION, RESOLUTION)


def toy_generator() -> FunctionGenerator:
    return FunctionGenerator(levels, z_dim=Z_DIM)
