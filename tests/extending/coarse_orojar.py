"""OroJaR of images averaged down to 8 × 8 pixels: it sees shapes and colours, and no texture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from biggan_discovery.generators.batching import Batch
from biggan_discovery.numerics.derivatives import Derivative, Images, jacobian_rows
from biggan_discovery.objectives.objective import Matrices, Measured, Objective, off_diagonal, product
from biggan_discovery.objectives.samples import Samples


def coarse(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as features (N, C · 64)."""
    return adaptive_avg_pool2d(images, 8).flatten(1)


def evaluations(samples: Samples, epsilon: float) -> Tensor:
    """w itself, and one step along each probe: (1 + probes, N, ndirs)."""
    return torch.cat((samples.w[None], samples.w + epsilon * samples.probes))


def of_images(images: Tensor, epsilon: float) -> Tensor:
    """(1 + probes, N, C, H, W) to (N,): the variance over probes of the squared slope, 2·Σ_{i≠j} (JᵢᵀJⱼ)²."""
    features = coarse(images.flatten(0, 1)).unflatten(0, images.shape[:2])
    slopes = (features[1:] - features[:1]) / epsilon
    return slopes.square().sum(dim=2).var(dim=0)


class _JacobianProducts(Matrices):
    """JᵀJ of the features of each latent's image: the objective is least where all of them are diagonal."""

    settings = ()

    @staticmethod
    def default_samples(axes: int) -> int:
        return 32

    @staticmethod
    def kept(sketches: int | None) -> int:
        return 1

    def measure(
        self,
        images: Images,
        axes: Tensor,
        *,
        epsilon: float | None,
        sketches: int | None,
        random: np.random.Generator,
        batch: Batch,
    ) -> Measured:
        rows, cost = jacobian_rows(lambda shifts: coarse(images(shifts)), axes, batch, Derivative())
        gram = product(rows)
        value = 2 * off_diagonal(gram * rows.shape[1])
        return Measured(value, cost, gram, gram[None].float())


COARSE_OROJAR = Objective(
    title="coarse OroJaR",
    description="OroJaR of images averaged down to 8 × 8 pixels",
    meaning="Inner products of the coarse image changes of different directions.",
    paper="Wei et al. 2021",
    evaluations=evaluations,
    of_images=of_images,
    matrices=_JacobianProducts,
    defaults={"path_size": 0.0},
    zero_path_size=True,
)
