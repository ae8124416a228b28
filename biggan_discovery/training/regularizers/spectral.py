"""Training with the spectral regularizer (Ramesh et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from biggan_discovery.objectives.spectral_penalty import spectral_penalty
from biggan_discovery.training.regularizers.regularizer import Activations, Regularizer


@dataclass(frozen=True)
class SpectralRegularizer(Regularizer):
    """The mean over samples of the energy of leading right-singular vectors off the axes of z; see `spectral_penalty`.

    The penalty is between 0 and 1 for every activation, whatever the network, so λ is 1.
    """

    default_weight: ClassVar[float] = 1.0
    vectors: ClassVar[int] = 2
    iterations: ClassVar[int] = 4

    @staticmethod
    def default_layers(names: Sequence[str]) -> tuple[str, ...]:
        """The image."""
        return tuple(names[-1:])

    def penalty(self, activations: Activations, z: Tensor, *, generator: torch.Generator) -> Tensor:
        """See `Regularizer`."""
        penalty = spectral_penalty(activations, z, k=self.vectors, iterations=self.iterations, generator=generator)
        assert isinstance(penalty, Tensor)
        return penalty
