"""The predictor of a scene's factors: fitted to renders, kept beside the generator fitted to the same scene."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.evaluation.factor_predictor import (
    FactorPredictor,
    load_factor_predictor,
    save_factor_predictor,
    train_factor_predictor,
)
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.catalogue import find_folder
from biggan_discovery.progress import Progress
from biggan_discovery.scenes.fit import load_renders
from biggan_discovery.scenes.scene import Scene
from biggan_discovery.scenes.table import scene_of

FILE = "factor_predictor.safetensors"
_HELD_OUT = 1000


def fit_predictor(scene: Scene, renders: Path, out: Path, *, count: int, epochs: int, seed: int) -> Tensor:
    """Fit a predictor to renders and write it.

    Args:
        scene: whose factors.
        renders: folder that keeps the renders, see `fit.load_renders`.
        out: file to write.
        count: renders; the last 1,000 are not fitted to.
        epochs: passes over the others.
        seed: of renders and weights.

    Returns:
        R² (8,) of each factor on the held-out renders, of the weights as they are read back.
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


def find_predictor(generator: FrozenGenerator) -> FactorPredictor | None:
    """The predictor for the scene that a generator was fitted to; None where there is none.

    Raises:
        UserError: where its file is damaged.
    """
    try:
        path = find_folder(scene_of(generator).checkpoint)[1] / FILE
    except UserError:
        return None
    return load_factor_predictor(path, len(generator.factor_names)).to(generator.device) if path.exists() else None
