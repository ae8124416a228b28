"""Training with OroJaR (Wei et al. 2021, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from biggan_discovery.objectives.orojar import orojar
from biggan_discovery.training.regularizers.regularizer import Activations, Regularizer


@dataclass(frozen=True)
class OrojarRegularizer(Regularizer):
    """The sum over activations of OroJaR, the mean over samples of each.

    λ is that of the authors' networks of CLEVR; ε and k are theirs too. The penalty grows with the fourth power of
    activations and with their number, so other networks may need another λ: the authors use 1e-11 for dSprites. They
    regularise the first activations; here, these are all before the last block.
    """

    default_weight: ClassVar[float] = 1e-6

    @staticmethod
    def default_layers(names: Sequence[str]) -> tuple[str, ...]:
        """The linear layer and all blocks but the last."""
        return tuple(names[:-2])

    def penalty(self, activations: Activations, z: Tensor, *, generator: torch.Generator) -> Tensor:
        """See `Regularizer`."""
        penalty = orojar(activations, z, k=2, epsilon=0.1, generator=generator)
        assert isinstance(penalty, Tensor)
        return penalty
