"""What a run leaves: the averaged generator as a checkpoint of BigGAN-PyTorch, and sheets of samples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from biggan_discovery.files import atomic_path, atomic_write
from biggan_discovery.generators import priors
from biggan_discovery.generators.brock_files import CONFIG
from biggan_discovery.generators.layout import CLASSES
from biggan_discovery.numerics.streams import Stream
from biggan_discovery.rendering.sheet import Label, Sheet, to_uint8
from biggan_discovery.training.generator import BaseGenerator, standing
from biggan_discovery.training.networks import Networks, seed_of

SAMPLES = "samples.png"
_BATCHES, _BATCH = 16, 256  # of the standing statistics; one batch for each of several truncations
_COLUMNS, _MOST_ROWS = 10, 10


@torch.no_grad()
def averaged_generator(networks: Networks, labels: Tensor, seed: int) -> BaseGenerator:
    """The generator with averaged weights, its spectral vectors, and standing statistics for each of its truncations.

    Args:
        networks: those of the run.
        labels: (N,) classes of the data, from which those of the images are drawn.
        seed: of the run; the statistics are the same whenever they are gathered.
    """
    averaged, device = networks.averaged, networks.device
    for target, source in zip(averaged.buffers(), networks.G.buffers(), strict=True):
        target.copy_(source)
    numbers = torch.Generator().manual_seed(seed_of(seed, Stream.TRAINING_STATISTICS))
    several = len(averaged.truncations) > 1
    for row, truncation in enumerate(averaged.truncations):
        with standing(averaged, row):
            for _ in range(1 if several else _BATCHES):
                z = torch.randn(_BATCH, averaged.architecture.z_dim, generator=numbers)
                if several:
                    uniform = torch.special.ndtr(z.double())
                    z = truncation * priors.truncated_normal(uniform).float()
                y = labels[torch.randint(len(labels), (_BATCH,), generator=numbers)]
                averaged(z.to(device), y.to(device))
    return averaged


def write_generator(generator: BaseGenerator, classes: tuple[str, ...], folder: Path) -> None:
    """Write weights, config.json and classes.json, so that the folder is a generator."""
    weights, config = generator.files()
    atomic_write(folder / CLASSES, json.dumps(classes, ensure_ascii=False) + "\n")
    atomic_write(folder / CONFIG, json.dumps(config, indent=1) + "\n")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in generator.state_dict().items()}
    with atomic_path(folder / weights) as temporary:
        torch.save(state, temporary)


@torch.no_grad()
def draw_samples(generator: BaseGenerator, classes: tuple[str, ...], seed: int) -> np.ndarray:
    """A sheet (H, W, 3) uint8 of samples: a row for each of the first ten classes, with the same latents every time."""
    device = next(generator.parameters()).device
    names = classes[:_MOST_ROWS]
    numbers = torch.Generator().manual_seed(seed_of(seed, Stream.TRAINING_SHEET))
    z = torch.randn(len(names) * _COLUMNS, generator.architecture.z_dim, generator=numbers)
    y = torch.arange(len(names)).repeat_interleave(_COLUMNS)
    images = torch.cat([generator(*part) for part in zip(z.to(device).split(50), y.to(device).split(50), strict=True)])
    labels = [Label(name=name) for name in names]
    sheet = Sheet(labels, tile=generator.architecture.resolution, columns=_COLUMNS, across=1, comfortable=64)
    return sheet.draw(to_uint8(images))


def write_samples(sheet: np.ndarray, step: int, folder: Path) -> None:
    """Write a sheet as samples.png and samples/step-STEP.png."""
    for path in (folder / "samples" / f"step-{step:08d}.png", folder / SAMPLES):
        with atomic_path(path) as temporary:
            Image.fromarray(sheet).save(temporary)
