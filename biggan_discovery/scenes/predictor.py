"""Training of the network that predicts factors from images, on renders."""

from __future__ import annotations

import math
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from biggan_discovery.files import atomic_write
from biggan_discovery.generators.factor_predictor import FactorPredictor, load_factor_predictor
from biggan_discovery.progress import Progress
from biggan_discovery.scenes.fit import load_renders
from biggan_discovery.scenes.scene import Scene

_HELD_OUT = 1000
_BATCH = 64
_LR = 2e-3


def fit_predictor(scene: Scene, renders: Path, out: Path, *, count: int, epochs: int, seed: int) -> Tensor:
    """Fit a predictor to renders and save it.

    Args:
        scene: scene whose factors are predicted.
        renders: folder of renders, see `fit.load_renders`.
        out: file to write.
        count: number of renders; the last 1,000 are held out.
        epochs: epochs over the other renders.
        seed: random seed of renders and weights.

    Returns:
        R² (8,) of each factor on the held-out renders, measured with the saved weights.
    """
    data = load_renders(scene, renders, count, seed)
    factors = torch.special.ndtr(data["u"])
    images, held = data["images"][:-_HELD_OUT], data["images"][-_HELD_OUT:]
    with Progress(epochs * len(images), "fitting the predictor", unit="image") as progress:
        network = train_factor_predictor(images, factors[:-_HELD_OUT], epochs=epochs, seed=seed, progress=progress)
    save_factor_predictor(network, out)
    network = load_factor_predictor(out, len(scene.factors))
    predicted = torch.cat([network(part.float() / 127.5 - 1) for part in held.split(100)])
    truth = factors[-_HELD_OUT:]
    return 1 - (predicted - truth).square().mean(dim=0) / truth.var(dim=0, unbiased=False)


def train_factor_predictor(
    images: Tensor, factors: Tensor, *, epochs: int, seed: int = 0, progress: Progress | None = None
) -> FactorPredictor:
    """Fit a predictor to images with known factors by least squares, using Adam with a cosine schedule.

    Args:
        images: (N, 3, 64, 64), uint8, 0 to 255 for -1 to 1, as `scenes.fit.load_renders` returns them.
        factors: (N, n), in [0, 1].
        epochs: epochs over the images.
        seed: random seed of weights and order; the global random state is unchanged.
        progress: advanced by one per image.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FactorPredictor(factors.shape[1])
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=_LR)
    steps, step = epochs * -(-len(images) // _BATCH), 0
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=random).split(_BATCH):
            optimizer.param_groups[0]["lr"] = _LR * 0.5 * (1 + math.cos(math.pi * step / steps))
            loss = functional.mse_loss(network(images[batch].float() / 127.5 - 1), factors[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if progress is not None:
                progress.advance(len(batch), loss=loss.item())
    return network.eval().requires_grad_(False)


def save_factor_predictor(network: FactorPredictor, path: Path) -> None:
    """Save the weights in half precision."""
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    atomic_write(path, safetensors.torch.save(state))
