"""Which samples a picture shows: latents by seed or from a file, and their classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_path
from biggan_discovery.generators import FrozenGenerator


def sample_latents(generator: FrozenGenerator, count: int, seed: int) -> Tensor:
    """Latents (count, z_dim) from the generator's prior.

    They depend on the seed alone, not on device or torch version, and the first ones do not depend on `count`.
    """
    uniform = np.random.Generator(np.random.Philox(seed)).random((count, generator.z_dim))
    return generator.latents(torch.from_numpy(uniform.clip(min=2.0**-54)))


def chosen_latents(
    generator: FrozenGenerator,
    latents: str | os.PathLike[str] | np.ndarray | Tensor | None,
    samples: int | None,
    *,
    seed: int,
    default: int,
) -> Tensor:
    """Latents (N, z_dim) to draw, on the generator's device and in its dtype.

    Args:
        generator: the generator.
        latents: (N, z_dim), or a .npy file that holds them. Defaults to latents from the generator's prior by `seed`.
        samples: how many; of `latents` the first. Defaults to all of `latents`, or to `default`.
        seed: see `sample_latents`.
        default: how many without `latents` and `samples`.

    Raises:
        UserError: fewer latents than `samples`, or latents that are not so.
    """
    if latents is None:
        return sample_latents(generator, samples or default, seed)
    if isinstance(latents, np.ndarray | Tensor):
        array = latents.detach().cpu().double().numpy() if isinstance(latents, Tensor) else latents
        source, z = "latents", _checked(array, generator.z_dim, "latents")
    else:
        source, z = os.fspath(latents), load_latents(latents, generator.z_dim)
    if samples and samples > len(z):
        raise UserError(f"samples is {samples}, but {source} holds {len(z)}")
    return z[:samples].to(generator.device, generator.dtype)


def sample_classes(classes: Sequence[int], count: int) -> Tensor:
    """Class indices (count,) int64: `classes` in turn, or spread evenly over them if there are more than `count`."""
    chosen = [classes[i * len(classes) // count if len(classes) > count else i % len(classes)] for i in range(count)]
    return torch.tensor(chosen, dtype=torch.int64)


def load_latents(path: str | os.PathLike[str], z_dim: int) -> Tensor:
    """Latents (N, z_dim) float32 from a .npy file, which is read without executing code.

    Raises:
        UserError: where the file is missing or no .npy file, or the array is not (N, z_dim) finite real numbers.
    """
    try:
        with Path(path).open("rb") as file:  # given a path, NumPy would leave an .npz file open
            array = np.load(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"no latents file {path}") from error
    except IsADirectoryError as error:
        raise UserError(f"cannot read latents from {path}: it is a folder; give a .npy file") from error
    except (ValueError, EOFError) as error:
        raise UserError(f"cannot read latents from {path}: not a .npy file of plain numbers") from error
    return _checked(array, z_dim, f"latents in {path}")


def save_latents(path: str | os.PathLike[str], z: Tensor) -> None:
    """Write latents (N, z_dim) to a .npy file that `load_latents` reads back exactly."""
    if Path(path).suffix.lower() != ".npy":
        raise UserError(f"latents are written as .npy, not {Path(path).name!r}")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, z.cpu().numpy(), allow_pickle=False)


def _checked(array: object, z_dim: int, what: str) -> Tensor:
    """Latents (N, z_dim) float32, if the array holds finite real numbers of that shape."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise UserError(f"{what} are not one array of real numbers; give an array of shape (N, {z_dim})")
    if array.ndim != 2 or array.shape[1] != z_dim or not len(array):
        raise UserError(f"{what} have shape {array.shape}; the generator takes (N, {z_dim})")
    with np.errstate(over="ignore"):  # What is too large becomes infinite and is refused as such.
        latents = torch.from_numpy(array.astype(np.float32))
    if not torch.isfinite(latents).all():
        raise UserError(f"{what} are not all finite")
    return latents
