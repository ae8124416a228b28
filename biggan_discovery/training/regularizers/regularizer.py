"""What a term of the generator's loss is."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

Activations = Callable[[Tensor], list[Tensor]]
"""From z (N, z_dim) to activations of the generator in training, each (N, ...), at fixed classes."""


@dataclass(frozen=True)
class Regularizer(abc.ABC):
    """A term of the generator's loss: λ times a penalty, with λ rising linearly from 0.

    A new one is one file with a subclass and one line in `regularizers.table`.

    Attributes:
        layers: names of the activations that it sees, see `Generator.names`.
        weight: λ, above 0.
        ramp: steps over which the factor of the penalty rises from 0 to λ.
        default_weight: λ unless one is given.

    Example:
        >>> regularizer = HessianRegularizer(layers=("block0",), weight=0.1, ramp=1000)
        >>> regularizer.factor(500)
        0.05
    """

    layers: tuple[str, ...]
    weight: float
    ramp: int
    default_weight: ClassVar[float]

    @staticmethod
    @abc.abstractmethod
    def default_layers(names: Sequence[str]) -> tuple[str, ...]:
        """The activations to regularise unless some are given, of all: "linear", "block0" and so on, "image"."""

    @abc.abstractmethod
    def penalty(self, activations: Activations, z: Tensor, *, generator: torch.Generator) -> Tensor:
        """The penalty, a scalar with a gradient with respect to the weights.

        Args:
            activations: function from z to the activations of `layers`.
            z: (N, z_dim) latents of the step.
            generator: random numbers, on the device of z.
        """

    def factor(self, step: int) -> float:
        """The factor of the penalty at a step, counted from 0."""
        return self.weight * min(1.0, step / self.ramp) if self.ramp else self.weight
