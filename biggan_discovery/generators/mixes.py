"""Soft classes in words and in files: some classes of a generator, each with a weight. Needs no torch."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from biggan_discovery.errors import UserError

Mix = tuple[tuple[int, float], ...]
"""Class indices, rising, and their weights: the weighted sum of their embeddings is the condition."""
Class = int | Mix
"""A class index, or a soft class."""

_TOLERANCE = 1e-6  # Of a sum of weights that people typed.
_SHOWN = 3
_log = logging.getLogger(__name__)


def normalized(weights: Mapping[int, float]) -> Class:
    """The soft class of weights in any proportion, divided by their sum; an index if one class has all the weight.

    Logs the sum, unless it is 1.

    Raises:
        UserError: a weight is negative or not finite, or all are 0.
    """
    for index, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise UserError(f"the weight of class {index} is {weight:g}; it should be a number of at least 0")
    total = math.fsum(weights.values())
    if not 0 < total < math.inf:
        raise UserError(f"the class weights add up to {total:g}; at least one should be above 0")
    if abs(total - 1) > _TOLERANCE:
        _log.info("class weights add up to %g; they are divided by it", total)
        weights = {index: weight / total for index, weight in weights.items()}
    return of_weights(weights.items())


def of_weights(weights: Iterable[tuple[int, float]]) -> Class:
    """The soft class of weights as they are, without classes of weight 0; an index if one class alone has weight 1."""
    mix = tuple(sorted((int(index), float(weight)) for index, weight in weights if weight))
    return mix[0][0] if len(mix) == 1 and mix[0][1] == 1 else mix


def class_title(names: Sequence[str], label: Class) -> str:
    """A class in words: its name, or "goldfish 0.7 + tench 0.3", the largest weights first.

    Args:
        names: of all classes.
        label: an index or a soft class.
    """
    if isinstance(label, int):
        return names[label]
    parts = sorted(label, key=lambda part: -abs(part[1]))
    shown = " + ".join(f"{names[index]} {weight:.2g}" for index, weight in parts[:_SHOWN])
    return shown + f" + {len(parts) - _SHOWN} more" * (len(parts) > _SHOWN) if parts else "no class"


def class_text(label: Class) -> str:
    """A class as `parse_classes` reads it: "3", or "1:0.7,207:0.3"."""
    return str(label) if isinstance(label, int) else ",".join(f"{index}:{weight!r}" for index, weight in label)


def stored_classes(value: Any, num_classes: int | None = None) -> list[Class] | None:
    """The classes in a file's JSON: indices, and soft classes as lists of pairs [index, weight].

    Args:
        value: the JSON value.
        num_classes: number of classes. Defaults to any.

    Returns:
        The classes; None if the value is anything else, or has a class that does not exist.
    """

    def valid(index: Any) -> bool:
        return type(index) is int and 0 <= index < (num_classes or 2**63)

    def is_pair(pair: Any) -> bool:
        return (
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and valid(pair[0])
            and isinstance(pair[1], int | float)
            and not isinstance(pair[1], bool)
            and math.isfinite(pair[1])
        )

    if not isinstance(value, list):
        return None
    classes: list[Class] = []
    for each in value:
        if valid(each):
            classes.append(each)
        elif isinstance(each, list | tuple) and all(map(is_pair, each)):
            classes.append(of_weights(each))
        else:
            return None
    return classes


def to_stored(classes: Sequence[Class]) -> list[Any]:
    """Classes as JSON values, see `stored_classes`."""
    return [each if isinstance(each, int) else [[index, weight] for index, weight in each] for each in classes]
