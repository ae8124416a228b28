"""Keyframes of a walk, and the way from one to the next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biggan_discovery.directions import Directions
from biggan_discovery.errors import UserError
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.labels import ClassChoice, class_of, one_hot
from biggan_discovery.rendering.captions import class_name
from biggan_discovery.rendering.latents import chosen_latents, sample_latents
from biggan_discovery.rendering.motion import easing_named
from biggan_discovery.rendering.paths import lerp, slerp
from biggan_discovery.rendering.selection import chosen_classes, chosen_samples
from biggan_discovery.rendering.table import RANGES, check_integers

_MOST_FRAMES = RANGES["frames"][1] or 0


@dataclass(frozen=True)
class Keyframes:
    """Samples that a walk goes through.

    Attributes:
        z: (N, z_dim) or (N, num_layers, z_dim), on the generator's device.
        y: on the CPU: class indices (N,), all the same, or class weights.
        titles: what to call them.
    """

    z: Tensor
    y: Tensor
    titles: list[str]


def chosen_keyframes(
    generator: FrozenGenerator,
    directions: Directions | None,
    classes: ClassChoice,
    *,
    seeds: Sequence[int] | None,
    latents: Sequence[str | os.PathLike[str]] | np.ndarray | Tensor | None,
    samples: int | None,
    pick: Sequence[int] | None,
    seed: int,
) -> Keyframes:
    """The keyframes of a walk; arguments as in `walk`.

    Raises:
        UserError: several arguments choose keyframes, there are none such, or classes that cannot be mixed.
    """
    source: np.ndarray | Tensor | str | os.PathLike[str] | None = None
    own_classes: Tensor | None = None
    if isinstance(latents, np.ndarray | Tensor):
        source = latents
    elif latents:
        source, own_classes = _of_files(generator, latents)
    if seeds is not None:
        if source is not None or pick is not None or samples is not None:
            raise UserError("seeds, latents, samples and pick all choose keyframes; give seeds alone")
        check = [check_integers(seed=each) for each in seeds]
        if not check:
            raise UserError("seeds is empty; give at least one")
        source = torch.cat([sample_latents(generator, 1, each) for each in seeds])
    _, given = chosen_classes(generator, directions, classes)
    chosen = chosen_samples(
        generator, given, directions, latents=source, samples=samples, pick=pick, seed=seed, default=4
    )
    y = chosen.y
    if own_classes is not None and classes is None:
        y = own_classes[chosen.numbers]
    numbers = [f"seed {each}" for each in seeds] if seeds is not None else list(map(str, chosen.numbers))
    names = [class_name(generator, class_of(label)) for label in y]
    titles = [f"{number} {name}".strip() for number, name in zip(numbers, names, strict=True)]
    if not y.is_floating_point() and (y == y[0]).all():
        return Keyframes(chosen.z, y, titles)
    if not generator.mixes_classes:
        raise UserError(f"{generator.name} takes class indices only, so all keyframes need the same class; give one")
    return Keyframes(chosen.z, y if y.is_floating_point() else one_hot(y, generator.num_classes), titles)


def _of_files(generator: FrozenGenerator, paths: Sequence[str | os.PathLike[str]]) -> tuple[Tensor, Tensor | None]:
    """The latents of some files one after the other, and their classes if all have some."""
    parts = [chosen_latents(generator, path, None, seed=0, default=1) for path in paths]
    per_layer = any(z.ndim == 3 for z, _ in parts)
    layers = generator.num_layers
    z = torch.cat([z[:, None].expand(-1, layers, -1) if per_layer and z.ndim == 2 else z for z, _ in parts])
    labels = [y for _, y in parts]
    if any(y is None for y in labels):
        return z, None
    known = [y for y in labels if y is not None]
    if not all(y.dtype == torch.int64 for y in known):
        known = [y if y.is_floating_point() else one_hot(y, generator.num_classes) for y in known]
        deep = any(y.ndim == 3 for y in known)
        known = [y[:, None].expand(-1, layers, -1) if deep and y.ndim == 2 else y for y in known]
    return z, torch.cat(known)


class Route:
    """Where a walk is without any direction: frame by frame from keyframe to keyframe.

    Args:
        keyframes: one or more.
        steps: frames from one to the next; of a single one, all frames.
        loop: return to the first.
        interpolation: of `table.INTERPOLATIONS`.
        easing: of `table.EASINGS`.

    Raises:
        UserError: fewer than one step, or more frames than a film may have.
    """

    def __init__(self, keyframes: Keyframes, *, steps: int, loop: bool, interpolation: str, easing: str):
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise UserError(f"steps is {steps!r}; it should be an integer of at least 1")
        self.z, self.y = keyframes.z, keyframes.y
        self._ease = easing_named(easing)
        self._between = slerp if interpolation == "slerp" else lerp
        self._steps = steps
        count = len(self.z)
        self.frames = steps if count == 1 else steps * count if loop else steps * (count - 1) + 1
        if self.frames > _MOST_FRAMES:
            raise UserError(f"a walk of {self.frames:,} frames is too long; at most {_MOST_FRAMES:,} are made")

    def at(self, frames: Sequence[int]) -> tuple[Tensor, Tensor]:
        """z and y of some frames."""
        count = len(self.z)
        if count == 1:
            return self.z.expand(len(frames), *self.z.shape[1:]), self.y.expand(len(frames), *self.y.shape[1:])
        places = [divmod(frame, self._steps) for frame in frames]
        start, end = ([(key + further) % count for key, _ in places] for further in (0, 1))
        shares = torch.tensor([self._ease(step / self._steps) for _, step in places])
        of_z = shares.to(self.z).view(-1, *[1] * (self.z.ndim - 2)).expand(self.z[start].shape[:-1])
        z = self._between(self.z[start], self.z[end], of_z)
        if not self.y.is_floating_point():
            return z, self.y[start]
        of_y = shares.view(-1, *[1] * (self.y.ndim - 2)).expand(self.y[start].shape[:-1])
        return z, lerp(self.y[start], self.y[end], of_y)
