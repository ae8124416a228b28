"""Which samples a picture shows, by their numbers on a contact sheet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.directions.defaults import classes_for
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import ClassChoice, class_list, class_of, class_weights
from biggan_discovery.generators.mixes import Class
from biggan_discovery.rendering.captions import class_name
from biggan_discovery.rendering.latents import chosen_latents, sample_classes
from biggan_discovery.rendering.sheet import Label
from biggan_discovery.rendering.table import RANGES


@dataclass(frozen=True)
class Samples:
    """Samples of a generator.

    Attributes:
        numbers: their numbers: place in the order of the seed, or row of given latents.
        z: (N, z_dim) latents, on the generator's device.
        y: (N,) int64 class indices, or class weights, see `FrozenGenerator.forward`; on the CPU.
        names: of their classes; empty for a generator without classes.
    """

    numbers: list[int]
    z: Tensor
    y: Tensor
    names: list[str]

    def __len__(self) -> int:
        return len(self.numbers)

    def labels(self) -> list[Label]:
        """Number and class of each."""
        return [Label(str(number), name) for number, name in zip(self.numbers, self.names, strict=True)]

    def titles(self) -> list[str]:
        """Number and class of each, as text."""
        return [f"{label.number} {label.name}".strip() for label in self.labels()]


def chosen_samples(
    generator: FrozenGenerator,
    classes: ClassChoice,
    directions: Directions | None = None,
    *,
    latents: str | os.PathLike[str] | np.ndarray | Tensor | None = None,
    samples: int | None = None,
    pick: Sequence[int] | None = None,
    seed: int = 0,
    default: int = 1,
) -> Samples:
    """Samples to draw: the first ones, or those that are picked by number.

    Args:
        generator: the generator.
        classes: classes that samples take in turn, see `sample_classes`; of class weights (N, num_classes) or a file of
            them, each sample takes its row. Defaults to the classes in the file of `latents`, or to those of
            `directions`, or to all.
        directions: the directions.
        latents: (N, z_dim), or a file that holds them. Defaults to latents from the generator's prior by `seed`.
        samples: how many. Defaults to all of `latents` or rows of class weights, or to `default`.
        pick: numbers of the samples, from 0, as a contact sheet of the same seed and classes shows them.
        seed: see `sample_latents`.
        default: how many if nothing else says so.

    Raises:
        UserError: `samples` together with `pick`, a number that does not exist, or latents that do not fit.
    """
    if pick is not None:
        _check_picks(pick, samples)
        if latents is None:
            samples = max(pick) + 1
    weights = class_weights(generator, classes)
    z, y = chosen_latents(generator, latents, samples, seed=seed, default=default if weights is None else len(weights))
    if weights is not None:
        y = weights[torch.arange(len(z)) % len(weights)]
    elif y is None or classes is not None:
        y = sample_classes(classes_for(directions, generator, classes), len(z), generator.num_classes)
    numbers = list(range(len(z)))
    if pick is not None:
        numbers = list(dict.fromkeys(map(int, pick)))
        if max(numbers) >= len(z):
            raise UserError(f"there is no sample {max(numbers)}; the latents have 0 to {len(z) - 1}")
        z, y = z[numbers], y[numbers]
    return Samples(numbers, z, y, [class_name(generator, class_of(label)) for label in y])


def chosen_classes(
    generator: FrozenGenerator, directions: Directions | None, classes: ClassChoice
) -> tuple[list[Class], ClassChoice]:
    """All classes of a picture, and what to tell `chosen_samples`; names and files are read once.

    Args:
        generator: the generator.
        directions: the directions, whose classes are the default.
        classes: see `class_list`.

    Raises:
        UserError: as `class_list`.
    """
    weights = class_weights(generator, classes)
    if weights is not None:
        return class_list(generator, weights), weights
    indices = classes_for(directions, generator, classes)
    return indices, None if classes is None else indices


def _check_picks(pick: Sequence[int], samples: int | None) -> None:
    most = RANGES["samples"][1] or 0
    if samples is not None:
        raise UserError("samples and pick both say which samples are shown; give one of them")
    if not len(pick):
        raise UserError("pick is empty; give at least one number of a sample, or leave it out")
    for number in pick:
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number < most:
            raise UserError(f"pick has {number!r}; numbers of samples are integers from 0 to {most - 1}")
