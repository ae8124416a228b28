"""A small network that reads the factors of a scene off its image: what images show, not what latents say."""

from __future__ import annotations

import math
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write, existing_file
from biggan_discovery.progress import Progress

_WIDTHS = (24, 48, 64, 96)
_HIDDEN = 64
_SIDE = 64
_BATCH = 64
_LR = 2e-3


class FactorPredictor(nn.Module):
    """From images (N, 3, 64, 64) in [-1, 1] to factors (N, factors) in (0, 1)."""

    def __init__(self, factors: int):
        super().__init__()
        layers: list[nn.Module] = []
        for wide, wider in zip((3, *_WIDTHS), _WIDTHS, strict=False):
            layers += [nn.Conv2d(wide, wider, 4, stride=2, padding=1), nn.GroupNorm(8, wider), nn.ReLU()]
        side = _SIDE // 2 ** len(_WIDTHS)
        layers += [nn.Flatten(), nn.Linear(side * side * _WIDTHS[-1], _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, factors)]
        self.layers = nn.Sequential(*layers)
        self.factors = factors

    def forward(self, images: Tensor) -> Tensor:
        """Predicted factors.

        Raises:
            UserError: images of another shape.
        """
        if images.ndim != 4 or images.shape[1:] != (3, _SIDE, _SIDE):
            raise UserError(f"images have shape {tuple(images.shape)}; the predictor reads (N, 3, {_SIDE}, {_SIDE})")
        return self.layers(images).sigmoid()


def train_factor_predictor(
    images: Tensor, factors: Tensor, *, epochs: int, seed: int = 0, progress: Progress | None = None
) -> FactorPredictor:
    """A predictor fitted to images of known factors by least squares; Adam, learning rate falling along a cosine.

    Args:
        images: (N, 3, 64, 64) uint8, 0 to 255 for -1 to 1, as `scenes.fit.load_renders` keeps them.
        factors: (N, n) in [0, 1].
        epochs: passes over the images.
        seed: of weights and order; the global random state is left as it was.
        progress: advanced by one for each image.
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
    """Write the weights, in half precision."""
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    atomic_write(path, safetensors.torch.save(state))


def load_factor_predictor(path: Path, factors: int) -> FactorPredictor:
    """Read weights that `save_factor_predictor` wrote.

    Raises:
        UserError: where there is no such file, it is damaged, or for another number of factors.
    """
    network = FactorPredictor(factors)
    try:
        state = safetensors.torch.load_file(existing_file(path))
        network.load_state_dict({name: value.float() for name, value in state.items()})
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
        raise UserError(f"{path} is not a predictor of {factors} factors, or is damaged") from error
    return network.eval().requires_grad_(False)
