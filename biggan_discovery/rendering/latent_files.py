"""Files of latents and their classes: those of this package, and those that other tools for BigGAN keep."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write, make_folder
from biggan_discovery.generators.labels import class_of, labels_of, one_hot
from biggan_discovery.generators.mixes import stored_classes, to_stored
from biggan_discovery.reading.content import Content, read_content, shown
from biggan_discovery.reading.json_files import read_json
from biggan_discovery.reading.limits import MOST_NUMBERS, check_shape
from biggan_discovery.reading.source import open_place

NOISE_VECTORS, CLASS_VECTORS = "noise_vectors.npy", "class_vectors.npy"
"""The pair of files, (T, z_dim) and (T, num_classes), that deep-music-visualizer keeps of a video."""

_LATENTS = ("z", "latents", "latent", "noise_vectors", "noise_vector", "noise", "vectors", "vector", "w")
_CLASSES = ("y", "class_vectors", "class_vector", "class_weights", "classes", "class", "labels", "label", "c")
_NORMU, _CLS = "normu", "cls"  # of big-sleep: a latent and the logits of class weights for each layer
_AVERAGE = re.compile(r"(^|[/.])average[/.]")
_COLUMN = re.compile(r"(z|class)(\d+)")

_log = logging.getLogger(__name__)


def load_latents(path: str | os.PathLike[str], z_dim: int, num_layers: int = 1) -> Tensor:
    """Latents from a file, see `load_samples`."""
    return load_samples(path, z_dim, num_layers)[0]


def load_samples(path: str | os.PathLike[str], z_dim: int, num_layers: int = 1) -> tuple[Tensor, Tensor | None]:
    """Latents and their classes from a file of any form that `read_content` reads, without executing code.

    Args:
        path: the file. The latents are its only array, the one called z, latents, noise, vector or w, or all vectors in
            it; the classes are the array called y, classes, labels or class, or what `save_latents` wrote beside a .npy
            file. Or a folder with noise_vectors.npy and class_vectors.npy, as deep-music-visualizer keeps them;
            ganbreeder's JSON of vector and label, or a list of such; big-sleep's state dict.
        z_dim: size of a latent.
        num_layers: layers that can get different latents.

    Returns:
        Latents (N, z_dim), or (N, num_layers, z_dim) for a latent per layer, float32; axes of size 1 are left out. And
        class indices (N,) int64, or class weights (N, num_classes) or (N, num_layers, num_classes) float32; None if the
        file has none.

    Raises:
        UserError: where the file is missing or cannot be read, or the array is not of finite real numbers and that
            shape.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"no latents file {path}")
    if path.is_dir():
        if not (path / NOISE_VECTORS).is_file():
            raise UserError(f"no latents in {path}; a folder should have {NOISE_VECTORS} and {CLASS_VECTORS}")
        path /= NOISE_VECTORS
    content, sha256 = _read(path, "latents")
    named = _by_name(content, path)
    if _NORMU in named and _CLS in named:
        return _of_big_sleep(named[_NORMU], named[_CLS], z_dim, num_layers, path)
    z = shaped(_latents(named, content, path), z_dim, num_layers, f"latents in {path}")
    y = next((named[name] for name in _CLASSES if name in named and named[name] is not z), None)
    return z, _beside(path, sha256, len(z)) if y is None else _classes(y, len(z), path)


def save_latents(
    path: str | os.PathLike[str],
    z: Tensor,
    y: Tensor | None = None,
    *,
    num_classes: int | None = None,
    num_layers: int | None = None,
) -> None:
    """Write latents and their classes so that `load_samples` reads them back.

    Args:
        path: by its suffix: .npz, arrays z and y; .pt, tensors z and y; .npy, z, with y in a JSON file beside it; .csv,
            columns z0, z1, ... and class, or class0, class1, ... of weights; .json, ganbreeder's vector and label;
            .pth, big-sleep's state dict of one sample; without a suffix, a folder with noise_vectors.npy and
            class_vectors.npy as deep-music-visualizer keeps them.
        z: (N, z_dim) or (N, num_layers, z_dim).
        y: class indices (N,), class weights (N, num_classes), or (N, num_layers, num_classes). Defaults to none.
        num_classes: of the generator, for files of weights. Defaults to that of y.
        num_layers: of the generator, for big-sleep's files. Defaults to that of z.

    Raises:
        UserError: another suffix, or latents or classes that the form does not hold.
    """
    check_latents_file(path)
    path = Path(path)
    WRITERS[path.suffix.lower()](
        path, z.detach().cpu(), None if y is None else y.detach().cpu(), num_classes, num_layers
    )


def check_latents_file(path: str | os.PathLike[str] | None) -> None:
    """Raise what `save_latents` would raise about the name of its file, before any slow work.

    Raises:
        UserError: another suffix.
    """
    if path is not None and Path(path).suffix.lower() not in WRITERS:
        raise UserError(
            f"latents are written as {', '.join(filter(None, WRITERS))}, or without a suffix as a folder with "
            f"{NOISE_VECTORS} and {CLASS_VECTORS}, not as {Path(path).name!r}"
        )


def shaped(array: Tensor, z_dim: int, num_layers: int, what: str) -> Tensor:
    """Latents (N, z_dim) or (N, num_layers, z_dim) float32, if the array holds finite real numbers of such a shape.

    Raises:
        UserError: it does not.
    """
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


def _read(path: Path, what: str) -> tuple[Content, str]:
    try:
        with open_place(path) as file:
            sha256 = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
            return read_content(file, MOST_NUMBERS), sha256
    except UserError as error:
        raise UserError(f"cannot read {what} from {path}: {error}") from error


def _by_name(content: Content, path: Path) -> dict[str, Tensor]:
    """Arrays by the last part of their names; equal vectors of one name, as in a list of samples, are stacked."""
    if content.table is not None and content.table.columns:
        columns = _of_columns(content)
        if columns:
            return columns
    found: dict[str, list[Tensor]] = {}
    for name, tensor in content.arrays().items():
        found.setdefault(re.split(r"[/.]", name)[-1].lower(), []).append(tensor)
    averaged = {name: tensor for name, tensor in content.arrays().items() if _AVERAGE.search(name)}
    for name, tensor in averaged.items():  # What big-sleep draws, beside what it optimizes.
        found[re.split(r"[/.]", name)[-1].lower()] = [tensor]
    by_name: dict[str, Tensor] = {}
    for name, tensors in found.items():
        by_name[name] = tensors[0]
        if len(tensors) == 1 or name not in (*_LATENTS, *_CLASSES):
            continue
        if tensors[0].ndim != 1 or len({(tensor.shape, tensor.dtype) for tensor in tensors}) > 1:
            raise UserError(f"latents in {path} have {len(tensors)} arrays called {name}; keep one of them")
        check_shape((len(tensors), *tensors[0].shape), MOST_NUMBERS, f"latents in {path}")
        by_name[name] = torch.stack(tensors)
    return by_name


def _of_columns(content: Content) -> dict[str, Tensor]:
    """Of a table with columns z0, z1, ..., latents and classes by their names; nothing of another table."""
    assert content.table is not None
    numbers, columns = torch.from_numpy(content.table.numbers), content.table.columns
    places: dict[str, list[int]] = {"z": [], "class": []}
    for place, column in enumerate(columns):
        match = _COLUMN.fullmatch(column.strip())
        if match and int(match[2]) == len(places[match[1]]):
            places[match[1]].append(place)
    if not places["z"]:
        return {}
    found = {"z": numbers[:, places["z"]]}
    if places["class"]:
        found["y"] = numbers[:, places["class"]]
    elif "class" in columns:
        found["y"] = numbers[:, columns.index("class")]
    return found


def _latents(named: dict[str, Tensor], content: Content, path: Path) -> Tensor:
    """The tensor with the latents among those of a file."""
    for name in _LATENTS:
        if name in named:
            return named[name]
    arrays = content.arrays()
    candidates = {name: tensor for name, tensor in arrays.items() if name.rpartition("/")[2].lower() not in _CLASSES}
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    shapes = {tuple(tensor.shape) for tensor in candidates.values()}
    if len(shapes) == 1 and len(next(iter(shapes))) == 1:
        check_shape((len(candidates), *next(iter(shapes))), MOST_NUMBERS, "latents")
        return torch.stack([tensor.double() for tensor in candidates.values()])
    found = shown([f"{name} {tuple(tensor.shape)}" for name, tensor in candidates.items()]) or "no array"
    raise UserError(f"latents in {path} should be one array, or one called z; found {found}")


def _of_big_sleep(normu: Tensor, cls: Tensor, z_dim: int, num_layers: int, path: Path) -> tuple[Tensor, Tensor]:
    """One sample: a latent and class weights, the sigmoid of cls, for each layer; the first rows, as big-sleep does."""
    fits = normu.ndim == cls.ndim == 2 and len(normu) == len(cls) >= num_layers and normu.shape[1] == z_dim
    if not fits or not normu.isfinite().all() or cls.isnan().any():
        raise UserError(
            f"{path} looks like big-sleep's, with normu {tuple(normu.shape)} and cls {tuple(cls.shape)}; the generator "
            f"takes numbers ({num_layers}, {z_dim}) and ({num_layers}, classes)"
        )
    rows = "" if len(normu) == num_layers else f", the first {num_layers} of {len(normu)} rows"
    _log.info("%s is big-sleep's: one sample with a latent and sigmoid class weights per layer%s", path, rows)
    return normu[None, :num_layers].to(torch.float32), cls[None, :num_layers].to(torch.float32).sigmoid()


def _classes(y: Tensor, count: int, path: Path) -> Tensor:
    """Class indices (count,) int64, or class weights (count, ...) float32."""
    y = y[None] if y.is_floating_point() and y.ndim == 1 and count == 1 < len(y) else y
    if y.is_floating_point() and y.ndim in (2, 3) and len(y) == count and y[0].numel() > 1:
        if not y.isfinite().all():
            raise UserError(f"class weights in {path} are not all finite")
        return y.to(torch.float32)
    y = y.flatten() if y.numel() == count else y
    if y.shape != (count,) or y.is_complex():
        raise UserError(f"classes in {path} have shape {tuple(y.shape)}; there should be one index for each of {count}")
    if not (y.isfinite() & (y == y.round()) & (y.abs() < 2**31)).all() if y.is_floating_point() else False:
        raise UserError(f"classes in {path} are not all integers")
    return y.to(torch.int64)


def _beside(path: Path, sha256: str, count: int) -> Tensor | None:
    """The classes beside latents: what `save_latents` wrote, if they are still the file's, or class_vectors.npy."""
    pair = path.with_name(CLASS_VECTORS)
    if path.name == NOISE_VECTORS and pair.is_file():
        _log.info("the classes are those of %s", pair)
        [found] = _read(pair, "class vectors")[0].arrays().values()
        return _classes(found.double(), count, pair)
    place = _path_beside(path)
    content = read_json(place) if place.is_file() else None
    if not isinstance(content, dict) or content.get("latents_sha256") != sha256:
        return None
    known, num_classes = stored_classes(content.get("classes"), 2**31), content.get("num_classes", 0)
    if known is None:
        raise UserError(f"{place}: 'classes' should be a list of class indices, or of pairs of index and weight")
    if not all(isinstance(each, int) for each in known):
        if not isinstance(num_classes, int) or stored_classes(content.get("classes"), num_classes or 1) is None:
            raise UserError(f"{place}: 'num_classes' is {num_classes!r}; it should be above all of its classes")
        check_shape((len(known), num_classes), MOST_NUMBERS, str(place))
    return _classes(labels_of(known, num_classes), count, place)


def _path_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.classes.json")


def _saved(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _weights(path: Path, y: Tensor | None, num_classes: int | None) -> Tensor:
    """Class weights (N, num_classes) of y, for files that hold nothing else."""
    if y is None or (num_classes is None and not y.is_floating_point()):
        raise UserError(f"{path.name or path} holds class weights; give the classes and their number")
    return y.float() if y.is_floating_point() else one_hot(y, num_classes or 0)


def _check_flat(path: Path, *tensors: Tensor | None) -> None:
    for tensor in tensors:
        if tensor is not None and tensor.ndim == 3:
            raise UserError(f"{path.name} cannot hold latents or classes that differ from layer to layer; save .npz")


def _to_npz(path: Path, z: Tensor, y: Tensor | None, *_: int | None) -> None:
    arrays: dict[str, Any] = {"z": z.numpy()} | ({} if y is None else {"y": y.numpy()})
    atomic_write(path, _saved(lambda file: np.savez(file, **arrays)))


def _to_pt(path: Path, z: Tensor, y: Tensor | None, *_: int | None) -> None:
    tensors = {"z": z.clone()} | ({} if y is None else {"y": y.clone()})
    atomic_write(path, _saved(lambda file: torch.save(tensors, file)))


def _to_npy(path: Path, z: Tensor, y: Tensor | None, *_: int | None) -> None:
    _check_flat(path, None if y is None or y.ndim < 3 else y)
    content = _saved(lambda file: np.save(file, z.numpy(), allow_pickle=False))
    atomic_write(path, content)
    if y is not None:
        about: dict[str, Any] = {"latents_sha256": hashlib.sha256(content).hexdigest()}
        about["classes"] = to_stored(list(map(class_of, y)))
        about |= {"num_classes": y.shape[1]} if y.is_floating_point() else {}
        atomic_write(_path_beside(path), json.dumps(about))


def _to_csv(path: Path, z: Tensor, y: Tensor | None, *_: int | None) -> None:
    _check_flat(path, z, y)
    columns = [f"z{index}" for index in range(z.shape[1])]
    rows = [list(map(repr, row)) for row in z.tolist()]
    if y is not None:
        columns += [f"class{index}" for index in range(y.shape[1])] if y.is_floating_point() else ["class"]
        labels = y.tolist() if y.is_floating_point() else y[:, None].tolist()
        rows = [[*row, *map(repr, label)] for row, label in zip(rows, labels, strict=True)]
    atomic_write(path, "".join(f"{','.join(row)}\n" for row in (columns, *rows)))


def _to_json(path: Path, z: Tensor, y: Tensor | None, num_classes: int | None, _: int | None) -> None:
    weights = _weights(path, y, num_classes)
    _check_flat(path, z, weights)
    pairs = zip(z.tolist(), weights.tolist(), strict=True)
    samples = [{"vector": vector, "label": label} for vector, label in pairs]
    atomic_write(path, json.dumps(samples[0] if len(samples) == 1 else samples))


def _to_big_sleep(path: Path, z: Tensor, y: Tensor | None, num_classes: int | None, num_layers: int | None) -> None:
    weights = _weights(path, y, num_classes)
    if len(z) != 1:
        raise UserError(f"{path.name}, a file of big-sleep's, holds one sample; there are {len(z)}")
    if not ((weights >= 0) & (weights <= 1)).all():
        raise UserError(f"{path.name}, a file of big-sleep's, holds class weights from 0 to 1; others are among them")
    layers = next((each.shape[1] for each in (z, weights) if each.ndim == 3), num_layers or 1)
    of_layers = [(each if each.ndim == 3 else each[:, None].expand(-1, layers, -1))[0] for each in (z, weights)]
    state = {_NORMU: of_layers[0].clone(), _CLS: of_layers[1].logit(), "thresh_lat": torch.tensor(1)}
    atomic_write(path, _saved(lambda file: torch.save(state, file)))


def _to_pair(path: Path, z: Tensor, y: Tensor | None, num_classes: int | None, _: int | None) -> None:
    weights = _weights(path, y, num_classes)
    _check_flat(path, z, weights)
    make_folder(path)
    for name, tensor in ((NOISE_VECTORS, z), (CLASS_VECTORS, weights)):
        array = tensor.numpy()
        atomic_write(path / name, _saved(lambda file, array=array: np.save(file, array, allow_pickle=False)))


WRITERS: dict[str, Callable[[Path, Tensor, Tensor | None, int | None, int | None], None]] = {
    ".npz": _to_npz,
    ".npy": _to_npy,
    ".pt": _to_pt,
    ".csv": _to_csv,
    ".json": _to_json,
    ".pth": _to_big_sleep,
    "": _to_pair,
}
"""By suffix; see `save_latents`."""
OWN = (".npz", ".npy", ".pt", ".csv")
"""Suffixes of this package's own forms, which hold latents of any size."""
