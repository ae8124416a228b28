"""LPIPS (Zhang et al. 2018) as a distance, where package and weights are at hand; nothing is downloaded."""

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

_LEAST_SIDE = 32  # of the images that AlexNet's layers leave something of


def lpips_distance(generator: FrozenGenerator) -> Distance | None:
    """LPIPS with AlexNet, for the images of a generator; None where it cannot be had.

    It takes the package `lpips`, AlexNet's weights in torch's cache, where torchvision puts them, and colour images of
    32 pixels or more.
    """
    if generator.channels != 3 or generator.resolution < _LEAST_SIDE or importlib.util.find_spec("lpips") is None:
        return None
    if not list(Path(torch.hub.get_dir(), "checkpoints").glob("alexnet-owt-*.pth")):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The package calls torchvision in an old way.
        network = importlib.import_module("lpips").LPIPS(net="alex", verbose=False)
    network = network.eval().requires_grad_(False).to(generator.device)

    def distance(one: Tensor, other: Tensor) -> Tensor:
        return network(one.float(), other.float()).flatten()

    return distance
