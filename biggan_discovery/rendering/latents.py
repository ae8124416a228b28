"""Which samples a picture shows: latents by seed or from a file, and their classes."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import class_of, labels_of
from biggan_discovery.generators.mixes import Class, stored_classes, to_stored
from biggan_discovery.reading.arrays import to_tensor
from biggan_discovery.reading.content import read_content, shown
from biggan_discovery.reading.json_files import read_json
from biggan_discovery.reading.limits import MOST_NUMBERS, check_shape
from biggan_discovery.reading.source import open_place

_log = logging.getLogger(__name__)
_LATENTS = ("z", "latents", "latent", "noise", "w")
_CLASSES = ("y", "classes", "class", "labels", "label", "c")

_IN_TURN = 20  # classes; more are not taken in turn


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
        source, z = "latents", _shaped(array, generator.z_dim, generator.num_layers, "latents")
    else:
        source, (z, y) = os.fspath(latents), load_samples(latents, generator.z_dim, generator.num_layers)
    if samples and samples > len(z):
        raise UserError(f"samples is {samples}, but {source} holds {len(z)}")
    if y is not None:
        _check_classes(y, generator, source)
    return z[:samples].to(generator.device, generator.dtype), None if y is None else y[:samples]


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


def load_latents(path: str | os.PathLike[str], z_dim: int, num_layers: int = 1) -> Tensor:
    """Latents from a file, see `load_samples`."""
    return load_samples(path, z_dim, num_layers)[0]


def load_samples(path: str | os.PathLike[str], z_dim: int, num_layers: int = 1) -> tuple[Tensor, Tensor | None]:
    """Latents and their classes from a file of any form that `read_content` reads, without executing code.

    Args:
        path: the file. The latents are its only array, the one called z, latents, noise or w, or all vectors in it; the
            classes are the array called y, classes, labels or class, or what `save_latents` wrote beside a .npy file.
        z_dim: size of a latent.
        num_layers: layers that can get different latents.

    Returns:
        Latents (N, z_dim), or (N, num_layers, z_dim) for a latent per layer, float32; axes of size 1 are left out. And
        class indices (N,) int64, or class weights (N, num_classes) float32; None if the file has none.

    Raises:
        UserError: where the file is missing or cannot be read, or the array is not of finite real numbers and that
            shape.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"no latents file {path}")
    try:
        with open_place(path) as file:
            sha256 = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
            arrays = read_content(file, MOST_NUMBERS).arrays()
    except UserError as error:
        raise UserError(f"cannot read latents from {path}: {error}") from error
    named = {name.rpartition("/")[2].lower(): tensor for name, tensor in arrays.items()}
    z = _shaped(_latents(arrays, named, path), z_dim, num_layers, f"latents in {path}")
    y = next((named[name] for name in _CLASSES if name in named and named[name] is not z), None)
    return z, _beside(path, sha256, len(z)) if y is None else _classes(y, len(z), path)


def save_latents(path: str | os.PathLike[str], z: Tensor, y: Tensor | None = None) -> None:
    """Write latents and their classes so that `load_samples` reads them back exactly.

    Args:
        path: an .npz file with the arrays z and y; or a .npy file with z, and y in a JSON file beside it.
        z: (N, z_dim) or (N, num_layers, z_dim).
        y: class indices (N,) or class weights (N, num_classes). Defaults to none.

    Raises:
        UserError: another suffix.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz"):
        raise UserError(f"latents are written as .npz or .npy, not {path.name!r}")
    if suffix == ".npy" and y is not None and y.ndim == 3:
        raise UserError(f"{path.name} cannot keep class weights for each layer; save them as .npz")
    buffer = io.BytesIO()
    if suffix == ".npy":
        np.save(buffer, z.cpu().numpy(), allow_pickle=False)
    else:
        arrays: dict[str, Any] = {"z": z.cpu().numpy()} | ({} if y is None else {"y": y.cpu().numpy()})
        np.savez(buffer, **arrays)
    atomic_write(path, buffer.getvalue())
    if suffix == ".npy" and y is not None:
        about: dict[str, Any] = {"latents_sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
        about["classes"] = to_stored(list(map(class_of, y)))
        about |= {"num_classes": y.shape[1]} if y.is_floating_point() else {}
        atomic_write(_path_beside(path), json.dumps(about))


def _path_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.classes.json")


def _beside(path: Path, sha256: str, count: int) -> Tensor | None:
    """The classes that `save_latents` wrote beside latents, if they are still those of the file."""
    place = _path_beside(path)
    content = read_json(place) if place.is_file() else None
    if not isinstance(content, dict) or content.get("latents_sha256") != sha256:
        return None
    classes = content.get("classes")
    known = stored_classes(classes, 2**31)
    if known is None:
        raise UserError(f"{place}: 'classes' should be a list of class indices, or of pairs of index and weight")
    num_classes = content.get("num_classes", 0)
    if not isinstance(num_classes, int) or stored_classes(classes, num_classes or 2**31) is None:
        raise UserError(f"{place}: 'num_classes' is {num_classes!r}, which is not above all of its classes")
    check_shape((len(known), num_classes), MOST_NUMBERS, str(place))
    return _classes(labels_of(known, num_classes), count, place)


def _latents(arrays: dict[str, Tensor], named: dict[str, Tensor], path: Path) -> Tensor:
    """The tensor with the latents among those of a file."""
    for name in _LATENTS:
        if name in named:
            return named[name]
    candidates = {name: tensor for name, tensor in arrays.items() if name.rpartition("/")[2].lower() not in _CLASSES}
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    shapes = {tuple(tensor.shape) for tensor in candidates.values()}
    if len(shapes) == 1 and len(next(iter(shapes))) == 1:
        check_shape((len(candidates), *next(iter(shapes))), MOST_NUMBERS, "latents")
        return torch.stack([tensor.double() for tensor in candidates.values()])
    found = shown([f"{name} {tuple(tensor.shape)}" for name, tensor in candidates.items()]) or "no array"
    raise UserError(f"latents in {path} should be one array, or one called z; found {found}")


def _shaped(array: Tensor, z_dim: int, num_layers: int, what: str) -> Tensor:
    """Latents (N, z_dim) or (N, num_layers, z_dim) float32, if the array holds finite real numbers of such a shape."""
    if array.is_complex() or array.dtype == torch.bool:
        raise UserError(f"{what} are not one array of real numbers; give an array of shape (N, {z_dim})")
    shape = tuple(array.shape)
    long = tuple(size for size in shape if size > 1) if z_dim > 1 else shape
    per_layer = num_layers > 1 and shape[1:] == (num_layers, z_dim)
    if per_layer and shape[0] == 1:
        _log.warning("%s of shape %s were read as one sample with a latent for each layer", what, shape)
    if per_layer or shape[1:] == (z_dim,):
        target = shape
    elif long in ((z_dim,), ()) and array.numel() == z_dim:
        target = (1, z_dim)
    elif long[1:] in ((z_dim,), (num_layers, z_dim)):
        target = long
    else:
        layers = f" or (N, {num_layers}, {z_dim})" if num_layers > 1 else ""
        raise UserError(f"{what} have shape {shape}; the generator takes (N, {z_dim}){layers}")
    if not array.numel():
        raise UserError(f"{what} have shape {shape}; there should be at least one")
    check_shape(target, MOST_NUMBERS, what)
    latents = array.reshape(target).to(torch.float32)  # What is too large becomes infinite and is refused as such.
    if not torch.isfinite(latents).all():
        raise UserError(f"{what} are not all finite")
    return latents


def _classes(y: Tensor, count: int, path: Path) -> Tensor:
    """Class indices (count,) int64, or class weights (count, ...) float32."""
    if y.is_floating_point() and y.ndim > 1 and len(y) == count and y.numel() > count:
        if not y.isfinite().all():
            raise UserError(f"class weights in {path} are not all finite")
        return y.to(torch.float32)
    y = y.flatten() if y.numel() == count else y
    if y.shape != (count,) or y.is_complex():
        raise UserError(f"classes in {path} have shape {tuple(y.shape)}; there should be one index for each of {count}")
    if not (y.isfinite() & (y == y.round()) & (y.abs() < 2**31)).all() if y.is_floating_point() else False:
        raise UserError(f"classes in {path} are not all integers")
    return y.to(torch.int64)
