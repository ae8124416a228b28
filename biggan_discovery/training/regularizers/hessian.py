"""Training with the Hessian Penalty (Peebles et al. 2020, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from biggan_discovery.objectives.hessian_penalty import hessian_penalty
from biggan_discovery.training.regularizers.regularizer import Activations, Regularizer


@dataclass(frozen=True)
class HessianRegularizer(Regularizer):
    """The sum over activations of the Hessian Penalty, the maximum over samples, channels and pixels of each.

    λ, ε, k and the maximum are those of the authors' networks of shoes and CLEVR. They regularise all but the last
    layers; here, these are all residual blocks. The first layer is linear in z and has no second derivatives.
    """

    default_weight: ClassVar[float] = 0.1

    @staticmethod
    def default_layers(names: Sequence[str]) -> tuple[str, ...]:
        """All blocks."""
        return tuple(name for name in names if name.startswith("block"))

    def penalty(self, activations: Activations, z: Tensor, *, generator: torch.Generator) -> Tensor:
        """See `Regularizer`."""
        penalty = hessian_penalty(activations, z, k=2, epsilon=0.1, reduction=torch.max, generator=generator)
        assert isinstance(penalty, Tensor)
        return penalty
