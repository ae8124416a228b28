"""Classes as tensors: y of class indices, or of class weights that mix the embeddings of classes."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from biggan_discovery.errors import UserError
from biggan_discovery.generators.base import FrozenGenerator, Label, Labels
from biggan_discovery.generators.classes import parse_classes, parse_index
from biggan_discovery.generators.mixes import Class, Mix, normalized, of_weights, stored_classes
from biggan_discovery.reading.arrays import to_tensor
from biggan_discovery.reading.content import read_content, shown
from biggan_discovery.reading.limits import MOST_NUMBERS, check_shape
from biggan_discovery.reading.source import open_place

ClassChoice = (
    str
    | int
    | os.PathLike[str]
    | np.ndarray
    | Tensor
    | Mapping[int | str, float]
    | Sequence[int | str | Mix | Mapping[int | str, float]]
    | None
)
"""What arguments called `classes` take, see `class_list`."""

_NAMES = ("class_vectors", "class_vector", "class_weights", "y", "classes", "class", "labels", "label", "c")
_TOLERANCE = 1e-3  # Of a sum of weights in a file.
_log = logging.getLogger(__name__)


def class_list(generator: FrozenGenerator, classes: ClassChoice) -> list[Class]:
    """Classes from an argument, without repetition.

    Args:
        generator: the generator.
        classes: indices or a name; what `parse_classes` reads, such as "goldfish:0.7, tench:0.3"; a dict from classes
            to weights, which are divided by their sum; class weights (N, num_classes), or a file that holds them, which
            are used as they are; a list of such. None for all classes.

    Raises:
        UserError: a class that the generator does not have, or weights that are not valid.

    Example:
        >>> class_list(generator, "cone"), class_list(generator, [0, 2]), class_list(generator, {"cone": 1, 0: 3})
        ([3], [0, 2], [((3, 0.25), (0, 0.75))])
    """
    if isinstance(classes, str):
        return parse_classes(generator, classes)
    if classes is None:
        return list(range(generator.num_classes))
    weights = class_weights(generator, classes)
    if weights is not None:
        return list(dict.fromkeys(map(class_of, weights)))
    if isinstance(classes, np.ndarray | Tensor):
        classes = classes.tolist()
    given = [classes] if isinstance(classes, int | Mapping) else list(classes)  # pyright: ignore[reportArgumentType]
    if not given:
        raise UserError("no class given; give indices, a name, or leave classes out for all")
    return list(dict.fromkeys(place for each in given for place in _one(generator, each)))


def _one(generator: FrozenGenerator, label: object) -> Sequence[Class]:
    names = generator.class_names
    if isinstance(label, Mapping):
        weights = {parse_index(names, str(key), generator.name): weight for key, weight in label.items()}
        return [normalized(weights)]
    if isinstance(label, list | tuple):
        known = stored_classes([label], generator.num_classes)
        if known is None:
            raise UserError(f"{label!r} is not a soft class of {generator.name}; give pairs of class index and weight")
        return known
    return [parse_index(names, str(label), generator.name)]


def class_weights(generator: FrozenGenerator, classes: ClassChoice) -> Float[Tensor, "N num_classes"] | None:
    """The class weights (N, num_classes) float32 that an argument holds row by row; None if it is none of weights.

    Args:
        generator: the generator.
        classes: an array, or the path of a file with one (.npy, .npz, .pt, .csv, ...); else None is returned.

    Raises:
        UserError: weights of another shape or that are not finite, or a file that cannot be read.
    """
    if isinstance(classes, os.PathLike):
        return read_class_vectors(Path(classes), generator.num_classes)
    if not isinstance(classes, np.ndarray | Tensor):
        return None
    array = to_tensor(classes.cpu() if isinstance(classes, Tensor) else classes)
    if array is None or array.is_complex():
        raise UserError("classes are not real numbers; give class indices, or weights (N, num_classes)")
    return checked_weights(array, generator.num_classes, "classes") if array.is_floating_point() else None


def read_class_vectors(path: Path, num_classes: int) -> Float[Tensor, "N num_classes"]:
    """Class weights (N, num_classes) float32 from a file of any form that `read_content` reads.

    They are its only array, or the one called class_vectors, class_weights, y, classes or labels. Weights that do not
    sum to 1 are used as they are, and one line of the log says so.

    Raises:
        UserError: no such file, or it cannot be read, or its array is not of finite numbers and that shape.
    """
    if not path.exists():
        raise UserError(f"no file of class vectors {path}")
    try:
        with open_place(path) as file:
            arrays = read_content(file, MOST_NUMBERS).arrays()
    except UserError as error:
        raise UserError(f"cannot read class vectors from {path}: {error}") from error
    named = {name.rpartition("/")[2].lower(): tensor for name, tensor in arrays.items()}
    found = next((named[name] for name in _NAMES if name in named), None)
    if found is None:
        if len(arrays) != 1:
            listed = shown([f"{name} {tuple(tensor.shape)}" for name, tensor in arrays.items()]) or "no array"
            raise UserError(f"class vectors in {path} should be one array, or one called class_vectors; found {listed}")
        [found] = arrays.values()
    weights = checked_weights(found, num_classes, f"class vectors in {path}")
    sums = weights.sum(dim=1)
    if (sums - 1).abs().max() > _TOLERANCE:
        _log.info("class vectors in %s add up to %.3g to %.3g; they are used as they are", path, sums.min(), sums.max())
    return weights


def checked_weights(array: Tensor, num_classes: int, what: str) -> Float[Tensor, "N num_classes"]:
    """Class weights (N, num_classes) float32, from an array of that shape or of (num_classes,).

    Raises:
        UserError: another shape, or numbers that are not finite.
    """
    rows = array[None] if array.ndim == 1 else array
    if rows.ndim != 2 or not len(rows) or rows.shape[1] != num_classes:
        raise UserError(f"{what} have shape {tuple(array.shape)}; the generator takes weights (N, {num_classes})")
    if rows.is_complex() or rows.dtype == torch.bool:
        raise UserError(f"{what} are not real numbers; give weights (N, {num_classes})")
    check_shape(tuple(rows.shape), MOST_NUMBERS, what)
    weights = rows.to(torch.float32)
    if not weights.isfinite().all():
        raise UserError(f"{what} are not all finite")
    return weights


def labels_of(classes: Sequence[Class], num_classes: int) -> Labels:
    """y of some classes, one after the other: int64 (N,) if all are indices, else float32 weights (N, num_classes).

    Example:
        >>> labels_of([0, 3], 5), labels_of([0, ((1, 0.25), (2, 0.75))], 3)
        (tensor([0, 3]), tensor([[1.0000, 0.0000, 0.0000],
                [0.0000, 0.2500, 0.7500]]))
    """
    if all(isinstance(each, int) for each in classes):
        return torch.tensor(classes, dtype=torch.int64)
    weights = torch.zeros(len(classes), num_classes)
    for row, each in zip(weights, classes, strict=True):
        for index, weight in [(each, 1.0)] if isinstance(each, int) else each:
            row[index] += weight
    return weights


def one_hot(y: Labels, num_classes: int) -> Float[Tensor, "N num_classes"]:
    """Class weights (N, num_classes) float32 of class indices."""
    return torch.nn.functional.one_hot(y, num_classes).to(torch.float32)


def class_of(label: Label) -> Class:
    """The class of a sample's y; for weights that differ from layer to layer, of their mean."""
    if not label.is_floating_point():
        return int(label)
    weights = (label if label.ndim == 1 else label.mean(dim=0)).cpu()
    # As short as float32 tells numbers apart: 0.7, not 0.699999988.
    return of_weights((int(index), float(str(weights[index].detach().numpy()))) for index in weights.nonzero()[:, 0])


def placed(y: Labels, generator: FrozenGenerator) -> Labels:
    """y on a generator's device; class weights in its dtype."""
    return y.to(generator.device, generator.dtype if y.is_floating_point() else y.dtype)
