"""Which samples a picture shows: latents by seed or from a file, and their classes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import labels_of
from biggan_discovery.generators.mixes import Class
from biggan_discovery.reading.arrays import to_tensor
from biggan_discovery.rendering.latent_files import OWN, load_samples, save_latents, shaped

_IN_TURN = 20  # classes; more are not taken in turn


def sample_latents(generator: FrozenGenerator, count: int, seed: int) -> Tensor:
    """Latents (count, z_dim) from the generator's prior.

    They depend on the seed alone, not on device or torch version, and the first ones do not depend on `count`.
    """
    uniform = np.random.Generator(np.random.Philox(seed)).random((count, generator.latent_size))
    return generator.latents(torch.from_numpy(uniform.clip(min=2.0**-54)))


def chosen_latents(
    generator: FrozenGenerator,
    latents: str | os.PathLike[str] | np.ndarray | Tensor | None,
    samples: int | None,
    *,
    seed: int,
    default: int,
) -> tuple[Tensor, Tensor | None]:
    """Latents (N, z_dim) or (N, num_layers, z_dim) to draw, and their classes if a file holds them.

    Args:
        generator: the generator.
        latents: an array, or a file that holds it; see `load_samples`. Defaults to the generator's prior by `seed`.
        samples: how many; of `latents` the first. Defaults to all of `latents`, or to `default`.
        seed: see `sample_latents`.
        default: how many without `latents` and `samples`.

    Returns:
        Latents on the generator's device and in its dtype; class indices int64 or class weights float32 on the CPU, or
        None.

    Raises:
        UserError: fewer latents than `samples`, latents that are not so, or classes that the generator does not have.
    """
    if latents is None:
        return sample_latents(generator, samples or default, seed), None
    y = None
    if isinstance(latents, np.ndarray | Tensor):
        array = to_tensor(latents.cpu() if isinstance(latents, Tensor) else latents)
        if array is None:
            raise UserError(f"latents are not real numbers; give an array of shape (N, {generator.z_dim})")
        source = "latents"
        z = _padded(generator, lambda size: (shaped(array, size, generator.num_layers, source), None))[0]
    else:
        source = os.fspath(latents)
        z, y = _padded(generator, lambda size: load_samples(latents, size, generator.num_layers))
    if samples and samples > len(z):
        raise UserError(f"samples is {samples}, but {source} holds {len(z)}")
    if y is not None:
        _check_classes(y, generator, source)
    return z[:samples].to(generator.device, generator.dtype), None if y is None else y[:samples]


def save_samples(path: str | os.PathLike[str], generator: FrozenGenerator, z: Tensor, y: Tensor | None = None) -> None:
    """`save_latents` of a generator's latents; without shifts of the class embedding (`ClassSpace`) where all are 0.

    Raises:
        UserError: as `save_latents`; or a form of other tools, which hold no such shifts.
    """
    own, shifts = z.tensor_split([generator.latent_size], dim=-1)
    if not shifts.any():
        z = own
    elif Path(path).suffix.lower() not in OWN:
        raise UserError(
            f"the latents shift class embeddings, which {Path(path).name} cannot hold; save {', '.join(OWN)}"
        )
    save_latents(path, z, y, num_classes=generator.num_classes, num_layers=generator.num_layers)


def _padded(
    generator: FrozenGenerator, read: Callable[[int], tuple[Tensor, Tensor | None]]
) -> tuple[Tensor, Tensor | None]:
    """Latents that are read by their size, with zeros for shifts of the class embedding if they have none."""
    if generator.latent_size == generator.z_dim:
        return read(generator.z_dim)
    try:
        z, y = read(generator.latent_size)
    except UserError:
        return read(generator.z_dim)
    return torch.nn.functional.pad(z, (0, generator.z_dim - generator.latent_size)), y


def _check_classes(y: Tensor, generator: FrozenGenerator, source: str) -> None:
    if not y.is_floating_point():
        low, high = int(y.min()), int(y.max())
        if not 0 <= low <= high < generator.num_classes:
            raise UserError(f"{source} has classes {low} to {high}; {generator.name} has {generator.num_classes}")
    elif y.shape[1:] not in ((generator.num_classes,), (generator.num_layers, generator.num_classes)):
        weights = f"(N, {generator.num_classes})"
        raise UserError(f"{source} has class weights of shape {tuple(y.shape)}; {generator.name} takes {weights}")


def sample_classes(classes: Sequence[Class], count: int, num_classes: int | None = None) -> Tensor:
    """y of samples: `classes` in turn; those of more than 20 in steps of about 0.618 of their number.

    So a few samples of many classes are not all fish, and the class of a sample does not depend on how many there are.

    Args:
        classes: class indices, or soft classes.
        count: number of samples.
        num_classes: of the generator, for soft classes.

    Returns:
        Class indices (count,) int64; class weights (count, num_classes) float32 if one is soft.
    """
    number = len(classes)
    step = 1 if number <= _IN_TURN else next(s for s in range(round(0.618 * number), 0, -1) if math.gcd(s, number) == 1)
    return labels_of([classes[i * step % number] for i in range(count)], num_classes or 0)
