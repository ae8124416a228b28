"""Rotate the latent space of a generator: the same images, with rotated true directions."""

from __future__ import annotations

import io
import json
from pathlib import Path

import safetensors.torch
import torch

from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import layout, load_generator
from biggan_discovery.generators.biggan_deep_files import CONFIG, MARKS, WEIGHTS, weights_path
from biggan_discovery.generators.factor_predictor import FACTOR_PREDICTOR
from biggan_discovery.generators.weights import read_weights
from biggan_discovery.scenes.network import random_frame


def rotate(folder: Path, out: Path, seed: int) -> None:
    """Write a copy of a generator whose image at z is the original's at S z, with a random orthogonal matrix S.

    A method that finds directions in one frame should find them in every frame. The true directions d become d S. If
    latents are truncated normal, the truncation box is rotated as well.

    Args:
        folder: folder of a BigGAN-deep generator with known true directions and z_dim 16, such as
            checkpoints/scenes-64.
        out: folder for the copy.
        seed: random seed of S.

    Raises:
        UserError: for broken files, or a generator with unknown true directions or a different z_dim.
    """
    generator = load_generator(folder, device="cpu")
    frame = random_frame(seed)
    if generator.true_directions is None or generator.z_dim != len(frame):
        raise UserError(f"{folder} cannot be rotated; it needs known true directions and a z_dim of {len(frame)}")
    path = weights_path(folder)
    state, _ = read_weights(path, MARKS)
    for key, weight in state.items():
        # The linear layers read z and the class; rotating their spectral-norm vector v as well keeps σ = uᵀWv.
        if key.endswith("weight_orig") and weight.ndim == 2:
            for rotated in (weight, state[key.replace("weight_orig", "weight_v")]):
                rotated[..., : len(frame)] = rotated[..., : len(frame)].double() @ frame

    weights = io.BytesIO()
    torch.save(state, weights)
    directions = {"directions": (generator.true_directions.double() @ frame).float().contiguous()}
    names = {"names": json.dumps(generator.factor_names)}
    atomic_write(out / WEIGHTS, weights.getvalue())
    atomic_write(out / layout.DIRECTIONS, safetensors.torch.save(directions, names))
    for name in (CONFIG, layout.CLASSES, layout.SETTINGS):
        atomic_write(out / name, (folder / name).read_bytes())
    # The predictor reads images, which are the same in all frames.
    if (folder / FACTOR_PREDICTOR).is_file():
        atomic_write(out / FACTOR_PREDICTOR, (folder / FACTOR_PREDICTOR).read_bytes())
