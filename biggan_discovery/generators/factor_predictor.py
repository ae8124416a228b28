"""A network that reads the known factors of a scene off its image: what images show, not what latents say."""

from __future__ import annotations

import zipfile
from pathlib import Path

from torch import Tensor, nn

from biggan_discovery.errors import UserError
from biggan_discovery.reading.arrays import load_safetensors
from biggan_discovery.reading.source import open_place

FACTOR_PREDICTOR = "factor_predictor.safetensors"
"""Name of the file beside a generator's weights."""

_WIDTHS = (24, 48, 64, 96)
_HIDDEN = 64
_SIDE = 64


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


def load_factor_predictor(path: Path | zipfile.Path, factors: int) -> FactorPredictor:
    """Read the weights of a predictor.

    Raises:
        UserError: the file is missing, damaged, or of a predictor of another number of factors.
    """
    network = FactorPredictor(factors)
    try:
        with open_place(path) as file:
            state = load_safetensors(file)
        network.load_state_dict({name: value.float() for name, value in state.items()})
    except (UserError, RuntimeError) as error:
        raise UserError(f"{path} is not a predictor of {factors} factors, or is damaged") from error
    return network.eval().requires_grad_(False)
