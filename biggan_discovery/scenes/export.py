"""Export of a fitted network to a generator folder, and its fidelity to the scene."""

from __future__ import annotations

import io
import json
from pathlib import Path

import safetensors.torch
import torch
from pytorch_pretrained_biggan import BigGAN
from torch import Tensor

from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.biggan_deep_files import CONFIG as CONFIG_FILE
from biggan_discovery.generators.biggan_deep_files import WEIGHTS
from biggan_discovery.generators.layout import CLASSES as CLASSES_FILE
from biggan_discovery.generators.layout import DIRECTIONS, SETTINGS
from biggan_discovery.scenes.network import (
    config,
    images,
    measure,
    new_network,
    package_state,
    random_frame,
    rebase,
    restore,
)
from biggan_discovery.scenes.scene import NUM_FACTORS, Scene
from biggan_discovery.scenes.table import scene_of

_MEASURED_ON = 200  # Images per truncation.


def truncated_normal(count: int, truncation: float, seed: int) -> Tensor:
    """Coordinates u (count, 8) of latents as the package samples them: truncated to ±2, times the truncation."""
    z = torch.empty(count, len(random_frame()), dtype=torch.float64)
    torch.nn.init.trunc_normal_(z, a=-2.0, b=2.0, generator=torch.Generator().manual_seed(seed))
    return (truncation * z @ random_frame().T)[:, :NUM_FACTORS].float()


@torch.no_grad()
def export(scene: Scene, state: Path, folder: Path) -> None:
    """Write a generator folder in the package's layout: weights, config, class names, true directions and settings.

    Args:
        scene: scene that the network was fitted to.
        state: checkpoint saved by `fit`.
        folder: folder to write.
    """
    network: BigGAN = new_network(scene)
    restore(network, torch.load(state, weights_only=True)["averaged"])
    y = torch.arange(_MEASURED_ON) % len(scene.classes)
    images(network, truncated_normal(_MEASURED_ON, 1.0, 0), y, visit=rebase)
    rows = config(scene)["n_stats"]
    for row in range(rows - 1):
        u = truncated_normal(_MEASURED_ON, row / (rows - 1), row + 1)
        images(network, u, y, row=row, visit=measure(row))

    weights = io.BytesIO()
    torch.save(package_state(network, random_frame()), weights)
    truth = random_frame()[:NUM_FACTORS].float().contiguous()
    atomic_write(folder / WEIGHTS, weights.getvalue())
    names = {"names": json.dumps(scene.factors)}
    atomic_write(folder / DIRECTIONS, safetensors.torch.save({"directions": truth}, names))
    for name, content in ((CONFIG_FILE, config(scene)), (CLASSES_FILE, scene.classes), (SETTINGS, scene.settings)):
        atomic_write(folder / name, json.dumps(content, indent=1) + "\n")


@torch.no_grad()
def fidelity(generator: FrozenGenerator, count: int, seed: int = 1234) -> Tensor:
    """Peak signal-to-noise ratio (count,) in dB of a generator's images against renders of the same latents.

    Latents are drawn from the generator's prior, with cycling classes; none was used in the fit.
    """
    uniform = torch.rand(count, generator.z_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    scene = scene_of(generator)
    z, y = generator.latents(uniform.clamp(1e-9, 1 - 1e-9)), torch.arange(count) % generator.num_classes
    assert generator.true_directions is not None
    errors = []
    for z_part, y_part in zip(z.split(50), y.split(50), strict=True):
        shown = generator(z_part, y_part.to(z.device)).cpu().float()
        target = scene.images(z_part.cpu().float() @ generator.true_directions.T, y_part)
        errors.append((shown - target).square().mean(dim=(1, 2, 3)))
    return -10 * (torch.cat(errors) / 4).log10()
