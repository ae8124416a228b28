"""LPIPS (Zhang et al. 2018) as a distance, if the package and weights are available; nothing is downloaded."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from biggan_discovery.generators import FrozenGenerator

Distance = Callable[[Tensor, Tensor], Tensor]

_LEAST_SIDE = 32  # The smallest images that AlexNet accepts.


def lpips_distance(generator: FrozenGenerator) -> Distance | None:
    """LPIPS with AlexNet for the images of a generator, or None if unavailable.

    It requires the package `lpips`, AlexNet's weights in the torch hub cache, where torchvision saves them, and colour
    images of at least 32 pixels.
    """
    if generator.channels != 3 or generator.resolution < _LEAST_SIDE or importlib.util.find_spec("lpips") is None:
        return None
    if not list(Path(torch.hub.get_dir(), "checkpoints").glob("alexnet-owt-*.pth")):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The package calls torchvision with deprecated arguments.
        network = importlib.import_module("lpips").LPIPS(net="alex", verbose=False)
    network = network.eval().requires_grad_(False).to(generator.device)

    def distance(one: Tensor, other: Tensor) -> Tensor:
        return network(one.float(), other.float()).flatten()

    return distance
